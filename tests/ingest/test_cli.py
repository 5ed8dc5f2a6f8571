from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import shapely
import sqlalchemy as sa
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.errors import InvalidData
from cim.settings import Settings

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
    assert "tree_size" not in report
    assert json.loads(cim("status", "--json"))["objects"]["building"] == 0


def test_rejects_are_exported_mended_and_taken_in(cim: Any, tmp_path: Path, write: Write, square: Shape) -> None:
    records = [{"code": BUILDING, "height": "high", "note": "k"}]
    path = write(tmp_path / "building.geojson", records, [square()])
    cim("ingest", path)
    listed = json.loads(cim("rejects", "--json"))
    assert [r["reason"] for r in listed] == ["height: expected a number, got 'high'"]
    assert "height: expected a number" in cim("rejects", "--dataset", "building.geojson")

    exported = tmp_path / "mended" / "building.geojson"
    exported.parent.mkdir()
    cim("rejects", "--export", exported)
    document = json.loads(exported.read_text(encoding="utf-8"))
    (feature,) = document["features"]
    assert feature["properties"]["_reject_reason"].startswith("height: expected a number")
    feature["properties"]["height"] = "9.5"
    exported.write_text(json.dumps(document), encoding="utf-8")
    report = json.loads(cim("ingest", exported, "--json"))
    assert report["total"]["inserted"] == 1
    found = json.loads(cim("get", BUILDING, "--json"))
    assert found["properties"]["height"] == 9.5
    assert found["properties"]["attributes"] == {"note": "k"}


def test_rejects_as_a_table_for_a_spreadsheet(cim: Any, tmp_path: Path, write: Write, square: Shape) -> None:
    cim("ingest", write(tmp_path / "building.geojson", [{"code": "1", "名": "楼"}], [square()]))
    exported = tmp_path / "rejects.csv"
    cim("rejects", "--export", exported)
    with exported.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["_reject_file"], row["code"], row["名"]) == ("building.geojson", "1", "楼")
    assert row["_reject_reason"].startswith("code: cn-bdcdyh refuses '1'")
    cim("rejects", "--export", tmp_path / "rejects.xlsx", fails=InvalidData)


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
