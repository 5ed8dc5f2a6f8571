"""The form geometry is stored in: a grid of 1 mm, one kind per type, rings in one direction, ISO WKB.

Every function works on whole arrays of shapely geometries; None stays None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from cim.dictionary import GeometryKind

Geometries = npt.NDArray[np.object_]

# Storage grid, metres: a round trip through another format finds the same coordinates again.
GRID = 0.001
DECIMALS = 3
_COLLECT: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "MultiPoint": shapely.multipoints,
        "MultiLineString": shapely.multilinestrings,
        "MultiPolygon": shapely.multipolygons,
    }
)
# What a single or multi geometry of a stored kind may come as, by shapely type id.
FAMILY: Mapping[GeometryKind, tuple[int, ...]] = MappingProxyType(
    {
        "Point": (0, 4),
        "MultiPoint": (0, 4),
        "LineString": (1, 2, 5),
        "MultiLineString": (1, 2, 5),
        "Polygon": (3, 6),
        "MultiPolygon": (3, 6),
        "Geometry": (0, 1, 2, 3, 4, 5, 6, 7),
    }
)


def fits(geometries: Geometries, kind: GeometryKind) -> npt.NDArray[np.bool_]:
    """Tell which geometries are of the kind's family; None fits."""
    return np.isin(shapely.get_type_id(geometries), (*FAMILY[kind], -1))


def snap(geometries: Geometries) -> Geometries:
    """Return the geometries with coordinates on the grid, and no negative zero."""
    snapped = np.round(shapely.get_coordinates(geometries), DECIMALS) + 0.0  # -0.0 + 0.0 is 0.0
    result: Geometries = shapely.set_coordinates(geometries.copy(), snapped)
    return result


def promote(geometries: Geometries, kind: GeometryKind) -> Geometries:
    """Return the geometries as the stored kind: singles as multis, a multi of one part as that part.

    Rings run anticlockwise outside and clockwise inside (RFC 7946, 3.1.6), so that the same shape read from formats
    of other habits is the same geometry. Lines and points keep their order. A multi of several parts has no single
    form and becomes None.
    """
    if kind in ("Polygon", "MultiPolygon"):
        geometries = shapely.orient_polygons(geometries)
    if kind == "Geometry":
        return geometries
    types = shapely.get_type_id(geometries)
    multi = types == FAMILY[kind][-1]
    result: Geometries = geometries.copy()
    if kind in _COLLECT:
        single = ~multi & (types >= 0)
        result[single] = _COLLECT[kind](geometries[single][:, np.newaxis])
    else:
        result[multi] = shapely.get_geometry(geometries[multi], 0)
        result[shapely.get_num_geometries(geometries) > 1] = None
    return result


def collect(parts: Geometries, kind: GeometryKind) -> shapely.Geometry:
    """Return single geometries of the kind's family as one multi-geometry."""
    whole: shapely.Geometry = _COLLECT[kind if kind in _COLLECT else f"Multi{kind}"](parts)
    return whole


def to_wkb(geometries: Geometries) -> list[bytes | None]:
    """Return the bytes the log hashes: ISO WKB, little endian."""
    return list(shapely.to_wkb(geometries, flavor="iso", byte_order=1))
