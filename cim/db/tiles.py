"""Vector tiles of WebMercatorQuad, made by PostGIS from the live table or from any tree size.

From zoom level 14 on a tile holds every object it meets, from 15 on with what each has of its own, as its name. Below,
columns go first, then objects: the largest of each tile stay, of points one to each cell of four pixels, so that a city
seen from afar is a map and not a blot.

Source
------
OGC 17-083r4 (tile matrix set WebMercatorQuad); Mapbox Vector Tile Specification 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from cim.crs import Bounds
from cim.db.engine import Database
from cim.db.features import Selection, conditions
from cim.db.geojson import published
from cim.db.sources import source_of
from cim.db.spatial import GEOMETRY, around, check_path, place_of_box, postgis, transformed
from cim.dictionary import FeatureType
from cim.errors import NotFound

SRID = 3857
RADIUS = 6_378_137.0  # metres, of its sphere
# Half the equator: where WebMercatorQuad ends on all sides.
EDGE = math.pi * RADIUS
MAX_ZOOM = 22
FULL_ZOOM = 14
# A tile has each value once: those that are another for each object take an eighth of the time of a tile of thousands,
# where a building is two pixels wide.
OWN_ZOOM = 15
# Below FULL_ZOOM: about 150 KB of buildings before compression.
MOST = 5_000
EXTENT = 4096
# Seen from afar, below OWN_ZOOM, a quarter of a pixel: corners go that nobody sees, in some cities a third of the time.
FAR_EXTENT = 1024
_MARGIN = 64  # of the extent is the buffer beyond each edge
_CELL = 4  # pixels between points that stay
_STRAY = 0.5  # steps of the grid: as far as rounding to it moves a corner
_FEW = 10  # corners of most buildings, the first twice; of more it would seldom be certain that they stay simple
_PLANE = ("a", "b", "d", "e", "x", "y")
_PIXELS = 256


@dataclass(frozen=True)
class Tile:
    """A tile: zoom level, row from the north, column from the west.

    Raises
    ------
    NotFound : WebMercatorQuad has no such tile to zoom level 22.
    """

    zoom: int
    row: int
    column: int

    def __post_init__(self) -> None:
        count = 1 << self.zoom if 0 <= self.zoom <= MAX_ZOOM else 0
        if not (0 <= self.row < count and 0 <= self.column < count):
            raise NotFound(
                f"there is no tile {self.zoom}/{self.row}/{self.column}: expected tileMatrix 0 to {MAX_ZOOM}, "
                "tileRow and tileCol from 0 to below 2 to the power of tileMatrix"
            )

    @property
    def side(self) -> float:
        """Metres of EPSG:3857 from edge to edge."""
        return 2 * EDGE / (1 << self.zoom)

    @property
    def buffer(self) -> float:
        """Metres of EPSG:3857 beyond each edge."""
        return self.side / _MARGIN

    @property
    def extent(self) -> int:
        """Steps of its grid from edge to edge."""
        return EXTENT if self.zoom >= OWN_ZOOM else FAR_EXTENT

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north in EPSG:3857, metres, with the buffer around it."""
        side, more = self.side, self.buffer
        west, north = self.column * side - EDGE, EDGE - self.row * side
        return west - more, north - side - more, west + side + more, north + more

    @property
    def degrees(self) -> Bounds:
        """The same in degrees."""
        west, south, east, north = self.bounds
        return math.degrees(west / RADIUS), _latitude(south), math.degrees(east / RADIUS), _latitude(north)

    @property
    def pixel(self) -> float:
        """Metres on the ground of one of 256 pixels, in the middle of the tile."""
        _, south, _, north = self.bounds
        return self.side / _PIXELS * math.cos(math.radians(_latitude((south + north) / 2)))


def _latitude(y: float) -> float:
    return math.degrees(math.atan(math.sinh(y / RADIUS)))


def tile_at(zoom: int, x: float, y: float) -> Tile:
    """Return the tile of a zoom level that a point of EPSG:3857 lies in, the nearest where it lies beyond the edge."""
    count = 1 << zoom
    side = 2 * EDGE / count
    column, row = (min(max(int((at + EDGE) / side), 0), count - 1) for at in (x, -y))
    return Tile(zoom, row, column)


