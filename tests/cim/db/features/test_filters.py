from __future__ import annotations

import json
import subprocess
import sys

import cql2
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from cim.db.cql2_text import parse
from cim.db.engine import Database
from cim.db.filters import compile_filter
from cim.db.sources import source_of
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
        ("height * 2 + 1 = 26", ["A1"]),
        ("(height - 12.5) / 2 = 0", ["A1"]),
        ("height = height + 1", []),
        ("year_built % 10 = 5", ["A2"]),
        ("year_built div 100 = 20", ["B2"]),
        ("height ^ 2 < 60", ["a3"]),
        ("height / (year_built - 1960) > 0", ["A2", "B2"]),  # a divisor of zero gives nothing
        ("height BETWEEN 5 + 2 AND 6 * 5", ["A1", "A2", "a3"]),
        ("-height > -10", ["a3"]),
        ("height IN (10 + 2.5, year_built - 1955)", ["A1", "A2"]),
        ("year(valid_from) = 1985", ["A2"]),
        ("year(valid_from) = year_built", ["A1", "A2", "B2"]),
        ("area(geom) = 100", ["A1", "A2", "B1", "B2"]),
        ("perimeter(geom) > 40 + height", []),
        ("ACCENTI(name) = ACCENTI('Álphà')", ["A1"]),
        ("ACCENTI(CASEI(name)) LIKE ACCENTI(CASEI('ÁLPHÀ%'))", ["A1", "A2"]),
        ("CASEI(ACCENTI(name)) IN (ACCENTI(CASEI('ÀLPHA')))", ["A1"]),
        # A1 from 1960-05-01, A2 1985-01-01 to 2020-06-30, B2 from 2019-01-01, a3 to 1999-12-31
        ("T_AFTER(valid_from, DATE('1985-01-01'))", ["B2"]),
        ("T_BEFORE(valid_from, TIMESTAMP('1985-01-01T00:00:00Z'))", ["A1"]),
        ("T_BEFORE(DATE('1990-01-01'), valid_from)", ["B2"]),
        ("T_EQUALS(valid_from, DATE('1985-01-01'))", ["A2"]),
        ("T_DURING(valid_from, INTERVAL('1960-05-01', '2000-01-01'))", ["A2"]),
        ("T_INTERSECTS(valid_from, INTERVAL('1960-05-01', '2000-01-01'))", ["A1", "A2"]),
        ("T_DISJOINT(valid_from, INTERVAL('..', '2000-01-01'))", ["B2"]),
        ("T_INTERSECTS(INTERVAL(valid_from, valid_to), DATE('2020-06-30'))", ["A2"]),
        ("T_INTERSECTS(INTERVAL(valid_from, '..'), INTERVAL('2018-01-01', '2019-01-01'))", ["A1", "A2", "B2"]),
        ("T_CONTAINS(INTERVAL(valid_from, valid_to), INTERVAL('1990-01-01', '2000-01-01'))", ["A2"]),
        ("T_STARTS(INTERVAL(valid_from, valid_to), INTERVAL('1985-01-01', '..'))", ["A2"]),
        ("T_STARTEDBY(INTERVAL(valid_from, valid_to), INTERVAL('1985-01-01', '1999-01-01'))", ["A2"]),
        ("T_FINISHES(INTERVAL(valid_from, valid_to), INTERVAL('1980-01-01', '2020-06-30'))", ["A2"]),
        ("T_FINISHEDBY(INTERVAL(valid_from, valid_to), INTERVAL('1999-01-01', '2020-06-30'))", ["A2"]),
        ("T_OVERLAPS(INTERVAL(valid_from, valid_to), INTERVAL('1999-01-01', '2024-06-30'))", ["A2"]),
        ("T_OVERLAPPEDBY(INTERVAL(valid_from, valid_to), INTERVAL('1979-01-01', '2019-06-30'))", ["A2"]),
        ("T_MEETS(INTERVAL(valid_from, valid_to), INTERVAL('2020-06-30', '..'))", ["A2"]),
        ("T_METBY(INTERVAL(valid_from, valid_to), INTERVAL('..', '1985-01-01'))", ["A2"]),
        ("A_CONTAINS((name, structure), ('mixed'))", ["A2"]),
        ("A_CONTAINEDBY((structure), ('mixed', 'steel'))", ["A2", "B2"]),
        ("A_OVERLAPS((height, year_built), (1960, 99.9))", ["A1", "B2", "a3"]),
        ("A_EQUALS((structure, code), ('A2', 'mixed'))", ["A2"]),
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
        ("S_INTERSECTS(geom, GEOMETRYCOLLECTION(POINT(117.00005 38.9955), POINT(0 0)))", ["A1"]),
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
        ("height = name + 1", "needs numbers, name is string"),
        ("height = '1' + height", "is a number"),
        ("height = 1 / 'x'", "is a number"),
        ("area(name) = 1", "area needs a geometry"),
        ("year(height) = 1", "year needs a time"),
        ("ACCENTI(height) = 'x'", "ACCENTI needs a string"),
        ("height = CASEI('x')", "height is a number"),
        ("T_AFTER(name, DATE('2020-01-01'))", "name is string"),
        ("T_AFTER(valid_from, 5)", "each side of t_after"),
        ("T_AFTER(valid_from, INTERVAL('2020-01-01', 'soon'))", "each side of t_after"),
        ("A_CONTAINS((name, height), ('x'))", "of one kind"),
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
        ("S_WITHIN(geom, GEOMETRYCOLLECTION(POINT(1 2), POINT(2 2)))", "GeometryCollection"),
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


