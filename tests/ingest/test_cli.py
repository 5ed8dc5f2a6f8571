from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partialmethod
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
import sqlalchemy as sa
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.errors import InvalidData
from cim.settings import Settings
from ingest.review import read as review_of
from sample_data import DATA

Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]

PARCEL = "130638003001GB00001"
BUILDING = PARCEL + "F00010000"


@pytest.fixture
def cim(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command on a deployment of its own and answer its standard output; errors are raised."""
    monkeypatch.setenv("CIM_HOME", str(settings.home))
    monkeypatch.setenv("CIM_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("CIM_ORIGIN", settings.origin)

    def run(*arguments: object, fails: type[Exception] | None = None) -> str:
        result = CliRunner().invoke(build(), [str(a) for a in arguments])
        if fails is None:
            assert result.exit_code == 0, (result.output, result.exception)
        else:
            assert isinstance(result.exception, fails), result.output
        return result.stdout

    return run


def test_ingest_reports_sequences_and_says_so(cim: Any, tmp_path: Path, write: Write, square: Shape) -> None:
    path = write(tmp_path / "building.gpkg", [{"code": BUILDING}, {"code": "1"}], [square(), square(20)])
    report = json.loads(cim("ingest", path, "--json"))
    assert report["total"]["read"] == 2
    assert report["total"]["inserted"] == report["total"]["rejected"] == 1
    # The entry of the dictionary itself comes first, then the building.
    assert report["tree_size"] == 2
    assert len(report["tree_root"]) == 64
    again = json.loads(cim("ingest", path, "--json"))
    assert (again["files"][0]["status"], again["tree_root"]) == ("unchanged", report["tree_root"])
    for_people = cim("ingest", path, "--force")
    assert "building.gpkg" in for_people
    assert f"root {report['tree_root']}" in for_people


def test_what_an_open_transaction_holds_back_is_said(
    cim: Any,
    settings: Settings,
    tmp_path: Path,
    write: Write,
    square: Shape,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(City, "sequence", partialmethod(City.sequence, 0.0))  # ten seconds otherwise
    path = write(tmp_path / "building.gpkg", [{"code": BUILDING}], [square()])
    cim("up")
    with City(settings) as city, city.database.engine.connect() as connection:
        connection.execute(sa.insert(city.database.table("building")), [{"code": "open"}])
        report = json.loads(cim("ingest", path, "--json"))
        assert (report["total"]["inserted"], report["tree_size"], report["unsequenced"]) == (1, 1, 1)
        for command in (("ingest", path), ("log", "checkpoint")):
            said = CliRunner().invoke(build(), [str(word) for word in command]).stderr
            assert "1 committed revisions have no leaf yet" in said
            assert "they wait for an open transaction of " in said
        connection.rollback()
    assert json.loads(cim("ingest", path, "--json"))["tree_size"] == 2


def test_a_refused_file_ends_in_exit_3_after_the_others_went_in(
    cim: Any, tmp_path: Path, write: Write, square: Shape
) -> None:
    write(tmp_path / "building.gpkg", [{"code": BUILDING}], [square()])
    (tmp_path / "road.fgb").write_bytes(b"")
    printed = cim("ingest", tmp_path, fails=InvalidData)
    assert "is not FlatGeobuf" in printed
    assert BUILDING in cim("get", BUILDING, "--json")
    assert InvalidData.exit_code == 3


def test_a_dry_run_leaves_the_tree_alone(cim: Any, tmp_path: Path, write: Write, square: Shape) -> None:
    path = write(tmp_path / "building.gpkg", [{"code": BUILDING}], [square()])
    report = json.loads(cim("ingest", path, "--dry-run", "--json"))
    assert report["total"]["inserted"] == 1
    assert report["files"][0]["changes"][0]["fate"] == "insert"
    assert "tree_size" not in report
    shown = cim("ingest", path, "--dry-run", "--mode", "replace-layer")
    assert f"+ building {BUILDING}" in shown
    assert "dry run: nothing of this is in" in shown
    assert json.loads(cim("status", "--json"))["objects"]["building"] == 0


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg"])
def test_rejects_are_exported_mended_taken_in_and_off_the_list(
    cim: Any, tmp_path: Path, write: Write, square: Shape, suffix: str
) -> None:
    records = [
        {"nr": BUILDING, "hoch": "high", "note": "k"},
        {"nr": "1", "hoch": "5", "note": None},
        {"nr": PARCEL + "F00020000", "hoch": "low", "note": "n"},
    ]
    path = write(tmp_path / "survey.gpkg", records, [square(), square(20), None])
    said = {
        "source": {"file": "survey.gpkg"},
        "type": "building",
        "code": "nr",
        "columns": {"height": "hoch"},
    }
    (tmp_path / "m.json").write_text(json.dumps(said), encoding="utf-8")
    cim("ingest", path, "--mapping", tmp_path / "m.json")
    listed = json.loads(cim("rejects", "--json"))
    assert [r["reason"].split(": ")[0] for r in listed] == ["height", "code", "height"]

    exported = tmp_path / "out" / f"mended{suffix}"
    exported.parent.mkdir()
    cim("rejects", "--export", exported)
    frame = gpd.read_file(exported)
    assert frame.crs.to_epsg() == 4548
    assert [shape is None for shape in frame.geometry] == [False, False, True]
    frame.loc[frame["hoch"] == "high", "hoch"] = "9.5"
    frame.loc[frame["hoch"] == "low", "hoch"] = "2"
    frame.to_file(exported, engine="pyogrio", layer="survey" if suffix == ".gpkg" else None)
    # The mapping of the file the records came from holds for them; one of them is still at fault.
    report = json.loads(cim("ingest", exported, "--mapping", tmp_path / "m.json", "--json"))
    assert (report["total"]["inserted"], report["total"]["rejected"]) == (2, 1)
    found = json.loads(cim("get", BUILDING, "--json"))
    assert found["properties"]["height"] == 9.5
    assert found["properties"]["attributes"] == {"note": "k"}
    assert found["geometry"] is not None
    left = json.loads(cim("rejects", "--json"))
    assert [(r["file"], r["reason"].split(": ")[0]) for r in left] == [(exported.name, "code")]


def test_a_review_is_decided_upon_and_fed_back(cim: Any, tmp_path: Path, write: Write, square: Shape) -> None:
    cim("ingest", write(tmp_path / "building.gpkg", [{"code": BUILDING}], [square()]))
    path = write(tmp_path / "s" / "building.gpkg", [{"id": "a"}, {"id": "b"}], [square(0, 0, 5), square(100)])
    review, page = tmp_path / "review.gpkg", tmp_path / "report.html"
    cim("ingest", path, "--review", review, "--report", page, "--dry-run")
    frame = gpd.read_file(review, layer="undecided")
    assert frame[["source_id", "candidates"]].to_numpy().tolist() == [["a", f"{BUILDING} (0.25)"]]
    candidates = gpd.read_file(review, layer="candidates")
    assert candidates["code"].tolist() == [BUILDING]
    assert candidates.geometry[0].area == 100
    text = page.read_text(encoding="utf-8")
    assert "Nothing was written" in text
    assert "left for a person to decide" in text
    assert f"{BUILDING} (0.25)" in text
    # The file is in, but for the record in question: asked again, it is still on the review.
    cim("ingest", path)
    cim("ingest", path, "--review", review)
    # Any program for SQLite will do, also one that leaves its changes in a log beside the file.
    with closing(sqlite3.connect(review)) as edited:
        edited.execute("PRAGMA journal_mode = wal")
        edited.execute("UPDATE undecided SET decision = 'Same ', code = ?", (BUILDING,))
        edited.commit()
        report = json.loads(cim("ingest", path, "--decisions", review, "--json"))
        ((name,),) = edited.execute("SELECT name FROM undecided")
    assert report["files"][0]["layers"][0]["identity"] == {"name": 1, "person": 1}
    assert json.loads(cim("rejects", "--json")) == []
    # The name of the record leads to the object from now on, so nothing is asked, and nothing written, again.
    assert BUILDING in cim("codes", "resolve", name, "--json")
    again = json.loads(cim("ingest", path, "--review", review, "--json"))
    assert again["files"][0]["layers"][0]["identity"] == {"name": 1, "recalled": 1}
    assert (again["total"]["unchanged"], again["tree_root"]) == (2, report["tree_root"])
    assert len(gpd.read_file(review, layer="undecided")) == 0


@pytest.mark.parametrize(
    ("decision", "code", "message"),
    [("perhaps", "", "expected same, new, leave out, got 'perhaps'"), ("same", "", "'same' needs the code")],
)
def test_a_review_that_says_nothing_sensible_is_refused(
    tmp_path: Path, write: Write, square: Shape, decision: str, code: str, message: str
) -> None:
    path = write(tmp_path / "r.gpkg", [{"name": "PV1", "decision": decision, "code": code}], [square()])
    with pytest.raises(InvalidData, match=message):
        review_of(path)
    with pytest.raises(InvalidData, match="is it a review"):
        review_of(write(tmp_path / "other.gpkg", [{"name": "PV1"}], [square()]))


def test_outputs_that_cannot_be_written_are_refused_before_anything_is_done(cim: Any, tmp_path: Path) -> None:
    cim("ingest", tmp_path, "--report", tmp_path / "page.pdf", fails=InvalidData)
    cim("ingest", tmp_path, "--report", tmp_path / "none" / "page.html", fails=InvalidData)
    cim("ingest", tmp_path, "--review", tmp_path / "review.shp", fails=InvalidData)


def test_the_page_needs_nothing_else_and_escapes_what_sources_say(
    cim: Any, tmp_path: Path, write: Write, square: Shape
) -> None:
    records = [{"code": BUILDING}, {"code": "<script>alert(1)</script>"}]
    page = tmp_path / "report.html"
    cim("ingest", write(tmp_path / "building.gpkg", records, [square(), square(20)]), "--report", page)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.findall(r'(?:src|href)="', text)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert '<path class="insert"' in text
    assert "EPSG:4548" in text


def test_the_page_tells_what_ended_from_what_changed(cim: Any, tmp_path: Path, write: Write, square: Shape) -> None:
    records = [{"code": f"{PARCEL}F000{n}0000", "name": f"house {n}"} for n in range(1, 4)]
    shapes = [square(20 * n) for n in range(3)]
    cim("ingest", write(tmp_path / "building.gpkg", records, shapes))
    records[0]["name"] = "other"
    page = tmp_path / "report.html"
    path = write(tmp_path / "2" / "building.gpkg", records[:2], shapes[:2])
    cim("ingest", path, "--mode", "replace-layer", "--report", page)
    text = page.read_text(encoding="utf-8")
    legend = re.findall(r'class="key (\w+)">([^<]*) <strong>([^<]*)</strong>', text)
    assert legend == [("update", "updated", "1"), ("end", "ended", "1"), ("same", "as before", "1")]
    assert re.findall(r"<th[^>]*>(Ended)</th>", text) == ["Ended"]
    assert len(re.findall('<path class="end"', text)) == 1


def test_rejects_as_a_table_for_a_spreadsheet(cim: Any, tmp_path: Path, write: Write, square: Shape) -> None:
    cim("ingest", write(tmp_path / "building.geojson", [{"code": "1", "名": "楼"}], [square()]))
    exported = tmp_path / "rejects.csv"
    cim("rejects", "--export", exported)
    with exported.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["_reject_file"], row["code"], row["名"]) == ("building.geojson", "1", "楼")
    assert row["_reject_reason"].startswith("code: cn-bdcdyh refuses '1'")
    cim("rejects", "--export", tmp_path / "rejects.xlsx", fails=InvalidData)
    cim("rejects", "--export", tmp_path / "nowhere" / "rejects.gpkg", fails=FileNotFoundError)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--crs", "EPSG:nowhere", "not a coordinate reference system"),
        ("--type", "castle", "no feature type 'castle'"),
        ("--mapping", "missing.json", "no such mapping"),
    ],
)
def test_a_wrong_option_is_one_clear_error(
    cim: Any, tmp_path: Path, write: Write, square: Shape, option: str, value: str, message: str
) -> None:
    path = write(tmp_path / "building.gpkg", [{"code": BUILDING}], [square()])
    with pytest.raises(AssertionError):
        cim("ingest", path, option, value)
    result = CliRunner().invoke(build(), ["ingest", str(path), option, value])
    assert message in str(result.exception)


def test_the_page_of_a_model_has_a_plan_of_each_storey(cim: Any, tmp_path: Path) -> None:
    model, page = DATA / "models" / "primary_school_m.ifc", tmp_path / "report.html"
    cim("ingest", model, "--report", page)
    storeys = json.loads(cim("ingest", model, "--dry-run", "--force", "--json"))["files"][0]["layers"][1]["read"]
    text = page.read_text(encoding="utf-8")
    assert text.count("Plan of ") == storeys > 0
    assert "What the models were understood to be" in text
    # A file that was taken in before has its plans, too.
    cim("ingest", model, "--report", page)
    assert page.read_text(encoding="utf-8").count("Plan of ") == storeys
