"""What came before and changes nothing is not looked at again: with the same result as if it were."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
import sqlalchemy as sa

from cim.db.engine import Database
from ingest import LayerReport, Options, ingest
from ingest.familiar import digests, fields_of
from ingest.formats import Layer
from ingest.mapping import LayerMapping
from ingest.records import Preparation

Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]
Rows = Callable[..., list[dict[str, Any]]]
Records = Sequence[Mapping[str, Any]]

PARCEL = "130638003001GB00001"
CODES = [f"{PARCEL}F{n:04}0000" for n in range(1, 40)]
NAMED = LayerMapping(origin="test", file="*", type="building", source_id="id", document={"source_id": "id"})


def forget(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM cim.familiar")
        connection.exec_driver_sql("DELETE FROM cim.familiar_layer")


def familiar(database: Database) -> int:
    with database.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM cim.familiar").scalar_one())


def edit(database: Database, statement: str) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def everything(database: Database) -> list[Any]:
    """All that a load leaves, but times and numbers that count on over loads undone."""
    questions = (
        "SELECT type, code, rev, op, actor, reason, dataset, body, ST_AsText(geom) FROM cim.revision"
        " WHERE type <> 'schema' ORDER BY type, code, rev",
        "SELECT dataset, layer, source_id, reason, record FROM cim.reject ORDER BY id",
        "SELECT dataset, layer, record, source_id, type, name, how, code, score, objects FROM cim.decision"
        " ORDER BY dataset, layer, record",
        "SELECT scheme, value, type, code FROM cim.identifier ORDER BY scheme, value, code",
        "SELECT sha256, name, mapping, report FROM cim.dataset ORDER BY sha256",
    )
    with database.engine.connect() as connection:
        return [[tuple(row) for row in connection.execute(sa.text(question))] for question in questions]


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Collect how many records are prepared in each go."""
    seen: list[int] = []
    whole = Preparation._prepare_all

    def noting(self: Preparation, records: Any) -> Any:
        seen.append(records.table.num_rows)
        return whole(self, records)

    monkeypatch.setattr(Preparation, "_prepare_all", noting)
    return seen


def take(database: Database, path: Path, **options: Any) -> LayerReport:
    (file,) = ingest(database, [path], Options(force=True, **options)).files
    assert file.error is None, file.error
    return file.layers[0]


def houses(count: int) -> list[dict[str, Any]]:
    return [{"code": CODES[n], "name": f"house {n}", "height": 3.0 + n, "owner": f"owner {n}"} for n in range(count)]


@pytest.fixture
def deliver(database: Database, tmp_path: Path, write: Write, square: Shape) -> Callable[..., LayerReport]:
    turn = iter(range(100))

    def run(records: Records, shapes: Sequence[Any] | None = None, **options: Any) -> LayerReport:
        placed = [square(20 * n) for n in range(len(records))] if shapes is None else shapes
        return take(database, write(tmp_path / str(next(turn)) / "building.gpkg", records, placed), **options)

    return run


def test_only_what_changed_is_prepared_again(deliver: Any, database: Database, prepared: list[int], rows: Rows) -> None:
    records = houses(6)
    deliver(records)
    assert (prepared, familiar(database)) == ([6], 6)
    report = deliver(records)
    assert (report.read, report.unchanged, prepared) == (6, 6, [6])
    records[2]["height"] = 99.0
    report = deliver(records)
    assert (report.updated, report.unchanged, prepared) == (1, 5, [6, 1])
    assert [r["rev"] for r in rows("building")] == [1, 1, 2, 1, 1, 1]
    report = deliver(records)
    assert (report.unchanged, prepared, familiar(database)) == (6, [6, 1], 6)


def test_what_somebody_edited_is_compared_and_put_right(
    deliver: Any, database: Database, prepared: list[int], rows: Rows
) -> None:
    records = houses(4)
    deliver(records)
    edit(database, f"UPDATE city.building SET height = 50 WHERE code = '{CODES[1]}'")
    edit(database, f"DELETE FROM city.building WHERE code = '{CODES[3]}'")
    report = deliver(records)
    assert (report.inserted, report.updated, report.unchanged, prepared) == (1, 1, 2, [4, 2])
    assert [(r["height"], r["rev"]) for r in rows("building")] == [(3.0, 1), (4.0, 3), (5.0, 1), (6.0, 3)]
    assert [deliver(records).unchanged, prepared[2:]] == [4, []]


def test_the_order_of_records_and_their_row_numbers_do_not_matter(
    deliver: Any, prepared: list[int], square: Shape
) -> None:
    records, shapes = houses(5), [square(20 * n) for n in range(5)]
    deliver(records, shapes)
    assert deliver(records[::-1], shapes[::-1]).unchanged == 5
    assert deliver(records[2:], shapes[2:]).unchanged == 3
    assert prepared == [5]


