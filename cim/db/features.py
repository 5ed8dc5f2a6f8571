"""Select the objects of one type, live or at a tree size, in a box, by a filter, page by page.

Two forms of one selection: rows for GeoDataFrames, and finished GeoJSON text for the API. Everything a caller names
is looked up in the dictionary; everything a caller gives is a bound parameter.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from cim.crs import Bounds
from cim.db import geojson, sorting
from cim.db.engine import Database
from cim.db.filters import Encoding, compile_filter, equal
from cim.db.geojson import Held, Output
from cim.db.literals import box, check_bounds
from cim.db.sorting import Key
from cim.db.sources import held_in, ordered, source_of
from cim.db.spatial import Shape, check_path, from_wkb, place, postgis, relation, srid_of, transformed
from cim.db.tables import SCHEMA
from cim.dictionary import FeatureType
from cim.errors import InvalidFilter, NotFound


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects: all, or those that meet every condition given.

    Attributes
    ----------
    tree_size : state to read; None for the live table
    branch : what is read in place of the city's own objects, `{type: {code: row}}` as JSON text
    bbox, bbox_srid : box, x before y; min x beyond max x crosses the antimeridian; no geometry matches every box
    where, where_encoding : CQL2 filter, and how it is written
    where_srid, where_flip : the EPSG code of its geometries, whether they are y before x
    equal : property name → text of the value it must have
    order : properties to sort by, before the code
    period : first and last day; objects valid on any day between match, undated ones always; None is open
    """

    tree_size: int | None = None
    branch: str | None = None
    bbox: Bounds | None = None
    bbox_srid: int = 4326
    where: str | None = None
    where_srid: int = 4326
    where_flip: bool = False
    where_encoding: Encoding = "cql2-text"
    equal: Mapping[str, str] = field(default_factory=dict)
    period: tuple[date | None, date | None] | None = None
    order: tuple[Key, ...] = ()


def select_rows(
    database: Database,
    type_name: str,
    *,
    bbox: Bounds | None = None,
    bbox_crs: str | int | None = None,
    where: str | None = None,
    tree_size: int | None = None,
    branch: str | None = None,
    properties: Sequence[str] | None = None,
    limit: int | None = None,
) -> sa.Select[Any]:
    """Select rows in code order: `code`, the properties, `geom` as WKB in the storage CRS.

    Parameters
    ----------
    bbox : min x, min y, max x, max y in `bbox_crs` (default: the storage CRS), x before y
    properties : columns wanted, in that order; default all public ones and `attributes`

    Raises
    ------
    NotFound : no such type or property. InvalidFilter : the box, filter or limit cannot be understood.
    CrsError : the box's CRS is unknown or cannot be reached.
    """
    feature_type = database.dictionary.type(type_name)
    if limit is not None and limit < 0:
        raise InvalidFilter(f"limit must be 0 or more, got {limit}")
    srid = database.settings.srid if bbox_crs is None else srid_of(bbox_crs)
    selection = Selection(tree_size=tree_size, branch=branch, bbox=bbox, bbox_srid=srid, where=where)
    source = source_of(database, type_name, tree_size, branch)
    public = [p.name for p in feature_type.public_properties] + ["attributes"]
    wanted = public if properties is None else [n for n in properties if n not in ("code", "geom")]
    unknown = [name for name in wanted if name not in public]
    if unknown:
        raise NotFound(f"{type_name} has no public property {', '.join(unknown)}; it has {', '.join(public)}")
    columns = [source.c[name] for name in ("code", *wanted)]
    if feature_type.geometry is not None:
        columns.append(postgis("ST_AsBinary", source.c.geom, type_=sa.LargeBinary()).label("geom"))
    chosen = sa.select(*columns).where(*conditions(database, feature_type, source, selection))
    return chosen.order_by(ordered(source)).limit(limit)


