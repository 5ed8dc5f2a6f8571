"""The figures of a report: the map, the massing, the Spacemate chart, the gauge of a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

from cim.scenarios._report._material import Drawn, Material
from cim.scenarios._report._svg import (
    INK,
    MUTED,
    RAMP,
    Frame,
    Points,
    drawing,
    element,
    nice,
    path,
    rings_of,
    text,
)

WIDTH = 178.0  # millimetres between the margins of an A4 page
UNKNOWN = "url(#unknown)"
ACTIONS = {
    "demolish": "#c0392b",
    "rebuild": "#2471a3",
    "new_build": "#1a5fb4",
    "extend": "#8e44ad",
    "repair": "#2e9e6b",
    "retrofit": "#27ae60",
    "change_use": "#d68910",
    "add_lift": "#7dcea0",
    "add_gas": "#7dcea0",
}
LABELS = {
    "demolish": "拆除 demolish",
    "rebuild": "重建 rebuild",
    "new_build": "新建 new build",
    "extend": "扩建 extend",
    "repair": "修缮 repair",
    "retrofit": "改造 retrofit",
    "change_use": "改变用途 change of use",
    "add_lift": "加装电梯 add a lift",
    "add_gas": "通燃气 add gas",
}
APART = 5.0  # millimetres that names along an edge keep
KEPT = "#d5d8dc"
STOREY = 3.0  # metres a storey is drawn high where no height is recorded
TURN, TILT = np.radians(28.0), np.radians(38.0)  # from where the massing is seen


def plan(material: Material, height: float = 108.0) -> str:
    """Return the map: buildings by storeys, hatched where nobody recorded them, paler outside the land."""
    minx, miny, maxx, maxy = material.land.bounds
    frame = Frame.fit((minx - 30, miny - 30, maxx + 30, maxy + 30), WIDTH, height)
    starts, labels = _classes(material)
    parts = [element("rect", width=WIDTH, height=height, fill="#f4f1ea")]
    parts += [
        frame.shape(o.geometry, fill="#fbfaf6", stroke="#d9d4c7", stroke_width=0.12) for o in _of(material, "parcel")
    ]
    parts += [
        frame.shape(o.geometry, fill="#cfe3bf", stroke="#a9c795", stroke_width=0.12)
        for o in _of(material, "green_space")
    ]
    for road in _of(material, "road"):
        wide = min(max((road.height or 6.0) * frame.scale, 0.5), 4.0)
        parts.append(frame.shape(road.geometry, fill="none", stroke="#c9c3b4", stroke_width=wide + 0.25))
    for road in _of(material, "road"):
        wide = min(max((road.height or 6.0) * frame.scale, 0.5), 4.0)
        parts.append(frame.shape(road.geometry, fill="none", stroke="#ffffff", stroke_width=wide))
    prepared = material.land
    shapely.prepare(prepared)
    for one in _of(material, "building"):
        inside = bool(shapely.intersects(prepared, one.geometry))
        fill = _shade(one.storeys, starts)
        parts.append(
            frame.shape(one.geometry, fill=fill, stroke=INK, stroke_width=0.12, opacity=None if inside else 0.35)
        )
    parts.append(frame.shape(material.land, fill="none", stroke="#b3261e", stroke_width=0.7, stroke_dasharray="3 1.2"))
    clip = element("clipPath", element("rect", width=WIDTH, height=height), id="plan")
    parts = [clip, element("g", "".join(parts), clip_path="url(#plan)")]
    parts += [_scale_bar(frame, height), _north(WIDTH - 8.0, 10.0)]
    used = sorted(
        {_class_of(o.storeys, starts) for o in _of(material, "building")}, key=lambda c: -1 if c is None else c
    )
    keys = [
        ("未知 unknown" if c is None else labels[c], UNKNOWN if c is None else RAMP[min(c, len(RAMP) - 1)])
        for c in used
    ]
    parts.append(legend(keys, "地上层数 storeys", 3.0, 3.0))
    return drawing(WIDTH, height, parts, f"Map of {material.name}: buildings by storeys")


def massings(material: Material) -> list[tuple[str, str]]:
    """Return the massing of the buildings that meet the land, with its title; before and after with proposals.

    These are drawn to one scale, and coloured by what is done; without a proposal by storeys.
    """
    if not material.branches:
        starts, _ = _classes(material)
        inside = _inside(material, material.drawn)
        colours = {o.code: _shade(o.storeys, starts, KEPT) for o in inside}
        return [("现状体量 Massing", massing(inside, colours, material.land.bounds, WIDTH, 72.0))]
    before = _inside(material, material.drawn)
    after = [_inside(material, branch.drawn) for branch in material.branches]
    highest = max([0.0, *map(_height, before), *(_height(one) for objects in after for one in objects)])
    size = (material.land.bounds, WIDTH / 2 - 2.0, 66.0, highest)
    first = material.branches[0].actions if len(material.branches) == 1 else {}
    # What is rebuilt is torn down first.
    torn = {code: ACTIONS["demolish"] for code, action in first.items() if action == "rebuild"}
    return [("方案前 Before", massing(before, _colours(first) | torn, *size))] + [
        (branch.name, massing(objects, _colours(branch.actions), *size))
        for branch, objects in zip(material.branches, after, strict=True)
    ]


def _colours(actions: Mapping[str, str]) -> dict[str, str]:
    return {code: ACTIONS.get(action, KEPT) for code, action in actions.items()}


def _inside(material: Material, objects: Sequence[Drawn]) -> list[Drawn]:
    shapely.prepare(material.land)
    return [o for o in objects if o.type == "building" and shapely.intersects(material.land, o.geometry)]


def action_keys(material: Material) -> list[tuple[str, str]]:
    """Return label and colour of every action on the map of a proposal."""
    done = sorted({action for branch in material.branches for action in branch.actions.values()} & ACTIONS.keys())
    return [(LABELS[action], ACTIONS[action]) for action in done]


def massing(
    objects: Sequence[Drawn],
    colours: Mapping[str, str],
    bounds: Sequence[float],
    width: float,
    height: float,
    highest: float | None = None,
) -> str:
    """Return buildings as prisms seen from the south-west, from far; all on one level.

    `colours` by code; others are grey. Views that are compared share `bounds` (west, south, east, north) and
    `highest`, both in metres.
    """
    west, south, east, north = bounds
    middle = np.array([(west + east) / 2, (south + north) / 2])
    corners = np.array([[x, y] for x in (west, east) for y in (south, north)])
    ground = _seen(corners - middle, 0.0)
    highest = max((_height(o) for o in objects), default=0.0) if highest is None else highest
    low, high = ground.min(axis=0), ground.max(axis=0)
    frame = Frame.fit((low[0], low[1], high[0], high[1] + highest * np.cos(TILT)), width, height)
    parts = [element("rect", width=width, height=height, fill="#f4f1ea")]
    base = frame.points(_seen(corners[[0, 2, 3, 1]] - middle, 0.0))
    parts.append(element("path", d=path([base]), fill="#fbfaf6", stroke="#d9d4c7", stroke_width=0.2))
    buildings = [o for o in objects if o.type == "building"]
    centres = shapely.get_coordinates(shapely.centroid(np.array([o.geometry for o in buildings], dtype=object)))
    far_first = sorted(zip(buildings, centres, strict=True), key=lambda pair: (-_depth(pair[1] - middle), pair[0].code))
    for one, _ in far_first:
        parts.append(_prism(one, colours.get(one.code, KEPT), middle, frame))
    return drawing(width, height, parts, "Massing, seen from the south-west")


def spacemate(
    points: Sequence[tuple[str, float, float, bool]],
    arrows: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
) -> str:
    """Return the Spacemate chart: GSI across, FSI up, lines of equal storeys L and of equal spaciousness OSR.

    Parameters
    ----------
    points : label, GSI, FSI, and whether it is a whole (drawn large and named) or a parcel
    arrows : (GSI, FSI) before and after

    Source
    ------
    Berghauser Pont, M., Haupt, P. (2010), "Spacematrix": L = FSI / GSI, OSR = (1 - GSI) / FSI.
    """
    width, height, left, bottom = 120.0, 92.0, 14.0, 12.0
    ends = [(g, f) for _, g, f, _ in points] + [end for arrow in arrows for end in arrow]
    most_gsi = min(max([0.5, *(g * 1.15 for g, _ in ends)]), 1.0)
    most_fsi = max([1.0, *(f * 1.15 for _, f in ends)])
    inner = width - left - 22.0, height - bottom - 6.0

    def at(gsi: float, fsi: float) -> tuple[float, float]:
        return left + gsi / most_gsi * inner[0], height - bottom - fsi / most_fsi * inner[1]

    def line(samples: Iterable[tuple[float, float]], **style: Any) -> str:
        return element("path", d=path([np.array([at(*s) for s in samples])], closed=False), fill="none", **style)

    parts = [
        element("rect", x=left, y=6.0, width=inner[0], height=inner[1], fill="#fbfaf6", stroke=MUTED, stroke_width=0.2)
    ]
    beside = np.inf
    for storeys in (1, 2, 3, 4, 6, 8, 12, 18, 26, 34):
        end = min(most_gsi, most_fsi / storeys)
        parts.append(line([(0, 0), (end, end * storeys)], stroke="#c3ccd5", stroke_width=0.2))
        x, y = at(end, end * storeys)
        if end < most_gsi and beside - x < APART:
            continue  # along the top names of steep lines would lie over each other
        beside = x
        parts.append(
            text(
                x + 0.8,
                y + (2.0 if end < most_gsi else 0.8) - 2.6 * (end < most_gsi),
                f"L {storeys}",
                font_size=2.1,
                fill=MUTED,
            )
        )
    for osr in (0.1, 0.25, 0.5, 1.0, 2.0):
        curve = [(g, (1 - g) / osr) for g in np.linspace(0, most_gsi, 60) if (1 - g) / osr <= most_fsi]
        if len(curve) > 1:
            parts.append(line(curve, stroke="#d7b98c", stroke_width=0.2, stroke_dasharray="1 0.8"))
            x, y = at(*curve[-1])
            parts.append(text(x + 0.8, y + 3.2, f"OSR {osr:g}", font_size=2.1, fill="#a9834a"))
    parts += _axes(at, most_gsi, most_fsi, left, height - bottom)
    for _, gsi, fsi, whole in sorted(points, key=lambda p: p[3]):
        x, y = at(gsi, min(fsi, most_fsi))
        colour = "#b3261e" if whole else "#3d6fa5"
        parts.append(
            element("circle", cx=x, cy=y, r=1.5 if whole else 0.8, fill=colour, opacity=1.0 if whole else 0.65)
        )
    written = -np.inf
    for label, x, y in sorted(((p[0], *at(p[1], p[2])) for p in points if p[3]), key=lambda named: named[2]):
        # Names of points that lie close stand below one another.
        written = max(y + 0.9, written + 3.2)
        parts.append(text(x + 2.4, written, label, font_weight="bold"))
    for before, after in arrows:
        parts.append(_arrow(at(*before), at(*after)))
    return drawing(width, height, parts, "Spacemate chart: GSI and FSI of parcels and of the whole")


def gauge(value: float | None, low: float | None, high: float | None, limit: float | None) -> str:
    """Return a bar of a value against its limit, the interval that the unknown leaves open, and the limit's mark."""
    width, height = 34.0, 5.0
    ends = [abs(v) for v in (value, low, high, limit) if v is not None]
    top = max(ends, default=0.0) * 1.15 or 1.0
    parts = [element("rect", y=1.6, width=width, height=1.8, rx=0.9, fill="#e4e7eb")]
    if low is not None and high is not None and high > low:
        x, end = (max(0.0, min(v / top, 1.0)) * width for v in (low, high))
        parts.append(
            element(
                "rect", x=x, y=1.6, width=max(end - x, 0.4), height=1.8, fill=UNKNOWN, stroke=MUTED, stroke_width=0.1
            )
        )
    if value is not None:
        parts.append(
            element("rect", y=1.6, width=max(min(value / top, 1.0) * width, 0.4), height=1.8, rx=0.9, fill="#3d6fa5")
        )
    if limit is not None:
        x = limit / top * width
        parts.append(element("line", x1=x, x2=x, y1=0.4, y2=4.6, stroke="#b3261e", stroke_width=0.5))
    return drawing(width, height, parts, "value against limit")


