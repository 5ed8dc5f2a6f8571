"""Write one object from a GeoJSON feature: the way in of editors over HTTP.

Every function is one transaction, captured like every other write. Private properties are neither read nor written:
they stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson
import shapely
import sqlalchemy as sa

from cim import codes, crs
from cim.db.engine import Database, told
from cim.db.merge import lock_types
from cim.db.script import query
from cim.db.shapes import stored
from cim.db.spatial import check_path, from_wkb, postgis, transformed
from cim.db.values import clean, day, instant
from cim.dictionary import FeatureType
from cim.errors import CimError, Conflict, Forbidden, InvalidData, NotFound, StaleRevision

Expected = frozenset[int] | Literal["*"] | None
"""The revisions a writer may have seen; `*`: any, but there must be one; None: no matter."""

_MEMBERS = frozenset({"type", "id", "geometry", "properties", "links", "bbox"})
_LOCK_WAIT = "3s"


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes and why, in which CRS (EPSG code, whether y stands before x), and in which divisions only."""

    actor: str | None = None
    reason: str | None = None
    srid: int = 4326
    flip: bool = False
    divisions: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The object written, and the number of its revision: the one before where nothing changed."""

    code: str
    rev: int


def create(database: Database, type_name: str, feature: Mapping[str, Any], author: Author) -> Written:
    """Insert an object; its code is the feature's `id`, or its property `code`.

    Raises
    ------
    InvalidData : no feature, or one that the type cannot hold. InvalidCode : its scheme refuses the code.
    Conflict : the code is taken, was superseded, or the hierarchy does not allow the object.
    DatabaseError : unreachable, or kept busy by another writer.
    """
    feature_type = database.dictionary.type(type_name)
    properties = _checked(feature)
    named = [text for text in (feature.get("id"), properties.get("code")) if text is not None]
    if not named or not isinstance(named[0], str) or named[-1] != named[0]:
        raise InvalidData(f"a new {type_name} needs its code, a string, as id or as property code, and only one")
    code = codes.check_for(feature_type, named[0])
    values = _values(feature_type, properties)
    values |= _geometry(database, feature_type, code, feature.get("geometry"), author)
    table = database.table(type_name)
    with _writing(database, feature_type, author) as connection:
        if _current(connection, table, code) is not None:
            raise Conflict(f"{type_name} {code} is there already; replace or update it")
        statement = sa.insert(table).values(code=code, **values).returning(table.c.rev)
        rev = connection.execute(statement).scalar_one()
        _check_inside(connection, table, code, author)
        return Written(code, rev)


def replace(
    database: Database, type_name: str, code: str, feature: Mapping[str, Any], author: Author, expected: Expected = None
) -> Written:
    """Give an object exactly the properties and geometry of a feature, whose own id says nothing; missing is null.

    Raises
    ------
    As `create`. NotFound : no such object. StaleRevision : it has another revision than expected, or is not there.
    """
    feature_type = database.dictionary.type(type_name)
    given = _values(feature_type, _checked(feature))
    absent = {name: sa.null() for name in (*(p.name for p in feature_type.public_properties), "attributes")}
    values = absent | given | _geometry(database, feature_type, code, feature.get("geometry"), author)
    with _writing(database, feature_type, author) as connection:
        row = _expected(connection, database.table(type_name), code, expected)
        return _update(connection, database.table(type_name), code, row, values, author)


def update(
    database: Database, type_name: str, code: str, patch: Mapping[str, Any], author: Author, expected: Expected = None
) -> Written:
    """Change what a merge patch (RFC 7396) of a feature names: null clears, what is not named stays.

    Raises
    ------
    As `replace`.
    """
    feature_type = database.dictionary.type(type_name)
    properties = _checked({"type": "Feature", "properties": {}, **patch})
    if any(text not in (None, code) for text in (patch.get("id"), properties.get("code"))):
        raise InvalidData(f"{type_name} {code}: a code is never changed in place; supersede it")
    table = database.table(type_name)
    moved = _geometry(database, feature_type, code, patch["geometry"], author) if "geometry" in patch else {}
    nested = {p.name for p in feature_type.public_properties if p.kind == "object"} | {"attributes"}
    with _writing(database, feature_type, author) as connection:
        row = _expected(connection, table, code, expected)
        merged = {n: _patched(getattr(row, n), v) if n in nested else v for n, v in properties.items() if n != "code"}
        return _update(connection, table, code, row, _values(feature_type, merged) | moved, author)


def remove(database: Database, type_name: str, code: str, author: Author, expected: Expected = None) -> Written:
    """Delete an object; its revisions stay.

    Raises
    ------
    Conflict : other objects lie in it. NotFound, StaleRevision, DatabaseError : as `replace`.
    """
    table = database.table(type_name)
    with _writing(database, database.dictionary.type(type_name), author) as connection:
        row = _expected(connection, table, code, expected)
        _check_inside(connection, table, code, author)
        connection.execute(sa.delete(table).where(table.c.code == code))
        return Written(code, row.rev + 1)


# ---------------------------------------------------------------------- one transaction


@contextmanager
def _writing(database: Database, feature_type: FeatureType, author: Author) -> Iterator[sa.Connection]:
    try:
        with told(), database.engine.begin() as connection:
            context = {"actor": author.actor, "reason": author.reason, "dataset": None}
            connection.execute(query("ingest/set_context"), context)
            connection.execute(query("ingest/wait_at_most"), {"wait": _LOCK_WAIT})
            lock_types(connection, [feature_type.name])
            yield connection
            connection.execute(query("hierarchy/check"))
    except (sa.exc.IntegrityError, sa.exc.DataError) as error:
        raise _refused(feature_type, error) from error


def _refused(feature_type: FeatureType, error: sa.exc.DBAPIError) -> CimError:
    """Say what the database refuses in the dictionary's words; messages of our own functions are meant for people."""
    cause: Any = error.orig
    state, constraint, column = cause.sqlstate or "", cause.diag.constraint_name or "", cause.diag.column_name
    if state == "23502":
        return InvalidData(f"{feature_type.name} needs {column}")
    for prop in feature_type.properties:
        if constraint == f"{feature_type.name}_{prop.name}_valid":
            return InvalidData(f"{feature_type.name}.{prop.name} is beyond what its schema allows")
    message = str(cause.diag.message_primary)
    return InvalidData(message) if state == "23514" or state.startswith("22") else Conflict(message)


