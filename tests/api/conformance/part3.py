"""OGC 19-079r2, Features Part 3: Filtering, and OGC 21-065r2, CQL2.

A condition is tried on a feature of which it is known to be true: it must find that feature, and its opposite must not.
"""

from __future__ import annotations

import json

from tests.api.conformance.client import CRS84, GEOJSON, REL, SCHEMA, Api, linked
from tests.api.conformance.part2 import NO_CRS
from tests.api.conformance.registry import NotApplicable, need, requirement

PART3 = "ogcapi-features-3/1.0/conf/"
CQL2 = "cql2/1.0/conf/"
FILTER = PART3 + "filter"


@requirement(PART3 + "queryables", "/queryables-link", "/get-queryables-op", "/get-queryables-response")
def queryables(api: Api) -> None:
    for one in api.collections:
        address = linked(one, REL + "queryables")
        document = api.get(address, SCHEMA)
        need(document["$id"] == address.partition("?")[0], f"{one['id']}: $id is another")
        need(document["$schema"] == "https://json-schema.org/draft/2020-12/schema", "another draft")
        need(document["type"] == "object", "no object")
        for name, schema in document["properties"].items():
            spatial = str(schema.get("format", "")).startswith("geometry-")
            need(isinstance(schema.get("type"), str) != spatial, f"{one['id']}.{name} has no kind, or two")
            need("$ref" not in schema, f"{one['id']}.{name} is elsewhere")
    need(f'rel="{REL}queryables"' in api.ask(api.items(api.collections[0])).headers["link"], "no Link header")


@requirement(PART3 + "queryables-query-parameters", "/parameters", "/param-unknown")
def query_parameters(api: Api) -> None:
    sample = api.sample
    declared = api.parameters(f"/collections/{sample.collection['id']}/items")
    for name, schema in api.schema(sample.collection, "queryables")["properties"].items():
        simple = schema.get("type") in ("string", "number", "integer", "boolean")
        need(name in declared or not simple, f"{name} is no parameter")
    value = sample.feature["properties"][sample.text]
    need(sample.id in api.near(**{sample.text: value}), "a feature is not found by its value")
    page = api.get(api.items(sample.collection), GEOJSON, **{sample.text: value})["features"]
    need(all(one["properties"][sample.text] == value for one in page), "others are found by the value")


@requirement(FILTER, "/filter-param", "/filter-lang-param", "/expression-construction")
def filter_parameters(api: Api) -> None:
    for one in api.collections:
        declared = api.parameters(f"/collections/{one['id']}/items")
        need("filter" in declared, f"{one['id']} has no filter")
        language = declared["filter-lang"]["schema"]
        need(language["default"] in language["enum"], "filter-lang has no default")
    need(_ask(api, "THIS IS NOT A FILTER") == 400, "what is no filter is taken")
    need(_ask(api, "nosuchproperty_0 = 1") == 400, "a property that there is not is taken")


@requirement(FILTER, "/filter-crs-wgs84", "/filter-crs-param")
def filter_crs(api: Api) -> None:
    one, (x, y) = api.sample.collection, api.sample.position
    here = f"S_INTERSECTS({_geometry(api)},BBOX({{}},{{}},{{}},{{}}))"
    need(api.sample.id in api.first(one, filter=_box(here, x, y)), "geometry is not CRS84 by default")
    need(api.sample.id in api.ids(one, filter=_box(here, x, y), filter_crs=CRS84), "nor where that is said")
    flipped = "http://www.opengis.net/def/crs/EPSG/0/4326"
    if flipped in one["crs"]:
        need(api.sample.id in api.ids(one, filter=_box(here, y, x), filter_crs=flipped), "4326 is not latitude first")
    bad = api.ask(api.items(one), filter=_box(here, x, y), filter_crs=NO_CRS)
    need(bad.status_code == 400, "a CRS that there is not is taken")
    need(_ask(api, _box(here, 500, 500)) == 400, "coordinates that cannot be are taken")


@requirement(PART3 + "features-filter", "/response", "/mixing-expressions")
def filters_and_parameters(api: Api) -> None:
    sample, (x, y) = api.sample, api.sample.position
    condition, box = _equal(api), f"{x - 1e-6},{y - 1e-6},{x + 1e-6},{y + 1e-6}"
    both = api.ids(sample.collection, filter=condition, bbox=box)
    each = api.ids(sample.collection, filter=condition) & api.ids(sample.collection, bbox=box)
    need(both == each and sample.id in both, "filter and bbox are not both asked for")


@requirement(PART3 + "functions", "/functions-op", "/functions-success")
def functions(api: Api) -> None:
    listed = api.get(linked(api.landing, REL + "functions"))["functions"]
    need(all({"name", "returns"} <= one.keys() for one in listed), "a function without name or result")