def legend(keys: Sequence[tuple[str, str]], title: str, x: float, y: float) -> str:
    """Return a legend on white: label and fill of each key."""
    high = 5.5 + 4.0 * len(keys)
    parts = [element("rect", x=x, y=y, width=33.0, height=high, fill="#ffffff", opacity=0.88, rx=1)]
    parts.append(text(x + 2, y + 4, title, font_weight="bold", font_size=2.4))
    for row, (label, fill) in enumerate(keys):
        top = y + 5.4 + 4.0 * row
        parts.append(element("rect", x=x + 2, y=top, width=4.5, height=2.8, fill=fill, stroke=INK, stroke_width=0.1))
        parts.append(text(x + 8, top + 2.3, label, font_size=2.3))
    return "".join(parts)


def _of(material: Material, type_name: str) -> list[Drawn]:
    return material.objects(type_name)


def _classes(material: Material) -> tuple[Sequence[int], Sequence[str]]:
    found = material.pack.limit("residential_height_classes", "storey_classes")
    return found["from"], found["labels"]


def _class_of(storeys: int | None, starts: Sequence[int]) -> int | None:
    return None if storeys is None else max(0, int(np.searchsorted(starts, storeys, side="right")) - 1)


def _shade(storeys: int | None, starts: Sequence[int], unknown: str = UNKNOWN) -> str:
    found = _class_of(storeys, starts)
    return unknown if found is None else RAMP[min(found, len(RAMP) - 1)]