def select_page(
    database: Database, type_name: str, selection: Selection, limit: int, after: str | None = None
) -> sa.Select[Any]:
    """Select which objects are on one page, in its order: one row of `revisions` and `last`.

    `revisions` is an array of texts, an object's code and revision number each. Where more follow it holds one more;
    where none match it is null. What they look like tells `select_named`: who has seen a revision knows.

    Parameters
    ----------
    after : what `last` of the page before was; null on a page that is not full
    limit : at least 1

    Raises
    ------
    As `select_rows`.
    """
    feature_type = database.dictionary.type(type_name)
    source = source_of(database, type_name, selection.tree_size, selection.branch)
    order = _order(source, feature_type, selection.order)
    names = dict.fromkeys(["code", "rev", *(key.name for key in selection.order)])
    matched = sa.select(*(source.c[name] for name in names), sa.func.row_number().over(order_by=order).label(_ROW))
    matched = matched.where(*conditions(database, feature_type, source, selection))
    if after is not None:
        matched = matched.where(_beyond(source, feature_type, selection.order, after))
    # One more than asked for tells whether there is a next page. A bound limit is a tenth of the table to the planner,
    # which would plan each page anew: the number beside it is one it knows.
    count = sa.bindparam("limit", limit, sa.Integer)
    first = matched.order_by(*order).limit(sa.literal_column(str(most(limit)))).subquery("first")
    page = sa.select(first).where(first.c[_ROW] <= count + 1).limit(count + 1).subquery("page")
    place = sorting.place_of(page, selection.order) if selection.order else page.c.code
    columns: list[sa.ColumnElement[Any]] = [
        sa.func.array_agg(aggregate_order_by(_revision(page), page.c[_ROW])).label("revisions"),
        sa.func.max(place).filter(page.c[_ROW] == count).label("last"),
    ]
    return sa.select(*columns)


def most(limit: int) -> int:
    """Return the power of two above a page's limit: what its statement depends on."""
    return 1 << limit.bit_length()


def select_item(
    database: Database, type_name: str, code: str, tree_size: int | None, output: Output, branch: str | None = None
) -> sa.Select[Any]:
    """Select one object as `feature` (bytes of GeoJSON) and `rev`; no row where there is none.

    Raises
    ------
    NotFound : no such type. CrsError : the output CRS cannot be reached.
    """
    source = source_of(database, type_name, tree_size, branch)
    wanted = ordered(source) == sa.bindparam("code", code, sa.Text)
    found = _found(database, type_name, source, wanted)
    finished = _finished(database, type_name, found, output, held_in(database, tree_size, branch))
    return finished.add_columns(found.c.rev)


def select_named(
    database: Database,
    type_name: str,
    codes: Sequence[str],
    tree_size: int | None,
    output: Output,
    branch: str | None = None,
) -> sa.Select[Any]:
    """Select those objects of the codes that there are, in no order: `feature` as `select_item`, and its `revision`.

    Raises
    ------
    As `select_item`.
    """
    source = source_of(database, type_name, tree_size, branch)
    wanted = ordered(source) == sa.any_(sa.bindparam("codes", list(codes), ARRAY(sa.Text)))
    found = _found(database, type_name, source, wanted)
    finished = _finished(database, type_name, found, output, held_in(database, tree_size, branch))
    return finished.add_columns(_revision(found).label("revision"))


def _found(database: Database, type_name: str, source: sa.FromClause, wanted: sa.ColumnElement[bool]) -> sa.Subquery:
    columns = geojson.columns(source, database.dictionary.type(type_name))
    return sa.select(*columns, source.c.rev).where(wanted).subquery("found")


def _finished(database: Database, type_name: str, found: sa.Subquery, output: Output, held: Held) -> sa.Select[Any]:
    feature_type = database.dictionary.type(type_name)
    check_path(output.srid, database.settings.srid)
    properties = geojson.properties(found, feature_type, output, held)
    text = geojson.feature(found, properties, feature_type, output, database.settings.srid)
    return sa.select(geojson.sent(text).label("feature")).select_from(found.join(properties, sa.true()))


def _revision(rows: sa.Subquery) -> sa.ColumnElement[str]:
    """Return which revision of which object a row is; of a branch's rows that never were one, the code alone."""
    return sa.func.concat(rows.c.code, sa.literal_column("' '", sa.Text), rows.c.rev, type_=sa.Text)


def code_of(revision: str) -> str:
    """Return the code of the object that a revision is of."""
    return revision.rpartition(" ")[0]


