"""The storeys of a model as plans: gathered in the transaction of its file, drawn for the page of the report."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa
from markupsafe import Markup

from cim.db.script import query

# So many storeys of a file are drawn; what has more is a file of many buildings, and the map shows those.
MOST_STOREYS = 120
# Width of a plan in the units of its SVG, its least and greatest height as a share, and the share left free around.
_WIDTH, _LOW, _HIGH, _MARGIN = 320.0, 0.3, 1.4, 0.04
# The uses with the most area have a colour each, the others share one.
_COLOURS = 6
# A label of so many units height stands in a room that has place for it; a letter is so wide at most.
_LETTER, _LETTER_WIDTH = 9.0, 5.2


@dataclass(frozen=True, slots=True)
class Room:
    """A space of a storey; outline in the storage CRS, area in m²."""

    name: str | None
    number: str | None
    usage: str | None
    area: float | None
    shape: shapely.Geometry


@dataclass(frozen=True, slots=True)
class Plan:
    """A storey: elevation in m of the model, gross floor area in m², outline in the storage CRS; None is not known."""

    building_code: str
    building: str
    name: str | None
    elevation: float | None
    area: float | None
    shape: shapely.Geometry | None
    rooms: list[Room] = field(default_factory=list)


def plans_of(connection: sa.Connection, content: str) -> list[Plan]:
    """Return the storeys that the file of this digest gave, building by building from the lowest up."""
    storeys = connection.execute(query("ingest/plan_storeys"), {"content": content, "most": MOST_STOREYS}).all()
    rooms: dict[str, list[Room]] = {}
    if storeys:
        for row in connection.execute(query("ingest/plan_spaces"), {"storeys": [storey.code for storey in storeys]}):
            shape = shapely.from_wkb(bytes(row.shape))
            rooms.setdefault(row.storey_code, []).append(Room(row.name, row.number, row.usage, row.floor_area, shape))
    return [
        Plan(
            s.building_code,
            s.building,
            s.name,
            s.elevation,
            s.gross_floor_area,
            None if s.shape is None else shapely.from_wkb(bytes(s.shape)),
            rooms.get(s.code, []),
        )
        for s in storeys
    ]


def draw(plans: Sequence[Plan], titles: dict[str, str]) -> list[dict[str, Any]]:
    """Return buildings, each with its plans at one scale, north up, as the page's template takes them.

    `titles` are those of the uses of spaces.
    """
    used: dict[str | None, float] = {}
    for room in (room for plan in plans for room in plan.rooms):
        used[room.usage] = used.get(room.usage, 0.0) + float(shapely.area(room.shape))
    colours = {usage: min(place, _COLOURS) for place, usage in enumerate(sorted(used, key=lambda use: -used[use]))}
    return [
        _building(list(storeys), colours, titles) for _, storeys in groupby(plans, key=lambda plan: plan.building_code)
    ]


def _building(storeys: list[Plan], colours: dict[str | None, int], titles: dict[str, str]) -> dict[str, Any]:
    shapes = [shape for storey in storeys for shape in (storey.shape, *(r.shape for r in storey.rooms)) if shape]
    view = _View(shapes) if shapes else None
    here = {room.usage for storey in storeys for room in storey.rooms}
    legend = [(place, _use(usage, titles)) for usage, place in colours.items() if place < _COLOURS and usage in here]
    if any(colours[usage] == _COLOURS for usage in here):
        legend.append((_COLOURS, "other uses"))
    return {
        "name": storeys[0].building,
        "code": storeys[0].building_code,
        "legend": legend,
        "storeys": [
            {
                "name": storey.name or "storey",
                "said": _said(storey),
                "svg": _plan(storey, view, colours, titles) if view and (storey.shape or storey.rooms) else None,
            }
            for storey in storeys
        ],
    }


def _use(usage: str | None, titles: dict[str, str]) -> str:
    return "use not known" if usage is None else titles.get(usage, usage)


def _said(storey: Plan) -> str:
    said = [] if storey.elevation is None else [f"{storey.elevation:+.2f} m"]
    if storey.area is not None:
        said.append(f"{storey.area:,.1f} m²")
    if storey.rooms:
        said.append(f"{len(storey.rooms)} room{'s' if len(storey.rooms) > 1 else ''}")
    return " · ".join(said)


class _View:
    """From metres of the storage CRS to a plan; the same for all storeys of a building, so that they compare."""

    def __init__(self, shapes: Sequence[shapely.Geometry]) -> None:
        west, south, east, north = shapely.total_bounds(np.array(shapes, dtype=object)).tolist()
        across, up = max(east - west, 0.1), max(north - south, 0.1)
        self.height = _WIDTH * min(max(up / across, _LOW), _HIGH)
        free = 1 - 2 * _MARGIN
        self.scale = min(_WIDTH * free / across, self.height * free / up)
        self.west = west - (_WIDTH / self.scale - across) / 2
        self.north = north + (self.height / self.scale - up) / 2

    def path(self, shape: shapely.Geometry) -> str:
        """Return the rings of areas as the data of one path."""
        polygons = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
        return "".join(self._ring(ring) for ring in shapely.get_rings(np.array(polygons, dtype=object)))

    def at(self, point: shapely.Point) -> tuple[float, float]:
        """Return where on the plan a point is."""
        return round((point.x - self.west) * self.scale, 1), round((self.north - point.y) * self.scale, 1)

    def _ring(self, ring: shapely.Geometry) -> str:
        corners = (shapely.get_coordinates(ring)[:-1] - (self.west, self.north)) * (self.scale, -self.scale)
        return "M" + "L".join(f"{x:g},{y:g}" for x, y in np.round(corners, 1).tolist()) + "Z"


def _plan(storey: Plan, view: _View, colours: dict[str | None, int], titles: dict[str, str]) -> Markup:
    label = html.escape(f"Plan of {storey.name or 'a storey'}")
    parts = [f'<svg viewBox="0 0 {_WIDTH:.0f} {view.height:.0f}" role="img" aria-label="{label}" fill-rule="evenodd">']
    if storey.shape is not None:
        parts.append(f'<path class="storey" d="{view.path(storey.shape)}"/>')
    for room in storey.rooms:
        title = html.escape(_title(room, titles))
        css = f"room use{colours[room.usage]}"
        parts.append(f'<path class="{css}" d="{view.path(room.shape)}"><title>{title}</title></path>')
    parts += _labels(storey.rooms, view)
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - numbers of ours; what a model said is escaped above


def _title(room: Room, titles: dict[str, str]) -> str:
    said = [room.number, room.name, _use(room.usage, titles)]
    area = [] if room.area is None else [f"{room.area:,.1f} m²"]
    return ", ".join([*(text for text in dict.fromkeys(said) if text), *area])


def _labels(rooms: Iterable[Room], view: _View) -> Iterable[str]:
    """Yield the numbers of rooms, else their names, where there is place for them."""
    for room in rooms:
        text = room.number or room.name
        west, south, east, north = (edge * view.scale for edge in shapely.bounds(room.shape).tolist())
        if text and east - west > _LETTER_WIDTH * len(text) + 4 and north - south > _LETTER + 3:
            x, y = view.at(shapely.point_on_surface(room.shape))
            yield f'<text x="{x:g}" y="{y + _LETTER / 3:.1f}">{html.escape(text)}</text>'
