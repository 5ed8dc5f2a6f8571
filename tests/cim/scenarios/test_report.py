"""Sealed results as documents, read back by other people's software: pdftotext, calamine, csv, shapely."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import shapely
from python_calamine import load_workbook
from typer.testing import CliRunner

from cim.cli import build
from cim.db.engine import Database
from cim.errors import CimError, InvalidProof
from cim.scenarios import FORMATS, canonical, render, run
from cim.scenarios._report._figures import gauge, spacemate

SVG = "{http://www.w3.org/2000/svg}"
DISTRICT = "RD-TEST-01"
Documents = list[dict[str, Any]]


@pytest.fixture(scope="module")
def documents(ask: Callable[..., dict[str, Any]]) -> Documents:
    return [ask("district-inventory", list_objects=True), ask("density-indicators", level="parcel")]


def test_a_page_shows_the_numbers_in_both_languages(unchanging: Database, documents: Documents) -> None:
    page = render(unchanging, documents, "html").decode()
    seal = documents[0]["assessment"]
    for expected in (
        "东街片区",
        "容积率",
        "Floor area ratio",
        "老旧小区",
        "10,000 m²",
        seal["root"],
        seal["result_hash"],
    ):
        assert expected in page
    # 360 of building 1, half of 801 of building 2 (15 of 20 m lie inside) and a tenth of 1000 of building 3, 25 of 6
    gfa = documents[0]["result"]["gfa_above"]
    assert f"{gfa['value']:,.0f} m²" in page or f"{gfa['value']:,.1f} m²" in page
    # One file: nothing is fetched from elsewhere.
    assert not re.search(r"""(src|href)\s*=\s*["']?http""", page)
    assert "url(http" not in page
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawing)


def test_a_proposal_is_shown_before_and_after_with_a_light_for_each_rule(
    unchanging: Database, ask: Callable[..., dict[str, Any]]
) -> None:
    proposal = {
        "interventions": [
            {"target": "130629001001GB00001F00010000", "action": "demolish"},
            {"target": "130629001001GB00001F00040000", "action": "repair"},
        ]
    }
    document = ask("check-constraints", proposal=proposal, facts={"rent": {"previous": 100, "current": 106}})
    page = render(unchanging, [document], "html").decode()
    assert (page.count("方案前 Before"), page.count("方案后 After")) == (1, 1)
    before, after = re.findall(r"<svg[^>]*><title>Massing.*?</svg>", page, re.DOTALL)
    # Roofs are drawn in the full colour of what is done: the demolished one is gone afterwards.
    assert (before.count('fill="#c0392b"'), after.count('fill="#c0392b"')) == (1, 0)
    assert (before.count('fill="#2e9e6b"'), after.count('fill="#2e9e6b"')) == (1, 1)
    lights = re.findall(r'class="light" style="background:(#\w+)"', page)
    statuses = [rule["status"] for rule in document["result"]["rules"]]
    # On the first page, and beside each rule.
    assert lights[: len(statuses)] == lights[len(statuses) :]
    assert len(lights) == 2 * len(statuses)
    rent = next(rule for rule in document["result"]["rules"] if rule["rule"] == "R4")
    assert (rent["status"], rent["margin"]) == ("fail", -1)  # 6 % where 5 % are allowed
    assert lights[statuses.index("fail")] == "#c0392b"


def test_what_a_proposal_does_elsewhere_is_not_passed_over(
    unchanging: Database, ask: Callable[..., dict[str, Any]]
) -> None:
    lot, outside = "130629001001GB00002", "130629001001GB00001F00010000"
    there = {"interventions": [{"target": "130629001001GB00001F00020000", "action": "demolish"}]}
    beyond = {"interventions": [*there["interventions"], {"target": outside, "action": "demolish"}]}
    for scenario, asked, named in (
        ("check-constraints", {"proposal": beyond}, True),
        ("check-constraints", {"proposal": there}, False),
        ("evaluate-proposal", {"proposals": [{"name": "a", **beyond}]}, True),
        ("evaluate-proposal", {"proposals": [{"name": "a", **there}]}, False),
    ):
        document = ask(scenario, scope=[lot], **asked)
        assert document["coverage"]["targets_outside"] == ([outside] if named else [])
        page = render(unchanging, [document], "html").decode()
        assert (f"not counted: {outside}</p>" in page) is named


def test_the_first_page_tells_what_matters_and_numbers_are_opened(
    unchanging: Database, ask: Callable[..., dict[str, Any]]
) -> None:
    inventory = ask("district-inventory", explain=["/households"])
    gone = {"interventions": [{"target": "130629001001GB00001F00010000", "action": "demolish"}]}
    few = ask("displacement", proposal=gone)
    page = render(unchanging, [inventory, few], "html").decode()
    tiles = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)<", page)
    assert ("户数 Households", f"{inventory['result']['households']['value']} 户") in tiles
    # Five households have to move, which are too few to be told: they are not unknown.
    assert ("搬迁户数 Displaced", "不公布") in tiles
    assert "数值说明 Why /households" in page
    (line,) = inventory["result"]["why"]
    for term in line["num"]["terms"]:
        assert re.search(rf"<td>{term['code']}</td>.*?{term['leaf']}", page, re.DOTALL)
    # What both seals say is said once.
    assert page.count("树根 root") == 2  # at the foot of the page, and in the seal
    for document in (inventory, few):
        assert page.count(document["assessment"]["result_hash"]) == 1


