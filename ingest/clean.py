"""From the source's geometry to that of the storage: system, kind, validity, grid.

All of it works on whole columns; only what is faulty is looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
import shapely

from cim import crs, zones
from cim.dictionary import GeometryKind
from cim.errors import CrsError, InvalidData, OutsideArea
from cim.geometry import DECIMALS, FAMILY, GRID, Geometries, collect, fits, promote, snap
from ingest.faults import Faults, Mask
from ingest.heights import FIELD, MOST_CORNERS, corner_heights
from ingest.misplaced import likeness

# Turns curved geometry (ISO WKB) into straight, None where it cannot: PostGIS does it, GEOS does not.
Linearise = Callable[[list[bytes]], list[bytes | None]]

_CGCS2000 = crs.parse(4490)

# A layer that lies outside its area almost whole has a wrong CRS; single records outside have wrong coordinates.
_WRONG_CRS_SHARE = 0.5

# Some four million corners. PostgreSQL holds ten times that, but no client of the API a text of it.
_MAX_BYTES = 64 * 1024**2

# WKB numbers kinds like GEOS from the polygon on; what follows the collection are curves and surfaces.
_COLLECTION = 7
_MULTI_SURFACE = 12

# Of a text, so much is shown in a reason.
_SHOWN = 60


OnInvalid = Literal["fix", "reject", "raise"]


@dataclass(frozen=True, slots=True)
class Repair:
    """What becomes of invalid geometry: rings that cross themselves or are open, holes outside, and the like.

    Attributes
    ----------
    on_invalid : `fix` makes it valid where it stays what it is, else rejects the record; `reject` rejects every such
        record; `raise` refuses the whole file.
    max_area_change : share of the area that a fix may add or take, 0 to 1. Area as drawn, where a loop run through
        the other way counts as negative.

    The defaults: nearly every real layer has some invalid rings, and to lose those buildings is worse than to mend
    them. Of 600 in the footprints of Tokyo and Nanshan, snapped to 1 mm, mending moves none by 0.01 %, of the
    sample's own 0.6 % at most; a bow-tie, of which nobody knows what was meant, by 15 % and more.
    """

    on_invalid: OnInvalid = "fix"
    max_area_change: float = 0.01

    def __post_init__(self) -> None:
        if self.on_invalid not in get_args(OnInvalid):
            raise InvalidData(f"invalid geometry: expected {', '.join(get_args(OnInvalid))}, got {self.on_invalid!r}")
        if not 0 <= self.max_area_change <= 1:
            raise InvalidData(f"share of the area a fix may move: expected 0 to 1, got {self.max_area_change:g}")


FIX = Repair()


@dataclass(slots=True)
class Placed:
    """What was cleaned of a layer before: records, geometries with a place, and those outside the area of the CRS."""

    records: int = 0
    total: int = 0
    outside: int = 0


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Geometries in the storage system, None where the record has none or has a fault; which were repaired.

    `heights` are those of the corners as `ingest.heights` has them, `measured` tells which came with measures, `curved`
    as curves, `zones` the zone number that was put before the eastings, less than zero where it was taken off, 0 where
    nothing was done. `remarks` are sentences for the report on these.
    """

    geometries: Geometries
    repaired: Mask
    heights: pa.Array
    measured: Mask
    curved: Mask
    zones: npt.NDArray[np.int64]
    remarks: list[str] = field(default_factory=list)

    @property
    def high(self) -> Mask:
        """Which came with heights."""
        return np.asarray(self.heights.is_valid())

    @classmethod
    def nothing(cls, count: int) -> Cleaned:
        """Return that of records without geometry."""
        none = np.zeros(count, bool)
        return cls(
            np.full(count, None, object), none, pa.nulls(count, pa.string()), none, none, np.zeros(count, np.int64)
        )


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
    repair: Repair = FIX,
    placed: Placed | None = None,
) -> Cleaned:
    """Bring a column of ISO WKB to the storage system: one kind, valid, two-dimensional, on a grid of 1 mm.

    Rings get the one direction of `cim.geometry.promote`; lines and points keep their order. Eastings that carry a
    zone number where `source` has none, or the other way round, are brought to what `source` has.

    Parameters
    ----------
    column : binary, null for none
    kind : the kind stored; single geometries are promoted to it, a multi of one part is taken apart for it
    required : a record without geometry is a fault
    source, target : CRS of the column, storage CRS in metres
    vouched : the operator says that `source` is right, so data may lie outside the area it is made for
    repair : what becomes of invalid geometry
    placed : what was cleaned of the layer before this column; carried on

    Raises
    ------
    CrsError : most of the layer so far lies outside the area of either system, or no transformation is known.
    InvalidData : there is invalid geometry, and `repair` says to raise.
    """
    placed = placed or Placed()
    geometries, closed, curved = _read(column, linearise, faults)
    if closed.any() and repair.on_invalid != "fix":
        _refuse(geometries, closed, repair, faults, placed, "has a ring that is not closed")
    heights, measured = corner_heights(geometries, crs.vertical(source)), shapely.has_m(geometries)
    if (measured | shapely.has_z(geometries)).any():
        geometries = shapely.force_2d(geometries)
    geometries = _of_family(geometries, kind, faults)
    geometries, numbers = _to_storage(geometries, source, target, faults, vouched, placed)
    geometries, mended = _repair(geometries, kind, repair, faults, placed)
    repaired = (closed | mended) & ~shapely.is_missing(geometries)
    promoted = promote(geometries, kind)
    several = shapely.is_missing(promoted) & ~shapely.is_missing(geometries)
    faults.add(several, f"geom: has several parts, expected one {kind}")
    geometries = promoted
    if required:
        absent = shapely.is_missing(geometries) & faults.good()
        faults.add(absent, f"geom: has no geometry, expected {kind}")
    placed.records += len(column)
    heights = pc.if_else(pa.array(shapely.is_missing(geometries)), pa.scalar(None, pa.string()), heights)
    high, numbered = heights.null_count < len(heights), numbers.tolist()
    remarks = remarks_of(high, bool(measured.any()), bool(curved.any()), numbered, source)
    return Cleaned(geometries, repaired, heights, measured, curved, numbers, remarks)


