"""The command as people and scripts meet it: real processes, exit codes, JSON, one line per error."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cim.cli import build
from cim.settings import VARIABLES, Settings

CIM = Path(sys.executable).with_name("cim")
Run = Callable[..., "subprocess.CompletedProcess[str]"]
HOUSE = "340123002004GB00011F00010000"


@pytest.fixture
def cim(settings: Settings, tmp_path: Path) -> Run:
    """Run `cim` with the deployment of this test; the working folder is its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CIM_")}
    environment |= {
        "CIM_HOME": str(settings.home),
        "CIM_DATABASE_URL": settings.database_url or "",
        "CIM_ORIGIN": settings.origin,
    }

    def run(*arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CIM, *map(str, arguments)],
            env=environment | changes,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def house(cim: Run, tmp_path: Path) -> Path:
    """A file with one building, taken in."""
    path = tmp_path / "building.geojson"
    ring = [[117.0, 38.8], [117.0002, 38.8], [117.0002, 38.8001], [117.0, 38.8]]
    document = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"code": HOUSE, "name": "甲", "year_built": 1978},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    done = cim("ingest", path, "--type", "building", "--assume-crs", "EPSG:4490", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total"]["inserted"] == 1
    return path


def result(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_life_of_one_record(cim: Run, house: Path, tmp_path: Path) -> None:
    found = result(cim("get", HOUSE, "--json"))
    assert (found["featureType"], found["revision"], found["properties"]["name"]) == ("building", 1, "甲")
    assert [entry["op"] for entry in result(cim("history", HOUSE, "--json"))] == ["insert"]

    assert cim("log", "prove", HOUSE, "-o", "x.tlog-proof").returncode == 0
    key = (tmp_path / "home" / "keys" / "log.vkey").read_text(encoding="utf-8").strip()
    offline = {"CIM_HOME": str(tmp_path / "elsewhere"), "CIM_DATABASE_URL": "postgresql://nowhere.invalid/none"}
    verified = result(cim("log", "verify", "x.tlog-proof", "--key", key, "--json", **offline))
    assert (verified["verified"], verified["entry"]["code"]) == (True, HOUSE)

    proof = tmp_path / "x.tlog-proof"
    proof.write_text(proof.read_text(encoding="utf-8").replace("index 1", "index 0"), encoding="utf-8")
    refused = cim("log", "verify", "x.tlog-proof", "--key", key, **offline)
    assert refused.returncode == 3
    assert refused.stderr.startswith("cim: ")

    assert result(cim("log", "audit", "--json"))["ok"] is True
    assert cim("log", "export", "published").returncode == 0
    assert (tmp_path / "published" / "tile" / "0" / "000.p" / "2").is_file()
    assert (tmp_path / "published" / "checkpoint").read_text(encoding="utf-8").startswith("example.org/test\n2\n")
    assert result(cim("export", "building", "out.gpkg", "--json"))["features"] == 1


def test_an_audit_that_finds_damage_exits_with_its_own_code(cim: Run, house: Path, settings: Settings) -> None:
    tile = settings.log_dir / "tile" / "0" / "000.p" / "2"
    tile.write_bytes(bytes(64))
    done = cim("log", "audit")
    assert done.returncode == 7
    assert "the published tile has another leaf hash" in done.stdout


def test_the_same_file_twice_is_no_news(cim: Run, house: Path) -> None:
    size = result(cim("status", "--json"))["tree_size"]
    done = result(cim("ingest", house, "--type", "building", "--assume-crs", "EPSG:4490", "--json"))
    assert done["files"][0]["status"] == "unchanged"
    assert done["tree_size"] == size


def test_a_scenario_shows_its_inputs_and_a_command_that_works(cim: Run) -> None:
    done = cim("scenario", "show", "compare-districts")
    assert done.returncode == 0
    shown = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if line.strip()}
    assert (shown["scope"], shown["membership"], shown["as_of"]) == ("required", "clip", "–")
    command = done.stdout.splitlines()[-1]
    assert shlex.split(command) == ["cim", "scenario", "run", "compare-districts", 'scope=["RD-EAST","RD-WEST"]']
    assert result(cim("scenario", "show", "compare-districts", "--json"))["id"] == "compare-districts"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["get", "nothing"], 4, "no object has the code 'nothing'"),
        (["ingest", "missing.gpkg"], 3, "missing.gpkg"),
        (["log", "verify", "missing.tlog-proof"], 3, "cannot read missing.tlog-proof"),
        (["codes", "check", "cn-bdcdyh", "123"], 3, "cn-bdcdyh refuses '123'"),
        (["codes", "check", "nothing", "123"], 4, "no code scheme 'nothing'"),
        (["scenario", "run", "nothing"], 4, "no scenario 'nothing'"),
        (["scenario", "run", "compare-districts", "scope=a", "scope=b"], 3, "an input is given twice"),
        (["scenario", "run", "compare-districts", "scenario_id=a"], 3, "has no input scenario_id"),
        (["export", "building", "out.dwg"], 3, "expected a suffix"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_an_error_is_one_line_and_a_code(cim: Run, arguments: list[str], code: int, message: str) -> None:
    done = cim(*arguments)
    assert done.returncode == code
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    if code != 2:
        assert done.stderr.splitlines()[-1].startswith("cim: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["log", "prove", HOUSE, "-o", "."], "cannot write .: "),
        (["log", "export", "building.geojson/inside"], "cannot write building.geojson/inside: "),
        (["log", "verify", "building.geojson", "--key", "bytes"], "bytes is not UTF-8 text"),
        (["log", "verify", "building.geojson", "--key", "k" * 5000], "verifier key: expected name"),
        (["get", HOUSE, "--as-of", "bytes"], "bytes is not UTF-8 text"),
        (["get", HOUSE, "--as-of", "a" * 5000], "as-of must be a tree size"),
        (["scenario", "verify", "missing.json"], "cannot read missing.json"),
        (["proposal", "create", "East street", "missing.json"], "cannot read missing.json"),
        (["get", "\udcff"], "is not UTF-8 text"),
    ],
)
def test_a_file_that_does_not_do_is_one_line(
    cim: Run, house: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    done = cim(*arguments)
    assert done.returncode == 3, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_name_that_the_system_does_not_take_is_one_line(cim: Run) -> None:
    done = cim("ingest", "a" * 5000)
    assert (done.returncode, done.stderr) == (1, f"cim: {'a' * 200}: File name too long\n")


@pytest.mark.parametrize(
    ("redirection", "code", "complaint"),
    [
        (">/dev/full", 1, "cim: no space is left on the device; free some\n"),
        (">&-", 0, ""),
        ("| true", 0, ""),
        ("2>&-", 0, ""),
    ],
)
def test_output_that_cannot_be_written_is_no_traceback(redirection: str, code: int, complaint: str) -> None:
    line = f'"{CIM}" codes list --json {redirection}'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, complaint)