def columns_of(feature_type: FeatureType, zoom: int, wanted: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Return the columns of a tile: the code, and what maps are coloured and labelled by.

    Values of codelists always; from zoom level 14 on whole numbers, as years and storeys; from 15 on also the name and
    what is measured. `wanted` replaces them.

    Raises
    ------
    InvalidFilter : there is no public property of a wanted name.
    """
    if wanted is not None:
        return tuple(dict.fromkeys(["code", *published(feature_type, wanted)]))
    names = ["code"]
    for prop in feature_type.public_properties:
        own = prop.kind == "number" or prop.name == "name"
        shown = (zoom >= FULL_ZOOM and prop.kind == "integer") or (zoom >= OWN_ZOOM and own)
        if prop.codelist is not None or shown:
            names.append(prop.name)
    return tuple(names)


def values_of(database: Database, tile: Tile) -> dict[str, object]:
    """Return the values of a tile's statement; without `tile_step` where the index cannot be asked."""
    storage = database.settings.srid
    check_path(SRID, storage)
    values: dict[str, object] = {"zoom": tile.zoom, "row": tile.row, "column": tile.column}
    values |= {"extent": tile.extent, "edge": tile.extent // _MARGIN}
    if tile.zoom < FULL_ZOOM:
        values["cell"] = tile.pixel * _CELL
    found = place_of_box(tile.bounds, tile.degrees, storage) if storage != SRID else None
    if found is not None:
        values |= {"tile_buffer": tile.buffer, "tile_step": found.step, "tile_margin": found.margin}
        values["tile_stray"] = tile.side / EXTENT * _STRAY
        west, _, _, north = tile.bounds
        values |= {"tile_west": west + tile.buffer, "tile_north": north - tile.buffer}
        values["tile_scale"] = tile.extent / tile.side
    return values


def select_tile(
    database: Database, type_name: str, selection: Selection, values: Mapping[str, object], columns: tuple[str, ...]
) -> sa.Select[Any]:
    """Select a tile as `tile` (bytes; none of them where nothing is in it). The same state gives the same bytes.

    Parameters
    ----------
    selection : which objects; its box is not looked at
    values, columns : what `values_of` and `columns_of` gave

    Raises
    ------
    NotFound : no such type, or it has no geometry. InvalidFilter, CrsError : as `features.select_rows`.
    """
    feature_type = database.dictionary.type(type_name)
    if feature_type.geometry is None:
        raise NotFound(f"{type_name} has no geometry, so there are no tiles of it")
    source = source_of(database, type_name, selection.tree_size, selection.branch)
    geom = sa.type_coerce(source.c.geom, GEOMETRY)
    numbers = [sa.bindparam(name, values[name], sa.Integer) for name in ("zoom", "column", "row")]
    box, near = postgis("ST_TileEnvelope", *numbers), None
    if "tile_step" in values:
        buffer, step, margin = (_number(f"tile_{name}", values) for name in ("buffer", "step", "margin"))
        near = around(postgis("ST_Expand", box, buffer), step, margin, database.settings.srid)
    rows: sa.Select[Any] = sa.select(*(source.c[name] for name in columns), geom.label("geom"))
    rows = rows.where(*conditions(database, feature_type, source, selection), geom.is_not(None))
    if near is not None:  # the index finds what may meet the tile; drawing it tells exactly
        rows = rows.where(geom.op("&&", is_comparison=True)(near))
    if "cell" in values:
        rows = _thinned(rows, source, geom, feature_type, values)
    chosen, drawn = _drawn(database, feature_type, rows, box, values)
    # MVT has no objects inside: those leave as JSON text. What falls between the points of the grid is drawn as null,
    # and ST_AsMVT passes it over; a condition here would have everything drawn twice.
    texts = [_plain(chosen.c[name], feature_type, name).label(name) for name in columns]
    kept = sa.select(*texts, drawn.label("geom")).subquery("kept")
    record: Any = sa.literal_column("kept.*")
    ordered = aggregate_order_by(sa.literal("geom", sa.Text), sa.collate(kept.c.code, "C"))
    extent = sa.bindparam("extent", values["extent"], sa.Integer)
    tile = postgis("ST_AsMVT", record, sa.literal(type_name, sa.Text), extent, ordered, type_=sa.LargeBinary())
    return sa.select(tile.label("tile")).select_from(kept)


def _drawn(
    database: Database,
    feature_type: FeatureType,
    rows: sa.Select[Any],
    box: sa.ColumnElement[Any],
    values: Mapping[str, object],
) -> tuple[sa.Subquery, sa.ColumnElement[Any]]:
    """Return objects, and how each is drawn in steps of the tile's grid."""
    chosen = rows.subquery("chosen")
    extent, edge = (sa.bindparam(name, values[name], sa.Integer) for name in ("extent", "edge"))
    # As a query of its own it is made once: in a plan kept for any tile it would be made for each object.
    bounds = sa.select(postgis("box2d", box)).scalar_subquery()

    def drawn(shape: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return postgis("ST_AsMVTGeom", shape, bounds, extent, edge, sa.true())

    if "tile_step" not in values:
        return chosen, drawn(transformed(chosen.c.geom, SRID))
    plane = _plane(database, box, values)
    placed = sa.select(chosen, plane).select_from(chosen.join(plane, sa.true()))
    areas = feature_type.geometry == "MultiPolygon"
    if areas:
        few = postgis("ST_NPoints", chosen.c.geom, type_=sa.Integer()) <= _FEW
        steps = postgis("ST_SnapToGrid", _affine(chosen.c.geom, plane, "steps"), 1)
        placed = placed.add_columns(sa.case((sa.and_(_inside(chosen.c.geom, plane), few), steps)).label("on grid"))
    # Without OFFSET what is on the grid is made wherever it is looked at.
    objects = placed.offset(0).subquery("objects")
    flat, exact = _affine(objects.c.geom, objects, "plane"), transformed(objects.c.geom, SRID)
    anyhow = drawn(sa.case((_inside(objects.c.geom, objects), flat), else_=exact))
    if not areas:
        return objects, anyhow
    # ST_AsMVTGeom makes valid whatever comes, a third of the time of a tile; of most buildings it is certain before.
    as_it_is = postgis("ST_ForcePolygonCCW", objects.c["on grid"])
    return objects, sa.case((sa.func.cim.surely_simple(objects.c["on grid"]), as_it_is), else_=anyhow)


def _inside(geom: sa.ColumnElement[Any], plane: sa.Subquery) -> sa.ColumnElement[bool]:
    return geom.op("@", is_comparison=True)(plane.c["plane within"])


def _affine(geom: sa.ColumnElement[Any], plane: sa.Subquery, to: str) -> sa.ColumnElement[Any]:
    return postgis("ST_Affine", geom, *(plane.c[f"{to} {name}"] for name in _PLANE))


def _number(name: str, values: Mapping[str, object]) -> sa.BindParameter[float]:
    return sa.bindparam(name, values[name], sa.Double)


def _plane(database: Database, box: sa.ColumnElement[Any], values: Mapping[str, object]) -> sa.Subquery:
    """Give what takes coordinates to the tile in a tenth of the time of a projection: exactly enough for its grid.

    To metres as `plane …`, to steps from its corner in the north-west as `steps …`. For what lies within the tile: what
    two of them show must lie at one place in both.
    """
    srid = sa.literal(database.settings.srid, sa.Integer)
    called = sa.func.cim.plane_of_box(box, srid, _number("tile_stray", values))
    found = called.table_valued(*(sa.column(name, GEOMETRY) for name in ("within", *_PLANE))).alias("found")
    west, north, scale = (_number(f"tile_{name}", values) for name in ("west", "north", "scale"))
    a, b, d, e, x, y = (found.c[name] for name in _PLANE)
    steps = (a * scale, b * scale, -d * scale, -e * scale, (x - west) * scale, (north - y) * scale)
    metres = [found.c[name].label(f"plane {name}") for name in ("within", *_PLANE)]
    # OFFSET: once, and not for each object.
    row = sa.select(*metres, *(step.label(f"steps {name}") for name, step in zip(_PLANE, steps, strict=True)))
    return row.offset(0).subquery("plane")


def _thinned(
    rows: sa.Select[Any],
    source: sa.FromClause,
    geom: sa.ColumnElement[Any],
    feature_type: FeatureType,
    values: Mapping[str, object],
) -> sa.Select[Any]:
    code = sa.collate(source.c.code, "C")
    if feature_type.geometry == "Point":
        cell = postgis("ST_SnapToGrid", geom, _number("cell", values))
        first = sa.func.row_number().over(partition_by=cell, order_by=code)
        numbered = rows.add_columns(first.label("in cell")).subquery("numbered")
        kept = [column for column in numbered.c if column.name != "in cell"]
        return sa.select(*kept).where(numbered.c["in cell"] == 1).order_by(sa.collate(numbered.c.code, "C")).limit(MOST)
    size = postgis("ST_Length" if "Line" in str(feature_type.geometry) else "ST_Area", geom, type_=sa.Double())
    return rows.order_by(size.desc(), code).limit(MOST)


def _plain(column: sa.ColumnElement[Any], feature_type: FeatureType, name: str) -> sa.ColumnElement[Any]:
    kind = {prop.name: prop.kind for prop in feature_type.public_properties}.get(name, "string")
    nested = kind in ("object", "date", "datetime") or name == "attributes"
    return sa.cast(column, sa.Text) if nested else column
