"""Any state of the city: what a simple model says it was, and what a replay of the log's entries makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import shapely
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cim.city import City
from cim.db.engine import Database
from cim.dictionary import Property, load_dictionary
from cim.export import WRITERS, export_features
from cim.log.signer import VERIFIER
from cim.settings import Settings

DICTIONARY = load_dictionary()
SHAPES = {
    "building": [
        None,
        "MULTIPOLYGON(((500000 4300000,500010 4300000,500010 4300010,500000 4300000)))",
        "MULTIPOLYGON(((500000.125 4300000,500010 4300000,500010 4300010,500000.125 4300000)))",
    ],
    "unit": [None, "POINT(500001 4300001)", "POINT(500001.001 4300001)"],
    "road": ["MULTILINESTRING((500000 4300000,500100 4300000))", "MULTILINESTRING((500100 4300000,500000 4300000))"],
}
Row = dict[str, Any]
Object = tuple[str, str]


# ---------------------------------------------------------------- random histories

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.sampled_from([0.5, -2.25, 1e-7, 12345.678])
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def values_of(prop: Property) -> st.SearchStrategy[Any]:
    if prop.codelist is not None:
        return st.sampled_from(sorted(DICTIONARY.codelists[prop.codelist].values))
    match prop.kind:
        case "string":
            return TEXT
        case "integer":
            low = -(2**63) if prop.minimum is None else int(prop.minimum)
            return st.integers(low, 2**63 - 1 if prop.maximum is None else int(prop.maximum))
        case "number":
            return st.floats(prop.minimum, prop.maximum, allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
        case "boolean":
            return st.booleans()
        case "date":
            return st.dates(date(1, 1, 1), date(9999, 12, 31))
    raise AssertionError(prop.kind)


@st.composite
def puts(draw: st.DrawFn) -> tuple[str, str, str, Row]:
    kind = draw(st.sampled_from(sorted(SHAPES)))
    # A reference must name an object that is there; what becomes of those that do not is no matter of time.
    free = [p for p in DICTIONARY.type(kind).properties if p.pattern is None and p.references is None]
    properties = {p.name: values_of(p) for p in free}
    row = draw(st.fixed_dictionaries({}, optional=properties | {"attributes": st.dictionaries(TEXT, JSON, max_size=3)}))
    return "put", kind, draw(CODES), row | {"geom": draw(st.sampled_from(SHAPES[kind]))}


CODES = st.sampled_from("abc")
KINDS = st.sampled_from(sorted(SHAPES))
HISTORIES = st.lists(
    puts()
    | puts()
    | st.tuples(st.just("delete"), KINDS, CODES, st.just({}))
    | st.tuples(st.just("erase"), st.just("unit"), CODES, st.just({}))
    | st.tuples(st.just("sequence"), KINDS, CODES, st.just({})),
    max_size=20,
)


# ---------------------------------------------------------------- the model


@dataclass
class Model:
    """What every state was: `states[n]` maps (type, code) to the row at tree size n, private fields included."""

    states: list[dict[Object, Row]] = field(default_factory=lambda: [{}, {}])  # size 1 is the dictionary's entry
    known: set[Object] = field(default_factory=set)

    def apply(self, verb: str, kind: str, code: str, row: Row) -> None:
        now, key = dict(self.states[-1]), (kind, code)
        match verb:
            case "put":
                new = {name: row.get(name) for name in columns(kind)}
                if key in now and written(now[key]) == written(new):
                    return
                now[key] = new
                self.known.add(key)
            case "delete" if key in now:
                del now[key]
            case "erase" if key in self.known:
                if key in now:
                    now[key] = now[key] | {"owner_name": None}
            case _:
                return
        self.states.append(now)


def written(row: Row) -> str:
    """A row as text, so that 1, 1.0 and true are three things."""
    return json.dumps(row, default=str, sort_keys=True)


def columns(kind: str) -> list[str]:
    return [*(p.name for p in DICTIONARY.type(kind).properties), "attributes", "geom"]


def public(kind: str, row: Row) -> Row:
    private = {p.name for p in DICTIONARY.type(kind).properties if p.private}
    return {name: None if name in private else value for name, value in row.items()}


# ---------------------------------------------------------------- the city


def perform(city: City, verb: str, kind: str, code: str, row: Row) -> None:
    if verb == "sequence":
        city.sequence()
        return
    table = city.database.table(kind)
    with city.database.engine.begin() as connection:
        if verb == "delete":
            connection.execute(sa.delete(table).where(table.c.code == code))
        elif verb == "erase":
            if connection.execute(
                sa.text("SELECT 1 FROM cim.revision WHERE type = :t AND code = :c LIMIT 1"), {"t": kind, "c": code}
            ).first():
                connection.execute(sa.text("SELECT cim.erase(:t, :c, '{owner_name}')"), {"t": kind, "c": code})
        else:
            new = {name: row.get(name) for name in columns(kind)}
            new["geom"] = new["geom"] and sa.func.ST_GeomFromText(new["geom"], 4548)
            update = sa.update(table).where(table.c.code == code).values(new)
            if (
                not connection.execute(update).rowcount
                and not connection.execute(sa.select(table.c.code).where(table.c.code == code)).first()
            ):
                connection.execute(sa.insert(table).values(code=code, **new))


def state(database: Database, source: str) -> dict[Object, Row]:
    """Every row of every type at `source`, a table or function whose name has {} for the type."""
    found: dict[Object, Row] = {}
    with database.engine.connect() as connection:
        for kind in SHAPES:
            names = ", ".join("ST_AsText(geom) AS geom" if name == "geom" else f'"{name}"' for name in columns(kind))
            for row in connection.execute(sa.text(f"SELECT code, {names} FROM city.{source.format(kind)}")).mappings():
                found[kind, row["code"]] = {name: row[name] for name in columns(kind)}
    return found


@pytest.fixture(scope="module")
def new_city(administrator: sa.Engine, server_url: sa.URL, template: str) -> Any:
    """Make cities with a database each, dropped at once after use: an example of a property needs two."""
    count = 0

    @contextmanager
    def make() -> Iterator[City]:
        nonlocal count
        count += 1
        name = f"{template}_{count}"
        with administrator.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            with TemporaryDirectory() as home:
                url = server_url.set(database=name).render_as_string(hide_password=False)
                with City(Settings(home=Path(home), database_url=url, origin="example.org/test")) as city:
                    yield city
        finally:
            with administrator.connect() as connection:
                connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')

    return make


@pytest.mark.slow
@hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=HISTORIES)
def test_every_state_is_what_the_model_says_and_a_replay_ends_in_the_live_tables(
    new_city: Any, history: list[tuple[str, str, str, Row]]
) -> None:
    model = Model()
    with new_city() as city, new_city() as again, TemporaryDirectory() as folder:
        for step in history:
            model.apply(*step)
            perform(city, *step)
        size = city.sequence().size
        assert size == len(model.states) - 1
        live = state(city.database, "{}")
        assert live == model.states[-1]
        for number, expected in enumerate(model.states):
            shown = {key: public(key[0], row) for key, row in expected.items()}
            assert state(city.database, f"{{}}_at({number})") == shown, number
        assert city.audit().ok
        city.export_log(Path(folder) / "out", geometry=True)
        key = (city.settings.keys_dir / VERIFIER).read_text(encoding="utf-8").strip()
        report = again.replay_log(Path(folder) / "out", verifier=key)
        assert (report.size, report.root) == (size, city.tree_head().root)
        assert state(again.database, "{}") == {key: public(key[0], row) for key, row in live.items()}


def test_numbers_that_no_double_holds(new_city: Any) -> None:
    """A typed column gives every digit back; in free attributes the log has text, and so has what is read from it."""
    with new_city() as city:
        with city.database.engine.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO city.building (code, storeys_above, attributes) "
                    """VALUES ('a', 5, '{"n": 9007199254740993}')"""
                )
            )
        size = city.sequence().size
        assert city.get("a", as_of=size).properties["attributes"] == {"n": 9007199254740993}
        with city.database.engine.connect() as connection:
            entry = json.loads(
                bytes(connection.execute(sa.text("SELECT entry FROM cim.leaf WHERE idx = 1")).scalar_one())
            )
        assert entry["body"] == {"storeys_above": 5, "attributes": {"n": "9007199254740993"}}


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_the_whole_city_exported_twice_is_the_same_to_the_byte(new_city: Any, tmp_path: Path, suffix: str) -> None:
    with new_city() as city:
        for number in range(40):
            shape = SHAPES["building"][1 + number % 2]
            row = {"name": f"楼{number}", "height": number / 7, "attributes": {"k": [number, None]}, "geom": shape}
            perform(city, "put", "building", f"b{39 - number}", row)
        perform(city, "put", "road", "r", {"geom": SHAPES["road"][0]})
        perform(city, "put", "unit", "u", {"owner_name": "王芳", "geom": SHAPES["unit"][1]})
        size = city.sequence().size
        exports = []
        for time in ("first", "second"):
            folder = tmp_path / time
            folder.mkdir()
            for kind in city.database.dictionary.types:
                export_features(city, kind, folder / f"{kind}{suffix}", as_of=size)
            exports.append(
                {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".json")}
            )
            perform(city, "delete", "building", "b3", {})
            perform(city, "put", "building", "b4", {"name": "later"})
            city.sequence()
        first, second = exports
        assert [name for name in first if first[name] != second[name]] == []
        assert len(first) == len(city.database.dictionary.types)
        assert b"\xe7\x8e\x8b\xe8\x8a\xb3" not in b"".join(first.values())  # 王芳


def test_a_box_is_asked_at_any_tree_size_checkpoint_and_instant(new_city: Any) -> None:
    """A building that is moved, and one that is torn down: where they were, they are, as of then."""
    there, here = (0, 0, 20, 20), (1000, 0, 1020, 20)
    old = "MULTIPOLYGON(((5 5,10 5,10 10,5 5)))"
    new = "MULTIPOLYGON(((1005 5,1010 5,1010 10,1005 5)))"
    with new_city() as city:
        perform(city, "put", "building", "moved", {"geom": old})
        perform(city, "put", "building", "gone", {"geom": old})
        size = city.sequence().size
        states: list[Any] = [size, str(size), city.checkpoint(), datetime.now(UTC), datetime.now(UTC).isoformat()]
        perform(city, "put", "building", "moved", {"geom": new})
        perform(city, "delete", "building", "gone", {})
        last = city.sequence().size
        for state_then in states:
            found = city.features("building", bbox=there, as_of=state_then)
            assert (list(found.index), found.attrs["tree_size"]) == (["gone", "moved"], size)
            assert city.features("building", bbox=here, as_of=state_then).empty
            assert city.get("moved", as_of=state_then).geometry == shapely.from_wkt(old)
        for state_now in (None, last, city.checkpoint(), datetime.now(UTC)):
            assert city.features("building", bbox=there, as_of=state_now).empty
            assert list(city.features("building", bbox=here, as_of=state_now).index) == ["moved"]
            assert city.get("moved", as_of=state_now).geometry == shapely.from_wkt(new)
        # Between two heads lies a size that no checkpoint has.
        between = city.features("building", bbox=here, as_of=size + 1)
        assert list(between.index) == ["moved"]
        assert list(city.features("building", bbox=there, as_of=size + 1).index) == ["gone"]