def select_features(
    database: Database, type_name: str, selection: Selection, output: Output, limit: int | None, after: str | None
) -> sa.Select[Any]:
    """Select each object as `feature` (GeoJSON text), in the selection's order.

    Raises
    ------
    As `select_rows`.
    """
    feature_type = database.dictionary.type(type_name)
    rows = _wanted(database, feature_type, selection, limit, after).subquery("rows")
    properties = geojson.properties(
        rows, feature_type, output, held_in(database, selection.tree_size, selection.branch)
    )
    text = geojson.feature(rows, properties, feature_type, output, database.settings.srid)
    chosen = sa.select(text.label("feature")).select_from(rows.join(properties, sa.true()))
    return chosen.order_by(*_order(rows, feature_type, selection.order))


def select_columns(
    database: Database, type_name: str, selection: Selection, output: Output, limit: int | None, after: str | None
) -> sa.Select[Any]:
    """Select `code`, the wanted properties (objects as JSON text) and `geom` (WKB, x before y), in its order.

    Raises
    ------
    As `select_rows`.
    """
    feature_type = database.dictionary.type(type_name)
    rows = _wanted(database, feature_type, selection, limit, after).subquery("rows")
    nested = {p.name for p in feature_type.public_properties if p.kind == "object"} | {"attributes"}
    names = dict.fromkeys(["code", *geojson.published(feature_type, output.properties)])
    found = [sa.cast(rows.c[n], sa.Text).label(n) if n in nested else rows.c[n] for n in names]
    if feature_type.geometry is not None and output.geometry:
        geom = geojson.outgoing(rows.c.geom, feature_type, output, database.settings.srid)
        found.append(postgis("ST_AsBinary", geom, type_=sa.LargeBinary()).label("geom"))
    return sa.select(*found).order_by(*_order(rows, feature_type, selection.order))


def _wanted(
    database: Database, feature_type: FeatureType, selection: Selection, limit: int | None, after: str | None
) -> sa.Select[Any]:
    source = source_of(database, feature_type.name, selection.tree_size, selection.branch)
    wanted = sa.select(*geojson.columns(source, feature_type))
    wanted = wanted.where(*conditions(database, feature_type, source, selection))
    if after is not None:
        wanted = wanted.where(_beyond(source, feature_type, selection.order, after))
    return wanted.order_by(*_order(source, feature_type, selection.order)).limit(limit)


def _order(source: sa.FromClause, feature_type: FeatureType, keys: tuple[Key, ...]) -> list[sa.ColumnElement[Any]]:
    sorting.check(feature_type, keys)
    return sorting.ordering(source, feature_type, keys) if keys else [ordered(source)]


def _beyond(
    source: sa.FromClause, feature_type: FeatureType, keys: tuple[Key, ...], after: str
) -> sa.ColumnElement[bool]:
    if keys:
        return sorting.beyond(source, feature_type, keys, after)
    return ordered(source) > sa.bindparam("after", after, sa.Text)


def select_count(database: Database, type_name: str, selection: Selection) -> sa.Select[Any]:
    """Select the number of objects a selection matches.

    Raises
    ------
    As `select_rows`.
    """
    feature_type = database.dictionary.type(type_name)
    sorting.check(feature_type, selection.order)
    source = source_of(database, type_name, selection.tree_size, selection.branch)
    matching = conditions(database, feature_type, source, selection)
    return sa.select(sa.func.count().label("matched")).select_from(source).where(*matching)


def select_extents(database: Database) -> sa.CompoundSelect[Any] | None:
    """Select `type`, `xmin`, `ymin`, `xmax`, `ymax` per type with geometry, in CRS84; null where it has no object.

    From the root of the spatial index: at once, and never smaller than the data. None where no type has geometry.
    """
    srid = sa.literal(database.settings.srid, sa.Integer)
    selects = []
    for name, feature_type in database.dictionary.types.items():
        if feature_type.geometry is None:
            continue
        extent = postgis("ST_EstimatedExtent", *(sa.literal(part, sa.Text) for part in (SCHEMA, name, "geom")))
        envelope = postgis("ST_SetSRID", postgis("geometry", extent), srid)
        densified = postgis("ST_Segmentize", envelope, sa.literal(10_000.0, sa.Double))
        geographic = sa.select(transformed(densified, 4326).label("g")).subquery(name)
        corners = (
            getattr(sa.func, f"ST_{c}")(geographic.c.g, type_=sa.Double) for c in ("XMin", "YMin", "XMax", "YMax")
        )
        selects.append(sa.select(sa.literal(name, sa.Text), *corners))
    return sa.union_all(*selects) if selects else None


