"""From the source's geometry to that of the storage: system, kind, validity, grid.

All of it works on whole columns; only what is faulty is looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyproj
import shapely

from cim import crs
from cim.dictionary import GeometryKind
from cim.errors import CrsError
from cim.geometry import DECIMALS, FAMILY, GRID, Geometries, collect, fits, promote, snap
from ingest.faults import Faults, Mask

# Turns curved geometry (ISO WKB) into straight, None where it cannot: PostGIS does it, GEOS does not.
Linearise = Callable[[list[bytes]], list[bytes | None]]

# A layer that lies outside its area almost whole has a wrong CRS; single records outside have wrong coordinates.
_WRONG_CRS_SHARE = 0.5

# WKB numbers kinds like GEOS from the polygon on; what follows the collection are curves and surfaces.
_COLLECTION = 7


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
    *,
    vouched: bool = False,
) -> Cleaned:
    """Bring a column of ISO WKB to the storage system: one kind, valid, two-dimensional, on a grid of 1 mm.

    Rings get the one direction of `cim.geometry.promote`; lines and points keep their order.

    Parameters
    ----------
    column : binary, null for none
    kind : the kind stored; single geometries are promoted to it, a multi of one part is taken apart for it
    required : a record without geometry is a fault
    source, target : CRS of the column, storage CRS in metres
    vouched : the operator says that `source` is right, so data may lie outside the area it is made for

    Raises
    ------
    CrsError : the layer as a whole lies outside the area of either system, or no transformation is known.
    """
    geometries, closed = _read(column, linearise, faults)
    geometries = _of_family(geometries, kind, faults)
    geometries = _to_storage(geometries, source, target, faults, vouched)
    geometries, mended = _repair(geometries, kind, faults)
    repaired = (closed | mended) & ~shapely.is_missing(geometries)
    promoted = promote(geometries, kind)
    several = shapely.is_missing(promoted) & ~shapely.is_missing(geometries)
    faults.add(several, f"geom: has several parts, expected one {kind}")
    geometries = promoted
    if required:
        absent = shapely.is_missing(geometries) & faults.good()
        faults.add(absent, f"geom: has no geometry, expected {kind}")
    return Cleaned(geometries, repaired)


def _read(column: pa.ChunkedArray, linearise: Linearise, faults: Faults) -> tuple[Geometries, Mask]:
    """Return flat shapes, None where there is none or no reading it, and which had an open ring that was closed."""
    kinds = _wkb_kinds(column)
    geometries = _parse(column.to_numpy().astype(object), kinds, linearise)
    unread = shapely.is_missing(geometries) & (kinds > 0)
    closed = np.zeros(len(geometries), dtype=bool)
    if unread.any():
        geometries[unread] = shapely.from_wkb(column.to_numpy()[unread], on_invalid="fix")
        closed = unread & ~shapely.is_missing(geometries)
        unread &= ~closed
    faults.add(unread, "geom: is damaged or of a kind that cannot be stored")
    geometries[shapely.is_empty(geometries)] = None
    if shapely.has_z(geometries).any() or shapely.has_m(geometries).any():
        geometries = shapely.force_2d(geometries)
    return geometries, closed


def _parse(binary: Geometries, kinds: npt.NDArray[np.int64], linearise: Linearise) -> Geometries:
    """Return the shapes of WKB, curves as lines, None where it is damaged."""
    curved = np.flatnonzero(kinds > _COLLECTION)
    if len(curved):
        straight = linearise([binary[row] for row in curved])
        for row, replacement in zip(curved, straight, strict=True):
            binary[row] = replacement
    geometries: Geometries = shapely.from_wkb(binary, on_invalid="ignore")
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
    for row in np.flatnonzero(types == _COLLECTION):
        geometries[row] = _uncollect(geometries[row], kind)
    wrong = ~fits(geometries, kind)
    faults.add(wrong, lambda row: f"geom: is a {geometries[row].geom_type}, expected {kind}")
    geometries[wrong] = None
    return geometries


def _uncollect(collection: shapely.Geometry, kind: GeometryKind) -> shapely.Geometry:
    """Return the parts of a collection as one multi-geometry if all are of the kind's family."""
    parts = np.array([collection], dtype=object)
    try:
        while (shapely.get_num_geometries(parts) > 1).any() or (shapely.get_type_id(parts) == _COLLECTION).any():
            parts = shapely.get_parts(parts)
    except NotImplementedError:  # a curve among the parts
        return collection
    return collect(parts, kind) if fits(parts, kind).all() else collection


def _to_storage(
    geometries: Geometries, source: pyproj.CRS, target: pyproj.CRS, faults: Faults, vouched: bool
) -> Geometries:
    """Transform and snap in one go; what lies outside the area of either system is a fault and becomes None."""
    coordinates = shapely.get_coordinates(geometries)
    if not vouched and _drop_outside(geometries, coordinates, source, faults):
        coordinates = shapely.get_coordinates(geometries)
    moved = crs.transform_coordinates(coordinates, source, target)
    stored: Geometries = shapely.set_coordinates(geometries, np.round(moved, DECIMALS) + 0.0)  # -0.0 + 0.0 is 0.0
    _drop_outside(stored, moved, target, faults)
    return stored


def _drop_outside(
    geometries: Geometries, coordinates: npt.NDArray[np.float64], system: pyproj.CRS, faults: Faults
) -> bool:
    """Fault and blank out the records outside the system's area, if any; raise if it is about all of them."""
    if len(coordinates) == 0:
        return False
    try:
        crs.check_envelope(crs.extent(coordinates), system)
    except CrsError:
        boxes = shapely.bounds(geometries)
        outside = ~crs.inside(boxes, system)
        if outside.sum() > _WRONG_CRS_SHARE * (~shapely.is_missing(geometries)).sum():
            raise
        where = f"outside the area of {crs.name(system)}"
        faults.add(outside, lambda row: f"geom: lies at {boxes[row, 0]:.7g}, {boxes[row, 1]:.7g}, {where}")
        geometries[outside] = None
        return True
    return False


def _repair(geometries: Geometries, kind: GeometryKind, faults: Faults) -> tuple[Geometries, Mask]:
    """Make invalid geometry valid where it stays what it is; the rest is a fault."""
    invalid = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    repaired = invalid.copy()
    if not invalid.any():
        return geometries, repaired
    mended = shapely.make_valid(geometries[invalid], method="structure", keep_collapsed=False)
    # Repair puts new corners off the grid.
    mended = snap(shapely.set_precision(mended, GRID))
    for place, row in enumerate(np.flatnonzero(invalid)):
        shape = mended[place]
        sound = not shape.is_empty and shape.is_valid and shapely.get_type_id(shape) in FAMILY[kind]
        if not sound:
            reason = shapely.is_valid_reason(geometries[row])
            faults.add([int(row)], f"geom: {reason}, and no {kind} is left on mending")
            repaired[row] = False
        geometries[row] = shape if sound else None
    return geometries, repaired
