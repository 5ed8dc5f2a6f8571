"""What a load did, as shapes on a map: gathered in its transaction, so that a dry run can be drawn, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import orjson
import pyproj
import shapely
import sqlalchemy as sa

from cim import crs
from cim.db.script import query
from cim.errors import CimError

# More objects than this are drawn as counts in the cells of a grid of so many columns.
MOST_SHAPES = 4_000
GRID = 220
# So many of the rejects, and of the objects that were there already, are drawn.
MOST_REJECTS = 2_000
MOST_AROUND = 4_000
# A shape may be off by this share of the map's width.
_DETAIL = 1 / 4_000


@dataclass(frozen=True, slots=True)
class Mark:
    """A record that was not taken: its outline in the storage CRS, what names it, and why."""

    shape: shapely.Geometry
    layer: str
    source_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Picture:
    """What one file did. Coordinates are in the storage CRS, metres.

    Attributes
    ----------
    shapes : outlines by fate: `insert`, `update` or `end`; cells : instead of them, (fate, x, y, number), lower left
        corners of squares of `cell` metres.
    around : outlines of objects that were there and stayed as they were.
    marks : what was rejected, where it has a place; unplaced : how many have none.
    """

    shapes: dict[str, list[shapely.Geometry]] = field(default_factory=dict)
    cells: list[tuple[str, float, float, int]] = field(default_factory=list)
    cell: float = 0.0
    around: list[shapely.Geometry] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    unplaced: int = 0

    def bounds(self) -> tuple[float, float, float, float] | None:
        """Return the box of what was taken and rejected; None where nothing has a place."""
        shapes = [shape for group in self.shapes.values() for shape in group] + [mark.shape for mark in self.marks]
        boxes = [shapely.total_bounds(np.array(shapes, dtype=object))] if shapes else []
        if self.cells:
            corners = np.array([(x, y) for _, x, y, _ in self.cells])
            boxes.append(np.concatenate([corners.min(axis=0), corners.max(axis=0) + self.cell]))
        if not boxes:
            return None
        whole = np.array(boxes)
        west, south = whole[:, :2].min(axis=0).tolist()
        east, north = whole[:, 2:].max(axis=0).tolist()
        return west, south, east, north


def gather(
    connection: sa.Connection, dataset: str, types: Sequence[str], srid: int, ends: Mapping[str, str]
) -> Picture:
    """Return what this transaction did of a file, by its digest, with the objects of its types around it.

    `ends` names, by type, the column whose date ends an object.
    """
    said = {"ends": orjson.dumps(dict(ends)).decode()}
    extent = connection.execute(query("ingest/picture_extent"), said).one()
    marks, unplaced = _marks(connection, dataset, srid)
    picture = Picture(marks=marks, unplaced=unplaced)
    if extent.number:
        width = max(extent.east - extent.west, extent.north - extent.south, 1.0)
        if extent.number > MOST_SHAPES:
            size = width / GRID
            rows = connection.execute(query("ingest/picture_cells"), {"size": size, **said})
            picture = Picture(cells=[tuple(row) for row in rows], cell=size, marks=marks, unplaced=unplaced)
        else:
            for row in connection.execute(query("ingest/picture_shapes"), {"tolerance": width * _DETAIL, **said}):
                picture.shapes.setdefault(row.fate, []).append(shapely.from_wkb(bytes(row.shape)))
    box = picture.bounds()
    if box is not None:
        picture.around.extend(_around(connection, box, types, srid))
    return picture


def _around(
    connection: sa.Connection, box: tuple[float, float, float, float], types: Sequence[str], srid: int
) -> list[shapely.Geometry]:
    width = max(box[2] - box[0], box[3] - box[1], 1.0)
    parameters = {
        **dict(zip(("west", "south", "east", "north"), box, strict=True)),
        "types": list(types),
        "srid": srid,
        "tolerance": width * _DETAIL,
        "most": MOST_AROUND,
    }
    rows = connection.execute(query("ingest/picture_around"), parameters)
    return [shapely.from_wkb(bytes(row.shape)) for row in rows]


def _marks(connection: sa.Connection, dataset: str, srid: int) -> tuple[list[Mark], int]:
    rows = connection.execute(query("ingest/picture_rejects"), {"dataset": dataset, "most": MOST_REJECTS})
    marks: list[Mark] = []
    unplaced = 0
    for row in rows:
        shape = _place(row.geometry, row.system, srid)
        if shape is None:
            unplaced += 1
        else:
            marks.append(Mark(shape, row.layer, row.source_id, row.reason))
    return marks, unplaced


def _place(geometry: Any, system: str | None, srid: int) -> shapely.Geometry | None:
    """Return a reject's geometry in the storage CRS; None where it has none, or none that can be drawn."""
    if geometry is None or system is None:
        return None
    try:
        shape = shapely.from_geojson(orjson.dumps(geometry))
        source, target = _system(system), crs.parse(srid)
        moved = crs.transform_coordinates(shapely.get_coordinates(shape), source, target)
    except (CimError, ValueError, shapely.errors.GEOSException, pyproj.exceptions.ProjError):
        return None
    if not len(moved) or not np.isfinite(moved).all():
        return None
    box = np.concatenate([moved.min(axis=0), moved.max(axis=0)])[np.newaxis]
    if not crs.inside(box, target).all():
        return None
    placed: shapely.Geometry = shapely.set_coordinates(shapely.force_2d(shape), moved)
    return placed


@cache
def _system(text: str) -> pyproj.CRS:
    return crs.parse(text)
