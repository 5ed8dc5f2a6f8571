"""What the docs say is so: their code runs, their paths exist, their lists are whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shapely

import api.formats
from cim import codes, scenarios
from cim.errors import InvalidData
from ingest.formats import ReadOptions, formats
from ingest.statement import parse

ROOT = Path(__file__).resolve().parents[2]
DOCS = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "sample_data/README.md",
    "schemas/README.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """The `$ cim …` lines of the console blocks; those of make and curl are the demo's and the API tests' matter."""
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ cim ")]


@pytest.mark.slow
def test_the_code_in_the_readme_runs(sample_city: dict[str, str], tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **sample_city, "PATH": path}
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    scripts = blocks(README, "python")
    assert len(scripts) == 2
    for script in scripts:
        subprocess.run([sys.executable, "-W", "error", "-c", script], env=environment, cwd=tmp_path, check=True)
    assert len(commands(README)) > 5
    for command in commands(README):
        subprocess.run(["bash", "-ec", command], env=environment, cwd=tmp_path, check=True, capture_output=True)


def test_the_format_that_contributing_shows_reads_points_and_refuses_the_rest(tmp_path: Path) -> None:
    (script,) = blocks((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), "python")
    module: dict[str, Any] = {}
    exec(script, module)
    path = tmp_path / "lamps.lonlat"
    path.write_text("117.0 39.5\n117.25 39.5\n", encoding="utf-8")
    (layer,) = module["FORMAT"].read(path, ReadOptions())
    assert layer.crs.equals("OGC:CRS84")
    assert shapely.get_coordinates(shapely.from_wkb(layer.table()["geom"])).tolist() == [[117.0, 39.5], [117.25, 39.5]]
    for damaged in (b"", b"\0" * 64, b"not a point\n", b"117.0 39.5\n117.2", "117 39\n".encode("utf-16")):
        path.write_bytes(damaged)
        with pytest.raises(InvalidData, match=r"lamps\.lonlat"):
            list(module["FORMAT"].read(path, ReadOptions()))


@pytest.mark.parametrize("name", DOCS)
def test_paths_that_docs_name_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert [target for target in linked if not (ROOT / name).parent.joinpath(target).exists()] == []


def test_every_plug_in_stands_in_the_docs() -> None:
    text = " ".join((ROOT / name).read_text(encoding="utf-8") for name in DOCS)
    assert [name for name in codes.schemes() if f"`{name}`" not in text] == []
    assert [name for name in scenarios.scenarios() if name not in text] == []
    assert [name for name in (*formats(), *api.formats.formats()) if f"`{name}`" not in text] == []


def test_the_readme_says_which_files_each_format_reads() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` ([^|].*)$", README, re.MULTILINE))
    assert {
        name: missing
        for name, form in formats().items()
        if (missing := [suffix for suffix in form.suffixes if f"`{suffix}`" not in rows[name]])
    } == {}


def test_the_readme_shows_the_demo_as_it_prints() -> None:
    """The headings of the demo's output, in their order."""
    shown = re.search(r"<!-- demo -->\n```text\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    source = (ROOT / "sample_data" / "demo.py").read_text(encoding="utf-8")
    said = re.findall(r'say\(f?"(\d\.[^"{]*)', source)
    assert len(said) == 5
    places = [shown.group(1).find(f"== {heading}") for heading in said]
    assert -1 not in places
    assert places == sorted(places)


def test_the_top_level_holds_what_the_architecture_shows() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    folders = {name.split("/")[0] for name in listed.splitlines() if "/" in name}
    code = {"cim", "ingest", "api", "schemas", "sample_data", "tests", "notebooks"}
    assert folders == code | {"benchmarks", "docs", "tools", ".ci"}


def test_no_file_names_this_machine_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    forbidden = re.compile("/" + "work/|/" + r"root/|files\.python" + r"hosted|pypi\." + r"org|registry\.npm" + "js")
    found = []
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".sh", ".sql", ".json", ".ipynb", ""} and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{name}: {match.group()}" for match in forbidden.finditer(text)]
    assert found == []


def test_placement_files_that_the_docs_show_are_read() -> None:
    forms = [parse(text, "docs") for text in blocks((ROOT / "docs/models.md").read_text(encoding="utf-8"), "toml")]
    assert [form.degrees for form in forms[:1]] == [(116.1, 39.05)]
    assert [form.origin_on_map for form in forms[1:2]] == [(500_000.0, 4_320_000.0)]
    assert [len(form.points) for form in forms[2:3]] == [2]
    assert [bool(form.building) for form in forms[3:]] == [True]
