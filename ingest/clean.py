"""From the source's geometry to that of the storage: system, kind, validity, grid.

All of it works on whole columns; only what is faulty is looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyproj
import shapely

from cim import crs
from cim.dictionary import GeometryKind
from cim.errors import CrsError
from ingest.faults import Faults, Mask

Geometries = npt.NDArray[np.object_]
# Turns curved geometry (ISO WKB) into straight, None where it cannot: PostGIS does it, GEOS does not.
Linearise = Callable[[list[bytes]], list[bytes | None]]

# Storage grid, metres: a round trip through another format finds the same coordinates again.
GRID = 0.001
_DECIMALS = 3
# A layer that lies outside its area almost whole has a wrong CRS; single records outside have wrong coordinates.
_WRONG_CRS_SHARE = 0.5

POINT, LINE, RING, POLYGON, MULTIPOINT, MULTILINE, MULTIPOLYGON, COLLECTION = range(8)
_FAMILY: Mapping[GeometryKind, tuple[int, ...]] = MappingProxyType(
    {
        "Point": (POINT, MULTIPOINT),
        "MultiPoint": (POINT, MULTIPOINT),
        "LineString": (LINE, RING, MULTILINE),
        "MultiLineString": (LINE, RING, MULTILINE),
        "Polygon": (POLYGON, MULTIPOLYGON),
        "MultiPolygon": (POLYGON, MULTIPOLYGON),
        "Geometry": tuple(range(8)),
    }
)
_COLLECT: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "MultiPoint": shapely.multipoints,
        "MultiLineString": shapely.multilinestrings,
        "MultiPolygon": shapely.multipolygons,
    }
)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Geometries in the storage system, None where the record has none or has a fault; which were repaired."""

    geometries: Geometries
    repaired: Mask


def clean(
    column: pa.ChunkedArray,
    kind: GeometryKind,
    required: bool,
    source: pyproj.CRS,
    target: pyproj.CRS,
    linearise: Linearise,
    faults: Faults,
) -> Cleaned:
    """Bring a column of ISO WKB to the storage system: one kind, valid, two-dimensional, on a grid of 1 mm.

    Rings run anticlockwise outside and clockwise inside (RFC 7946), so that the same shape read from
    formats of other habits is the same geometry. Lines and points keep their order.

    Parameters
    ----------
    column : binary, null for none
    kind : the kind stored; single geometries are promoted to it, a multi of one part is taken apart for it
    required : a record without geometry is a fault
    source, target : CRS of the column, storage CRS in metres

    Raises
    ------
    CrsError : the layer as a whole lies outside the area of either system, or no transformation is known.
    """
    geometries = _read(column, linearise, faults)
    geometries = _of_family(geometries, kind, faults)
    _drop_outside(geometries, source, faults)
    geometries = crs.transform(geometries, source, target)
    _drop_outside(geometries, target, faults)
    geometries = _snap(geometries)
    geometries, repaired = _repair(geometries, kind, faults)
    geometries = _promote(geometries, kind, faults)
    if required:
        absent = shapely.is_missing(geometries) & faults.good()
        faults.add(absent, f"geom: has no geometry, expected {kind}")
    return Cleaned(geometries, repaired)


def to_wkb(geometries: Geometries) -> pa.Array:
    """Return geometries as a binary column: ISO WKB, little endian, the bytes the log hashes."""
    return pa.array(shapely.to_wkb(geometries, flavor="iso", byte_order=1), pa.binary())


def _read(column: pa.ChunkedArray, linearise: Linearise, faults: Faults) -> Geometries:
    binary: Geometries = column.to_numpy().astype(object)
    kinds = _wkb_kinds(column)
    # Only a collection may hide a curve behind a kind GEOS knows; those few go the long way too.
    curved = np.flatnonzero(kinds > MULTIPOLYGON)
    if len(curved):
        straight = linearise([binary[row] for row in curved])
        for row, replacement in zip(curved, straight, strict=True):
            binary[row] = replacement
    geometries: Geometries = shapely.from_wkb(binary, on_invalid="ignore")
    unread = shapely.is_missing(geometries) & (kinds > 0)
    faults.add(unread, "geom: is damaged or of a kind that cannot be stored")
    geometries[shapely.is_empty(geometries)] = None
    if shapely.has_z(geometries).any() or shapely.has_m(geometries).any():
        geometries = shapely.force_2d(geometries)
    return geometries


