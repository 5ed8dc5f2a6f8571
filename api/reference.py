"""The coordinate reference systems the API speaks, by URI, each with its axis order.

The order is the URI's: north before east for most of EPSG, CGCS2000 / Gauss-Kruger included; CRS84 is east, north.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from cim import crs
from cim.crs import Bounds
from cim.db.geojson import DECIMALS_DEGREES, DECIMALS_METRES, Output
from cim.db.spatial import check_path
from cim.errors import CrsError, InvalidData

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
WGS84_SRID = 4326
WEB_MERCATOR_SRID = 3857


@dataclass(frozen=True, slots=True)
class Reference:
    """A CRS: its URI, EPSG code, whether y (north) comes before x, and the decimals that keep a millimetre."""

    uri: str
    srid: int
    flip: bool
    decimals: int

    @property
    def output(self) -> Output:
        """How geometry is written in it."""
        return _output(self.srid, self.flip, self.decimals)

    def box(self, bounds: Bounds) -> Bounds:
        """Return a box given in the URI's axis order with x before y."""
        first, second, third, fourth = bounds
        return (second, first, fourth, third) if self.flip else bounds


_output = lru_cache(Output)  # of a few systems, asked of with every request


def uri_of(srid: int) -> str:
    """Return the OGC URI of an EPSG code."""
    return f"http://www.opengis.net/def/crs/EPSG/0/{srid}"


def references(storage: int) -> Mapping[str, Reference]:
    """Return the systems on offer by URI: CRS84 first, the storage CRS, its geographic one, WGS 84 and Web Mercator.

    Raises
    ------
    CrsError : there is no known way from the storage CRS to CRS84, which a web API cannot do without.
    """
    check_path(WGS84_SRID, storage)
    geodetic = crs.parse(storage).geodetic_crs
    codes = [storage, (geodetic.to_epsg() if geodetic is not None else None), WGS84_SRID, WEB_MERCATOR_SRID]
    offered = {CRS84: Reference(CRS84, WGS84_SRID, flip=False, decimals=DECIMALS_DEGREES)}
    for srid in dict.fromkeys(code for code in codes if code is not None):
        try:
            check_path(srid, storage)
        except CrsError:
            continue
        parsed = crs.parse(srid)
        north_first = parsed.axis_info[0].direction.lower() == "north"
        decimals = DECIMALS_DEGREES if parsed.is_geographic else DECIMALS_METRES
        offered[uri_of(srid)] = Reference(uri_of(srid), srid, north_first, decimals)
    return offered


def named(offered: Mapping[str, Reference], parameter: str, uri: str | None) -> Reference:
    """Return the system a parameter names, CRS84 where it is missing.

    Raises
    ------
    InvalidData : the API does not speak it.
    """
    found = offered.get(CRS84 if uri is None else uri)
    if found is None:
        raise InvalidData(f"{parameter} must be one of {', '.join(offered)}, got {str(uri)[:200]!r}")
    return found
