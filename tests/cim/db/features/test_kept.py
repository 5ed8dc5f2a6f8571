"""Pages are made of features kept by revision: they are what the database would write, and nobody sees more by them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from cim.db import reader as readers
from cim.db.access import Reading, read_as
from cim.db.engine import Database
from cim.db.features import Output, Selection, select_count, select_item, select_named
from cim.db.reader import Reader
from cim.errors import DatabaseError
from cim.settings import Settings
from tests.conftest import insert

EVERYTHING = Selection()
COUNTIES = {"110101000000": "east", "110102000000": "west"}


@pytest.fixture
def city(settings: Settings) -> Iterator[Database]:
    """Two counties, each with a parcel, a building on it, and in that a unit, which not everybody may see."""
    database = Database(replace(settings, api_public=frozenset({"building"})))
    places = {"east": "MULTIPOLYGON(((500000 4318000,500100 4318000,500100 4318100,500000 4318000)))",
              "west": "MULTIPOLYGON(((510000 4318000,510100 4318000,510100 4318100,510000 4318000)))"}  # fmt: skip
    province = {"code": "110000000000", "name": "京", "level": "province", "geom": places["west"]}
    counties = [
        {"code": code, "name": name, "level": "county", "parent_code": "110000000000", "geom": places[name]}
        for code, name in COUNTIES.items()
    ]
    parcels = [{"code": f"p-{name}", "division_code": code, "geom": places[name]} for code, name in COUNTIES.items()]
    names = COUNTIES.values()
    buildings = [{"code": f"b-{n}", "parcel_code": f"p-{n}", "name": f'{n} "楼"\n', "geom": places[n]} for n in names]
    units = [{"code": f"u-{name}", "building_code": f"b-{name}", "owner_name": "王芳"} for name in names]
    kinds = {"division": [province, *counties], "parcel": parcels, "building": buildings, "unit": units}
    insert(database, kinds)
    yield database
    database.dispose()


def reading(database: Database, work: Callable[[Reader], Awaitable[Any]]) -> Any:
    async def opened() -> Any:
        reader = await Reader(database).open()
        try:
            return await work(reader)
        finally:
            await reader.close()

    return asyncio.run(opened())


def write(database: Database, statement: str) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def written(database: Database, output: Output, *codes: str) -> bytes:
    """Return what the database writes of the buildings."""
    with database.engine.connect() as connection:
        rows = [connection.execute(select_item(database, "building", c, None, output)).one() for c in codes]
    return b",".join(bytes(row.feature) for row in rows)


def codes(features: bytes) -> list[str]:
    return [feature["id"] for feature in orjson.loads(b"[" + features + b"]")]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Note the codes of which features are read."""
    asked: list[list[str]] = []
    read = Reader._some

    async def noting(self: Reader, build: Any, shape: Any, form: Any, given: Any, **more: Any) -> list[Any]:
        if form[0] == "named":
            asked.append(list(given["codes"]))
        return await read(self, build, shape, form, given, **more)

    monkeypatch.setattr(Reader, "_some", noting)
    return asked