def _wkb_kinds(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return the geometry kind of each value's WKB, 0 for null: 1 point … 7 collection, above curves and surfaces.

    The bytes are read where they lie; thousands for Z and M are left out.
    """
    kinds = [np.zeros(0, dtype=np.int64)]
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        start = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        present = np.diff(start) >= 5
        found = np.zeros(len(chunk), dtype=np.int64)
        if present.any():
            content = np.frombuffer(data, np.uint8)
            first = start[:-1][present]
            little = content[first] == 1
            low = np.where(little, content[first + 1], content[first + 4]).astype(np.int64)
            high = np.where(little, content[first + 2], content[first + 3]).astype(np.int64)
            found[present] = (low + 256 * high) % 1000
        kinds.append(found)
    return np.concatenate(kinds)


def _of_family(geometries: Geometries, kind: GeometryKind, faults: Faults) -> Geometries:
    """Keep what can become the kind, a collection's parts included; the rest is a fault."""
    if kind == "Geometry":
        return geometries
    types = shapely.get_type_id(geometries)
    for row in np.flatnonzero(types == COLLECTION):
        geometries[row] = _uncollect(geometries[row], kind)
    types = shapely.get_type_id(geometries)
    wrong = ~np.isin(types, (*_FAMILY[kind], -1))
    faults.add(wrong, lambda row: f"geom: is a {geometries[row].geom_type}, expected {kind}")
    geometries[wrong] = None
    return geometries


def _uncollect(collection: shapely.Geometry, kind: GeometryKind) -> shapely.Geometry:
    """Return the parts of a collection as one multi-geometry if all are of the kind's family."""
    parts = shapely.get_parts(collection)
    while (shapely.get_type_id(parts) == COLLECTION).any():
        parts = shapely.get_parts(parts)
    parts = shapely.get_parts(parts)
    suits = np.isin(shapely.get_type_id(parts), _FAMILY[kind]).all()
    multi = kind if kind in _COLLECT else f"Multi{kind}"
    mended: shapely.Geometry = _COLLECT[multi](parts) if suits else collection
    return mended


def _drop_outside(geometries: Geometries, system: pyproj.CRS, faults: Faults) -> None:
    """Fault and blank out records outside the system's area; raise if it is about all of them."""
    boxes = shapely.bounds(geometries)
    present = ~np.isnan(boxes[:, 0])
    if not present.any():
        return
    whole = (*np.min(boxes[present, :2], axis=0), *np.max(boxes[present, 2:], axis=0))
    try:
        crs.check_envelope((float(whole[0]), float(whole[1]), float(whole[2]), float(whole[3])), system)
    except CrsError:
        outside = present & ~crs.inside(boxes, system)
        if outside.sum() > _WRONG_CRS_SHARE * present.sum():
            raise
        faults.add(
            outside,
            lambda row: (
                f"geom: lies at {boxes[row, 0]:.7g}, {boxes[row, 1]:.7g}, outside the area of {crs.name(system)}"
            ),
        )
        geometries[outside] = None


def _snap(geometries: Geometries) -> Geometries:
    coordinates = shapely.get_coordinates(geometries)
    snapped = np.round(coordinates, _DECIMALS) + 0.0  # -0.0 + 0.0 is 0.0
    result: Geometries = shapely.set_coordinates(geometries, snapped)
    return result


def _repair(geometries: Geometries, kind: GeometryKind, faults: Faults) -> tuple[Geometries, Mask]:
    """Make invalid geometry valid where it stays what it is; the rest is a fault."""
    invalid = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    repaired = invalid.copy()
    if not invalid.any():
        return geometries, repaired
    mended = shapely.make_valid(geometries[invalid], method="structure", keep_collapsed=False)
    # Repair puts new corners off the grid.
    mended = shapely.set_precision(mended, GRID)
    mended = _snap(mended)
    for place, row in enumerate(np.flatnonzero(invalid)):
        shape = mended[place]
        sound = not shape.is_empty and shape.is_valid and shapely.get_type_id(shape) in _FAMILY[kind]
        if not sound:
            reason = shapely.is_valid_reason(geometries[row])
            faults.add([int(row)], f"geom: {reason}, and no {kind} is left on mending")
            repaired[row] = False
        geometries[row] = shape if sound else None
    return geometries, repaired


def _promote(geometries: Geometries, kind: GeometryKind, faults: Faults) -> Geometries:
    """Make every geometry of the one kind, rings in their order."""
    if kind in ("Polygon", "MultiPolygon"):
        geometries = shapely.orient_polygons(geometries)
    if kind == "Geometry":
        return geometries
    parts, owners = shapely.get_parts(geometries, return_index=True)
    result: Geometries = np.full(len(geometries), None, dtype=object)
    if kind in _COLLECT:
        if len(parts):
            _COLLECT[kind](parts, indices=owners, out=result)
        return result
    counts = np.bincount(owners, minlength=len(geometries))
    faults.add(counts > 1, lambda row: f"geom: has {counts[row]} parts, expected one {kind}")
    single = counts[owners] == 1
    result[owners[single]] = parts[single]
    return result
