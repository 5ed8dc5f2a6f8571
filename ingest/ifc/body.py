"""The outside of a building as files of its own: glTF to look at, CityJSON to work with.

The CityJSON feature has the building twice: as LoD1 blocks, one for each part of the footprint, as high as 70 in 100
of its roof; and as an LoD3 surface, all triangles that can be reached from outdoors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from cim import crs
from cim.files import Keep
from ingest.city3d.feature import CityObject, Feature, Frame
from ingest.city3d.keep import header, keep_all
from ingest.georeference import Placement
from ingest.shell import to_glb, weld

# One vertex for all corners that fall on one point of this grid, metres.
_GRID = 0.001


def keep_body(
    record: Mapping[str, Any], name: str, placement: Placement | None, storage: pyproj.CRS | None, keep: Keep
) -> tuple[str | None, str | None]:
    """Keep both files of a building and return their digests: CityJSON feature, glTF.

    Parameters
    ----------
    record : of the building as `process.run` gives it
    name : of the object in both files
    placement : None leaves out the CityJSON, and gives the glTF in coordinates of the model
    storage : CRS that the coordinates are given in; None takes that of the placement
    """
    triangles = record["shell"]
    if triangles is None or not len(triangles):
        return None, None
    local = triangles.reshape(-1, 3)
    if placement is None:
        return None, keep(to_glb(triangles, np.floor(local.min(axis=0)), {"global_id": name, "crs": None}))
    system = storage or placement.crs
    # Six triangles meet in a corner, and a way through three systems is long.
    points, numbers = _distinct(local)
    placed = _placed(points, placement, system)
    corner = np.floor(placed.min(axis=0))
    extras: dict[str, Any] = {"global_id": name, "crs": crs.name(system), "origin": corner.tolist()}
    gltf = None if system.is_geographic else keep(to_glb(placed[numbers].reshape(-1, 3, 3), corner, extras))
    blocks = _blocks(record, placement, system)
    feature, coordinates = _feature(name, placed, numbers, blocks)
    frame = Frame((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), system, system)
    (body,) = keep_all([feature], coordinates, frame, header(frame), keep)
    return body, gltf


def _distinct(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return different points in the order in which they come, and for all points which of those they are."""
    first, numbers = weld(points)
    order = first.argsort()
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return points[first[order]], place[numbers]


def _placed(points: NDArray[np.float64], placement: Placement, system: pyproj.CRS) -> NDArray[np.float64]:
    """Return points of the model in `system`; heights above the datum where they are known, else as in the model."""
    a, b, d, e, east, north = placement.matrix
    flat = points[:, :2] @ np.array([[a, d], [b, e]]) + (east, north)
    for start, end in ((placement.plane, placement.crs), (placement.crs, system)):
        flat = crs.transform_coordinates(flat, start, end)
    zero = placement.elevation or 0.0
    return np.column_stack([flat, zero + placement.z_scale * points[:, 2]])


def _blocks(
    record: Mapping[str, Any], placement: Placement, system: pyproj.CRS
) -> list[tuple[list[NDArray[np.float64]], NDArray[np.float64]]]:
    """Return the rings of each part of the footprint, and its lowest and highest z."""
    heights = record["attributes"].get("blocks") or ()
    if record["outline"] is None or not heights:
        return []
    parts = shapely.get_parts(shapely.from_wkb(record["outline"]))
    if len(parts) != len(heights):
        return []
    found = []
    for part, block in zip(parts, heights, strict=True):
        polygon = shapely.orient_polygons(part)
        rings = []
        for ring in (polygon.exterior, *polygon.interiors):
            corners = shapely.get_coordinates(ring)[:-1]
            rings.append(_placed(np.column_stack([corners, np.zeros(len(corners))]), placement, system)[:, :2])
        levels = np.array([[0.0, 0.0, z] for z in (record["ground"], record["ground"] + block["roof_p70"])])
        found.append((rings, _placed(levels, placement, system)[:, 2]))
    return found


def _feature(
    name: str,
    points: NDArray[np.float64],
    corners: NDArray[np.int64],
    blocks: list[tuple[list[NDArray[np.float64]], NDArray[np.float64]]],
) -> tuple[Feature, NDArray[np.float64]]:
    """Return the CityJSON feature and the coordinates of its vertices; `corners` of triangles are numbers of points."""
    vertices: list[NDArray[np.float64]] = []
    solids = []
    start = 0
    for rings, (low, high) in blocks:
        ground, roof, walls = [], [], []
        for ring in rings:
            count = len(ring)
            bottom, top = range(start, start + count), range(start + count, start + 2 * count)
            vertices += [np.column_stack([ring, np.full(count, z)]) for z in (low, high)]
            start += 2 * count
            ground.append(list(reversed(bottom)))
            roof.append(list(top))
            walls += [[[bottom[i], bottom[i - count + 1], top[i - count + 1], top[i]]] for i in range(count)]
        solids.append([[ground, roof, *walls]])
    first, numbers = weld(np.rint(points / _GRID).astype(np.int64))
    surface = numbers[corners].reshape(-1, 3) + start
    whole = (surface[:, 0] != surface[:, 1]) & (surface[:, 1] != surface[:, 2]) & (surface[:, 2] != surface[:, 0])
    vertices.append(points[first])
    geometry: list[dict[str, Any]] = [{"type": "MultiSurface", "lod": "3", "boundaries": surface[whole][:, None]}]
    building: CityObject = {"type": "Building", "geometry": geometry}
    objects = {name: building}
    lod1 = [{"type": "Solid", "lod": "1.2", "boundaries": solid} for solid in solids]
    if len(lod1) == 1:
        geometry.insert(0, lod1[0])
    for number, solid in enumerate(lod1 if len(lod1) > 1 else (), 1):
        part = f"{name}/block-{number}"  # CityJSON knows no building of several solids
        objects[part] = {"type": "BuildingPart", "parents": [name], "geometry": [solid]}
        building.setdefault("children", []).append(part)
    coordinates = np.concatenate(vertices)
    return Feature(name, objects, coordinates), coordinates  # rows of numbers
