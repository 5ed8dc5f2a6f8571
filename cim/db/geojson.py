"""Features as GeoJSON text, put together by PostGIS: finished, so that Python only passes it on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.sql.selectable import LateralFromClause

from cim.db.spatial import GEOMETRY, postgis, transformed
from cim.dictionary import FeatureType
from cim.errors import InvalidFilter

# Storage snaps to 1 mm. Nine decimals of a degree are below that; seven or eight are not.
DECIMALS_DEGREES = 9
DECIMALS_METRES = 3
References = Literal["key", "uri", "link"]
# Says of a type, and the code of an object of it, whether that object is there in the state that is read.
Held = Callable[[str, sa.ColumnElement[Any]], sa.ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Output:
    """How features leave.

    Attributes
    ----------
    srid, flip, decimals : EPSG code, whether y is written before x, decimals. CRS84 is 4326 unflipped
    properties : names of the public properties wanted, in the order of the dictionary; None for all
    geometry : whether it is wanted
    tolerance : how far a simplified geometry may stray, in metres of the storage CRS; None leaves it as it is
    references : how GeoJSON names other objects: by their code, their address, or an object with address and title;
        one that is not there by its code always
    base : address that the collections lie below; the same statement serves with any
    """

    srid: int = 4326
    flip: bool = False
    decimals: int = DECIMALS_DEGREES
    properties: tuple[str, ...] | None = None
    geometry: bool = True
    tolerance: float | None = None
    references: References = "key"
    base: str = field(default="", compare=False)


def published(feature_type: FeatureType, wanted: tuple[str, ...] | None = None) -> list[str]:
    """Return the names of the properties that may leave, or those of them that are wanted, in their order.

    Raises
    ------
    InvalidFilter : there is no public property of a wanted name.
    """
    names = ["code", *(p.name for p in feature_type.public_properties), "attributes"]
    if wanted is None:
        return names
    if unknown := [name for name in wanted if name not in names]:
        raise InvalidFilter(f"{feature_type.name} has no property {unknown[0][:60]!r}; it has {', '.join(names)}")
    return [name for name in names if name in wanted]


def columns(source: sa.FromClause, feature_type: FeatureType) -> list[sa.ColumnElement[Any]]:
    """Return the columns of `source` that a feature is made of."""
    geometry = [] if feature_type.geometry is None else [sa.type_coerce(source.c.geom, GEOMETRY).label("geom")]
    return [*(source.c[name] for name in published(feature_type)), *geometry]


def properties(rows: sa.Subquery, feature_type: FeatureType, output: Output, held: Held) -> LateralFromClause:
    """Return the wanted properties of each row as something that `to_json` takes."""
    names = published(feature_type, output.properties)
    found: list[sa.ColumnElement[Any]] = [rows.c[name] for name in names]
    if output.references != "key":
        targets = {prop.name: prop.references for prop in feature_type.public_properties if prop.references is not None}
        found = [_reference(rows.c[n], targets[n], output, held).label(n) if n in targets else rows.c[n] for n in names]
    return sa.select(*found).correlate(rows).lateral("properties")


def _reference(code: sa.ColumnElement[Any], target: str, output: Output, held: Held) -> sa.ColumnElement[Any]:
    """Return the reference to an object as its address, or as a link; as the code where it would lead to nothing."""
    base = sa.bindparam("base", output.base, sa.Text)
    items = sa.literal(f"/collections/{target}/items/", sa.Text)
    address = base.concat(items).concat(sa.func.cim.uri_segment(code, type_=sa.Text))
    if output.references == "uri":
        return sa.case((held(target, code), address), else_=code)
    key, value = (sa.literal(name, sa.Text) for name in ("href", "title"))
    link = sa.func.json_build_object(key, address, value, code, type_=JSON)
    return sa.case((held(target, code), link), else_=sa.func.to_json(code, type_=JSON))


def outgoing(
    geom: sa.ColumnElement[Any], feature_type: FeatureType, output: Output, storage: int
) -> sa.ColumnElement[Any]:
    """Return a stored geometry of a type simplified as far as wanted, in the output CRS, x before y."""
    if output.tolerance is not None:
        geom = postgis("ST_SimplifyPreserveTopology", geom, sa.literal(output.tolerance, sa.Double))
        if str(feature_type.geometry).startswith("Multi"):  # simplifying makes one part of a Multi a single
            geom = postgis("ST_Multi", geom)
    return geom if output.srid == storage else transformed(geom, output.srid)


def feature(
    rows: sa.Subquery, properties: LateralFromClause, feature_type: FeatureType, output: Output, storage: int
) -> sa.ColumnElement[str]:
    """Return one feature as text put together by hand: a third cheaper than any json_build function.

    A missing geometry must be coalesced, or it makes the whole text null; options 0 keep ST_AsGeoJSON from adding
    a `crs` member.
    """
    geometry: sa.ColumnElement[str] = sa.literal_column("'null'")
    if feature_type.geometry is not None and output.geometry:
        geom = outgoing(rows.c.geom, feature_type, output, storage)
        if output.flip:
            geom = postgis("ST_FlipCoordinates", geom)
        decimals, options = sa.literal(output.decimals, sa.Integer), sa.literal(0, sa.Integer)
        geometry = sa.func.coalesce(postgis("ST_AsGeoJSON", geom, decimals, options, type_=sa.Text()), geometry)
    return sa.func.concat(
        sa.literal_column("""'{"type":"Feature","id":'""", sa.Text),
        sa.cast(sa.func.to_json(rows.c.code), sa.Text),
        sa.literal_column("""',"geometry":'""", sa.Text),
        geometry,
        sa.literal_column("""',"properties":'""", sa.Text),
        sa.cast(sa.func.to_json(properties.table_valued()), sa.Text),
        sa.literal_column("'}'", sa.Text),
        type_=sa.Text,
    )


def sent(text: sa.ColumnElement[str]) -> sa.ColumnElement[bytes]:
    """Return a text as the bytes that the server sends of it: Python need not decode what it only passes on."""
    return sa.func.textsend(text, type_=sa.LargeBinary)