def test_a_feature_is_read_once_for_each_revision_and_form(city: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, metric, slim = counted(monkeypatch), Output(4548, True, 3), Output(properties=("name",), geometry=False)

    async def work(reader: Reader) -> None:
        for output in (Output(), metric, slim, Output(), slim, metric):
            page = await reader.page("building", EVERYTHING, output, 10)
            assert page.features == written(city, output, "b-east", "b-west")
        assert asked == [["b-east", "b-west"]] * 3
        write(city, "UPDATE city.building SET name = 'new' WHERE code = 'b-west'")
        page = await reader.page("building", EVERYTHING, Output(), 10)
        assert page.features == written(city, Output(), "b-east", "b-west")
        assert asked[3:] == [["b-west"]]
        write(city, "DELETE FROM city.unit")
        write(city, "DELETE FROM city.building WHERE code = 'b-west'")
        page = await reader.page("building", EVERYTHING, Output(), 10)
        assert page.features == written(city, Output(), "b-east")
        assert asked[4:] == []

    reading(city, work)


def test_addresses_of_references_are_those_of_each_host(city: Database) -> None:
    async def work(reader: Reader) -> None:
        for base in ("https://one.example", "https://two.example"):
            linked = Output(references="uri", base=base)
            page = await reader.page("building", EVERYTHING, linked, 10)
            assert page.features == written(city, linked, "b-east", "b-west")
            assert f"{base}/collections/parcel/items/p-east".encode() in page.features

    reading(city, work)


def test_what_one_read_another_is_not_shown(city: Database) -> None:
    async def work(reader: Reader) -> None:
        with read_as(Reading("cim_staff")):
            whole = await reader.page("unit", EVERYTHING, Output(), 10)
        assert codes(whole.features) == ["u-east", "u-west"]
        assert "王芳".encode() not in whole.features
        for code, name in COUNTIES.items():
            with read_as(Reading("cim_district", (code,))):
                own = await reader.page("unit", EVERYTHING, Output(), 10)
            assert codes(own.features) == [f"u-{name}"]
        with pytest.raises(readers.asyncpg.InsufficientPrivilegeError), read_as(Reading("cim_public")):
            await reader.page("unit", EVERYTHING, Output(), 10)

    reading(city, work)


@pytest.mark.parametrize(
    "between",
    ["UPDATE city.building SET name = 'meanwhile' WHERE code = 'b-west'",
     "DELETE FROM city.unit; DELETE FROM city.building WHERE code = 'b-west'"],
)  # fmt: skip
def test_what_changes_between_the_two_reads_is_read_again(
    city: Database, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    asked, finish = counted(monkeypatch), Reader._finish

    async def interrupted(self: Reader, *arguments: Any) -> None:
        if not asked:
            write(city, between)
        await finish(self, *arguments)

    monkeypatch.setattr(Reader, "_finish", interrupted)

    async def work(reader: Reader) -> None:
        page = await reader.page("building", EVERYTHING, Output(), 10)
        left = ["b-east"] if "DELETE" in between else ["b-east", "b-west"]
        assert page.features == written(city, Output(), *left)
        assert page.returned == len(left)

    reading(city, work)


def test_a_page_that_never_stands_still_is_refused(city: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    finish, taller = Reader._finish, "UPDATE city.building SET height = coalesce(height, 0) + 1 WHERE code = 'b-west'"

    async def interrupted(self: Reader, *arguments: Any) -> None:
        write(city, taller)
        await finish(self, *arguments)
        write(city, taller)

    monkeypatch.setattr(Reader, "_finish", interrupted)

    async def work(reader: Reader) -> None:
        with pytest.raises(DatabaseError, match="change faster than they can be read"):
            await reader.page("building", EVERYTHING, Output(), 10)

    reading(city, work)


def test_more_than_can_be_kept(city: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_KEPT", 0)

    async def work(reader: Reader) -> None:
        for _ in range(2):
            page = await reader.page("building", EVERYTHING, Output(), 10)
            assert page.features == written(city, Output(), "b-east", "b-west")

    reading(city, work)


def test_nothing_is_kept_beyond_a_lost_connection(city: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes back may be a backup, with other revisions under the same numbers."""
    asked = counted(monkeypatch)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cim api' AND datname = current_database()"  # noqa: E501

    async def work(reader: Reader) -> None:
        await reader.page("building", EVERYTHING, Output(), 10)
        write(city, end)
        await reader.page("building", EVERYTHING, Output(), 10)

    reading(city, work)
    assert asked == [["b-east", "b-west"]] * 2


def test_a_state_of_the_log_is_looked_up_in_the_index_of_objects(city: Database) -> None:
    """Asked in the collation of the database, each look-up would read every revision of the city."""
    write(city, "INSERT INTO city.building (code) SELECT 'x' || i FROM generate_series(1, 3000) i")
    write(city, "ANALYZE cim.revision")
    for statement in (
        select_item(city, "building", "b-east", 0, Output()),
        select_named(city, "building", ["b-east", "b-west"], 0, Output()),
        select_count(city, "building", Selection(tree_size=0, equal={"code": "b-east"})),
        select_count(city, "building", Selection(tree_size=0, where="code IN ('b-east', 'b-west')")),
    ):
        with city.engine.connect() as connection:
            compiled = statement.compile(connection)
            lines = [line for (line,) in connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.params)]
        assert any("Index Cond" in line and "code = " in line for line in lines), "\n".join(lines)