def test_json_means_what_text_means(town: Database) -> None:
    name, height, until = ({"property": one} for one in ("name", "height", "valid_to"))
    trees: list[tuple[object, list[str]]] = [
        ({"op": "and", "args": [{"op": ">", "args": [height, 10]}, {"op": "isNull", "args": [until]}]},
         ["A1", "B2"]),
        ({"op": "like", "args": [{"op": "casei", "args": [name]}, {"op": "casei", "args": ["AL%"]}]}, ["A1", "A2"]),
        ({"op": "in", "args": [{"property": "year_built"}, [1985, 2019]]}, ["A2", "B2"]),
        ({"op": "not", "args": [{"op": "between", "args": [height, 7, 30]}]}, ["B2"]),
        ({"op": "s_intersects", "args": [{"property": "geom"}, {"type": "Point", "coordinates": [117.00005, 38.9955]}]},
         ["A1"]),
        ({"op": "s_disjoint", "args": [{"property": "geom"}, {"bbox": [117.0, 38.995, 117.002, 38.996]}]},
         ["B1", "B2"]),
        ({"op": "t_during", "args": [{"property": "valid_from"}, {"interval": ["1960-05-01", "2000-01-01"]}]}, ["A2"]),
        ({"op": "=", "args": [{"op": "+", "args": [height, 1]}, 13.5]}, ["A1"]),
        ({"op": "a_containedby", "args": [[{"property": "structure"}], ["steel"]]}, ["B2"]),
        (True, EVERYTHING),
    ]  # fmt: skip
    for tree, expected in trees:
        assert codes(town, json.dumps(tree), encoding="cql2-json") == expected


@pytest.mark.parametrize(
    "tree",
    [
        None, 5, "x", [], {}, {"op": 5}, {"op": "="}, {"op": "=", "args": {}},
        {"op": "=", "args": [{"property": 5}, 1]},
        {"op": "=", "args": [{"property": "height"}, {"property": "height"}, 1]}, {"op": "and", "args": [1]},
        {"op": "like", "args": [{"property": "name"}, {"op": "casei", "args": [5]}]},
        {"op": "like", "args": [{"property": "name"}, {"op": "casei"}]},
        {"op": "in", "args": [{"property": "name"}, [["x"]]]}, {"op": "=", "args": [{"property": "height"}, [1]]},
        {"op": "=", "args": [{"property": "year_built"}, 2**63]}, {"op": "isNull", "args": [5]},
        {"op": "s_intersects", "args": [{"property": "geom"}, {"type": "Point", "coordinates": {}}]},
        {"op": "s_intersects", "args": [{"property": "geom"}, {"type": "Polygon", "coordinates": [5]}]},
        {"op": "s_intersects", "args": [{"property": "geom"}, {"type": "GeometryCollection", "geometries": 5}]},
        {"op": "s_intersects", "args": [{"property": "geom"}, {"type": "Point", "coordinates": ["1", None]}]},
        {"op": "s_intersects", "args": [{"property": "geom"}, {"bbox": [1, 2, 3]}]},
        {"op": "s_intersects", "args": [{"property": "geom"}, {"bbox": 5}]},
        {"op": "t_after", "args": [{"property": "valid_from"}, {"interval": ["..", [5]]}]},
        {"op": "t_after", "args": [{"interval": 5}, {"date": 5}]},
        {"op": "a_contains", "args": [[{}], [5]]}, {"op": "a_contains", "args": [[None], ["x"]]},
        {"op": "+", "args": [1, 2]}, {"op": "=", "args": [{"op": "+", "args": [[], {}]}, 1]},
    ],
)  # fmt: skip
def test_json_that_is_no_filter(town: Database, tree: object) -> None:
    with pytest.raises(InvalidFilter):
        codes(town, json.dumps(tree), encoding="cql2-json")


def test_json_in_bounds(town: Database) -> None:
    for text in ("", "{", "NaN", "[" * 2000 + "]" * 2000, json.dumps("x" * 4096), '{"op":"=","args":[1e400,1]}'):
        with pytest.raises(InvalidFilter):
            codes(town, text, encoding="cql2-json")


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


FAULTY = """
from cim.db.cql2_text import parse
from cim.errors import InvalidFilter
for opening in ("(", "NOT (", "(a=1 or ", "f(", "a in ("):
    for inner in ("a=", "a=1 or", "1+", "", "a=1 x"):
        for text in (opening * 45 + inner + ")" * 45, opening * 45 + inner):
            try:
                parse(text)
            except InvalidFilter:
                continue
            raise AssertionError(text)
"""


def test_faulty_nesting_ends() -> None:
    """The parser alone needs 2^n for n brackets around a fault: 45 of them would never end."""
    subprocess.run([sys.executable, "-c", FAULTY], timeout=300, check=True)


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
