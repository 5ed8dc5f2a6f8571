"""Which object a record is, on a real database: by code, other identifiers, place, and a person's word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shapely
import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.identifiers import Identifier, write_identifiers
from ingest import Options, ingest
from ingest.mapping import LayerMapping
from ingest.report import FileReport, LayerReport
from ingest.sources import Fingerprint

Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]
CODES = [f"130638003001GB00001F{n:04}0000" for n in range(1, 6)]


@pytest.fixture
def city(database: Database, tmp_path: Path, write: Write, square: Shape) -> Database:
    """A city of five coded buildings, 10 m wide, 30 m apart."""
    records = [{"code": code, "name": f"house {n}"} for n, code in enumerate(CODES)]
    take(database, write(tmp_path / "building.gpkg", records, [square(30 * n) for n in range(5)]))
    return database


def take(database: Database, path: Path, **options: Any) -> LayerReport:
    (file,) = ingest(database, [path], Options(**options)).files
    assert file.error is None, file.error
    return file.layers[0]


def revisions(database: Database) -> int:
    with database.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM cim.revision").scalar_one())


def decisions(database: Database) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT record, how, code, round(score::numeric, 3)::float8, objects FROM cim.decision ORDER BY record"
        )
        return [tuple(row) for row in found]


def code_of(rows: Any, **wanted: Any) -> str:
    (found,) = [r["code"] for r in rows("building") if wanted.items() <= (r["attributes"] or {}).items()]
    return str(found)


def test_another_departments_footprints_find_their_objects(
    city: Database, tmp_path: Path, write: Write, square: Shape, rows: Any
) -> None:
    survey = [{"id": f"s{n}", "height": 3.0 + n} for n in range(4)]
    shapes = [
        square(1),  # moved by 1 m: 90 in common, 110 together
        square(30, 0, 10),  # as it was
        shapely.union(square(60), square(69, 0, 5)),  # larger: 100 of 100, of 120 together
        square(300),  # nothing there
    ]
    path = write(tmp_path / "survey" / "building.gpkg", survey, shapes)
    report = take(city, path)
    assert (report.read, report.inserted, report.updated) == (4, 1, 3)
    assert report.identity == {"same": 3, "new": 1}
    found = decisions(city)
    assert [(record, how, code) for record, how, code, _, _ in found[:3]] == [
        (1, "same", CODES[0]),
        (2, "same", CODES[1]),
        (3, "same", CODES[2]),
    ]
    assert [score for _, _, _, score, _ in found] == [pytest.approx(90 / 110, abs=1e-3), 1.0, 0.833, None]
    assert found[3][1] == "new"
    assert {r["code"]: r["height"] for r in rows("building", "code", "height")}[CODES[0]] == 3.0
    # What names the record in its source now stands for the object, in the log.
    with city.engine.connect() as connection:
        crosswalk = connection.exec_driver_sql("SELECT scheme, code FROM cim.identifier ORDER BY code").all()
    assert [tuple(row) for row in crosswalk] == [("provisional", code) for code in CODES[:3]]


def test_an_unchanged_delivery_and_a_moved_one_are_recalled(
    city: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    path = write(tmp_path / "survey" / "building.gpkg", [{"id": "a"}, {"id": "b"}], [square(1), square(300)])
    take(city, path)
    before = revisions(city)
    again = take(city, path, force=True)
    assert (again.unchanged, again.identity) == (2, {"name": 1, "recalled": 1})
    # Turned about and written in another format: still the same two.
    path = write(tmp_path / "survey" / "building.geojson", [{"id": "b"}, {"id": "a"}], [square(300), square(1)])
    mapped = LayerMapping("test", "*.geojson", "building", identity="building", source_id="id")
    assert take(city, path, mappings=[mapped]).unchanged == 2
    assert revisions(city) == before
    # So far away that its place would not tell: its name does.
    path = write(tmp_path / "survey" / "building.fgb", [{"id": "a"}], [square(12)])
    assert take(city, path).identity == {"recalled": 1}
    assert take(city, path, force=True).unchanged == 1


def test_a_split_gives_new_objects_that_name_the_old_one_and_a_merger_too(
    city: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    low = square(0)
    west, east = (shapely.box(x, low.bounds[1], x + 5, low.bounds[3]) for x in (low.bounds[0], low.bounds[0] + 5))
    both = shapely.box(square(30).bounds[0], low.bounds[1], square(60).bounds[2], low.bounds[3])
    report = take(city, write(tmp_path / "s" / "building.gpkg", [{"id": i} for i in "we"], [west, east]))
    assert (report.inserted, report.identity) == (2, {"split": 2})
    found = decisions(city)
    assert [(how, objects) for _, how, _, _, objects in found] == [("split", {CODES[0]: 0.5})] * 2
    assert {code for _, _, code, _, _ in found}.isdisjoint(CODES)
    # 40 m wide over two of 10 m: they lie in it, but do not cover it.
    report = take(city, write(tmp_path / "m" / "building.gpkg", [{"id": "m"}], [both]))
    assert (report.rejected, report.identity) == (1, {"undecided": 1})
    tight = write(tmp_path / "t" / "building.gpkg", [{"id": "t"}], [both])
    mapped = LayerMapping("test", "*.gpkg", "building", source_id="id", match={"cover": 0.45})
    assert take(city, tight, mappings=[mapped]).identity == {"merge": 1}


def test_what_cannot_be_told_waits_for_a_person_with_all_that_is_known(
    city: Database, tmp_path: Path, write: Write, square: Shape, rows: Any
) -> None:
    # 60 in common with the first, 124 together, and no closer when their middles meet.
    left, low, *_ = square(0).bounds
    narrow = shapely.box(left + 4, low - 2, left + 10, low + 12)
    path = write(tmp_path / "s" / "building.gpkg", [{"id": "x", "note": "k"}], [narrow])
    report = take(city, path)
    assert (report.inserted, report.rejected) == (0, 1)
    ((reason, number),) = report.reasons.items()
    assert (reason, number) == ("identity: may be a building the city has; decide with --review", 1)
    with city.engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT source_id, reason, record FROM cim.reject").one()
        stored = connection.exec_driver_sql("SELECT source_id, name, ST_Area(geom) FROM cim.decision").one()
    assert kept.source_id == stored.source_id == "x"
    assert CODES[0] in kept.reason
    assert kept.record["properties"] == {"id": "x", "note": "k"}
    assert stored[2] == pytest.approx(6 * 14)
    # The same file again, with a person's word.
    told = take(city, path, decisions={stored.name: ("person", CODES[0])})
    assert (told.updated, told.rejected, told.identity) == (1, 0, {"person": 1})
    assert code_of(rows, note="k") == CODES[0]
    before = revisions(city)
    assert take(city, path, force=True).identity == {"recalled": 1}
    assert revisions(city) == before


@pytest.mark.parametrize(
    ("said", "identity", "inserted"),
    [
        (("person", None), {"person": 1}, 1),
        (("left out", None), {"left out": 1}, 0),
        (("person", "130638003001GB00001F99990000"), {"undecided": 1}, 0),
    ],
)
def test_a_person_may_also_say_new_or_leave_out_but_not_invent_objects(
    city: Database,
    tmp_path: Path,
    write: Write,
    square: Shape,
    said: tuple[str, str | None],
    identity: dict[str, int],
    inserted: int,
) -> None:
    path = write(tmp_path / "s" / "building.gpkg", [{"id": "x"}], [square(0, 0, 5)])
    assert take(city, path).identity == {"undecided": 1}
    with city.engine.connect() as connection:
        name = connection.exec_driver_sql("SELECT name FROM cim.decision").scalar_one()
    report = take(city, path, decisions={name: said})
    assert (report.identity, report.inserted) == (identity, inserted)


def test_what_a_person_left_out_is_not_asked_again_until_a_person_says_otherwise(
    city: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    path = write(tmp_path / "s" / "building.gpkg", [{"id": "x", "note": "1"}], [square(0, 0, 5)])
    assert take(city, path).identity == {"undecided": 1}
    with city.engine.connect() as connection:
        name = connection.exec_driver_sql("SELECT name FROM cim.decision").scalar_one()
    assert take(city, path, decisions={name: ("left out", None)}).identity == {"left out": 1}
    assert take(city, path).identity == {"left out": 1}
    later = write(tmp_path / "t" / "building.gpkg", [{"id": "x", "note": "2"}], [square(0, 0, 5)])
    report = take(city, later)
    assert (report.identity, report.reasons) == ({"left out": 1}, {"identity: left out by a person's decision": 1})
    assert take(city, later, decisions={name: ("person", None)}).identity == {"person": 1}
    # Back to where no object has the name: what was said last, to take it, holds.
    with city.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM city.building WHERE code = %(name)s", {"name": name})
    assert take(city, path, force=True).identity == {"undecided": 1}


def test_a_code_that_a_person_wrote_is_spelled_by_the_scheme_and_one_of_no_object_is_told(
    city: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    path = write(tmp_path / "s" / "building.gpkg", [{"id": "x"}, {"id": "y"}], [square(0, 0, 5), square(30, 0, 5)])
    assert take(city, path).identity == {"undecided": 2}
    with city.engine.connect() as connection:
        names = list(connection.exec_driver_sql("SELECT name FROM cim.decision ORDER BY record").scalars())
    nobody = CODES[0].replace("F0001", "F0099")
    said = dict(zip(names, (("person", CODES[0].lower()), ("person", nobody)), strict=True))
    report = take(city, path, decisions=said)
    assert report.identity == {"person": 1, "undecided": 1}
    told = f"decisions for an object the city does not have: 1, as {nobody!r} for {names[1]}"
    assert told in report.warnings


def test_other_identifiers_find_the_object_and_are_kept(
    city: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    with city.engine.begin() as connection:
        rows = [Identifier("gb-uprn-test", "100", "building", CODES[3])]
        write_identifiers(connection, city.dictionary, rows)
    known = "PV0ZACHMWWAYZ5P9J27"
    with city.engine.begin() as connection:
        write_identifiers(connection, city.dictionary, [Identifier("provisional", known, "building", CODES[4])])
    mapped = LayerMapping("test", "*.gpkg", "building", source_id="id", identifiers={"provisional": "old"}, columns={})
    path = write(
        tmp_path / "s" / "building.gpkg", [{"id": "x", "old": known}, {"id": "y", "old": "?"}], [None, square(300)]
    )
    report = take(city, path, mappings=[mapped])
    assert report.identity == {"identifier": 1, "new": 1}
    assert any("identifiers that name nothing: 1 of provisional" in text for text in report.warnings)


def test_a_superseded_code_leads_to_what_took_over(city: Database, tmp_path: Path, write: Write, square: Shape) -> None:
    from cim.db.supersession import supersede

    with city.engine.begin() as connection:
        supersede(connection, city.dictionary, "building", {CODES[0]: CODES[1]})
    report = take(city, write(tmp_path / "s" / "building.gpkg", [{"code": CODES[0], "height": 9.0}], [square(0)]))
    assert report.identity == {"recalled": 1}
    with city.engine.connect() as connection:
        height = connection.execute(sa.text("SELECT height FROM city.building WHERE code = :c"), {"c": CODES[1]})
        assert height.scalar_one() == 9.0


def test_a_mapping_may_switch_places_off_and_overlapping_kinds_are_never_placed(
    city: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    path = write(tmp_path / "s" / "building.gpkg", [{"id": "x"}], [square(0)])
    off = LayerMapping("test", "*.gpkg", "building", source_id="id", match={"geometry": False})
    assert take(city, path, mappings=[off]).identity == {"new": 1}
    zones = [write(tmp_path / n / "planning_zone.gpkg", [{"id": n}], [square(0)]) for n in "ab"]
    assert [take(city, path).inserted for path in zones] == [1, 1]


def test_two_records_do_not_become_one_object(city: Database, tmp_path: Path, write: Write, square: Shape) -> None:
    # One comes with the code of the building, the other lies where it is: it cannot be that one.
    records = [{"code": CODES[0], "id": "a"}, {"code": None, "id": "b"}]
    report = take(city, write(tmp_path / "s" / "building.gpkg", records, [square(0), square(0)]))
    assert report.identity == {"code": 1, "new": 1}


def test_an_observer_sees_a_dry_run_before_it_is_undone(
    city: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    seen: list[tuple[str, int]] = []

    def observe(connection: sa.Connection, _: Fingerprint, report: FileReport) -> None:
        number = connection.exec_driver_sql("SELECT count(*) FROM cim.decision").scalar_one()
        seen.append((report.status, number))

    take(city, write(tmp_path / "s" / "building.gpkg", [{"id": "x"}], [square(0)]), dry_run=True, observe=observe)
    assert seen == [("dry-run", 1)]
    assert decisions(city) == []