def shape(database: Database, selection: Selection) -> tuple[Hashable, dict[str, object]] | None:
    """Return what the statement of a selection depends on, and the values it can be run again with.

    A statement compiled for an equal shape serves with other values: compiling takes longer than reading a page.
    None where filters make each statement its own.
    """
    if selection.where is not None or selection.equal or selection.period is not None or selection.order:
        return None
    values: dict[str, object] = {}
    if selection.bbox is not None:
        values = _box_values(selection.bbox, selection.bbox_srid, database.settings.srid)
    if selection.tree_size is not None:
        values["tree_size"] = selection.tree_size
    if selection.branch is not None:
        values["branch"] = selection.branch
    return (*values, selection.bbox_srid), values


def conditions(
    database: Database, feature_type: FeatureType, source: sa.FromClause, selection: Selection
) -> list[sa.ColumnElement[bool]]:
    """Return what a selection asks of the rows of `source`.

    Raises
    ------
    As `select_rows`.
    """
    storage = database.settings.srid
    found = [equal(source, feature_type, name, text) for name, text in selection.equal.items()]
    if selection.where is not None:
        found.append(
            compile_filter(
                selection.where,
                source,
                feature_type,
                storage,
                srid=selection.where_srid,
                flip=selection.where_flip,
                encoding=selection.where_encoding,
            )
        )
    if selection.bbox is not None:
        values = _box_values(selection.bbox, selection.bbox_srid, storage)
        found += _in_box(feature_type, source, values, selection.bbox_srid, storage)
    if selection.period is not None:
        found += _valid(feature_type, source, *selection.period)
    return found


# ---------------------------------------------------------------------- conditions


def _box_values(bbox: Bounds, srid: int, storage: int) -> dict[str, object]:
    """Return the values of a box's bind parameters; none where the box is the whole globe and asks nothing."""
    check_path(srid, storage)
    check_bounds(bbox, srid)
    try:
        shape = Shape(box(*bbox), srid)
    except ValueError as error:
        raise InvalidFilter(f"bbox {', '.join(f'{v:g}' for v in bbox)}: {error}") from None
    if srid in (4326, 4490) and bbox == (-180.0, -90.0, 180.0, 90.0):
        return {}
    values: dict[str, object] = {"bbox": shapely.to_wkb(shape.geometry)}
    found = place(shape, storage) if srid != storage else None
    if found is not None:
        values |= {"bbox_step": found.step, "bbox_margin": found.margin}
    return values


def _in_box(
    feature_type: FeatureType, source: sa.FromClause, values: Mapping[str, object], srid: int, storage: int
) -> list[sa.ColumnElement[bool]]:
    """Objects that truly meet the box in its CRS; those without geometry meet every box."""
    if feature_type.geometry is None or not values:
        return []
    near = None
    if "bbox_step" in values:
        near = _named("bbox_step", values, sa.Double()), _named("bbox_margin", values, sa.Double())
    literal = from_wkb(_named("bbox", values, sa.LargeBinary()), srid)
    meets = relation("ST_Intersects", source.c.geom, literal, srid, storage, near, is_box=True)
    return [meets if feature_type.geometry_required else sa.or_(meets, source.c.geom.is_(None))]


def _named(name: str, values: Mapping[str, object], kind: sa.types.TypeEngine[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(name, values[name], kind)


def _valid(
    feature_type: FeatureType, source: sa.FromClause, first: date | None, last: date | None
) -> list[sa.ColumnElement[bool]]:
    """Objects valid on some day from first to last. Their own end is the first day they are not; missing is open."""
    roles = {p.role: source.c[p.name] for p in feature_type.public_properties if p.role}
    begins, ends = roles.get("primary-interval-start"), roles.get("primary-interval-end")
    found: list[sa.ColumnElement[bool]] = []
    if begins is not None and last is not None:
        found.append(sa.or_(begins.is_(None), begins <= sa.literal(last, sa.Date)))
    if ends is not None and first is not None:
        found.append(sa.or_(ends.is_(None), ends > sa.literal(first, sa.Date)))
    return found


# ---------------------------------------------------------------------- columns

# A label no dictionary can take: a property's name is an identifier.
_ROW = "row number"