def _current(connection: sa.Connection, table: sa.Table, code: str) -> Any:
    columns = [column for column in table.c if column.name != "geom"]
    return connection.execute(sa.select(*columns).where(table.c.code == code).with_for_update()).one_or_none()


def _expected(connection: sa.Connection, table: sa.Table, code: str, expected: Expected) -> Any:
    row = _current(connection, table, code)
    if row is None:
        if expected is not None:
            raise StaleRevision(f"{table.name} {code} does not exist, so it has no revision to match")
        raise NotFound(f"{table.name} {code} does not exist")
    if isinstance(expected, frozenset) and row.rev not in expected:
        raise StaleRevision(f"{table.name} {code} has revision {row.rev} by now; read it again and decide anew")
    return row


def _update(
    connection: sa.Connection, table: sa.Table, code: str, row: Any, values: Mapping[str, Any], author: Author
) -> Written:
    _check_inside(connection, table, code, author)
    if not values:
        return Written(code, row.rev)
    statement = sa.update(table).where(table.c.code == code).values(**values).returning(table.c.rev)
    rev = connection.execute(statement).scalar_one_or_none()
    _check_inside(connection, table, code, author)
    return Written(code, row.rev if rev is None else rev)  # no row: nothing changed, so nothing was recorded


def _check_inside(connection: sa.Connection, table: sa.Table, code: str, author: Author) -> None:
    """Hold a writer to their divisions, by the policy that readers are held to: what they could not read, too.

    Raises
    ------
    Forbidden : the object, as it is now, lies elsewhere.
    """
    if author.divisions is None:
        return
    connection.execute(query("access/limit"), {"divisions": ",".join(author.divisions)})
    connection.execute(query("access/limited_role"))
    inside = connection.execute(sa.select(table.c.code).where(table.c.code == code)).one_or_none()
    connection.execute(query("access/own_role"))
    if inside is None:
        raise Forbidden(f"{table.name} {code} lies outside the divisions {', '.join(author.divisions)}")


# ---------------------------------------------------------------------- what a feature says


