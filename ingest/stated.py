"""What models state of their place, as plain facts; apart from `georeference`, so that who reads them needs no PROJ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conversion:
    """A coordinate operation as the model states it, units not yet reconciled.

    `length_unit` is metres per unit of the model, `map_unit` metres per unit of eastings, northings and
    height, None where it is not stated. `angle` turns the model's x axis into the map, radians anticlockwise.
    `world` is where in the model (x, y, z metres, rotation) the conversion starts from.
    """

    source: str
    length_unit: float
    map_unit: float | None
    crs_name: str | None
    eastings: float
    northings: float
    height: float = 0.0
    angle: float = 0.0
    scale: float | None = None
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    crs_wkt: str | None = None
    world: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Geodetic:
    """Degrees east and north and metres of height of a point, and its x, y, z in the model (metres).

    `resolution` is half a unit of the last place that the degrees are given to, in degrees.
    """

    longitude: float
    latitude: float
    elevation: float | None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    resolution: float = 0.0