def test_compared_proposals_move_the_whole_on_the_chart(
    unchanging: Database, ask: Callable[..., dict[str, Any]]
) -> None:
    demolished = {"name": "拆", "interventions": [{"target": "130629001001GB00001F00010000", "action": "demolish"}]}
    kept = {"name": "留", "interventions": [{"target": "130629001001GB00001F00010000", "action": "keep"}]}
    document = ask("evaluate-proposal", proposals=[demolished, kept])
    page = render(unchanging, [document], "html").decode()
    assert [page.count(f"<b>{title}</b>") for title in ("方案前 Before", "方案 拆", "方案 留")] == [1, 1, 1]
    chart = re.search(r"<svg[^>]*><title>Spacemate.*?</svg>", page, re.DOTALL)
    assert chart is not None
    root = ElementTree.fromstring(chart[0])
    # 120 m² less of 10,000 m² land: 1.2 % of GSI 0.5 on 84 mm, and 0.036 of FSI 1 on 74 mm; what is kept stays.
    whole = [c for c in root.iter(f"{SVG}circle") if c.get("r") == "1.5"]
    places = sorted((float(c.get("cx", "")), float(c.get("cy", ""))) for c in whole)
    assert len(places) == 3
    assert places[1] == places[2]
    assert places[1][0] - places[0][0] == pytest.approx(0.012 / 0.5 * 84, abs=0.02)
    assert places[0][1] - places[1][1] == pytest.approx(0.036 * 74, abs=0.02)
    assert "方案比较 Comparison" in page


def test_a_pdf_is_a4_with_root_on_every_page_and_chinese_that_can_be_read(
    unchanging: Database, documents: Documents, tmp_path: Path, absent: Callable[[str], None]
) -> None:
    if shutil.which("pdftotext") is None:
        absent("pdftotext")
    file = tmp_path / "report.pdf"
    file.write_bytes(render(unchanging, documents, "pdf"))
    pages = output("pdftotext", "-layout", file, "-").rstrip("\f").split("\f")
    assert len(pages) >= 2
    for page in pages:
        assert documents[0]["assessment"]["root"] in page.replace("\n", "")
    assert "容积率" in "".join(pages)
    assert "(595.2" in output("pdfinfo", file) or "595.276 x 841.89" in output("pdfinfo", file)
    fonts = output("pdffonts", file)
    assert "CJK" in fonts
    assert all(line.split()[-5] == "yes" for line in fonts.splitlines()[2:])  # embedded


