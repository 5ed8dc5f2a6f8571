"""What holds across the batches of a layer, with batches of two records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import shapely

from cim import crs
from cim.codes import provisional
from cim.db.engine import Database
from cim.db.script import query
from cim.errors import CrsError
from ingest import LayerReport
from ingest.context import Context
from ingest.formats import Layer
from ingest.identify import Known
from ingest.mapping import by_names
from ingest.prepared import Prepared
from ingest.records import Preparation
from ingest.stream import take

Shape = Callable[..., shapely.Polygon]
Rows = Callable[..., list[dict[str, Any]]]


def layer(records: list[dict[str, Any]], shapes: list[shapely.Geometry | None]) -> Layer:
    wkb = [None if s is None else shapely.to_wkb(s, flavor="iso", byte_order=1) for s in shapes]
    table = pa.Table.from_pylist(records).append_column("geom", pa.array(wkb, pa.binary()))

    def batches() -> Iterator[pa.RecordBatch]:
        yield from table.to_batches(max_chunksize=2)

    return Layer("building", None, table.schema, batches, crs.parse(4548))


@pytest.fixture(params=[True, False], ids=["straight into the table", "by way of a temporary one"])
def load(
    database: Database, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[[Layer], LayerReport]:
    monkeypatch.setattr("ingest.records._ENOUGH", 2)
    if request.param:
        monkeypatch.setattr("cim.db.load._BULK", 1)

    def run(given: Layer) -> LayerReport:
        path = Path("building.gpkg")
        mapping = by_names(given, path, database.dictionary, None, alone=True)
        assert mapping is not None
        storage = crs.parse(database.settings.srid)
        context = Context(path, database.dictionary, storage, None, None, lambda shapes: [None] * len(shapes), Known())
        with database.engine.begin() as connection:
            dataset = {"sha256": "d", "name": "d", "format": "d", "mapping": None, "report": "{}"}
            connection.execute(query("ingest/record_dataset"), dataset)
            # A load of a file may name parents that are still to come.
            context_of = {"actor": None, "reason": None, "dataset": "sha256:d"}
            connection.execute(query("ingest/set_context"), context_of)
            return take(connection, database.table("building"), given, mapping, context, "d")

    return run


def reasons(database: Database) -> list[str]:
    with database.engine.connect() as connection:
        return list(connection.exec_driver_sql("SELECT reason FROM cim.reject ORDER BY id").scalars())


def test_a_code_that_comes_again_batches_later_is_told_with_the_record_it_came_in(
    database: Database, load: Callable[[Layer], LayerReport], square: Shape, rows: Rows
) -> None:
    one, two = "130638003001GB00001F00010000", "130638003001GB00001F00020000"
    records = [{"code": one, "height": 1.0}, {"code": two, "height": 2.0}, {"code": None, "height": 3.0}]
    records += [{"code": two, "height": 2.0}, {"code": one, "height": 4.0}]
    report = load(layer(records, [square(), square(20), square(40), square(20), square()]))
    assert (report.read, report.inserted, report.rejected) == (5, 3, 2)
    assert reasons(database) == [
        f"code: {two} is a duplicate of record 2 of this layer, which has it too",
        f"code: {one} contradicts record 1 of this layer, which has it too",
    ]
    assert [row["height"] for row in rows("building")] == [1.0, 2.0, 3.0]


def test_a_field_that_turns_out_not_to_be_unique_names_nothing(
    load: Callable[[Layer], LayerReport], square: Shape
) -> None:
    shapes = [square(20 * i) for i in range(5)]
    report = load(layer([{"id": i % 4, "height": 1.0 * i} for i in range(5)], shapes))
    assert (report.read, report.inserted) == (5, 5)
    assert report.warnings[0].startswith("without code and identifier: 5;")
    again = load(layer([{"id": i, "height": 1.0 * i} for i in range(5)], shapes))
    # Under other names, but where they stood.
    assert (again.inserted, again.updated, again.identity) == (0, 1, {"same": 5})
    assert again.warnings == ["field 'id' names the records; say otherwise with source_id in a mapping"]


def test_records_that_share_a_geometry_get_the_same_codes_in_any_order(
    load: Callable[[Layer], LayerReport], square: Shape
) -> None:
    records = [{"name": name} for name in "abcab"]
    shapes = [square(), square(), square(20), square(40), square()]
    first = load(layer(records, shapes))
    assert (first.read, first.inserted, first.rejected) == (5, 4, 1)
    order = [4, 3, 2, 1, 0]
    again = load(layer([records[i] for i in order], [shapes[i] for i in order]))
    assert (again.inserted, again.updated, again.unchanged, again.rejected) == (0, 0, 4, 1)


def test_a_layer_most_of_which_lies_outside_is_refused_and_single_records_are_rejected(
    load: Callable[[Layer], LayerReport], square: Shape
) -> None:
    away = shapely.box(0, 0, 1, 1)
    records: list[dict[str, Any]] = [{"height": float(i)} for i in range(6)]
    report = load(layer(records, [square(20 * i) for i in range(4)] + [away, shapely.box(5, 5, 6, 6)]))
    assert (report.inserted, report.rejected) == (4, 2)
    with pytest.raises(CrsError, match="outside the area"):
        load(layer(records, [square(), *[shapely.box(i, 0, i + 1, 1) for i in range(5)]]))


def test_the_spatial_index_is_there_after_a_first_load_also_where_somebody_reads_meanwhile(
    database: Database, load: Callable[[Layer], LayerReport], square: Shape
) -> None:
    def indexes() -> set[str]:
        with database.engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT indexname FROM pg_indexes WHERE tablename = 'building'")
            return set(found.scalars())

    before = indexes()
    with database.engine.connect() as reader:
        reader.exec_driver_sql("SELECT FROM city.building")
        assert load(layer([{"height": 1.0}], [square()])).inserted == 1
    assert indexes() == before
    assert load(layer([{"height": 1.0}, {"height": 2.0}], [square(), square(20)])).inserted == 1
    assert indexes() == before


def test_a_record_named_by_its_geometry_may_meet_one_that_was_given_that_name(
    database: Database, load: Callable[[Layer], LayerReport], square: Shape
) -> None:
    """As in an export: the first carries the provisional code that the geometry of both gives the second."""
    stored = shapely.multipolygons([shapely.orient_polygons(square())])
    name = sha256(shapely.to_wkb(stored, flavor="iso", byte_order=1)).hexdigest()
    (code,) = provisional.mint_many("building", "content", [name])
    report = load(layer([{"code": code, "height": 1.0}, {"code": None, "height": 2.0}], [square(), square()]))
    assert (report.inserted, report.rejected) == (2, 0)
    with database.engine.connect() as connection:
        heights = connection.exec_driver_sql("SELECT height FROM city.building ORDER BY height").scalars().all()
    assert heights == [1.0, 2.0]


def test_few_records_that_hold_much_are_no_batch_with_all_others(
    database: Database, load: Callable[[Layer], LayerReport], square: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.records._ENOUGH", 1000)
    monkeypatch.setattr("ingest.records._ENOUGH_BYTES", 2000)
    sizes: list[int] = []
    prepare = Preparation._prepare

    def counted(self: Preparation, table: pa.Table) -> Prepared:
        sizes.append(table.num_rows)
        return prepare(self, table)

    monkeypatch.setattr(Preparation, "_prepare", counted)
    records = [{"note": "x" * (1500 if n < 4 else 10)} for n in range(8)]
    report = load(layer(records, [square(100 * n) for n in range(8)]))
    assert (report.read, report.inserted) == (8, 8)
    assert sizes == [2, 2, 4]