@requirement(CQL2 + "basic-cql2", "/cql2-filter", "/property", "/comparison", "/logic", "/isnull", "/literals")
def basic(api: Api) -> None:
    text, number = api.sample.text, api.sample.number
    value = api.sample.feature["properties"][number]
    for condition in (
        _equal(api), f"{number} = {value}", f"{number} >= {value}", f"{number} < {value + 1}",
        f"{number} <> {value + 1}",
        f"{text} IS NOT NULL", f"NOT {text} IS NULL", f"({_equal(api)}) OR {number} > {value}",
        f"{_equal(api)} AND {number} <= {value}", f"NOT ({number} > {value})",
    ):  # fmt: skip
        _holds(api, condition)
    every = len(api.near())
    parts = (f"{number} > {value}", f"NOT ({number} > {value})", f"{number} IS NULL")
    need(sum(len(api.near(filter=one)) for one in parts) == every, "NOT of unknown is not unknown")


@requirement(CQL2 + "advanced-comparison-operators", "/like", "/between", "/in")
def advanced(api: Api) -> None:
    value, number = api.sample.feature["properties"][api.sample.number], api.sample.number
    text, word = api.sample.text, api.sample.feature["properties"][api.sample.text]
    for condition in (
        f"{text} LIKE '{word[:1]}%'", f"{text} LIKE '_{word[1:]}'", f"{text} NOT LIKE '{word}_'",
        f"{number} BETWEEN {value} AND {value}", f"{number} NOT BETWEEN {value + 1} AND {value + 2}",
        f"{text} IN ('nosuch', '{word}')", f"{number} NOT IN ({value + 1}, {value + 2})",
    ):  # fmt: skip
        _holds(api, condition)


@requirement(CQL2 + "case-insensitive-comparison", "/casei-functions")
def case(api: Api) -> None:
    word = api.sample.feature["properties"][api.sample.text]
    _holds(api, f"CASEI({api.sample.text}) = CASEI('{word.swapcase()}')")
    _holds(api, f"CASEI({api.sample.text}) LIKE CASEI('{word.swapcase()[:1]}%')")


@requirement(CQL2 + "accent-insensitive-comparison", "/accenti-functions")
def accents(api: Api) -> None:
    word = api.sample.feature["properties"][api.sample.text]
    accented = word.translate(str.maketrans("aeiouAEIOU", "áéíóúÁÉÍÓÚ"))
    _holds(api, f"ACCENTI({api.sample.text}) = ACCENTI('{accented}')")


@requirement(CQL2 + "basic-spatial-functions", "/spatial-predicates", "/spatial-data-types")
@requirement(CQL2 + "basic-spatial-functions-plus", "/spatial-data-types")
def basic_spatial(api: Api) -> None:
    x, y = api.sample.position
    _holds(api, _box(f"S_INTERSECTS({_geometry(api)}, BBOX({{}},{{}},{{}},{{}}))", x, y))
    a, b = 1e-4, _geometry(api)
    ring = f"{x - a} {y - a},{x + a} {y - a},{x + a} {y + a},{x - a} {y + a},{x - a} {y - a}"
    _holds(api, f"S_INTERSECTS({b}, POLYGON(({ring})))")
    _holds(api, f"S_INTERSECTS({b}, MULTIPOLYGON((({ring}))))")
    _holds(api, f"S_INTERSECTS({b}, LINESTRING({x - a} {y - a},{x} {y},{x - a} {y + a}))", opposite=False)


@requirement(CQL2 + "spatial-functions", "/spatial-predicates")
def spatial(api: Api) -> None:
    west, south, east, north = api.sample.collection["extent"]["spatial"]["bbox"][0]
    corners = [(west - 1, south - 1), (east + 1, south - 1), (east + 1, north + 1), (west - 1, north + 1)]
    ring = ",".join(f"{x} {y}" for x, y in (*corners, corners[0]))
    x, y = api.sample.position
    for condition in (
        f"S_WITHIN({_geometry(api)}, POLYGON(({ring})))", f"S_CONTAINS(POLYGON(({ring})), {_geometry(api)})",
        f"NOT S_DISJOINT({_geometry(api)}, POLYGON(({ring})))", f"S_DISJOINT({_geometry(api)}, POINT({-x} {-y}))",
        f"NOT S_EQUALS({_geometry(api)}, POLYGON(({ring})))", f"NOT S_TOUCHES({_geometry(api)}, POLYGON(({ring})))",
        f"NOT S_CROSSES({_geometry(api)}, POLYGON(({ring})))", f"NOT S_OVERLAPS({_geometry(api)}, POLYGON(({ring})))",
    ):  # fmt: skip
        _holds(api, condition)


