"""Gauss–Krüger zones: the number that may stand before the metres of an easting, as 39 before 39 421 000.

A zone of 3 degrees is numbered 25 to 45 in China, one of 6 degrees 13 to 23, so the number tells the width. Whether
it is written is a habit, and data often has the other habit than the CRS it states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyproj

Floats = npt.NDArray[np.float64]

_PLACE = 1_000_000.0
# EPSG codes of CGCS2000 with the number in the easting: 4513 is zone 25 of 3 degrees, 4491 zone 13 of 6 degrees.
_FIRST_OF_3 = (25, 45, 4513)
_FIRST_OF_6 = (13, 23, 4491)


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone by its number: width and central meridian in degrees, and the EPSG code of CGCS2000 with the number."""

    number: int
    width: int
    meridian: int
    epsg: int


def zone(number: int) -> Zone | None:
    """Return the zone of China that has this number, None where there is none."""
    if _FIRST_OF_3[0] <= number <= _FIRST_OF_3[1]:
        return Zone(number, 3, 3 * number, _FIRST_OF_3[2] + number - _FIRST_OF_3[0])
    if _FIRST_OF_6[0] <= number <= _FIRST_OF_6[1]:
        return Zone(number, 6, 6 * number - 3, _FIRST_OF_6[2] + number - _FIRST_OF_6[0])
    return None


def zone_in(easting: float) -> Zone | None:
    """Return the zone whose number stands before an easting in metres, None where none does."""
    return zone(int(easting // _PLACE)) if np.isfinite(easting) and easting > 0 else None


def fits(west: float, east: float, system: pyproj.CRS) -> bool:
    """Tell whether eastings between two carry the zone number that the system has, or none if it has none."""
    wanted = _habit(system)
    return wanted is None or west // _PLACE == east // _PLACE == wanted[1]


def corrections(west: Floats, east: Floats, system: pyproj.CRS) -> Floats:
    """Return what to add to eastings so that they carry a zone number where the system does, and none where not.

    Parameters
    ----------
    west, east : least and greatest easting of each object, metres, as delivered; NaN for none
    system : what the eastings are said to be in

    Returns
    -------
    float64 metres, a multiple of 1 000 000, for each object. 0 where nothing is amiss, and where the number is that of
    another meridian: then the system is wrong and not the habit.
    """
    result: Floats = np.zeros(len(west))
    wanted = _habit(system)
    if wanted is None:
        return result
    meridian, prefix = wanted
    first, last = np.floor_divide(west, _PLACE), np.floor_divide(east, _PLACE)
    fitting = [number for number in range(_FIRST_OF_6[0], _FIRST_OF_3[1] + 1) if _meridian(number) == meridian]
    for number in (0, *fitting):
        if number != prefix:
            result[(first == number) & (last == number)] = (prefix - number) * _PLACE
    return result


def _habit(system: pyproj.CRS) -> tuple[float, int] | None:
    """Return central meridian and zone number of a Gauss–Krüger system (0: without), None for any other."""
    plain = system.source_crs if system.is_bound and system.source_crs is not None else system
    operation = plain.coordinate_operation if plain.is_projected else None
    if operation is None or operation.method_code != "9807":  # transverse Mercator
        return None
    values = {int(p.code): float(p.value) for p in operation.params if p.code and not isinstance(p.value, str)}
    if values.get(8805) != 1.0:  # scale on the central meridian: 0.9996 is UTM, which has zones of its own
        return None
    meridian, false_easting = values.get(8802), values.get(8806)
    if meridian is None or false_easting is None:
        return None
    prefix = int(false_easting // _PLACE)
    return (meridian, prefix) if prefix == 0 or _meridian(prefix) == meridian else None


def _meridian(number: int) -> int | None:
    found = zone(number)
    return None if found is None else found.meridian