def _scale_bar(frame: Frame, height: float) -> str:
    metres = nice(45.0 / frame.scale)
    long = metres * frame.scale
    x, y = 5.0, height - 5.0
    return "".join(
        [
            element("rect", x=x - 2, y=y - 5.2, width=long + 14, height=7.4, fill="#ffffff", opacity=0.88, rx=1),
            element("rect", x=x, y=y - 1, width=long / 2, height=1.2, fill=INK),
            element(
                "rect",
                x=x + long / 2,
                y=y - 1,
                width=long / 2,
                height=1.2,
                fill="#ffffff",
                stroke=INK,
                stroke_width=0.2,
            ),
            text(x, y - 2, "0"),
            text(x + long, y - 2, f"{metres:g} m", text_anchor="middle"),
        ]
    )


def _north(x: float, y: float) -> str:
    arrow = element("path", d=f"M{x} {y - 6}L{x + 2.4} {y + 1}L{x} {y - 0.6}L{x - 2.4} {y + 1}Z", fill=INK)
    return (
        element("circle", cx=x, cy=y - 1.5, r=6.2, fill="#ffffff", opacity=0.88)
        + arrow
        + text(x, y + 4, "N", text_anchor="middle")
    )


def _height(one: Drawn) -> float:
    if one.type != "building":
        return 0.0
    return one.height or STOREY * (one.storeys or 1)


