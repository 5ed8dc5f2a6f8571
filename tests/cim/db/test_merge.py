from __future__ import annotations

import threading
from collections.abc import Callable

import pyarrow as pa
import pytest
import shapely
import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.load import Load, MergeCounts, Rows, merge
from cim.db.merge import AttributeField, Carried, Merge, lock_types

Until = Callable[[Callable[[], object], str], None]
Queue = Callable[[sa.Connection], list[int]]

SHAPE = shapely.to_wkb(shapely.multipolygons([shapely.box(0, 0, 1, 1)]), flavor="iso", byte_order=1)


def rows(codes: list[str], **columns: list[object]) -> Rows:
    table = pa.table({"code": pa.array(codes)} | {name: pa.array(values) for name, values in columns.items()})
    return Rows(table, Carried([n for n in columns if n != "geom"], [], [], "geom" in columns))


def do(database: Database, given: Rows, type_name: str = "building") -> MergeCounts:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("SELECT cim.set_context(NULL, NULL, 'sha256:ab')")  # as the load of a file
        return merge(connection, database.table(type_name), given)


def revisions(database: Database) -> list[tuple[str, int, str]]:
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT code, rev, op FROM cim.revision WHERE type = 'building' ORDER BY id")
        return [tuple(row) for row in found]


def test_new_changed_and_unchanged_are_told_apart(database: Database) -> None:
    assert do(database, rows(["a", "b"], height=[1.0, None])) == MergeCounts(2, 0)
    assert do(database, rows(["a", "b", "c"], height=[1.0, 2.0, 3.0])) == MergeCounts(1, 1)
    assert do(database, rows(["a", "b", "c"], height=[1.0, 2.0, 3.0])) == MergeCounts(0, 0)
    assert do(database, rows(["a"])) == MergeCounts(0, 0)
    assert sorted(revisions(database)) == [
        ("a", 1, "insert"),
        ("b", 1, "insert"),
        ("b", 2, "update"),
        ("c", 1, "insert"),
    ]


def test_an_object_deleted_goes_on_counting_when_it_comes_again(database: Database) -> None:
    do(database, rows(["a"]))
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM city.building")
    do(database, rows(["a", "b"]))
    assert sorted(revisions(database)) == [
        ("a", 1, "insert"),
        ("a", 2, "delete"),
        ("a", 3, "insert"),
        ("b", 1, "insert"),
    ]


def test_whoever_names_a_revision_number_is_corrected_or_refused(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO city.building (code, rev) VALUES ('a', 9), ('b', 1), ('c', DEFAULT)")
        connection.exec_driver_sql("DELETE FROM city.building WHERE code = 'b'")
    assert sorted(revisions(database)) == [
        ("a", 1, "insert"),
        ("b", 1, "insert"),
        ("b", 2, "delete"),
        ("c", 1, "insert"),
    ]
    with pytest.raises(sa.exc.IntegrityError, match="revision_object"), database.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO city.building (code, rev) VALUES ('b', 1)")


def test_what_was_filled_in_keeps_what_is_known_and_attributes_keep_other_keys(database: Database) -> None:
    field = AttributeField("x", "ключ \"'%s :k")
    table = pa.table({"code": ["a"], "parcel_code": ["P"], "x": [1]})
    do(database, Rows(table, Carried(["parcel_code"], [], [field], geometry=False)))
    again = pa.table({"code": ["a"], "parcel_code": pa.array([None], pa.string()), "x": ["2"]})
    do(database, Rows(again, Carried([], ["parcel_code"], [AttributeField("x", "other")], geometry=False)))
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT parcel_code, attributes FROM city.building").one()
    assert tuple(found) == ("P", {field.key: 1, "other": "2"})


def test_geometry_keeps_its_bytes_and_gets_the_srid_of_the_table(database: Database) -> None:
    do(database, rows(["a"], geom=[SHAPE]))
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT ST_SRID(geom), ST_AsBinary(geom, 'NDR') FROM city.building").one()
    assert (found[0], bytes(found[1])) == (4548, SHAPE)


def test_two_merges_of_one_type_wait_for_each_other(database: Database, until: Until, queue: Queue) -> None:
    second_done = threading.Event()

    def second() -> None:
        with database.engine.begin() as connection:
            lock_types(connection, ["building"])
            merge(connection, database.table("building"), rows(["a"], height=[2.0]))
        second_done.set()

    with database.engine.begin() as connection:
        lock_types(connection, ["parcel", "building"])
        thread = threading.Thread(target=second)
        thread.start()
        until(lambda: queue(connection), "the second did not wait for the first")
        assert not second_done.is_set()
        merge(connection, database.table("building"), rows(["a"], height=[1.0]))
    thread.join()
    assert second_done.is_set()
    assert revisions(database) == [("a", 1, "insert"), ("a", 2, "update")]


def indexes(database: Database) -> dict[str, str]:
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'city' AND tablename = 'building'"
        )
        return {row.indexname: row.indexdef for row in found}