@requirement(CQL2 + "temporal-functions", "/temporal-predicates")
def temporal(api: Api) -> None:
    """Between literals, whose relations are known whatever the data is (OGC 21-065r2, annex on Allen's intervals)."""
    true = {
        "T_AFTER": "DATE('2021-01-02'), DATE('2021-01-01')", "T_BEFORE": "DATE('2021-01-01'), DATE('2021-01-02')",
        "T_EQUALS": "DATE('2021-01-01'), DATE('2021-01-01')", "T_DISJOINT": "DATE('2021-01-01'), DATE('2021-01-02')",
        "T_INTERSECTS": "DATE('2021-01-01'), INTERVAL('..','2021-06-01')",
        "T_DURING": "INTERVAL('2021-02-01','2021-03-01'), INTERVAL('2021-01-01','2021-12-01')",
        "T_CONTAINS": "INTERVAL('2021-01-01','2021-12-01'), INTERVAL('2021-02-01','2021-03-01')",
        "T_OVERLAPS": "INTERVAL('2021-01-01','2021-03-01'), INTERVAL('2021-02-01','2021-12-01')",
        "T_MEETS": "INTERVAL('2021-01-01','2021-02-01'), INTERVAL('2021-02-01','2021-12-01')",
        "T_STARTS": "INTERVAL('2021-01-01','2021-02-01'), INTERVAL('2021-01-01','2021-12-01')",
        "T_FINISHES": "INTERVAL('2021-11-01','2021-12-01'), INTERVAL('2021-01-01','2021-12-01')",
    }  # fmt: skip
    for name, arguments in true.items():
        _holds(api, f"{name}({arguments})")


@requirement(CQL2 + "array-functions", "/array-predicates")
def arrays(api: Api) -> None:
    text, word = api.sample.text, api.sample.feature["properties"][api.sample.text]
    for condition in (
        f"A_OVERLAPS(({text}, 'b'), ('{word}', 'c'))", f"A_CONTAINS(({text}, 'b'), ('{word}'))",
        f"A_CONTAINEDBY(({text}), ('{word}', 'c'))", f"A_EQUALS(({text}, 'b'), ('b', '{word}'))",
    ):  # fmt: skip
        _holds(api, condition)


@requirement(CQL2 + "property-property", "/property-property")
def two_properties(api: Api) -> None:
    number = api.sample.number
    _holds(api, f"{number} = {number}")
    _holds(api, f"{api.sample.feature['properties'][number] + 1} > {number}")


@requirement(CQL2 + "arithmetic", "/arithmetic")
def arithmetic(api: Api) -> None:
    value, number = api.sample.feature["properties"][api.sample.number], api.sample.number
    for condition in (
        f"{number} + 1 = {value + 1}",
        f"{number} * 2 = {value} + {value}",
        f"({number} - {value}) / 2 = 0",
    ):
        _holds(api, condition)


@requirement(CQL2 + "functions", "/functions")
def calls(api: Api) -> None:
    need(_ask(api, "nosuchfunction_0(1) = 1") == 400, "a function that there is not is taken")


@requirement(CQL2 + "cql2-text", "/cql2-text")
@requirement(CQL2 + "cql2-json", "/cql2-json")
def both_encodings(api: Api) -> None:
    name, word = api.sample.text, api.sample.feature["properties"][api.sample.text]
    tree = {"op": "=", "args": [{"property": name}, word]}
    either = [{"op": "isNull", "args": [{"property": name}]}, {"op": "<>", "args": [{"property": name}, word]}]
    nested = {"op": "not", "args": [{"op": "or", "args": either}]}
    expected = api.near(filter=_equal(api), filter_lang="cql2-text")
    for one in (tree, nested):
        found = api.near(filter=json.dumps(one), filter_lang="cql2-json")
        need(found == expected, f"{json.dumps(one)} selects others than the text")


def _holds(api: Api, condition: str, *, opposite: bool = True) -> None:
    """Need that a condition is true of the sample, and that its opposite is not."""
    need(api.sample.id in api.near(filter=condition), f"{condition} does not find {api.sample.id}")
    if opposite:
        need(api.sample.id not in api.near(filter=f"NOT ({condition})"), f"NOT ({condition}) finds {api.sample.id}")


def _equal(api: Api) -> str:
    return f"{api.sample.text} = '{api.sample.feature['properties'][api.sample.text]}'"


def _geometry(api: Api) -> str:
    for name, schema in api.schema(api.sample.collection, "queryables")["properties"].items():
        if str(schema.get("format", "")).startswith("geometry-"):
            return str(name)
    raise NotApplicable("no geometry among the queryables")


def _box(text: str, x: float, y: float) -> str:
    return text.format(*(f"{value:.9f}" for value in (x - 1e-6, y - 1e-6, x + 1e-6, y + 1e-6)))


def _ask(api: Api, condition: str) -> int:
    return api.ask(api.items(api.sample.collection), filter=condition).status_code
