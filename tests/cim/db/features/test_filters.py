from __future__ import annotations

import time

import cql2
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from cim.db.cql2_text import parse
from cim.db.engine import Database
from cim.db.features import source_of
from cim.db.filters import compile_filter
from cim.db.values import queryables
from cim.errors import InvalidFilter

EVERYTHING = ["A1", "A2", "B1", "B2", "a3"]


def codes(database: Database, text: str, type_name: str = "building", **kwargs: object) -> list[str]:
    source = source_of(database, type_name, None)
    feature_type = database.dictionary.type(type_name)
    condition = compile_filter(text, source, feature_type, database.settings.srid, **kwargs)  # type: ignore[arg-type]
    with database.engine.connect() as connection:
        return list(connection.execute(sa.select(source.c.code).where(condition).order_by(source.c.code)).scalars())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", EVERYTHING),
        ("FALSE", []),
        ("height > 12.5", ["A2", "B2"]),
        ("height >= 12.5", ["A1", "A2", "B2"]),
        ("12.5 < height", ["A2", "B2"]),
        ("height = 30", ["A2"]),
        ("height <> 30", ["A1", "B2", "a3"]),
        ("year_built = 1960", ["A1", "a3"]),
        ("year_built < 1960.5", ["A1", "a3"]),
        ("year_built = 1960.5", []),
        ("year_built IN (1985, 2019, 1.5)", ["A2", "B2"]),
        ("year_built NOT IN (1985, 2019)", ["A1", "a3"]),
        ("code IN ('A1', 'a3', 'zz')", ["A1", "a3"]),
        ("height BETWEEN 7 AND 30 AND year_built = 1960", ["A1", "a3"]),
        ("height NOT BETWEEN 7 AND 30", ["B2"]),
        ("height IS NULL", ["B1"]),
        ("height IS NOT NULL", ["A1", "A2", "B2", "a3"]),
        ("geom IS NULL", ["a3"]),
        ("NOT (height IS NULL) AND (year_built > 2000 OR has_lift = FALSE)", ["A1", "B2", "a3"]),
        ("NOT has_lift = TRUE AND height < 10", ["a3"]),
        ("name LIKE 'Al%'", ["A1"]),
        ("name LIKE '_lpha%'", ["A1", "A2"]),
        ("name NOT LIKE '%a%'", ["B2"]),
        ("CASEI(name) LIKE CASEI('AL%')", ["A1", "A2"]),
        ("name ILIKE 'AL%'", ["A1", "A2"]),
        ("name NOT ILIKE 'AL%' OR name = 'x ILIKE ''y'''", ["B1", "B2"]),
        ("CASEI(name) = CASEI('ALPHA')", ["A1"]),
        ("CASEI(name) IN (CASEI('ALPHA'), CASEI('贝塔'))", ["A1", "B2"]),
        (r"name LIKE '%100\%'", ["B1"]),
        ("name = 'alpha''s annex'", ["A2"]),
        ("name = '贝塔'", ["B2"]),
        ("\"name\" = 'Alpha'", ["A1"]),
        ("code > 'B'", ["B1", "B2", "a3"]),
        ("code < 'a'", ["A1", "A2", "B1", "B2"]),
        ("height < year_built", ["A1", "A2", "B2", "a3"]),
        ("valid_from >= DATE('1985-01-01')", ["A2", "B2"]),
        ("valid_from >= '1985-01-01'", ["A2", "B2"]),
        ("valid_from > TIMESTAMP('1985-01-01T00:00:00Z')", ["B2"]),
        ("valid_from > TIMESTAMP('1984-12-31T23:59:59.5Z')", ["A2", "B2"]),
        ("valid_from = valid_to", []),
    ],
)
def test_finds(town: Database, text: str, expected: list[str]) -> None:
    assert codes(town, text) == expected


AROUND = "POLYGON((116.99 38.99, 117.002 38.99, 117.002 39.0, 116.99 39.0, 116.99 38.99))"


