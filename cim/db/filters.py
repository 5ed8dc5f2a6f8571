"""A CQL2 filter as an SQLAlchemy expression over a table, or anything with the same columns.

What the parser lets through (unknown functions and properties, impossible dates, infinity, open rings) is judged
here; operators come from tables, columns from the dictionary, and every value is a bound parameter.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import shapely
import sqlalchemy as sa

from cim.db.cql2_text import Node, parse
from cim.db.spatial import Shape, check_path, from_wkb, place, postgis, relation
from cim.db.values import QueryKind, bound, clean, from_literal, from_text, queryables
from cim.dictionary import FeatureType
from cim.errors import InvalidFilter

MAX_ITEMS = 1000

COMPARISONS: Mapping[str, Callable[[Any, Any], sa.ColumnElement[bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# Predicate → PostGIS function, and whether it implies that the two meet, so that the index may be asked.
SPATIAL: Mapping[str, tuple[str, bool]] = {
    "s_intersects": ("ST_Intersects", True),
    "s_within": ("ST_Within", True),
    "s_contains": ("ST_Contains", True),
    "s_equals": ("ST_Equals", True),
    "s_touches": ("ST_Touches", True),
    "s_crosses": ("ST_Crosses", True),
    "s_overlaps": ("ST_Overlaps", True),
    "s_disjoint": ("ST_Disjoint", False),
}
LITERAL_GEOMETRIES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")


@dataclass(frozen=True, slots=True)
class _Operand:
    """A side of a comparison: an expression with its kind, and the name to use in messages."""

    name: str
    kind: QueryKind
    expression: sa.ColumnElement[Any]


def compile_filter(
    text: str, source: sa.FromClause, feature_type: FeatureType, storage: int, *, srid: int = 4326, flip: bool = False
) -> sa.ColumnElement[bool]:
    """Return the condition that a CQL2 text states about the rows of `source`.

    Parameters
    ----------
    text : CQL2 text of at most 4096 characters and 50 levels
    source : FROM clause with the columns of the feature type
    storage : EPSG code of the stored geometry
    srid, flip : EPSG code of the text's geometries, and whether they are written y before x; default CRS84

    Raises
    ------
    InvalidFilter : it cannot be parsed, names what is not queryable, compares unlike kinds, or is too large.
    CrsError : the text's geometries cannot be related to the storage CRS.
    """
    return _Compiler(source, feature_type, storage, srid, flip).condition(parse(text))


class _Compiler:
    def __init__(self, source: sa.FromClause, feature_type: FeatureType, storage: int, srid: int, flip: bool) -> None:
        self.source = source
        self.type = feature_type
        self.kinds = queryables(feature_type)
        self.storage = storage
        self.srid = srid
        self.flip = flip

    # ------------------------------------------------------------------ conditions

    def condition(self, node: Node) -> sa.ColumnElement[bool]:
        match node:
            case bool():
                return sa.true() if node else sa.false()
            case {"op": "and", "args": [*parts]}:
                return sa.and_(*map(self.condition, parts))
            case {"op": "or", "args": [*parts]}:
                return sa.or_(*map(self.condition, parts))
            case {"op": "not", "args": [inner]}:
                return sa.not_(self.condition(inner))
            case {"op": "isNull", "args": [{"property": str() as name}]}:
                return self.column(name).expression.is_(None)
            case {"op": "between", "args": [value, low, high]}:
                at_least, at_most = self.compare(">=", value, low), self.compare("<=", value, high)
                return sa.and_(at_least, at_most)
            case {"op": "in", "args": [value, [*items]]}:
                return self.among(value, items)
            case {"op": "like", "args": [value, pattern]}:
                return self.like(value, pattern)
            case {"op": str() as op, "args": [left, right]} if op in COMPARISONS:
                return self.compare(op, left, right)
            case {"op": str() as op, "args": [left, right]} if op.lower() in SPATIAL:
                return self.spatial(op.lower(), left, right)
            case {"op": str() as op}:
                known = ", ".join((*COMPARISONS, "BETWEEN, IN, LIKE, IS NULL", *SPATIAL))
                raise InvalidFilter(f"{op[:60]!r} is no condition that is known here; there are {known}")
            case {"property": str() as name}:
                self.column(name)
                raise InvalidFilter(f"{name} alone is no condition; compare it, for example {name} = TRUE")
        raise InvalidFilter("filter is no condition: it must be true or false of an object")

    def compare(self, op: str, left: Node, right: Node) -> sa.ColumnElement[bool]:
        first, second, kind = self.pair(left, right)
        if kind == "string" and op not in ("=", "<>"):
            first = sa.collate(first, "C")  # strings are ordered by code point, whatever the database's locale
        return COMPARISONS[op](first, second)

    def pair(self, left: Node, right: Node) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any], QueryKind]:
        """Give both sides one kind: the one that is not a literal decides."""
        first, second = self.operand(left), self.operand(right)
        if first is None and second is None:
            raise InvalidFilter("a comparison of two constants says nothing about an object; name a property")
        if second is None:
            assert first is not None
            return *_against(first, right), first.kind
        if first is None:
            expression, literal = _against(second, left)
            return literal, expression, second.kind
        if _family(first.kind) != _family(second.kind) or first.kind == "geometry":
            raise InvalidFilter(
                f"{first.name} is {first.kind} and {second.name} is {second.kind}; compare like with like"
            )
        return _as_instant(first, second.kind), _as_instant(second, first.kind), first.kind

    def among(self, value: Node, items: Sequence[Node]) -> sa.ColumnElement[bool]:
        operand = self.required(value)
        if not 1 <= len(items) <= MAX_ITEMS:
            raise InvalidFilter(f"IN takes 1 to {MAX_ITEMS} values, got {len(items)}")
        sides = [_against(operand, item) for item in items]
        if _family(operand.kind) == "time":  # dates and instants may be mixed
            return sa.or_(*(expression == literal for expression, literal in sides))
        return operand.expression.in_([literal for _, literal in sides])

    def like(self, value: Node, pattern: Node) -> sa.ColumnElement[bool]:
        operand = self.required(value)
        folded = isinstance(pattern, dict) and pattern.get("op") == "casei"
        text = pattern["args"][0] if folded and len(pattern["args"]) == 1 else pattern
        if operand.kind != "string" or not isinstance(text, str):
            raise InvalidFilter(f"LIKE needs a string property and a pattern in quotes, got {operand.name}")
        try:
            clean(text)
        except ValueError:
            raise InvalidFilter(f"{text!r} cannot be a pattern") from None
        if (len(text) - len(text.rstrip("\\"))) % 2:
            raise InvalidFilter(f"pattern {text!r} ends with a lone backslash; write two to mean one")
        wanted: sa.ColumnElement[str] = sa.literal(text, sa.Text)
        return operand.expression.like(sa.func.lower(wanted) if folded else wanted)

    # ------------------------------------------------------------------ operands

    def column(self, name: str) -> _Operand:
        kind = self.kinds.get(name)
        if kind is None:
            raise InvalidFilter(f"{self.type.name} has no queryable {name[:60]!r}; it has {', '.join(self.kinds)}")
        return _Operand(name, kind, self.source.c[name])

    def operand(self, node: Node) -> _Operand | None:
        """Return the node as an expression, or None where it is a literal."""
        match node:
            case {"property": str() as name}:
                return self.column(name)
            case {"op": "casei", "args": [str()]}:
                return None
            case {"op": "casei", "args": [inner]}:
                folded = self.required(inner)
                if folded.kind != "string":
                    raise InvalidFilter(f"CASEI needs a string, {folded.name} is {folded.kind}")
                return _Operand(f"CASEI({folded.name})", "string", sa.func.lower(folded.expression))
            case {"op": str() as op}:
                raise InvalidFilter(f"function {op[:60]!r} is not known here; there is CASEI")
        return None

    def required(self, node: Node) -> _Operand:
        operand = self.operand(node)
        if operand is None:
            raise InvalidFilter(f"a property is needed where {str(node)[:60]!r} stands")
        return operand

    # ------------------------------------------------------------------ geometry

    def spatial(self, op: str, left: Node, right: Node) -> sa.ColumnElement[bool]:
        function, meets = SPATIAL[op]
        match left, right:
            case {"property": str() as name}, {"property": str() as other}:
                geoms = self.geometry(op, name), self.geometry(op, other)
                return postgis(function, *geoms, type_=sa.Boolean())
            case {"property": str() as name}, dict():
                return self.related(function, meets, self.geometry(op, name), right)
            case dict(), {"property": str() as name}:
                swapped = {"ST_Within": "ST_Contains", "ST_Contains": "ST_Within"}.get(function, function)
                return self.related(swapped, meets, self.geometry(op, name), left)
        raise InvalidFilter(f"{op} needs the geometry property and a geometry, for example {op}(geom, POINT(117 39))")

    def geometry(self, op: str, name: str) -> sa.ColumnElement[Any]:
        operand = self.column(name)
        if operand.kind != "geometry":
            raise InvalidFilter(f"{op} needs a geometry, {name} is {operand.kind}")
        return operand.expression

    def related(self, function: str, meets: bool, geom: sa.ColumnElement[Any], literal: Node) -> sa.ColumnElement[bool]:
        check_path(self.srid, self.storage)
        shape = Shape(_geometry(literal, self.srid, self.flip), self.srid)
        found = place(shape, self.storage) if meets and self.srid != self.storage else None
        near = (bound(found.step), bound(found.margin)) if found else None
        wkb = sa.literal(shapely.to_wkb(shape.geometry), sa.LargeBinary)
        return relation(function, geom, from_wkb(wkb, self.srid), self.srid, self.storage, near)


def equal(source: sa.FromClause, feature_type: FeatureType, name: str, text: str) -> sa.ColumnElement[bool]:
    """Return the condition that a queryable has the value which a query parameter's text means.

    Raises
    ------
    InvalidFilter : no such queryable, or the text is not of its kind.
    """
    kind = queryables(feature_type).get(name)
    if kind is None or kind == "geometry":
        raise InvalidFilter(f"{feature_type.name} has no property to compare named {name[:60]!r}")
    return source.c[name] == bound(from_text(name, kind, text))


def _against(operand: _Operand, literal: Node) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """Return the operand and a literal as expressions of one kind."""
    if isinstance(literal, dict) and literal.get("op") == "casei":
        text = from_literal(operand.name, operand.kind, literal["args"][0])
        return operand.expression, sa.func.lower(bound(text))
    value = from_literal(operand.name, operand.kind, literal)
    return _as_instant(operand, "datetime" if isinstance(value, datetime) else operand.kind), bound(value)


def _as_instant(operand: _Operand, other: str) -> sa.ColumnElement[Any]:
    if operand.kind == "date" and other == "datetime":
        return sa.func.timezone("UTC", sa.cast(operand.expression, sa.DateTime), type_=sa.DateTime(timezone=True))
    return operand.expression


def _family(kind: QueryKind) -> str:
    return {"integer": "number", "date": "time", "datetime": "time"}.get(kind, kind)


def _geometry(literal: Mapping[str, Any], srid: int, flip: bool) -> shapely.Geometry:
    """Return a literal as a valid geometry in two dimensions, x before y."""
    try:
        geometry = _box(literal["bbox"]) if "bbox" in literal else _shape(literal)
    except (ValueError, TypeError, KeyError, IndexError, shapely.errors.GEOSException) as error:
        raise InvalidFilter(f"not a geometry: {str(error)[:120] or 'malformed'}") from None
    geometry = shapely.force_2d(geometry)
    if flip:
        geometry = shapely.transform(geometry, lambda xy: xy[:, ::-1])
    if shapely.is_empty(geometry):
        raise InvalidFilter("not a geometry: it is empty")
    check_bounds(tuple(shapely.bounds(geometry)), srid)
    if not shapely.is_valid(geometry):
        raise InvalidFilter(f"not a valid geometry: {shapely.is_valid_reason(geometry)}")
    return geometry


def _shape(literal: Mapping[str, Any]) -> shapely.Geometry:
    kind = literal.get("type")
    if kind not in LITERAL_GEOMETRIES:
        raise ValueError(f"{str(kind)[:40]!r} is none of {', '.join(LITERAL_GEOMETRIES)}")
    rings = {"Polygon": [literal["coordinates"]], "MultiPolygon": literal["coordinates"]}.get(kind, [])
    if any(len(ring) < 4 or ring[0] != ring[-1] for polygon in rings for ring in polygon):
        raise ValueError("a ring must end where it began and have at least four positions")
    return shapely.geometry.shape(dict(literal))


def _box(numbers: Sequence[float]) -> shapely.Geometry:
    if len(numbers) not in (4, 6):
        raise ValueError(f"a box has 4 or 6 numbers, got {len(numbers)}")
    half = len(numbers) // 2
    west, south, east, north = (float(n) for n in (*numbers[:2], *numbers[half : half + 2]))
    return box(west, south, east, north)


def box(west: float, south: float, east: float, north: float) -> shapely.Geometry:
    """Return a box as a geometry; west beyond east crosses the antimeridian and gives two.

    Raises
    ------
    ValueError : south lies beyond north.
    """
    if south > north:
        raise ValueError(f"minimum {south:g} is above maximum {north:g}")
    if west > east:
        return shapely.MultiPolygon([shapely.box(west, south, 180.0, north), shapely.box(-180.0, south, east, north)])
    if west == east or south == north:
        corners = [(west, south), (east, north)]
        return shapely.Point(corners[0]) if corners[0] == corners[1] else shapely.LineString(corners)
    return shapely.box(west, south, east, north)


def check_bounds(bounds: Sequence[float], srid: int) -> None:
    """Refuse coordinates that are not finite, or degrees beyond the globe (EPSG:4326 and 4490)."""
    if not all(abs(value) < 1e12 for value in bounds):
        raise InvalidFilter("coordinates must be finite numbers below 1e12")
    if srid in (4326, 4490) and (
        min(bounds[0], bounds[2]) < -180 or max(bounds[0], bounds[2]) > 180 or bounds[1] < -90 or bounds[3] > 90
    ):
        raise InvalidFilter(
            f"coordinates {', '.join(f'{v:g}' for v in bounds)} leave the range of degrees; check the axis order"
        )