def test_a_terminal_that_cannot_show_chinese_gets_escapes(cim: Run, house: Path) -> None:
    assert "\\u7532" in cim("get", HOUSE, PYTHONIOENCODING="iso8859-5").stdout


@pytest.mark.parametrize(
    ("variable", "value", "code", "message"),
    [
        ("CIM_DATABASE_URL", "postgresql://nobody@localhost:1/none", 5, "localhost"),
        ("CIM_DATABASE_URL", "mysql://x/y", 5, "postgresql"),
        ("CIM_SRID", "beijing", 3, "CIM_SRID must be an EPSG code"),
        ("CIM_SRID", "4547", 6, "stores EPSG:4548"),
        ("CIM_ORIGIN", "https://x", 3, "CIM_ORIGIN must be a URL without scheme"),
        ("CIM_ORIGN", "x", 3, "unknown setting CIM_ORIGN"),
        ("CIM_CODE_SCHEMES", "castle=olc", 3, "names no feature type: 'castle'"),
    ],
)
def test_a_wrong_setting_is_named(cim: Run, variable: str, value: str, code: int, message: str) -> None:
    done = cim("status", **{variable: value})
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def commands(application: Any, prefix: str = "cim") -> list[str]:
    names = []
    for command in application.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        names.append(f"{prefix} {name}")
    for group in application.registered_groups:
        names += commands(group.typer_instance, f"{prefix} {group.name}")
    return names


def test_the_fixed_names_are_all_there() -> None:
    fixed = """cim up, cim down, cim status, cim ingest, cim get, cim history, cim codes check, cim codes mint,
    cim codes resolve, cim log checkpoint, cim log prove, cim log verify, cim log audit, cim log export,
    cim scenario list, cim scenario run, cim export, cim serve, cim rejects"""
    assert {name.strip() for name in fixed.split(",")} <= set(commands(build()))


def test_commands_and_settings_stand_in_the_docs() -> None:
    root = Path(__file__).parents[2]
    text = "".join((root / name).read_text(encoding="utf-8") for name in ("README.md", "ARCHITECTURE.md"))
    assert [name for name in (*commands(build()), *VARIABLES) if name not in text] == []


def test_an_ingest_makes_its_arrays_without_pandas_and_leaves_it_to_who_wants_it() -> None:
    code = """
import sys
from cim.frames import leave_pandas_out
leave_pandas_out()
import pyarrow as pa
table = pa.table({"a": [1, None]})
assert "pandas" not in sys.modules
print(table.to_pandas()["a"].isna().tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[False, True]\n", "")


def test_a_command_looks_for_garbage_where_it_works_and_not_among_its_modules() -> None:
    code = """
import gc, sys
from cim import cli
sys.argv = ["cim", "codes", "list"]
try:
    cli.main()
finally:
    print(gc.get_freeze_count() > 10_000, gc.isenabled())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("True True\n"), done.stderr