def remarks_of(high: bool, measured: bool, curved: bool, numbers: Iterable[int], source: pyproj.CRS) -> list[str]:
    """Return what is to be said where some records came with heights, measures, as curves, with such zone numbers."""
    remarks: list[str] = []
    if high:
        vertical = crs.vertical(source)
        stated = f"the source states {vertical} for heights" if vertical else "the source states no datum for heights"
        kept = f"lowest and highest, and each corner's of lines of up to {MOST_CORNERS:,} corners"
        remarks.append(f"heights of corners are kept untouched as {FIELD.key} in attributes: {kept}; {stated}")
    if measured:
        remarks.append("measures of corners are not stored, the plan is")
    if curved:
        remarks.append("curves are stored as lines of straight pieces, 32 to a quarter of a circle")
    for number in sorted(set(numbers) - {0}):
        found = zones.zone(abs(number))
        if number > 0:
            remarks.append(f"eastings lack the zone number that {crs.name(source)} has: it was put before them")
        elif found is not None:
            as_delivered = f", as {crs.name(crs.parse(found.epsg))} has it" if crs.same_datum(source, _CGCS2000) else ""
            remarks.append(
                f"eastings carry the zone number {found.number}{as_delivered}: it was taken off, since"
                f" {crs.name(source)} has none"
            )
    return list(dict.fromkeys(remarks))


