"""GCJ-02 and BD-09: degrees that were shifted on purpose, as Chinese web maps deliver them.

Neither is a coordinate reference system: PROJ refuses to have them, and what is published of them was found out by
comparison. Coordinates are turned back on the way in, where the operator says so, and never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from cim.errors import CrsError

Floats = npt.NDArray[np.float64]

# The ellipsoid the shift is scaled with, and the box outside of which nothing is shifted: as in the package
# eviltransform, whose published values come out to the last digit. Others take an axis of 6378245 m (Krassovsky 1940),
# which moves a place by 12 mm at most. Likely, since the authority publishes nothing.
_AXIS = 6378137.0
_ECCENTRICITY = 0.00669342162296594323
_WEST, _EAST, _SOUTH, _NORTH = 72.004, 137.8347, 0.8293, 55.8271
# Turned back by iteration until it moves by less than this: 1e-12 degrees are 0.1 µm. The shift changes by less than a
# hundredth of what the place does, so that each step gains two digits.
_ENOUGH = 1e-12
_STEPS = 30
_BAIDU = np.pi * 3000.0 / 180.0


def to_wgs84(degrees: Floats, system: str) -> Floats:
    """Return WGS 84 longitude and latitude of shifted ones.

    Parameters
    ----------
    degrees : float64 (n, 2), longitude before latitude
    system : `gcj-02` or `bd-09`

    Raises
    ------
    CrsError : another system, values that are no degrees, or a place on the edge of China, which has no one original.
    """
    shift = SYSTEMS.get(system)
    if shift is None:
        raise CrsError(f"{system!r} is no shifted system; there are {', '.join(SYSTEMS)}")
    if (np.abs(degrees) > (180.0, 90.0)).any():
        raise CrsError(f"{system.upper()} is in degrees, longitude before latitude, and these coordinates are none")
    found = degrees.copy()
    for _ in range(_STEPS):
        step = degrees - shift(found)
        found = found + step
        if not (np.abs(step) >= _ENOUGH).any():
            return found
    raise CrsError(
        f"coordinates on the edge of what {system.upper()} shifts cannot be turned back: the shift ends there, and a"
        " place on either side of it may be meant"
    )


def to_gcj02(degrees: Floats) -> Floats:
    """Return GCJ-02 of WGS 84 (longitude, latitude in degrees, one pair a row); outside China nothing moves."""
    x, y = degrees[:, 0] - 105.0, degrees[:, 1] - 35.0
    common = 20 * np.sin(6 * np.pi * x) + 20 * np.sin(2 * np.pi * x)
    north = (
        -100 + 2 * x + 3 * y + 0.2 * y**2 + 0.1 * x * y + 0.2 * np.sqrt(np.abs(x))
        + (common + _waves(y, 20, 40, 160, 320)) * 2 / 3
    )  # fmt: skip
    east = (
        300 + x + 2 * y + 0.1 * x**2 + 0.1 * x * y + 0.1 * np.sqrt(np.abs(x))
        + (common + _waves(x, 20, 40, 150, 300)) * 2 / 3
    )  # fmt: skip
    latitude = np.radians(degrees[:, 1])
    curvature = 1 - _ECCENTRICITY * np.sin(latitude) ** 2
    meridional = _AXIS * (1 - _ECCENTRICITY) / curvature**1.5
    parallel = _AXIS / np.sqrt(curvature) * np.cos(latitude)
    moved = degrees + np.degrees(np.column_stack([east / parallel, north / meridional]))
    return np.where(_in_china(degrees)[:, np.newaxis], moved, degrees)


def to_bd09(degrees: Floats) -> Floats:
    """Return BD-09 of WGS 84 (longitude, latitude in degrees, one pair a row); outside China nothing moves."""
    shifted = to_gcj02(degrees)
    x, y = shifted[:, 0], shifted[:, 1]
    radius = np.hypot(x, y) + 0.00002 * np.sin(y * _BAIDU)
    angle = np.arctan2(y, x) + 0.000003 * np.cos(x * _BAIDU)
    moved = np.column_stack([radius * np.cos(angle) + 0.0065, radius * np.sin(angle) + 0.006])
    return np.where(_in_china(degrees)[:, np.newaxis], moved, degrees)


def _waves(t: Floats, first: float, second: float, third: float, fourth: float) -> Floats:
    waves: Floats = (
        first * np.sin(np.pi * t) + second * np.sin(np.pi * t / 3)
        + third * np.sin(np.pi * t / 12) + fourth * np.sin(np.pi * t / 30)
    )  # fmt: skip
    return waves


def _in_china(degrees: Floats) -> npt.NDArray[np.bool_]:
    x, y = degrees[:, 0], degrees[:, 1]
    within: npt.NDArray[np.bool_] = (x >= _WEST) & (x <= _EAST) & (y >= _SOUTH) & (y <= _NORTH)
    return within


SYSTEMS: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType({"gcj-02": to_gcj02, "bd-09": to_bd09})
