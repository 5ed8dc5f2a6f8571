"""A new version of a model: what changed is updated, what vanished is ended, what stayed has no new revision."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cim.db.engine import Database
from ingest.pipeline import Options, ingest


def count(database: Database, table: str, where: str = "true") -> int:
    with database.engine.connect() as connection:
        return int(connection.execute(sa.text(f"SELECT count(*) FROM {table} WHERE {where}")).scalar_one())


def two_houses(builder: Callable[..., Any], y: float = 0) -> Any:
    model = builder(unit=1.0)
    model.map_conversion()
    site = model.site()
    for index in (0, 1):
        storey = model.storey(model.building(site, f"House {index}"), "Ground floor", 0.0)
        model.shell(storey, 20 * index, y, 0, 12, 10, 3)
        model.space(storey, "1", "Hall", (20 * index + 0.3, y + 0.3, 0, 5, 9.4, 2.6))
        model.space(storey, "2", "Kitchen", (20 * index + 6, y + 0.3, 0, 5, 9.4, 2.6))
    return model


def test_what_a_new_version_lacks_is_ended(database: Database, builder: Callable[..., Any], tmp_path: Path) -> None:
    model = two_houses(builder)
    path = model.write(tmp_path / "houses.ifc")
    ingest(database, [path])
    assert [count(database, f"city.{kind}") for kind in ("building", "storey", "space")] == [2, 2, 4]
    before = count(database, "cim.revision")
    again = ingest(database, [path], Options(force=True))
    assert count(database, "cim.revision") == before
    assert again.files[0].layers[0].warnings == []

    second = model.file.by_type("IfcBuilding")[1]
    kitchen = model.file.by_type("IfcSpace")[1]
    for relation in (*kitchen.Decomposes, *second.Decomposes):
        model.file.remove(relation)
    model.file.remove(kitchen)
    model.file.remove(second)
    report = ingest(database, [model.write(path)])
    assert report.refused == []
    said = [w for w in report.files[0].layers[0].warnings if "earlier version" in w]
    assert said == ["an earlier version of this file had more: 1 spaces removed, 1 buildings ended"]
    assert count(database, "city.space", "name = 'Kitchen' AND building_code = (SELECT code FROM city.building"
                 " WHERE name = 'House 0')") == 0  # fmt: skip
    assert count(database, "city.building", "name = 'House 1' AND valid_to = CURRENT_DATE") == 1
    assert count(database, "city.building", "name = 'House 0' AND valid_to IS NULL") == 1
    # The log remembers the room.
    assert count(database, "cim.revision", "type = 'space' AND op = 'delete'") == 1


def test_another_model_of_the_same_name_ends_nothing(
    database: Database, builder: Callable[..., Any], tmp_path: Path
) -> None:
    for y, folder in enumerate(("a", "b")):  # 100 m apart: at the same place they would be the same houses
        (tmp_path / folder).mkdir()
        report = ingest(database, [two_houses(builder, 100 * y).write(tmp_path / folder / "model.ifc")])
        assert [w for w in report.files[0].layers[0].warnings if "earlier version" in w] == []
    assert count(database, "city.building", "valid_to IS NULL") == 4
    assert count(database, "city.space") == 8


def packed(path: Path, *models: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for model in models:
            archive.write(model, f"models/{model.name}")
    return path


def without_second(model: Any, path: Path) -> Path:
    second = model.file.by_type("IfcBuilding")[1]
    for relation in second.Decomposes:
        model.file.remove(relation)
    model.file.remove(second)
    written: Path = model.write(path)
    return written


def test_a_model_in_a_zip_stands_for_earlier_versions_of_itself_however_they_came(
    database: Database, builder: Callable[..., Any], tmp_path: Path
) -> None:
    model, other = two_houses(builder), two_houses(builder, 100)
    houses = model.write(tmp_path / "houses.ifc")
    ingest(database, [packed(tmp_path / "week1.zip", houses, other.write(tmp_path / "others.ifc"))])
    assert count(database, "city.building", "valid_to IS NULL") == 4
    # Next week's zip has another name and the one model only: the other one is not said to be gone.
    report = ingest(database, [packed(tmp_path / "week2.zip", without_second(model, houses))])
    said = [w for w in report.files[0].layers[0].warnings if "earlier version" in w]
    assert said == ["an earlier version of this file had more: 1 buildings ended"]
    assert sum(layer.ended for layer in report.files[0].layers) == 1
    assert count(database, "city.building", "valid_to = CURRENT_DATE AND name = 'House 1'") == 1
    assert count(database, "city.building", "valid_to IS NULL") == 3
    # By itself it is the same model still.
    report = ingest(database, [without_second(other, tmp_path / "others.ifc")])
    assert sum(layer.ended for layer in report.files[0].layers) == 1
    assert count(database, "city.building", "valid_to IS NULL") == 2


def test_what_is_back_in_a_model_lives_again(database: Database, builder: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "houses.ifc"
    whole = two_houses(builder).write(tmp_path / "whole.ifc").read_bytes()
    path.write_bytes(whole)
    ingest(database, [path])
    model = two_houses(builder)
    ingest(database, [without_second(model, path)])
    assert count(database, "city.building", "valid_to IS NOT NULL") == 1
    path.write_bytes(whole)
    report = ingest(database, [path], Options(force=True))
    assert sum(layer.revived for layer in report.files[0].layers) == 1
    assert count(database, "city.building", "valid_to IS NULL") == 2


def test_a_layer_of_a_model_ends_nothing(database: Database, builder: Callable[..., Any], tmp_path: Path) -> None:
    model = two_houses(builder)
    path = model.write(tmp_path / "houses.ifc")
    first = ingest(database, [path])
    name = next(layer.name for layer in first.files[0].layers if layer.type == "building")
    ingest(database, [without_second(model, path)], Options(layer=name))
    assert count(database, "city.building", "valid_to IS NULL") == 2


def test_a_model_is_the_same_however_it_is_packed(
    database: Database, builder: Callable[..., Any], tmp_path: Path
) -> None:
    model = two_houses(builder)
    path = model.write(tmp_path / "houses.ifc")
    ingest(database, [path])
    without_second(model, path)
    (tmp_path / "houses.ifc.gz").write_bytes(gzip.compress(path.read_bytes()))
    report = ingest(database, [tmp_path / "houses.ifc.gz"], Options(force=True))
    assert sum(layer.ended for layer in report.files[0].layers) == 1
    assert count(database, "city.building") == 2
    assert count(database, "city.building", "valid_to IS NULL") == 1