@pytest.mark.parametrize("mode", ["upsert", "replace-layer"])
def test_a_record_that_comes_twice_is_told_as_if_nothing_were_familiar(
    mode: str, deliver: Any, database: Database, square: Shape
) -> None:
    records, shapes = houses(3), [square(20 * n) for n in range(3)]
    deliver(records, shapes, mode=mode)
    report = deliver([*records, records[1]], [*shapes, shapes[1]], mode=mode)
    assert (report.unchanged, report.rejected) == (3, 1)
    report = deliver([records[0], records[1] | {"height": 8.0}, records[1]], shapes, mode=mode)
    # The first of two is taken, the familiar one contradicts it.
    assert (report.updated, report.unchanged, report.rejected) == (1, 1, 1)
    # And when both came before, both are compared again.
    report = deliver([records[0], records[1] | {"height": 8.0}, records[1]], shapes, mode=mode)
    assert (report.updated, report.unchanged, report.rejected) == (0, 2, 1)


def test_a_familiar_object_is_not_given_to_another_record_by_its_place(
    deliver: Any, database: Database, square: Shape
) -> None:
    records = [{"id": f"h{n}", "name": f"house {n}"} for n in range(3)]
    shapes = [square(30 * n) for n in range(3)]
    deliver(records, shapes, mappings=[NAMED])
    # A fourth record lies where the third does, which is familiar: it is new, not the third's object.
    report = deliver([*records, {"id": "h9", "name": "annex"}], [*shapes, square(60.5)], mappings=[NAMED])
    assert (report.inserted, report.unchanged, report.identity) == (1, 3, {"name": 3, "new": 1})


def test_replacing_keeps_what_is_familiar_and_ends_what_is_gone(deliver: Any, rows: Rows, prepared: list[int]) -> None:
    records = houses(5)
    deliver(records, mode="replace-layer")
    report = deliver(records[:3], mode="replace-layer")
    assert (report.unchanged, report.ended, prepared) == (3, 2, [5])
    assert [r["valid_to"] is None for r in rows("building")] == [True, True, True, False, False]
    report = deliver(records, mode="replace-layer")
    assert (report.unchanged, report.revived, prepared) == (5, 2, [5, 2])


@pytest.mark.parametrize("changed", [None, 1])
def test_heights_and_zone_numbers_are_told_of_familiar_records_too(
    changed: int | None, database: Database, tmp_path: Path, write: Write, square: Shape, prepared: list[int]
) -> None:
    """Of two files in one: eastings with the zone number 39, which EPSG:4548 lacks, and corners with heights."""
    records = [{"code": CODES[n], "height": 3.0} for n in range(4)]
    shapes: list[Any] = [square(20 * n) for n in range(4)]
    shapes[0] = shapely.affinity.translate(shapes[0], 39_000_000)
    shapes[2] = shapely.force_3d(shapes[2], 5.0)
    first = take(database, write(tmp_path / "1" / "building.gpkg", records, shapes))
    assert [word for word in ("zone number 39", "heights of corners") if word in " ".join(first.warnings)] == [
        "zone number 39",
        "heights of corners",
    ]
    if changed is not None:
        records[changed]["height"] = 7.0
    again = take(database, write(tmp_path / "2" / "building.gpkg", records, shapes))
    assert (again.unchanged, again.warnings[:2]) == (4 if changed is None else 3, first.warnings[:2])
    assert prepared == ([4] if changed is None else [4, 1])


def test_what_came_by_another_mapping_is_not_familiar(deliver: Any, prepared: list[int]) -> None:
    records = [{"id": f"h{n}", "label": f"house {n}"} for n in range(3)]
    other = replace(NAMED, document={"source_id": "id", "encoding": "utf-8"})
    for mapping in (NAMED, other, NAMED, other):
        assert deliver(records, mappings=[mapping]).rejected == 0
    assert prepared == [3, 3]