def test_without_a_chinese_font_there_is_an_error_and_no_boxes(
    unchanging: Database, documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "fonts.conf"
    empty.write_text("<?xml version='1.0'?><fontconfig></fontconfig>", encoding="utf-8")
    monkeypatch.setenv("FONTCONFIG_FILE", str(empty))
    with pytest.raises(CimError, match="fonts-noto-cjk"):
        render(unchanging, documents, "pdf")


def test_a_workbook_holds_numbers_as_numbers(unchanging: Database, documents: Documents) -> None:
    book = load_workbook(io.BytesIO(render(unchanging, documents, "xlsx")))
    assert book.sheet_names == ["Summary", "Indicators", "Objects", "Rules", "Provenance"]
    columns, *rows = book.get_sheet_by_name("Indicators").to_python()
    at = {(row[0], row[1]): dict(zip(columns, row, strict=True)) for row in rows}
    far = at["density-indicators", "parcels/130629001001GB00001/far"]
    # On parcel 1 of 2000 m²: 360 m² known of building 1; 2 storeys of 20 m² of 4 and 30 m² of 7 are not.
    assert (far["value"], far["unit"], far["num"], far["den"]) == (0.18, "m2/m2", 3_600_000, 20_000_000)
    assert (far["n"], far["n_known"]) == (3, 1)
    assert isinstance(far["value"], float)
    objects = book.get_sheet_by_name("Objects").to_python()
    first = dict(zip(objects[0], objects[1], strict=True))
    assert (first["code"], first["gfa_above (m2)"]) == ("130629001001GB00001F00010000", 360.0)
    provenance = {(row[0], row[1]): row[2] for row in book.get_sheet_by_name("Provenance").to_python()}
    assert provenance["density-indicators", "root"] == documents[1]["assessment"]["root"]
    assert render(unchanging, documents, "xlsx") == render(unchanging, documents, "xlsx")


def test_a_table_has_a_row_for_each_number_and_names_its_state(unchanging: Database, documents: Documents) -> None:
    text = render(unchanging, documents, "csv").decode("utf-8-sig")
    rows = {(row["process"], row["at"]): row for row in csv.DictReader(io.StringIO(text))}
    land = rows["density-indicators", "gross/land"]
    assert (land["value"], land["unit"], land["title_zh"]) == ("10000", "m2", "用地面积")
    # Of building 4 nobody recorded the dwellings: a cell is empty where nothing is known.
    assert rows["district-inventory", "objects/130629001001GB00001F00040000/dwellings"]["value"] == ""
    sealed = documents[0]["assessment"]
    assert rows["district-inventory", "assessment/tree_size"]["value"] == str(sealed["tree_size"])


def test_a_layer_puts_the_numbers_where_they_belong(unchanging: Database, documents: Documents) -> None:
    layer = json.loads(render(unchanging, documents, "geojson"))
    by_part = {(f["properties"]["process"], f["properties"]["part"], f["id"]): f for f in layer["features"]}
    parcel = by_part["density-indicators", "parcels", "130629001001GB00001"]
    assert parcel["properties"]["far"] == 0.18
    shape = shapely.geometry.shape(parcel["geometry"])
    # EPSG:4548 has its central meridian at 117° E and a false easting of 500 km: x of 500,000 m lies on it.
    assert shape.bounds[0] == pytest.approx(117.0, abs=1e-8)
    # 40 m along the parallel of 39° N: 1° of longitude is 86.5 km there.
    assert (shape.bounds[2] - shape.bounds[0]) * 86_500 == pytest.approx(40, rel=0.01)
    assert len([key for key in by_part if key[1] == "objects"]) == 5  # but building 7, which has no place
    assert layer["assessments"][0] == json.loads(canonical(documents[0]))["assessment"]


@pytest.mark.parametrize("name", FORMATS)
def test_an_altered_document_is_refused_in_every_format(unchanging: Database, documents: Documents, name: str) -> None:
    altered = copy.deepcopy(documents[0])
    altered["result"]["gfa_above"]["value"] = 1.0
    with pytest.raises(InvalidProof, match="result_hash"):
        render(unchanging, [altered], name)
    foreign = copy.deepcopy(documents[0])
    foreign["assessment"]["root"] = "00" * 32
    with pytest.raises(InvalidProof, match="not of this log"):
        render(unchanging, [foreign], name)


def test_the_spacemate_chart_puts_points_where_they_belong() -> None:
    root = ElementTree.fromstring(spacemate([("lot", 0.2, 0.6, True)]))
    circle = next(root.iter(f"{SVG}circle"))
    # 84 mm are GSI 0 to 0.5 from x = 14; 74 mm are FSI 0 to 1 up from y = 80.
    assert float(circle.get("cx", "")) == pytest.approx(14 + 0.2 / 0.5 * 84, abs=0.01)
    assert float(circle.get("cy", "")) == pytest.approx(80 - 0.6 * 74, abs=0.01)


def test_a_gauge_marks_the_limit_and_what_is_open() -> None:
    root = ElementTree.fromstring(gauge(10.0, 10.0, 15.0, 20.0))
    _, interval, value = root.findall(f"{SVG}rect")
    (mark,) = root.findall(f"{SVG}line")
    # 34 mm are 1.15 times the greatest, 20
    assert float(mark.get("x1", "")) == pytest.approx(34 / 1.15, abs=0.01)
    assert float(value.get("width", "")) == pytest.approx(17 / 1.15, abs=0.01)
    assert float(interval.get("x", "")) == pytest.approx(17 / 1.15, abs=0.01)
    assert float(interval.get("width", "")) == pytest.approx(8.5 / 1.15, abs=0.01)


def test_the_command_writes_files(unchanging: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIM_HOME", str(unchanging.settings.home))
    monkeypatch.setenv("CIM_DATABASE_URL", str(unchanging.settings.database_url))
    monkeypatch.setenv("CIM_ORIGIN", unchanging.settings.origin)
    cim = build()
    ran = ["scenario", "run", "density-indicators", f"scope={DISTRICT}", "--out"]
    for name in ("density.json", "density.xlsx", "density.csv"):
        done = CliRunner().invoke(cim, [*ran, str(tmp_path / name)])
        assert (done.exit_code, done.stdout) == (0, f"{tmp_path / name}\n")
    assert (tmp_path / "density.xlsx").read_bytes().startswith(b"PK")
    printed = CliRunner().invoke(cim, ["scenario", "report", str(tmp_path / "density.json"), "--format", "csv"])
    assert printed.stdout_bytes == (tmp_path / "density.csv").read_bytes()
    unknown = CliRunner().invoke(cim, [*ran, str(tmp_path / "density.docx")])
    assert isinstance(unknown.exception, CimError)
    assert "pdf" in str(unknown.exception)


def test_the_process_gives_the_same_file(unchanging: Database, documents: Documents) -> None:
    answer = run(unchanging, "render-report", {"documents": documents, "format": "csv"})
    assert answer["result"]["content"].encode() == render(unchanging, documents, "csv")
    assert answer["assessment"]["root"] == documents[0]["assessment"]["root"]


def output(*command: object) -> str:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
