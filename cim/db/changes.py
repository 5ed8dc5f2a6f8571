"""The changes of one type, leaf by leaf, as finished JSON text: what another system mirrors a collection by."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by

from cim.db import geojson
from cim.db.engine import Database
from cim.db.geojson import Output
from cim.db.sources import held_in
from cim.db.spatial import GEOMETRY, check_path
from cim.dictionary import FeatureType

# Labels that no dictionary can take: a property's name is an identifier.
_ROW = "row number"
_LEAF = sa.table("leaf", sa.column("idx"), sa.column("revision_id"), sa.column("prev"), schema="cim")
_REVISION = sa.table(
    "revision",
    *(sa.column(name) for name in ("id", "type", "code", "rev", "op", "at", "actor", "reason", "dataset")),
    sa.column("body", JSONB),
    sa.column("superseded", JSONB),
    sa.column("geom", GEOMETRY),
    schema="cim",
)
# What a change says of itself, in this order.
_SAID = {
    "leaf": _LEAF.c.idx,
    "prev": _LEAF.c.prev,
    "op": _REVISION.c.op,
    "code": _REVISION.c.code,
    "rev": _REVISION.c.rev,
    "at": sa.func.cim.rfc3339(_REVISION.c.at),
    "by": _REVISION.c.actor,
    "reason": _REVISION.c.reason,
    "dataset": _REVISION.c.dataset,
    "superseded": _REVISION.c.superseded,
}


def select_changes(
    database: Database, type_name: str, since: int, end: int, output: Output, limit: int
) -> sa.Select[Any]:
    """Select the revisions of a type by their leaves, as one row: `changes`, `returned`, `last`, `more`.

    `changes` is JSON objects joined by commas, None where there are none: `leaf`, `prev` (leaf of the object's revision
    before), `op`, `code`, `rev`, `at`, `by`, `reason`, `dataset`, `superseded` (what took over) and `feature`, the
    GeoJSON feature as that revision left it, null where it ended the object. `last` is the last one's leaf.

    Parameters
    ----------
    since, end : leaves from `since` up to but without `end`; every one of them is looked at
    limit : at least 1

    Raises
    ------
    NotFound : no such type. CrsError : the output CRS cannot be reached.
    """
    feature_type = database.dictionary.type(type_name)
    check_path(output.srid, database.settings.srid)
    count = sa.bindparam("limit", limit, sa.Integer)
    page = _page(database, feature_type, since, end).limit(count + 1).subquery("page")
    properties = geojson.properties(page, feature_type, output, held_in(database, end))
    change = sa.select(*(page.c[f"change {name}"].label(name) for name in _SAID)).correlate(page).lateral("change")
    feature = geojson.feature(page, properties, feature_type, output, database.settings.srid)
    text = sa.func.concat(
        sa.func.left(sa.cast(sa.func.to_json(change.table_valued()), sa.Text), -1),
        sa.literal_column("""',"feature":'""", sa.Text),
        sa.case((page.c["change ends"], sa.literal_column("'null'", sa.Text)), else_=feature),
        sa.literal_column("'}'", sa.Text),
        type_=sa.Text,
    )
    within = page.c[_ROW] <= count
    separator = aggregate_order_by(sa.literal_column("','", sa.Text), page.c[_ROW])
    return sa.select(
        sa.func.string_agg(text, separator).filter(within).label("changes"),
        sa.func.count().filter(within).label("returned"),
        sa.func.max(page.c["change leaf"]).filter(within).label("last"),
        (sa.func.count() > count).label("more"),
    ).select_from(page.join(properties, sa.true()).join(change, sa.true()))


def _page(database: Database, feature_type: FeatureType, since: int, end: int) -> sa.Select[Any]:
    """Select the revisions of a type in the order of their leaves, what they left and what they say beside it."""
    return (
        sa.select(
            *_recorded(database, feature_type),
            *(column.label(f"change {name}") for name, column in _SAID.items()),
            _REVISION.c.body.is_(None).label("change ends"),
            sa.func.row_number().over(order_by=_LEAF.c.idx).label(_ROW),
        )
        .select_from(_LEAF.join(_REVISION, _REVISION.c.id == _LEAF.c.revision_id))
        .where(
            _LEAF.c.idx >= sa.bindparam("since", since, sa.BigInteger),
            _LEAF.c.idx < sa.bindparam("end", end, sa.BigInteger),
            _REVISION.c.type == sa.literal(feature_type.name, sa.Text),
        )
        .order_by(_LEAF.c.idx)
    )


def _recorded(database: Database, feature_type: FeatureType) -> list[sa.ColumnElement[Any]]:
    """Return a revision's columns as `geojson.columns` gives a row's, read from its body as the as-of functions do."""
    kinds = {prop.name: prop.kind for prop in feature_type.public_properties} | {"attributes": "object"}
    table = database.table(feature_type.name)
    found: list[sa.ColumnElement[Any]] = [_REVISION.c.code]
    for name, kind in kinds.items():
        value = _REVISION.c.body[name]
        if kind == "string":
            value = value.astext
        elif kind != "object":
            value = sa.cast(value.astext, table.c[name].type)
        found.append(value.label(name))
    if feature_type.geometry is not None:
        found.append(_REVISION.c.geom)
    return found