def _read(column: pa.ChunkedArray, linearise: Linearise, faults: Faults) -> tuple[Geometries, Mask, Mask]:
    """Return flat shapes, None where there is none or no reading it, which had an open ring, and which were curves."""
    kinds = _wkb_kinds(column)
    binary = column.to_numpy().astype(object)
    size = pc.fill_null(pc.binary_length(column), 0).to_numpy()
    huge = size > _MAX_BYTES
    faults.add(huge, lambda row: f"geom: takes {size[row]:,} bytes, at most {_MAX_BYTES:,} are stored; divide it")
    binary[huge], kinds[huge] = None, 0
    geometries = _parse(binary, kinds, linearise)
    unread = shapely.is_missing(geometries) & (kinds > 0)
    closed = np.zeros(len(geometries), dtype=bool)
    if unread.any():
        with np.errstate(invalid="ignore"):
            geometries[unread] = shapely.from_wkb(column.to_numpy()[unread], on_invalid="fix")
        closed = unread & ~shapely.is_missing(geometries)
        unread &= ~closed
    faults.add(unread, lambda row: f"geom: is damaged or of a kind that cannot be stored{_got(column[row].as_py())}")
    geometries[shapely.is_empty(geometries)] = None
    curved = (kinds > _COLLECTION) & (kinds <= _MULTI_SURFACE) & ~shapely.is_missing(geometries)
    return _finite(geometries, faults), closed, curved


def _got(value: bytes) -> str:
    """Return how a reason shows what formats of text give where they found no shape; binary is not shown."""
    text = value.decode(errors="replace").rstrip()
    return f", got {text[:_SHOWN]!r}" if text.isprintable() else ""


def _finite(geometries: Geometries, faults: Faults) -> Geometries:
    """Fault and blank out what has a coordinate that is no number."""
    coordinates, rows = shapely.get_coordinates(geometries, return_index=True)
    bad = ~np.isfinite(coordinates)
    if bad.any():
        rows = np.unique(rows[bad.any(axis=1)])
        faults.add(rows, "geom: has a coordinate that is not a number or infinite")
        geometries[rows] = None
    return geometries


def _parse(binary: Geometries, kinds: npt.NDArray[np.int64], linearise: Linearise) -> Geometries:
    """Return the shapes of WKB, curves as lines, None where it is damaged."""
    curved = np.flatnonzero(kinds > _COLLECTION)
    if len(curved):
        straight = linearise([binary[row] for row in curved])
        for row, replacement in zip(curved, straight, strict=True):
            binary[row] = replacement
    with np.errstate(invalid="ignore"):  # numpy warns of NaN among coordinates; they are looked for later
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
            # What does not begin with a byte order is no WKB: a kind that reading it then fails to be.
            found[present] = np.where(content[first] <= 1, (low + 256 * high) % 1000, 1)
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
    geometries: Geometries,
    source: pyproj.CRS,
    target: pyproj.CRS,
    faults: Faults,
    vouched: bool,
    placed: Placed,
) -> tuple[Geometries, npt.NDArray[np.int64]]:
    """Transform and snap in one go; what lies outside the area of either system is a fault and becomes None.

    Returns with the zone numbers that were put before the eastings, as `Cleaned` has them.
    """
    coordinates, numbers = _without_zone_number(geometries, source)
    delivered = None if len(coordinates) == 0 else crs.extent(coordinates)
    placed.total += int((~shapely.is_missing(geometries)).sum())
    try:
        if not vouched and _drop_outside(geometries, coordinates, source, faults, placed):
            coordinates = shapely.get_coordinates(geometries)
        # The city's area, not that of these records: the way to the storage system must not depend on their order.
        moved = crs.transform_coordinates(coordinates, source, target, crs.area_of(target))
        stored: Geometries = shapely.set_coordinates(geometries, np.round(moved, DECIMALS) + 0.0)  # -0.0 + 0.0 is 0.0
        _drop_outside(stored, moved, target, faults, placed)
    except OutsideArea as error:
        like = None if delivered is None else likeness(delivered, source, target)
        raise CrsError(f"{error}{f'; {like}' if like else ''}") from error
    return stored, numbers