MANY = [f"b{n:05}" for n in range(5000)]


def test_a_first_load_leaves_key_and_indexes_as_they_were(database: Database) -> None:
    before = indexes(database)
    assert do(database, rows(MANY, geom=[SHAPE] * len(MANY))) == MergeCounts(len(MANY), 0)
    assert indexes(database) == before
    with database.engine.connect() as connection:
        keys = "SELECT conname FROM pg_constraint WHERE conrelid = 'city.building'::regclass AND contype = 'p'"
        assert connection.exec_driver_sql(keys).scalars().all() == ["building_pkey"]
    with pytest.raises(sa.exc.IntegrityError), database.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO city.building (code) VALUES ('b00007')")


def test_a_first_load_does_without_taking_the_key_off_where_somebody_reads(database: Database) -> None:
    before = indexes(database)
    with database.engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM city.building")
        assert do(database, rows(MANY, geom=[SHAPE] * len(MANY))) == MergeCounts(len(MANY), 0)
        assert reader.exec_driver_sql("SELECT count(*) FROM city.building").scalar_one() == len(MANY)
    assert indexes(database) == before


def of_revisions(database: Database) -> dict[str, tuple[str, int]]:
    """The indexes of revisions: how they are made, and their numbers, which are others where they were made anew."""
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT i.indexname, i.indexdef, ('cim.' || i.indexname)::regclass::oid AS number"
            " FROM pg_indexes i WHERE i.schemaname = 'cim' AND i.tablename = 'revision'"
        )
        return {row.indexname: (row.indexdef, row.number) for row in found}


def do_alone(database: Database, given: Rows, *, alone: bool = True) -> MergeCounts:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("SELECT cim.set_context(NULL, NULL, 'sha256:ab')")
        load = Load(connection, database.table("building"), given.carried, alone=alone)
        load.copy(load.encode(given.table))
        return load.finish()


def fill(database: Database, *, alone: bool = True, **columns: list[object]) -> set[str]:
    """Bring a first load in; return which indexes of revisions were made anew, all being what they were."""
    before = of_revisions(database)
    given = rows(MANY, geom=[SHAPE] * len(MANY), **columns)
    assert do_alone(database, given, alone=alone) == MergeCounts(len(MANY), 0)
    after = of_revisions(database)
    assert {name: made for name, (made, _) in after.items()} == {name: made for name, (made, _) in before.items()}
    assert revisions(database) == [(code, 1, "insert") for code in MANY]
    return {name for name, known in after.items() if known != before[name]}


def test_a_first_load_into_an_empty_city_makes_indexes_of_revisions_after_it(database: Database) -> None:
    assert fill(database) == {"revision_geom", "revision_object"}
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM city.building WHERE code = 'b00007'")
    with pytest.raises(sa.exc.IntegrityError, match="revision_object"), database.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO city.building (code, rev) VALUES ('b00007', 1)")


def test_parents_that_are_not_there_are_looked_up_by_an_index(database: Database) -> None:
    assert fill(database, parcel_code=[f"p{n}" for n in range(len(MANY))]) == {"revision_geom"}


def test_indexes_of_revisions_stay_where_somebody_reads_them(database: Database) -> None:
    with database.engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM cim.revision")
        assert fill(database) == set()


def test_indexes_of_revisions_stay_where_somebody_else_is_connected(database: Database) -> None:
    engine = sa.create_engine(database.url)
    with engine.connect():  # who would wait for the load
        assert fill(database) == set()
    engine.dispose()


def test_indexes_of_revisions_stay_where_this_process_may_wait_for_itself(database: Database) -> None:
    assert fill(database, alone=False) == set()


def test_indexes_of_revisions_stay_in_a_city_that_has_objects(database: Database) -> None:
    do(database, rows([f"p{n}" for n in range(1000)], geom=[SHAPE] * 1000), "parcel")
    assert fill(database) == set()


def test_a_code_twice_in_a_first_load_leaves_nothing(database: Database) -> None:
    before = indexes(database), of_revisions(database)
    with pytest.raises(sa.exc.IntegrityError, match="b00001"):
        do_alone(database, rows([*MANY, "b00001"]))
    assert (indexes(database), of_revisions(database), revisions(database)) == (*before, [])


def test_earlier_revisions_are_looked_up_for_new_rows_alone(database: Database) -> None:
    """Once for all rows, it went through every revision of the type."""
    table = database.table("building")
    staged = sa.Table("staged", sa.MetaData(), sa.Column("code", sa.Text), prefixes=["TEMPORARY"])
    with database.engine.connect() as connection:
        staged.create(connection)
        compiled = str(Merge(table, staged, Carried([], [], [], geometry=False)).compile(connection))
        assert compiled.count("FROM cim.revision") == 1
        assert "FROM cim.revision, staged" not in compiled
