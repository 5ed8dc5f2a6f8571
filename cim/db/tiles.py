"""Vector tiles of WebMercatorQuad, made by PostGIS from the live table or from any tree size.

From zoom level 14 on a tile holds every object it meets. Below, columns go first, then objects: the largest of each
tile stay, of points one to each cell of four pixels, so that a city seen from afar is a map and not a blot.

Source
------
OGC 17-083r4 (tile matrix set WebMercatorQuad); Mapbox Vector Tile Specification 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from cim.crs import Bounds
from cim.db.engine import Database
from cim.db.features import Selection, conditions, source_of
from cim.db.geojson import published
from cim.db.spatial import GEOMETRY, Shape, check_path, from_wkb, place, postgis, transformed
from cim.dictionary import FeatureType
from cim.errors import NotFound

SRID = 3857
# Half the equator of the sphere of radius 6,378,137 m: where WebMercatorQuad ends on all sides.
EDGE = math.pi * 6_378_137.0
MAX_ZOOM = 22
FULL_ZOOM = 14
# Below FULL_ZOOM: about 150 KB of buildings before compression.
MOST = 5_000
EXTENT = 4096
BUFFER = 64
_CELL = 4  # pixels between points that stay
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

    @cached_property
    def bounds(self) -> Bounds:
        """West, south, east, north in EPSG:3857, metres, with the buffer around it."""
        side = 2 * EDGE / (1 << self.zoom)
        west, north = self.column * side - EDGE, EDGE - self.row * side
        more = side * BUFFER / EXTENT
        return west - more, north - side - more, west + side + more, north + more

    @property
    def pixel(self) -> float:
        """Metres on the ground of one of 256 pixels, in the middle of the tile."""
        _, south, _, north = self.bounds
        latitude = math.atan(math.sinh((south + north) / 2 / 6_378_137.0))
        return 2 * EDGE / (1 << self.zoom) / _PIXELS * math.cos(latitude)


def tile_at(zoom: int, x: float, y: float) -> Tile:
    """Return the tile of a zoom level that a point of EPSG:3857 lies in, the nearest where it lies beyond the edge."""
    count = 1 << zoom
    side = 2 * EDGE / count
    column, row = (min(max(int((at + EDGE) / side), 0), count - 1) for at in (x, -y))
    return Tile(zoom, row, column)


def columns_of(feature_type: FeatureType, zoom: int, wanted: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Return the columns of a tile: the code, and what maps are coloured and labelled by.

    Values of codelists always; from zoom level 14 on also the name and all numbers. `wanted` replaces them.

    Raises
    ------
    InvalidFilter : there is no public property of a wanted name.
    """
    if wanted is not None:
        return tuple(dict.fromkeys(["code", *published(feature_type, wanted)]))
    names = ["code"]
    for prop in feature_type.public_properties:
        close = prop.kind in ("integer", "number") or prop.name == "name"
        if prop.codelist is not None or (zoom >= FULL_ZOOM and close):
            names.append(prop.name)
    return tuple(names)


def values_of(database: Database, tile: Tile) -> dict[str, object]:
    """Return the values of a tile's statement; without `tile_step` where the index cannot be asked."""
    storage = database.settings.srid
    check_path(SRID, storage)
    shape = Shape(shapely.box(*tile.bounds), SRID)
    values: dict[str, object] = {"zoom": tile.zoom, "row": tile.row, "column": tile.column}
    if tile.zoom < FULL_ZOOM:
        values["cell"] = tile.pixel * _CELL
    found = place(shape, storage) if storage != SRID else None
    if found is not None:
        values |= {"tile": shapely.to_wkb(shape.geometry), "tile_step": found.step, "tile_margin": found.margin}
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
    rows = sa.select(*(source.c[name] for name in columns), geom.label("geom"))
    rows = rows.where(*conditions(database, feature_type, source, selection), *_near(database, geom, values))
    if "cell" in values:
        rows = _thinned(rows, source, geom, feature_type, values)
    chosen = rows.subquery("chosen")
    numbers = [sa.bindparam(name, values[name], sa.Integer) for name in ("zoom", "column", "row")]
    drawn = postgis(
        "ST_AsMVTGeom",
        transformed(chosen.c.geom, SRID),
        postgis("ST_TileEnvelope", *numbers),
        *(sa.literal(number, sa.Integer) for number in (EXTENT, BUFFER)),
        sa.true(),
    )
    # MVT has no objects inside: those leave as JSON text. What falls between the points of the grid is drawn as null,
    # and ST_AsMVT passes it over; a condition here would have everything drawn twice.
    texts = [_plain(chosen.c[name], feature_type, name).label(name) for name in columns]
    kept = sa.select(*texts, drawn.label("geom")).subquery("kept")
    record: Any = sa.literal_column("kept.*")
    arguments = (sa.literal(type_name, sa.Text), sa.literal(EXTENT, sa.Integer), sa.literal("geom", sa.Text))
    ordered = aggregate_order_by(arguments[-1], sa.collate(kept.c.code, "C"))
    tile = postgis("ST_AsMVT", record, *arguments[:2], ordered, type_=sa.LargeBinary())
    return sa.select(tile.label("tile")).select_from(kept)


def _near(
    database: Database, geom: sa.ColumnElement[Any], values: Mapping[str, object]
) -> list[sa.ColumnElement[bool]]:
    """Ask the index for what may meet the tile; drawing it tells exactly."""
    found: list[sa.ColumnElement[bool]] = [geom.is_not(None)]
    if "tile" in values:
        box = from_wkb(sa.bindparam("tile", values["tile"], sa.LargeBinary), SRID)
        step, margin = (sa.bindparam(name, values[name], sa.Double) for name in ("tile_step", "tile_margin"))
        curved = transformed(postgis("ST_Segmentize", box, step), database.settings.srid)
        around = postgis("ST_Expand", postgis("ST_Envelope", curved), margin)
        found.append(geom.op("&&", is_comparison=True)(around))
    return found


def _thinned(
    rows: sa.Select[Any],
    source: sa.FromClause,
    geom: sa.ColumnElement[Any],
    feature_type: FeatureType,
    values: Mapping[str, object],
) -> sa.Select[Any]:
    code = sa.collate(source.c.code, "C")
    if feature_type.geometry == "Point":
        cell = postgis("ST_SnapToGrid", geom, sa.bindparam("cell", values["cell"], sa.Double))
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