def _seen(points: Points, up: float) -> Points:
    """Return points of the ground, lifted by `up` metres, as the eye sees them: across and up, in metres."""
    across = points[:, 0] * np.cos(TURN) + points[:, 1] * np.sin(TURN)
    away = points[:, 1] * np.cos(TURN) - points[:, 0] * np.sin(TURN)
    return np.column_stack([across, away * np.sin(TILT) + up * np.cos(TILT)])


def _depth(point: Points) -> float:
    return float(point[1] * np.cos(TURN) - point[0] * np.sin(TURN))


def _prism(one: Drawn, colour: str, middle: Points, frame: Frame) -> str:
    up = _height(one)
    walls: list[tuple[float, str]] = []
    for ring in rings_of(shapely.normalize(one.geometry)):
        flat = ring - middle
        foot, top = frame.points(_seen(flat, 0.0)), frame.points(_seen(flat, up))
        for (a, b), (c, d), (from_, to) in zip(pairwise(foot), pairwise(top), pairwise(flat), strict=True):
            # Exterior rings of a normalised polygon run clockwise, so that their outside lies to the left.
            step = to - from_
            outward = np.array([-step[1], step[0]])
            if _depth(outward) < 0:
                light = 0.5 + 0.5 * abs(outward[0]) / (np.hypot(*outward) or 1.0)
                quad = path([np.array([a, b, d, c])])
                walls.append(
                    (
                        -_depth((from_ + to) / 2),
                        element(
                            "path", d=quad, fill=_darker(colour, 0.55 + 0.3 * light), stroke=INK, stroke_width=0.06
                        ),
                    )
                )
    roof = [frame.points(_seen(ring - middle, up)) for ring in rings_of(one.geometry)]
    walls.sort(key=lambda wall: wall[0])
    return "".join(wall for _, wall in walls) + element(
        "path", d=path(roof), fill=colour, fill_rule="evenodd", stroke=INK, stroke_width=0.1
    )


def _darker(colour: str, share: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"#{int(red * share):02x}{int(green * share):02x}{int(blue * share):02x}"


def _axes(at: Any, most_gsi: float, most_fsi: float, left: float, bottom: float) -> list[str]:
    parts = []
    step = nice(most_gsi / 4)
    for k in range(int(most_gsi / step) + 1):
        x, _ = at(k * step, 0)
        parts.append(text(x, bottom + 3.6, f"{k * step:g}", text_anchor="middle", font_size=2.2, fill=MUTED))
    step = nice(most_fsi / 4)
    for k in range(int(most_fsi / step) + 1):
        _, y = at(0, k * step)
        parts.append(text(left - 1.2, y + 0.8, f"{k * step:g}", text_anchor="end", font_size=2.2, fill=MUTED))
    x, _ = at(most_gsi / 2, 0)
    parts.append(text(x, bottom + 8.0, "GSI 建筑密度", text_anchor="middle"))
    _, y = at(0, most_fsi / 2)
    parts.append(text(4.0, y, "FSI 容积率", text_anchor="middle", transform=f"rotate(-90 4 {y:.2f})"))
    return parts


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    vector = np.array(end) - np.array(start)
    long = float(np.hypot(*vector))
    if long < 0.5:
        return ""
    along, across = vector / long, np.array([-vector[1], vector[0]]) / long
    tip = np.array(end)
    head = np.array([tip, tip - along * 2.2 + across * 0.9, tip - along * 2.2 - across * 0.9])
    shaft = path([np.array([start, tip - along * 1.8])], closed=False)
    return element("path", d=shaft, stroke=INK, stroke_width=0.5, fill="none") + element(
        "path", d=path([head]), fill=INK
    )