def _without_zone_number(
    geometries: Geometries, source: pyproj.CRS
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the coordinates, which become those of the geometries too, with zone numbers as `source` has them."""
    coordinates, rows = shapely.get_coordinates(geometries, return_index=True)
    numbers = np.zeros(len(geometries), np.int64)
    if len(coordinates) == 0:
        return coordinates, numbers
    west, _, east, _ = crs.extent(coordinates)
    if zones.fits(west, east, source):
        return coordinates, numbers
    boxes = shapely.bounds(geometries)
    added = zones.corrections(boxes[:, 0], boxes[:, 2], source)
    if added.any():
        coordinates[:, 0] += added[rows]
        geometries[:] = shapely.set_coordinates(geometries, coordinates)
        numbers = (added / 1_000_000).astype(np.int64)
    return coordinates, numbers


def _drop_outside(
    geometries: Geometries, coordinates: npt.NDArray[np.float64], system: pyproj.CRS, faults: Faults, placed: Placed
) -> bool:
    """Fault and blank out the records outside the system's area, if any; raise if it is about most of the layer."""
    if len(coordinates) == 0:
        return False
    try:
        crs.check_envelope(crs.extent(coordinates), system)
    except OutsideArea:
        boxes = shapely.bounds(geometries)
        outside = ~crs.inside(boxes, system)
        placed.outside += int(outside.sum())
        if placed.outside > _WRONG_CRS_SHARE * placed.total:
            raise
        where = f"outside the area of {crs.name(system)}"
        faults.add(outside, lambda row: f"geom: lies at {boxes[row, 0]:.7g}, {boxes[row, 1]:.7g}, {where}")
        geometries[outside] = None
        return True
    return False


def _repair(
    geometries: Geometries, kind: GeometryKind, repair: Repair, faults: Faults, placed: Placed
) -> tuple[Geometries, Mask]:
    """Make invalid geometry valid where it stays what it is and as large as it is; the rest is a fault."""
    invalid = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    repaired = invalid.copy()
    if not invalid.any():
        return geometries, repaired
    if repair.on_invalid != "fix":
        _refuse(geometries, invalid, repair, faults, placed, lambda row: str(shapely.is_valid_reason(geometries[row])))
        return geometries, np.zeros_like(invalid)
    drawn = shapely.area(geometries[invalid])
    mended = shapely.make_valid(geometries[invalid], method="structure", keep_collapsed=False)
    # Repair puts new corners off the grid.
    mended = snap(shapely.set_precision(mended, GRID))
    area = shapely.area(mended)
    change = np.divide(abs(area - drawn), np.maximum(area, drawn), out=np.zeros(len(area)), where=area > 0)
    for place, row in enumerate(np.flatnonzero(invalid)):
        shape = mended[place]
        sound = not shape.is_empty and shape.is_valid and shapely.get_type_id(shape) in FAMILY[kind]
        reason = shapely.is_valid_reason(geometries[row])
        if not sound:
            faults.add([int(row)], f"geom: {reason}, and no {kind} is left on mending")
        elif change[place] > repair.max_area_change:
            sound = False
            faults.add(
                [int(row)],
                f"geom: {reason}, and mending would change its area from {drawn[place]:.2f} to {area[place]:.2f} m², by"
                f" more than {repair.max_area_change:.2%}",
            )
        repaired[row] = sound
        geometries[row] = shape if sound else None
    return geometries, repaired


def _refuse(
    geometries: Geometries,
    invalid: Mask,
    repair: Repair,
    faults: Faults,
    placed: Placed,
    reason: str | Callable[[int], str],
) -> None:
    """Fault and blank out invalid geometry, or raise at the first of it."""
    say = (lambda _: reason) if isinstance(reason, str) else reason
    if repair.on_invalid == "raise":
        first = int(np.flatnonzero(invalid)[0])
        raise InvalidData(
            f"geometry is invalid, first in record {placed.records + first + 1}: {say(first)};"
            " mend the source, or have them rejected or fixed with --on-invalid"
        )
    faults.add(invalid, lambda row: f"geom: {say(row)}")
    geometries[invalid] = None
