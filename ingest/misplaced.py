"""What coordinates look like that do not lie where their CRS says: the sentence a person needs."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely

from cim import crs, zones
from cim.crs import Bounds
from cim.errors import CrsError
from ingest.formats import Layer
from ingest.formats._base import BATCH, GEOMETRY


def likeness(bounds: Bounds, stated: pyproj.CRS | None, storage: pyproj.CRS) -> str | None:
    """Return what the coordinates between these bounds could be, and the option that says so; None if unknown.

    Parameters
    ----------
    bounds : minimum x, minimum y, maximum x, maximum y, as delivered
    stated : the system that cannot be right; None where the source states none
    storage : the city's own system
    """
    west, south, east, north = bounds
    datum = crs.geographic_of(storage)
    first, last = zones.zone_in(west), zones.zone_in(east)
    if first is not None and first == last and north > 0:
        system = crs.parse(first.epsg)
        return (
            f"the eastings carry the number {first.number} of a zone of {first.width} degrees, meridian"
            f" {first.meridian} E; on the datum CGCS2000 that is {crs.name(system)}: {_option(stated, system)}"
        )
    if (stated is None or not stated.is_geographic) and _degrees(bounds):
        said = f"the numbers look like degrees; if they are, say which: {_option(stated, datum)}"
        return said if _fits((west, south, east, north), datum, storage) else _exchanged(bounds, datum, storage) or said
    if not _degrees(bounds) and _fits(bounds, storage, storage):
        return f"the numbers would lie in the city as metres of {crs.name(storage)}; if so, {_option(stated, storage)}"
    if stated is not None and stated.is_geographic:
        return _exchanged(bounds, datum, storage)
    return _exchanged(bounds, stated or storage, storage)


def looks(layer: Layer, storage: pyproj.CRS) -> str:
    """Return, as the end of a sentence, between which numbers the first records of a layer lie that states no CRS.

    Empty where they have no coordinates.
    """
    shapes = shapely.from_wkb(layer.head(BATCH).column(GEOMETRY).to_pylist(), on_invalid="ignore")
    west, south, east, north = (float(bound) for bound in shapely.total_bounds(shapes))
    if not np.isfinite([west, south, east, north]).all():
        return ""
    runs = f"; x runs from {west:.8g} to {east:.8g}, y from {south:.8g} to {north:.8g}"
    like = likeness((west, south, east, north), None, storage)
    return runs if like is None else f"{runs}: {like}"


def _exchanged(bounds: Bounds, system: pyproj.CRS, storage: pyproj.CRS) -> str | None:
    west, south, east, north = bounds
    if not _fits((south, west, north, east), system, storage):
        return None
    return "x and y look exchanged (north before east, latitude before longitude); write east first"


def _fits(bounds: Bounds, system: pyproj.CRS, storage: pyproj.CRS) -> bool:
    """Tell whether coordinates of a system would lie in its area and in that of the storage system."""
    try:
        crs.check_envelope(bounds, system)
        west, south, east, north = crs.geographic_bounds(bounds, system)
    except CrsError:
        return False
    return crs.covers(storage, west, south) and crs.covers(storage, east, north)


def _degrees(bounds: Bounds) -> bool:
    west, south, east, north = bounds
    return west >= -180 and east <= 180 and south >= -180 and north <= 180


def _option(stated: pyproj.CRS | None, system: pyproj.CRS) -> str:
    authority = system.to_authority()
    return f"{'--crs' if stated is None else '--assume-crs'} {':'.join(authority) if authority else system.name}"
