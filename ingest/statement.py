"""What an operator says about the place of a model: on the command line, or in a file beside it.

`--place` takes "longitude,latitude[,angle]", the code of a building, or the name of a placement file. `house.place`
beside `house.ifc` is read without being asked for. It is TOML, in one of four forms; `height`, `angle` and `accuracy`
may be left out of any of them:

    longitude = 116.1          # degrees, of the model's origin
    latitude = 39.05
    angle = 12.5               # of the model's x axis against east, degrees anticlockwise
    height = 8.5               # of the model's zero, metres
    accuracy = 0.1             # of the place, metres

    crs = "EPSG:4548"          # where the model's origin is on a map
    eastings = 500000.0
    northings = 4320000.0

    crs = "EPSG:4548"          # control points: where points of the model (metres) are on a map
    points = [{model = [0, 0], map = [500000.0, 4320000.0]}, {model = [12, 0], map = [500011.9, 4320001.2]}]

    building = "340123002004GB00011F00010000"    # a building of the city whose footprint this is
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cim.errors import InvalidData
from ingest.formats._base import stem

SUFFIX = ".place"
_NUMBERS = {
    "longitude": 180.0, "latitude": 90.0, "angle": 360.0, "height": 1e4, "accuracy": 1e5, "eastings": 1e8,
    "northings": 1e8,
}  # fmt: skip
_FORMS = ({"longitude", "latitude"}, {"crs", "eastings", "northings"}, {"crs", "points"}, {"building"})
_OPTIONAL = {"angle", "height", "accuracy"}


@dataclass(frozen=True, slots=True)
class Statement:
    """The place of a model in one of four forms: degrees, a map, control points, a building of the city.

    `origin` is how messages name it. `resolution` is half a unit of the last decimal of the degrees, None in a file.
    """

    origin: str
    degrees: tuple[float, float] | None = None
    crs: str | None = None
    origin_on_map: tuple[float, float] | None = None
    points: tuple[tuple[tuple[float, float], tuple[float, float]], ...] = ()
    building: str | None = None
    angle: float | None = None
    height: float | None = None
    accuracy: float | None = None
    resolution: float | None = None


def beside(path: Path) -> tuple[str, str] | None:
    """Return the name and the text of the placement file of a model; None where there is none.

    Raises
    ------
    InvalidData : it is no text.
    """
    file = path.with_name(stem(path) + SUFFIX)
    return (file.name, text_of(file)) if file.is_file() else None


def text_of(file: Path) -> str:
    """Return the text of a placement file.

    Raises
    ------
    InvalidData : it is not in UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")  # editors put a byte order mark before it
    except UnicodeDecodeError as error:
        raise InvalidData(f"{file.name}: is no text in UTF-8; save it as such") from error


def parse(text: str, origin: str) -> Statement:
    """Read a statement of the command line or the text of a placement file.

    Raises
    ------
    InvalidData : it is none of the forms; the message names what is wrong with it.
    """
    if "=" in text or "\n" in text:
        return _from_toml(text, origin)
    if "," in text:
        return _from_numbers(text, origin)
    code = text.strip()
    if not code:
        raise InvalidData(f"{origin}: is empty; expected longitude,latitude[,angle], a code or a placement file")
    return Statement(origin, building=code)


def _from_numbers(text: str, origin: str) -> Statement:
    parts = [part.strip() for part in text.split(",")]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    # Written so that NaN is refused too.
    if len(numbers) not in (2, 3) or not (abs(numbers[0]) <= 180 and abs(numbers[1]) <= 90):
        raise InvalidData(f"{origin} {text!r}: expected longitude,latitude[,angle] in degrees, like 116.1,39.05,12.5")
    decimals = min(len(part.partition(".")[2]) for part in parts[:2])
    angle = numbers[2] if len(numbers) == 3 and math.isfinite(numbers[2]) else None
    return Statement(origin, (numbers[0], numbers[1]), angle=angle, resolution=0.5 * 10.0**-decimals)


def _from_toml(text: str, origin: str) -> Statement:
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidData(f"{origin}: is no TOML: {error}") from error
    given = said.keys() - _OPTIONAL
    if given not in _FORMS:
        forms = "; ".join(", ".join(sorted(form)) for form in _FORMS)
        raise InvalidData(
            f"{origin}: says {', '.join(sorted(said)) or 'nothing'}; a placement names one of: {forms};"
            f" and may add {', '.join(sorted(_OPTIONAL))}"
        )
    for name, limit in _NUMBERS.items():
        value = said.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= limit:
            raise InvalidData(f"{origin}: {name} is {value!r}; expected a number up to {limit:g}")
    for name in ("crs", "building"):
        if not isinstance(said.get(name, ""), str):
            raise InvalidData(f"{origin}: {name} is {said[name]!r}; expected text")
    return Statement(
        origin,
        degrees=(said["longitude"], said["latitude"]) if "longitude" in said else None,
        crs=said.get("crs"),
        origin_on_map=(said["eastings"], said["northings"]) if "eastings" in said else None,
        points=_points(said["points"], origin) if "points" in said else (),
        building=said.get("building"),
        **{name: said.get(name) for name in _OPTIONAL},
    )


def _points(said: Any, origin: str) -> tuple[tuple[tuple[float, float], tuple[float, float]], ...]:
    try:
        pairs = tuple(((float(a), float(b)), (float(e), float(n))) for (a, b), (e, n) in map(_pair, said))
    except (KeyError, TypeError, ValueError):
        pairs = ()
    if len({model for model, _ in pairs}) < 2:
        raise InvalidData(
            f"{origin}: points needs two different ones, each as {{model = [x, y], map = [eastings, northings]}}"
        )
    return pairs


def _pair(point: Any) -> tuple[Any, Any]:
    return point["model"], point["map"]
