"""Bringing a database up to date: additive, whole or not at all, and never behind anyone's back."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cim.db import migrations
from cim.db.engine import Database
from cim.db.migrate import migrate
from cim.dictionary import load_dictionary
from cim.errors import Conflict, CrsError, InvalidData
from cim.settings import Settings

BENCH: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Bench",
    "x-cim-title-zh": "座椅",
    "description": "Where one sits down.",
    "x-cim-code-scheme": "provisional",
    "type": "object",
    "properties": {
        "code": {"type": "string", "x-ogc-role": "id"},
        "seats": {"type": "integer", "minimum": 1},
        "geom": {"format": "geometry-point", "x-ogc-role": "primary-geometry"},
    },
    "required": ["code"],
    "additionalProperties": False,
}


def with_properties(**properties: Any) -> dict[str, Any]:
    return {**BENCH, "properties": {**BENCH["properties"], **properties}}


@pytest.fixture
def dictionary_folder(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def write(document: dict[str, Any]) -> Path:
        folder = tmp_path / "dictionary"
        folder.mkdir(exist_ok=True)
        (folder / "bench.schema.json").write_text(json.dumps(document), encoding="utf-8")
        return folder

    return write


def schema_revisions(database: Database) -> int:
    with database.engine.connect() as connection:
        return connection.execute(sa.text("SELECT count(*) FROM cim.revision WHERE type = 'schema'")).scalar_one()


def test_the_revisions_are_one_chain_named_by_their_files() -> None:
    found = {}
    for path in (Path(migrations.__file__).parent / "versions").glob("[0-9]*.py"):
        text = path.read_text(encoding="utf-8")
        (name,), (before,) = (re.findall(rf"^{word}\b.* = \"?(\w+)\"?$", text, re.M) for word in _NAMED)
        assert path.with_suffix(".sql").exists()
        assert path.name.startswith(f"{name}_")
        assert found.setdefault(name, before) == before
    chain = sorted(found)
    assert [found[name] for name in chain] == ["None", *chain[:-1]]
    assert len(chain) == len(list((Path(migrations.__file__).parent / "versions").glob("*.sql")))


_NAMED = ("revision", "down_revision")


def test_a_second_opening_changes_nothing(database: Database) -> None:
    with database.engine.begin() as connection:
        assert migrate(connection, database.dictionary, 4548) == []
    assert schema_revisions(database) == 1


def test_a_type_and_then_a_column_are_added_and_logged(
    settings: Settings, dictionary_folder: Callable[[dict[str, Any]], Path]
) -> None:
    settings = replace(settings, dictionary=dictionary_folder(BENCH))
    first = Database(settings)
    with first.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO city.bench (code, seats) VALUES ('b1', 3)"))
    assert schema_revisions(first) == 2
    first.dispose()

    dictionary_folder(with_properties(material={"type": "string"}))
    second = Database(settings)
    with second.engine.begin() as connection:
        connection.execute(sa.text("UPDATE city.bench SET material = 'oak'"))
        bodies = connection.execute(sa.text("SELECT body FROM cim.revision WHERE type = 'bench' ORDER BY rev"))
        assert bodies.scalars().all() == [{"seats": 3}, {"seats": 3, "material": "oak"}]
        assert connection.execute(sa.text("SELECT material FROM city.bench_at(NULL)")).scalar_one() == "oak"
    assert schema_revisions(second) == 3
    second.dispose()


def test_a_dropped_column_is_refused_and_nothing_is_touched(
    settings: Settings, dictionary_folder: Callable[[dict[str, Any]], Path]
) -> None:
    settings = replace(settings, dictionary=dictionary_folder(with_properties(material={"type": "string"})))
    Database(settings).dispose()
    dictionary_folder(BENCH)
    with pytest.raises(Conflict, match="only ever added"):
        Database(settings)


def test_a_type_that_disappears_is_refused(
    settings: Settings, dictionary_folder: Callable[[dict[str, Any]], Path]
) -> None:
    Database(replace(settings, dictionary=dictionary_folder(BENCH))).dispose()
    with pytest.raises(Conflict, match="lacks bench"):
        Database(settings)


def test_an_upgrade_that_fails_half_way_leaves_nothing(
    settings: Settings, dictionary_folder: Callable[[dict[str, Any]], Path]
) -> None:
    settings = replace(settings, dictionary=dictionary_folder(BENCH))
    database = Database(settings)
    with database.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO city.bench (code, seats) VALUES ('b1', 3)"))
    dictionary_folder(with_properties(colour={"type": "string"}, seats={"type": "integer", "minimum": 5}))
    with pytest.raises(Conflict, match="seats"):
        Database(settings)
    with database.engine.connect() as connection:
        assert "colour" not in {c["name"] for c in sa.inspect(connection).get_columns("bench", schema="city")}
    assert schema_revisions(database) == 2
    database.dispose()


def test_an_edited_migration_is_refused(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE cim.migration SET sha256 = repeat('0', 64) WHERE version = '0001_platform'"))
    with pytest.raises(Conflict, match="0001_platform was edited"):
        Database(database.settings)


def test_a_newer_database_is_refused(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO cim.migration (version, sha256) VALUES ('9999_future', '')"))
    with pytest.raises(Conflict, match="newer"):
        Database(database.settings)


def test_another_storage_crs_is_refused(settings: Settings) -> None:
    with pytest.raises(Conflict, match="stores EPSG:4548, but CIM_SRID is 4547"):
        Database(replace(settings, srid=4547))


@pytest.fixture
def unmigrated(administrator: sa.Engine, server_url: sa.URL, tmp_path: Path) -> Iterator[Settings]:
    name = f"cim_new_{uuid.uuid4().hex[:8]}"
    with administrator.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    yield Settings(home=tmp_path, database_url=server_url.set(database=name).render_as_string(hide_password=False))
    with administrator.connect() as connection:
        connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_degrees_are_not_stored(unmigrated: Settings) -> None:
    # Snapped to a thousandth, degrees would move a place by 50 m.
    with pytest.raises(CrsError, match=r"EPSG:4326 \(WGS 84\) cannot be the storage CRS"):
        Database(replace(unmigrated, srid=4326))
    Database(unmigrated).dispose()


def test_a_code_scheme_must_be_there_before_it_is_logged(settings: Settings, database: Database) -> None:
    with pytest.raises(InvalidData, match="road: no code scheme 'street-names'; there are ch-egid"):
        Database(replace(settings, code_schemes={"road": "street-names"}))
    assert schema_revisions(database) == 1


def test_two_first_openings_at_once_end_in_one_schema(unmigrated: Settings) -> None:
    settings = unmigrated
    failures: list[BaseException] = []

    def open_once() -> None:
        try:
            Database(settings).dispose()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    database = Database(settings)
    assert schema_revisions(database) == 1
    database.dispose()


def test_tables_agree_with_the_dictionary(database: Database) -> None:
    with database.engine.connect() as connection:
        inspector = sa.inspect(connection)
        for feature_type in load_dictionary().types.values():
            columns = {c["name"]: c for c in inspector.get_columns(feature_type.name, schema="city")}
            assert {p.name for p in feature_type.properties} <= columns.keys()
            for prop in feature_type.properties:
                assert prop.title in columns[prop.name]["comment"]
                assert columns[prop.name]["nullable"] is not prop.required
