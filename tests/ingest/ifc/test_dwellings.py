"""Zones that group the rooms of a dwelling become units; other zones do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cim.db.engine import Database
from ingest import Options, ingest
from ingest.ifc.meaning import is_unit

CODE = "130638003001GB00001F00010002"


def flats(builder: Callable[..., Any]) -> Any:
    """A house of two storeys: a flat of two rooms on the ground floor, one through both, one that has a code only."""
    model = builder(unit=1.0)
    model.map_conversion()
    building = model.building(model.site(), "House")
    ground, upper = (model.storey(building, name, z) for name, z in (("Ground floor", 0.0), ("Upper floor", 3.0)))
    for storey, z in ((ground, 0), (upper, 3)):
        model.shell(storey, 0, 0, z, 20, 10, 3)
    rooms = {
        "1": model.space(ground, "1", "Living room", (1, 1, 0, 5, 4, 2.6)),
        "2": model.space(ground, "2", "Bath", (7, 1, 0, 2, 3, 2.6)),
        "3": model.space(ground, "3", "Hall", (10, 1, 0, 2, 2, 2.6)),
        "4": model.space(upper, "4", "Living room", (10, 1, 3, 5, 5, 2.6)),
        "5": model.space(upper, "5", "Office", (1, 1, 3, 4, 4, 2.6)),
    }
    zones = (
        ("101", "Apartment", ("1", "2")),
        ("102", "Apartment", ("3", "4")),
        (CODE, None, ("5",)),
        ("F1", "Fire compartment", ("1", "2", "3")),
    )
    for name, kind, members in zones:
        zone = model.rooted("IfcZone", Name=name, ObjectType=kind)
        model.rooted("IfcRelAssignsToGroup", RelatedObjects=[rooms[m] for m in members], RelatingGroup=zone)
    return model


def units(database: Database) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        asked = sa.text(
            "SELECT u.room_number, u.storey_number, (u.attributes ->> 'net_floor_area')::float, b.name,"
            " jsonb_array_length(u.attributes -> 'rooms'), u.valid_to IS NOT NULL, u.floor_area, s.name"
            " FROM city.unit u JOIN city.building b ON b.code = u.building_code"
            " LEFT JOIN city.space s ON ST_Contains(s.geom, u.geom) AND s.attributes -> 'zones' ? u.room_number"
            " ORDER BY 1"
        )
        return [tuple(row) for row in connection.execute(asked)]


def test_dwellings_arrive_with_their_rooms_and_end_with_their_zone(
    database: Database, builder: Callable[..., Any], tmp_path: Path
) -> None:
    model = flats(builder)
    path = model.write(tmp_path / "flats.ifc")
    report = ingest(database, [path])
    assert [(layer.name, layer.read) for layer in report.files[0].layers][-1] == ("units", 3)
    # Net areas by hand: 5 × 4 + 2 × 3, 2 × 2 + 5 × 5, 4 × 4 m²; the point lies in the largest room.
    assert units(database) == [
        ("101", 1, 26.0, "House", 2, False, None, "Living room"),
        ("102", 1, 29.0, "House", 2, False, None, "Living room"),
        (CODE, 2, 16.0, "House", 1, False, None, "Office"),
    ]
    with database.engine.connect() as connection:
        codes = connection.exec_driver_sql("SELECT code FROM city.unit WHERE code NOT LIKE 'P%%'").scalars().all()
    assert codes == [CODE]
    before = report.files[0].layers[0].warnings
    assert ingest(database, [path], Options(force=True)).files[0].layers[0].warnings == before
    (zone,) = (zone for zone in model.file.by_type("IfcZone") if zone.Name == "102")
    for relation in zone.IsGroupedBy:
        model.file.remove(relation)
    model.file.remove(zone)
    again = ingest(database, [model.write(path)])
    said = [w for w in again.files[0].layers[0].warnings if "earlier version" in w]
    assert said == ["an earlier version of this file had more: 1 units ended"]
    assert [(row[0], row[5]) for row in units(database)] == [("101", False), ("102", True), (CODE, False)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Apartment", "101"), True),
        ((None, "Wohnung 3"), True),
        (("住户", None), True),
        (("Fire compartment", "F1"), False),
        (("单元", None), False),  # the stairs of an estate, with many dwellings
        (("Flatness", None), False),
    ],
)
def test_words_of_a_unit(names: tuple[str | None, ...], expected: bool) -> None:
    assert is_unit(*names) is expected