# The origin of the squares is 117° E, 38.99546° N; a degree is 86.6 km east, 111 km north there.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("S_INTERSECTS(geom, BBOX(117.0, 38.995, 117.002, 38.996))", ["A1", "A2"]),
        ("S_INTERSECTS(BBOX(117.0, 38.995, 117.002, 38.996), geom)", ["A1", "A2"]),
        ("S_INTERSECTS(geom, POINT(117.00005 38.9955))", ["A1"]),
        ("S_INTERSECTS(geom, POINT(117.0005 38.9955))", []),
        (f"S_WITHIN(geom, {AROUND})", ["A1", "A2", "B2"]),
        (f"S_CONTAINS({AROUND}, geom)", ["A1", "A2", "B2"]),
        ("S_CONTAINS(geom, POINT(117.00005 38.9955))", ["A1"]),
        ("S_DISJOINT(geom, BBOX(117.0, 38.995, 117.002, 38.996))", ["B1", "B2"]),
        ("S_CROSSES(geom, LINESTRING(116.99 38.9955, 117.01 38.9955))", ["A1", "A2"]),
        ("S_INTERSECTS(geom, LINESTRING(117.0 38.9955, 117.01 38.9955))", ["A1", "A2"]),
        ("S_INTERSECTS(geom, BBOX(-180, -90, 180, 90))", ["A1", "A2", "B1", "B2"]),
        ("S_INTERSECTS(geom, BBOX(170, -90, -170, 90))", []),
        ("S_INTERSECTS(geom, BBOX(110, -90, -170, 90))", ["A1", "A2", "B1", "B2"]),
        ("S_INTERSECTS(geom, geom)", ["A1", "A2", "B1", "B2"]),
    ],
)  # fmt: skip
def test_finds_by_place(town: Database, text: str, expected: list[str]) -> None:
    assert codes(town, text) == expected


def test_geometry_in_the_storage_crs_and_flipped(town: Database) -> None:
    assert codes(town, "S_INTERSECTS(geom, POINT(500005 4318005))", srid=4548) == ["A1"]
    assert codes(town, "S_INTERSECTS(geom, POINT(4318005 500005))", srid=4548, flip=True) == ["A1"]
    assert codes(town, "S_INTERSECTS(geom, POINT(38.9955 117.00005))", srid=4326, flip=True) == ["A1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("THIS IS NOT A FILTER", "not CQL2"),
        ("", "empty"),
        ("   ", "empty"),
        ("nosuch = 1", "no queryable 'nosuch'"),
        ("rev = 1", "no queryable 'rev'"),
        ("attributes IS NULL", "no queryable 'attributes'"),
        ("name", "no condition"),
        ("has_lift", "has_lift = TRUE"),
        ("height", "compare it"),
        ("5", "no condition"),
        ("'a' = 'a'", "two constants"),
        ("pg_sleep(10) = 1", "function 'pg_sleep'"),
        ("pg_sleep(10)", "no condition that is known"),
        ("height = '30'", "height is a number"),
        ("code = 010101", "code is a string.*quotes"),
        ("year_built = 1e400", "year_built is an integer"),
        ("height = 1e400", "height is a number"),
        ("year_built = 9007199254740993", "2\\^53"),
        ("has_lift = 1", "has_lift is a boolean"),
        ("year_built = TRUE", "year_built is an integer"),
        ("valid_from = DATE('2023-02-30')", "valid_from is a date"),
        ("valid_from > 'yesterday'", "valid_from is a date"),
        ("name = valid_from", "compare like with like"),
        ("height = height + 1", "'\\+' is not known"),
        ("name = 'a\0b'", "name is a string"),
        ("name LIKE 'a\0b'", "cannot be a pattern"),
        ("name LIKE 'ab\\'", "backslash"),
        ("height LIKE '3%'", "LIKE needs a string"),
        ("name LIKE name", "pattern"),
        ("'a' IN ('a')", "a property is needed"),
        ("geom = POINT(1 2)", "geom is a geometry"),
        ("S_INTERSECTS(name, POINT(1 2))", "name is string"),
        ("S_INTERSECTS(geom, 5)", "needs the geometry property"),
        ("S_INTERSECTS(POINT(1 2), POINT(1 2))", "needs the geometry property"),
        ("S_INTERSECTS(geom, POINT(200 10))", "range of degrees"),
        ("S_INTERSECTS(geom, POINT(10 95))", "range of degrees"),
        ("S_INTERSECTS(geom, POINT(1" + "0" * 320 + " 10))", "not CQL2"),
        ("S_INTERSECTS(geom, BBOX(1, 5, 2, 4))", "above maximum"),
        ("S_INTERSECTS(geom, POLYGON((0 0, 1 0, 1 1)))", "end where it began"),
        ("S_INTERSECTS(geom, POLYGON((0 0, 1 1, 1 0, 0 1, 0 0)))", "Self-intersection"),
        ("S_INTERSECTS(geom, GEOMETRYCOLLECTION(POINT(1 2)))", "GeometryCollection"),
        ("height > 1 AND", "lacks a condition"),
        ("(height > 1", "open"),
        ("height > 1)", "never opened"),
        ("NOT " * 51 + "height > 1", "nested deeper"),
        ("(" * 51 + "height > 1" + ")" * 51, "nested deeper"),
        ("name = '" + "x" * 4096 + "'", "4096"),
    ],
)
def test_refuses(town: Database, text: str, message: str) -> None:
    with pytest.raises(InvalidFilter, match=message):
        codes(town, text)


