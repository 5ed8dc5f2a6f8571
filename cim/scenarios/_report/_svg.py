"""Drawing: SVG elements as text, and a frame that takes metres to the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

# Viridis turned light, from few to many; and what the eye reads as good, bad and open.
RAMP = ("#fde7a9", "#f6c77d", "#ee9f62", "#dd7454", "#bf4f55", "#943a58", "#662b53", "#3b1f45")
INK, MUTED = "#1f2933", "#7b8794"
HATCH = (
    '<pattern id="unknown" width="1.6" height="1.6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="1.6" height="1.6" fill="#ffffff"/><rect width="0.5" height="1.6" fill="#7b8794"/></pattern>'
)
# What a frame leaves free around the ground that it shows, millimetres.
_EDGE = 2.0
Points = npt.NDArray[np.float64]


def element(name: str, content: str = "", **attributes: Any) -> str:
    """Return an element; an attribute `stroke_width` is written stroke-width, one that is None is left out."""
    written = "".join(
        f' {key.replace("_", "-")}="{_value(value)}"' for key, value in attributes.items() if value is not None
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def text(x: float, y: float, words: str, **attributes: Any) -> str:
    """Return a text; 2.6 mm high unless said otherwise."""
    return element("text", escape(words), **{"x": x, "y": y, "font_size": 2.6, "fill": INK, **attributes})


def drawing(width: float, height: float, parts: Iterable[str], title: str) -> str:
    """Return a whole drawing, in millimetres of the page; `title` is read to those who cannot see it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_value(width)}mm" height="{_value(height)}mm" '
        f'viewBox="0 0 {_value(width)} {_value(height)}" role="img" font-family="Noto Sans CJK SC, sans-serif">'
        f"<title>{escape(title)}</title><defs>{HATCH}</defs>{''.join(parts)}</svg>"
    )


def path(rings: Iterable[Points], *, closed: bool = True) -> str:
    """Return the path data of rings or lines given on the page."""
    end = "Z" if closed else ""
    return "".join("M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in ring) + end for ring in rings)


def rings_of(geometry: BaseGeometry) -> list[Points]:
    """Return the coordinates of every ring of an area, or of every part of a line."""
    if geometry.geom_type.endswith("Polygon"):
        parts = shapely.get_parts(geometry)
        rings = [part.exterior for part in parts] + [ring for part in parts for ring in part.interiors]
        return [shapely.get_coordinates(ring) for ring in rings]
    return [shapely.get_coordinates(part) for part in shapely.get_parts(geometry)]


@dataclass(frozen=True, slots=True)
class Frame:
    """Metres on the ground to millimetres of the page, north up: the ground's box fits in the middle of the page's."""

    west: float
    north: float
    scale: float
    left: float
    top: float

    @classmethod
    def fit(cls, bounds: Sequence[float], width: float, height: float) -> Frame:
        """Return the frame that shows `bounds` (west, south, east, north) as large as the page allows."""
        west, south, east, north = bounds
        scale = min((width - 2 * _EDGE) / max(east - west, 1.0), (height - 2 * _EDGE) / max(north - south, 1.0))
        left = (width - (east - west) * scale) / 2
        top = (height - (north - south) * scale) / 2
        return cls(west, north, scale, left, top)

    def points(self, ground: Points) -> Points:
        """Return points on the page."""
        x = self.left + (ground[:, 0] - self.west) * self.scale
        y = self.top + (self.north - ground[:, 1]) * self.scale
        return np.column_stack([x, y])

    def shape(self, geometry: BaseGeometry, **attributes: Any) -> str:
        """Return an area or a line as a path."""
        rings = [self.points(ring) for ring in rings_of(geometry)]
        closed = geometry.geom_type.endswith("Polygon")
        return element("path", d=path(rings, closed=closed), fill_rule="evenodd" if closed else None, **attributes)


def nice(value: float) -> float:
    """Return the greatest of 1, 2 or 5 times a power of ten that is not above a positive value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9)))


def _value(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else escape(str(value))
