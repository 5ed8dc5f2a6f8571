"""A CQL2 filter as an SQLAlchemy expression over a table, or anything with the same columns.

What the parser lets through (unknown functions and properties, impossible dates, infinity, open rings) is judged
here; operators come from tables, columns from the dictionary, and every value is a bound parameter.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, array

from cim.db.cql2_json import parse_json
from cim.db.cql2_text import Node, parse
from cim.db.literals import COLLECTION, geometry
from cim.db.operands import Operands, against, column_of, family, folded, unfolded
from cim.db.spatial import Shape, check_path, from_wkb, place, postgis, relation
from cim.db.temporal import RELATIONS
from cim.db.temporal import compare as compare_times
from cim.db.values import TYPES, bound, clean, from_text, queryables
from cim.dictionary import FeatureType
from cim.errors import InvalidFilter

MAX_ITEMS = 1000
Encoding = Literal["cql2-text", "cql2-json"]

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
ARRAYS: Mapping[str, Callable[[Any, Any], sa.ColumnElement[bool]]] = {
    "a_contains": lambda a, b: a.contains(b),
    "a_containedby": lambda a, b: a.contained_by(b),
    "a_equals": lambda a, b: sa.and_(a.contains(b), a.contained_by(b)),
    "a_overlaps": lambda a, b: a.overlap(b),
}


def compile_filter(
    text: str,
    source: sa.FromClause,
    feature_type: FeatureType,
    storage: int,
    *,
    srid: int = 4326,
    flip: bool = False,
    encoding: Encoding = "cql2-text",
) -> sa.ColumnElement[bool]:
    """Return the condition that a CQL2 filter states about the rows of `source`.

    Parameters
    ----------
    text : CQL2 in either encoding, of at most 4096 characters and 50 levels
    source : FROM clause with the columns of the feature type
    storage : EPSG code of the stored geometry
    srid, flip : EPSG code of the text's geometries, and whether they are written y before x; default CRS84

    Raises
    ------
    InvalidFilter : it cannot be parsed, names what is not queryable, compares unlike kinds, or is too large.
    CrsError : the text's geometries cannot be related to the storage CRS.
    """
    tree = parse(text) if encoding == "cql2-text" else parse_json(text)
    return _Compiler(source, feature_type, storage, srid, flip).condition(tree)


class _Compiler:
    def __init__(self, source: sa.FromClause, feature_type: FeatureType, storage: int, srid: int, flip: bool) -> None:
        self.operands = Operands(source, feature_type)
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
                return self.operands.column(name).expression.is_(None)
            case {"op": "isNull", "args": [inner]}:
                return self.operands.required(inner).expression.is_(None)
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
            case {"op": str() as op, "args": [left, right]} if op.lower() in RELATIONS:
                return compare_times(self.operands, op.lower(), left, right)
            case {"op": str() as op, "args": [left, right]} if op.lower() in ARRAYS:
                return self.arrays(op.lower(), left, right)
            case {"op": str() as op}:
                known = ", ".join((*COMPARISONS, "BETWEEN, IN, LIKE, IS NULL", *SPATIAL, *RELATIONS, *ARRAYS))
                raise InvalidFilter(f"{op[:60]!r} is no condition that is known here; there are {known}")
            case {"property": str() as name}:
                self.operands.column(name)
                raise InvalidFilter(f"{name} alone is no condition; compare it, for example {name} = TRUE")
        raise InvalidFilter("filter is no condition: it must be true or false of an object")

    def compare(self, op: str, left: Node, right: Node) -> sa.ColumnElement[bool]:
        first, second, kind = self.operands.pair(left, right)
        if kind == "string" and op not in ("=", "<>"):
            first = sa.collate(first, "C")  # strings are ordered by code point, whatever the database's locale
        return COMPARISONS[op](first, second)

    def among(self, value: Node, items: Sequence[Node]) -> sa.ColumnElement[bool]:
        operand = self.operands.required(value)
        if not 1 <= len(items) <= MAX_ITEMS:
            raise InvalidFilter(f"IN takes 1 to {MAX_ITEMS} values, got {len(items)}")
        computed = any(self.operands.operand(item) is not None for item in items)
        if computed or family(operand.kind) == "time":  # dates and instants may be mixed
            return sa.or_(*(self.compare("=", value, item) for item in items))
        return operand.expression.in_([against(operand, item)[1] for item in items])

    def like(self, value: Node, pattern: Node) -> sa.ColumnElement[bool]:
        operand = self.operands.required(value)
        text, folds = unfolded(pattern)
        if operand.kind != "string" or not isinstance(text, str):
            raise InvalidFilter(f"LIKE needs a string property and a pattern in quotes, got {operand.name}")
        try:
            clean(text)
        except ValueError:
            raise InvalidFilter(f"{text!r} cannot be a pattern") from None
        if (len(text) - len(text.rstrip("\\"))) % 2:
            raise InvalidFilter(f"pattern {text!r} ends with a lone backslash; write two to mean one")
        wanted: sa.ColumnElement[str] = sa.literal(text, sa.Text)
        return operand.expression.like(folded(wanted, folds))

    def arrays(self, op: str, left: Node, right: Node) -> sa.ColumnElement[bool]:
        # The parser takes the brackets around a single element away.
        left, right = (side if isinstance(side, list) else [side] for side in (left, right))
        if not (left and right):
            raise InvalidFilter(f"{op} needs arrays that are not empty, for example {op}((name, address), ('x'))")
        if len(left) + len(right) > MAX_ITEMS:
            raise InvalidFilter(f"{op} takes at most {MAX_ITEMS} elements in all")
        sides = [self.operands.array(op, side) for side in (left, right)]
        if len({kind for side in sides for kind, _ in side}) > 1:
            raise InvalidFilter(f"{op} needs elements of one kind")
        kind = TYPES[sides[0][0][0]]
        return ARRAYS[op](*(sa.cast(array([part for _, part in side]), ARRAY(kind)) for side in sides))

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
        operand = self.operands.column(name)
        if operand.kind != "geometry":
            raise InvalidFilter(f"{op} needs a geometry, {name} is {operand.kind}")
        return operand.expression

    def related(self, function: str, meets: bool, geom: sa.ColumnElement[Any], literal: Node) -> sa.ColumnElement[bool]:
        check_path(self.srid, self.storage)
        shape = Shape(geometry(literal, self.srid, self.flip), self.srid)
        if _is_collection(shape) and function not in (
            "ST_Intersects",
            "ST_Disjoint",
        ):
            raise InvalidFilter(f"a {COLLECTION} can be asked for by S_INTERSECTS and S_DISJOINT only")
        found = place(shape, self.storage) if meets and self.srid != self.storage else None
        near = (bound(found.step), bound(found.margin)) if found else None
        wkb = sa.literal(shapely.to_wkb(shape.geometry), sa.LargeBinary)
        return relation(function, geom, from_wkb(wkb, self.srid), self.srid, self.storage, near)


def _is_collection(shape: Shape) -> bool:
    return bool(shapely.get_type_id(shape.geometry) == shapely.GeometryType.GEOMETRYCOLLECTION)


def equal(source: sa.FromClause, feature_type: FeatureType, name: str, text: str) -> sa.ColumnElement[bool]:
    """Return the condition that a queryable has the value which a query parameter's text means.

    Raises
    ------
    InvalidFilter : no such queryable, or the text is not of its kind.
    """
    kind = queryables(feature_type).get(name)
    if kind is None or kind == "geometry":
        raise InvalidFilter(f"{feature_type.name} has no property to compare named {name[:60]!r}")
    return column_of(source, name) == bound(from_text(name, kind, text))