def _checked(feature: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a GeoJSON feature."""
    unknown = sorted(set(feature) - _MEMBERS)
    if unknown:
        raise InvalidData(f"a feature has no member {unknown[0][:60]!r}; it has {', '.join(sorted(_MEMBERS))}")
    if feature.get("type") != "Feature":
        raise InvalidData(f"expected a GeoJSON Feature, got type {str(feature.get('type'))[:60]!r}")
    properties = feature.get("properties")
    if properties is None and "properties" in feature:
        return {}
    if not isinstance(properties, dict):
        raise InvalidData("the feature's properties must be an object")
    return properties


def _values(feature_type: FeatureType, properties: Mapping[str, Any]) -> dict[str, Any]:
    known = {p.name: p.kind for p in feature_type.public_properties}
    unknown = sorted(properties.keys() - known.keys() - {"code", "attributes"})
    if unknown:
        raise InvalidData(
            f"{feature_type.name} has no public property {unknown[0][:60]!r}; it has {', '.join(known)}; what the "
            "dictionary does not name goes into the object attributes"
        )
    found: dict[str, Any] = {}
    for name, value in properties.items():
        if name == "code":
            continue
        kind = known.get(name, "object")
        try:
            found[name] = sa.null() if value is None else _value(kind, value)
        except (ValueError, OverflowError):
            raise InvalidData(f"{feature_type.name}.{name} must be {kind}, got {str(value)[:60]!r}") from None
    return found


def _value(kind: str, value: Any) -> Any:
    match kind, value:
        case "string", str():
            return clean(value)
        case ("boolean", bool()) | ("object", dict()):
            return value
        case (("integer" | "number"), bool()):
            pass
        case "integer", int() if -(2**63) <= value < 2**63:
            return value
        case "integer", float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case "number", int() | float() if math.isfinite(value):
            return float(value)
        case "date", str():
            return day(value)
        case "datetime", str() if value[10:11] in ("T", "t", " ") and (value[-1] in "Zz" or value[-6] in "+-"):
            return instant(value)
    raise ValueError(value)


def _patched(target: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7396, section 2)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _patched(merged.get(name), value)
    return merged


def _geometry(
    database: Database, feature_type: FeatureType, code: str, document: Any, author: Author
) -> dict[str, Any]:
    if feature_type.geometry is None:
        if document is not None:
            raise InvalidData(f"a {feature_type.name} has no geometry")
        return {}
    shape = None if document is None else _shape(document)
    if shape is None or shapely.is_empty(shape):
        if feature_type.geometry_required:
            raise InvalidData(f"{feature_type.name} {code} needs a geometry")
        return {"geom": sa.null()}
    if author.flip:
        shape = shapely.transform(shape, lambda coordinates: coordinates[:, ::-1])
    srid = database.settings.srid
    crs.check_envelope(tuple(shapely.bounds(shape).tolist()), crs.parse(author.srid))
    placed = np.array([_placed(database, shape, author.srid)], dtype=object)
    (wkb,) = stored(feature_type, placed, crs.parse(srid), srid, [code])
    return {"geom": sa.func.ST_GeomFromWKB(wkb, srid)}


def _placed(database: Database, shape: shapely.Geometry, srid: int) -> shapely.Geometry:
    """Return a shape in the storage CRS, by the very operation it is read out by: written back, it does not move."""
    storage = database.settings.srid
    if srid == storage:
        return shape
    check_path(srid, storage)
    moved = transformed(from_wkb(sa.literal(shapely.to_wkb(shape), sa.LargeBinary), srid), storage)
    try:
        with told(), database.engine.connect() as connection:
            wkb = connection.execute(sa.select(postgis("ST_AsBinary", moved, type_=sa.LargeBinary()))).scalar_one()
    except sa.exc.InternalError as error:
        raise InvalidData(f"geometry has no place in the storage CRS: {error.orig}".splitlines()[0]) from error
    return shapely.from_wkb(bytes(wkb))


def _shape(document: Any) -> shapely.Geometry:
    known = isinstance(document, dict) and document.get("type") not in ("Feature", "FeatureCollection")
    if not known or not ("coordinates" in document or "geometries" in document):
        raise InvalidData('geometry must be a GeoJSON geometry such as {"type": "Point", "coordinates": [117.0, 39.0]}')
    if "crs" in document:
        raise InvalidData("geometry must not name its own CRS; say it in the header Content-Crs")
    try:
        shape = shapely.from_geojson(orjson.dumps(document))
    except shapely.errors.ShapelyError as error:
        raise InvalidData(f"geometry cannot be read: {str(error)[:200]}") from None
    if shapely.has_z(shape):
        raise InvalidData("geometry has heights, and the plan is stored flat; leave out z: heights are properties")
    return shape
