"""Zips of several files: each is known by its own name and format."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shapely

from cim.db.engine import Database
from cim.files import open_stored
from ingest import Options, ingest
from ingest.mapping import load
from sample_data import DATA

Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]
Rows = Callable[..., list[dict[str, Any]]]


def pack(path: Path, *members: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.write(member, f"{member.parent.name}/{member.name}")
    return path


def test_files_of_one_name_are_told_apart_by_their_paths(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    files = [
        write(tmp_path / folder / f"building{suffix}", [{"name": f"{folder}{suffix}"}], [square(100 * place)])
        for place, (folder, suffix) in enumerate((("a", ".geojson"), ("b", ".geojson"), ("b", ".fgb")))
    ]
    report = ingest(database, [pack(tmp_path / "delivery.zip", *files)])
    assert report.refused == []
    assert [layer.name for layer in report.files[0].layers] == [
        "a/building.geojson/building",
        "b/building.fgb/building",
        "b/building.geojson/building",
    ]
    assert sorted(row["name"] for row in rows("building", "name")) == ["a.geojson", "b.fgb", "b.geojson"]


def test_a_mapping_may_name_a_file_in_the_zip(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    # Two files with a layer of one name: their mappings are told apart by the names of the files.
    south = write(tmp_path / "south" / "houses_south.geojson", [{"n": "S", "h": 6.0}], [square(0)])
    north = write(tmp_path / "north" / "houses_north.geojson", [{"n": "N", "h": 30.0}], [square(100)])
    archive = pack(tmp_path / "delivery.zip", south, north)
    columns = {"name": {"field": "n"}}
    mappings = [
        {"type": "building", "source": {"file": "*_south.geojson"}, "columns": columns | {"height": {"field": "h"}}},
        {
            "type": "building",
            "source": {"file": "houses_north.*"},
            "columns": columns | {"height": {"field": "h", "unit": "ft"}},
        },
    ]
    (tmp_path / "m.json").write_text(json.dumps({"layers": mappings}))
    found = load([tmp_path / "m.json"], database.dictionary)
    report = ingest(database, [archive], Options(mappings=found))
    assert report.refused == []
    # By hand: 30 ft are 9.144 m.
    assert sorted((row["name"], row["height"]) for row in rows("building", "name", "height")) == [
        ("N", 9.144),
        ("S", 6.0),
    ]
    again = ingest(database, [archive], Options(mappings=found, force=True))
    assert again.total()["unchanged"] == 2


def test_a_model_in_a_zip_is_kept_by_the_digest_its_objects_carry(
    database: Database, tmp_path: Path, rows: Rows
) -> None:
    model = DATA / "models" / "primary_school_m.ifc"
    report = ingest(database, [pack(tmp_path / "models.zip", model)])
    assert report.refused == []
    (building,) = rows("building", "model_file")
    with open_stored(database.settings.files_dir, building["model_file"]) as file:
        assert file.read() == model.read_bytes()


@pytest.mark.real
def test_a_zip_of_plateau_is_what_its_file_is(
    shared: Path, tmp_path: Path, database_in: Callable[[int], Database]
) -> None:
    database = database_in(6677)
    file = shared / "data" / "city3d" / "plateau" / "52397519_bldg_6697_op.gml"
    alone = ingest(database, [file])
    packed = ingest(database, [pack(tmp_path / "14201.zip", file)])
    assert packed.refused == []
    (layer,) = (layer for layer in packed.files[0].layers if layer.type == "building")
    # The same mapping knew it again: the same objects, the same columns.
    assert (layer.read, layer.unchanged) == (13, 13), layer
    assert alone.total()["inserted"] == 13