def test_private_properties_are_no_queryables(town: Database) -> None:
    assert not {"owner_name", "owner_id"} & queryables(town.dictionary.type("unit")).keys()
    with pytest.raises(InvalidFilter, match="no queryable 'owner_name'"):
        codes(town, "owner_name LIKE 'L%'", "unit")
    assert codes(town, "room_number = '101'", "unit") == ["U1"]


def test_type_without_geometry_has_no_geom(town: Database) -> None:
    kinds = queryables(town.dictionary.type("building"))
    assert kinds["geom"] == "geometry"
    assert kinds["code"] == "string"
    assert "attributes" not in kinds


def test_nesting_up_to_the_limit_is_taken(town: Database) -> None:
    assert codes(town, "(" * 49 + "height = 30" + ")" * 49) == ["A2"]
    assert codes(town, "NOT " * 48 + "height = 30") == ["A2"]


@pytest.mark.parametrize("inner", ["a=", "a=1 or", "1+", "", "a=1 x"])
@pytest.mark.parametrize("opening", ["(", "NOT (", "(a=1 or ", "f(", "a in ("])
def test_faulty_nesting_ends_soon(opening: str, inner: str) -> None:
    """The parser alone needs 2^n for n brackets around a fault: 45 of them would never end."""
    started = time.monotonic()
    with pytest.raises(InvalidFilter):
        parse(opening * 45 + inner + ")" * 45)
    with pytest.raises(InvalidFilter):
        parse(opening * 45 + inner)
    assert time.monotonic() - started < 1.0


def test_values_are_parameters_and_never_text(town: Database) -> None:
    source = source_of(town, "building", None)
    text = "name = 'Robert''; DROP' AND height IN (1.25, 2.5) AND S_INTERSECTS(geom, POINT(117.125 39))"
    compiled = compile_filter(text, source, town.dictionary.type("building"), 4548).compile(
        dialect=postgresql.dialect()
    )
    for secret in ("Robert", "DROP", "1.25", "117.125"):
        assert secret not in str(compiled)
    assert "Robert'; DROP" in compiled.params.values()


LEAVES = ["height > 1", "name LIKE 'a and (b'", "year_built BETWEEN 1 AND 2", "code IN ('x','y')", "geom IS NOT NULL",
          "CASEI(name) = CASEI('NOT')", "(height) = 3", "has_lift = TRUE"]  # fmt: skip
conditions = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " OR ", " AND\n", " or "]), inner).map("".join),
        inner.map("({})".format),
        inner.map("NOT ({})".format),
    ),
    max_leaves=8,
)


@given(conditions)
def test_taking_apart_changes_no_meaning(text: str) -> None:
    """Against the parser on the whole text, which merges `a and (b and c)` into one list."""
    assert flat(parse(text)) == flat(cql2.parse_text(text).to_json())


def flat(node: object) -> object:
    if not isinstance(node, dict) or node.get("op") not in ("and", "or", "not"):
        return node
    arguments = [flat(argument) for argument in node["args"]]
    if node["op"] == "not":
        return {"op": "not", "args": arguments}
    merged: list[object] = []
    for argument in arguments:
        same = isinstance(argument, dict) and argument.get("op") == node["op"]
        merged += argument["args"] if same else [argument]  # type: ignore[index, call-overload]
    return {"op": node["op"], "args": merged}