def test_what_is_erased_is_not_kept_as_a_digest(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    units = [f"{PARCEL}F0001000{n}" for n in range(1, 4)]
    records = [{"code": code, "owner_name": f"owner of {code}"} for code in units]
    report = take(database, write(tmp_path / "unit.gpkg", records, [square(20 * n).centroid for n in range(3)]))
    assert (report.inserted, report.reasons) == (3, {})
    with database.engine.begin() as connection:
        connection.execute(sa.text("SELECT cim.erase('unit', :code, '{owner_name}')"), {"code": units[1]})
        kept = connection.execute(sa.text("SELECT code FROM cim.familiar ORDER BY code")).scalars().all()
    assert kept == [units[0], units[2]]


@pytest.mark.parametrize("mode", ["upsert", "replace-layer"])
@pytest.mark.parametrize("named", [True, False], ids=["named by the mapping", "named by a field that proves itself"])
@pytest.mark.parametrize("seed", range(4))
def test_any_run_of_deliveries_gives_what_it_gives_when_all_is_forgotten_in_between(
    seed: int,
    named: bool,
    mode: str,
    clone: Callable[[], str],
    settings: Any,
    tmp_path: Path,
    write: Write,
    square: Shape,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Records are added, changed, removed, repeated, broken, moved and edited by hand at random."""
    monkeypatch.setattr("ingest.records._ENOUGH", 4)
    monkeypatch.setattr("ingest.formats._ogr.BATCH", 4)
    chance = random.Random(seed)
    records: list[dict[str, Any]] = []
    shapes: list[Any] = []
    for n in range(14):
        records.append({"id": f"h{n}", "code": CODES[n] if n % 3 == 0 else None, "name": f"n{n}", "height": 3.0})
        shapes.append(square(30 * n))
    paths: list[Path] = []
    for step in range(5):
        paths.append(write(tmp_path / str(step) / "building.gpkg", records, shapes))
        for _ in range(chance.randrange(3)):
            n = chance.randrange(len(records))
            match chance.randrange(9):
                case 0:
                    records[n] = records[n] | {"height": chance.choice([1.0, 5.0, -1.0])}  # the last is refused
                case 1:
                    shapes[n] = shapely.affinity.translate(shapes[n], chance.choice([0.5, 4.0]))
                case 2:
                    records.append(dict(records[n]))
                    shapes.append(shapes[n])
                case 3:
                    records.append(records[n] | {"id": f"x{step}{n}", "code": None})
                    shapes.append(shapes[n])
                case 4:
                    del records[n], shapes[n]
                case 5:
                    order = chance.sample(range(len(records)), len(records))
                    records, shapes = [records[k] for k in order], [shapes[k] for k in order]
                case 6:
                    x, y = shapes[n].exterior.coords[0]
                    shapes[n] = shapely.Polygon([(x, y), (x + 9, y + 9), (x + 9, y), (x, y + 9)])  # a bow-tie
                case 7:
                    records[n] = records[n] | {"code": chance.choice([*CODES[:3], "nonsense", None])}
                case 8:
                    records[n] = records[n] | {"id": None}
    edits = [chance.choice(CODES[:4]) if chance.random() < 0.4 else None for _ in paths]
    results = []
    for forgetful in (False, True):
        database = Database(replace(settings, database_url=clone()))
        reports = []
        for path, edited in zip(paths, edits, strict=True):
            if forgetful:
                forget(database)
            report = ingest(database, [path], Options(force=True, mode=mode, mappings=[NAMED] if named else []))  # type: ignore[arg-type]
            reports.append([asdict(layer) for layer in report.files[0].layers] + [report.files[0].error])
            if edited:
                edit(database, f"UPDATE city.building SET height = 77 WHERE code = '{edited}'")
        results.append((reports, everything(database)))
        database.dispose()
    assert results[0] == results[1]


def layer(**columns: pa.Array) -> Layer:
    return Layer.of("layer", None, pa.table(columns), None)


def test_digests_tell_apart_whatever_differs() -> None:
    """Nulls from empty and zero, text at the border of two fields, numbers by their bits."""
    day, instant = date(2024, 1, 31), datetime(2024, 1, 31, tzinfo=UTC)
    table = pa.table(
        {
            "a": pa.array(["", None, "xy", "x", "x", "x"], pa.string()),
            "b": pa.array(["z", "z", "z", "yz", "yz", "yz"], pa.large_string()),
            "n": pa.array([0, 0, 0, None, 0, 0], pa.int32()),
            "f": pa.array([0.0, 0.0, 0.0, 0.0, -0.0, 0.0], pa.float64()),
            "t": pa.array([True, True, True, True, True, None], pa.bool_()),
            "d": pa.array([day] * 6, pa.date32()),
            "i": pa.array([instant] * 6, pa.timestamp("us", tz="UTC")),
            "u": pa.nulls(6),
            "geom": pa.array([b"\1"] * 6, pa.binary()),
        }
    )
    found = digests(table, table.column_names)
    assert len(np.unique(found)) == 6
    assert (digests(table.slice(2, 3), table.column_names) == found[2:5]).all()
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert (digests(chunked, table.column_names) == found).all()


def test_row_numbers_count_where_the_mapping_asks_for_them_and_lists_are_not_told_apart() -> None:
    numbered = layer(a=pa.array(["x"]), _fid=pa.array([1]))
    by_row = LayerMapping(origin="test", file="*", type="building", source_id="fid", document={"source_id": "fid"})
    assert fields_of(numbered, NAMED) == ["a"]
    assert fields_of(numbered, by_row) == ["a", "_fid"]
    assert fields_of(layer(a=pa.array([["x"]])), NAMED) is None
