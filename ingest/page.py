"""The report as one HTML page that needs nothing else: counts, a map of what happened where, reasons, remarks."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from markupsafe import Markup

from cim import crs
from ingest.observer import Observed
from ingest.picture import MOST_AROUND, MOST_REJECTS, Picture
from ingest.plans import draw
from ingest.report import HOW, UNDECIDED, Report

# The map's size in the units of its SVG, and the share of it left free around.
_WIDTH, _MARGIN = 1020.0, 0.04
_LOW, _HIGH = 0.42, 0.95
# So many reasons are listed; `cim rejects` lists all.
_REASONS = 30
_FATES = (("inserted", "insert"), ("updated", "update"), ("unchanged", "same"), ("rejected", "reject"))
_COLUMNS = ("read", "inserted", "updated", "unchanged", "rejected", "repaired", "ended")
_KEYS = {"insert": "inserted", "update": "updated", "end": "ended"}
_NOT_TAKEN = {"reject": "rejected", "undecided": "undecided"}


def write(
    report: Report,
    observed: Sequence[Observed],
    path: Path,
    *,
    srid: int,
    usages: dict[str, str],
    origin: str | None = None,
    head: tuple[int, str] | None = None,
) -> None:
    """Write the report to an HTML file.

    Parameters
    ----------
    observed : what was seen of each file
    srid : EPSG code of the storage CRS
    usages : titles of the uses of spaces
    origin : name of the log; head : tree size and root up to which everything is recorded, None for a dry run
    """
    import jinja2  # slow to load, and few loads write a page

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, trim_blocks=True
    )
    total = report.total()
    names = [_name(file.path) for file in report.files]
    identity = Counter[str]()
    for file in report.files:
        for layer in file.layers:
            identity.update(layer.identity)
    reasons = _reasons(report)
    page = environment.get_template("report.html").render(
        title=names[0] if len(names) == 1 else f"{len(names)} files",
        at=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        origin=origin,
        dry_run=any(file.status == "dry-run" for file in report.files),
        tree_size=None if head is None else head[0],
        tree_root=None if head is None else head[1],
        total=total,
        fates=_FATES,
        columns=_COLUMNS[: None if total["ended"] else -1],
        files=[_with_name(file) for file in report.files],
        refused=[_with_name(file) for file in report.refused],
        map=_map([seen.picture for seen in observed if seen.picture is not None], crs.parse(srid)),
        buildings=draw([plan for seen in observed for plan in seen.plans], usages),
        understood=[
            (_name(file.path), _lines(layer.understood))
            for file in report.files
            for layer in file.layers
            if layer.understood
        ],
        identity=[
            (how, meaning, identity[how], identity[how] / max(identity.values()))
            for how, meaning in HOW.items()
            if identity[how]
        ],
        reasons=reasons[:_REASONS],
        more_reasons=max(0, len(reasons) - _REASONS),
        warnings=[
            (f"{_name(file.path)}, {layer.name}", text)
            for file in report.files
            for layer in file.layers
            for text in layer.warnings
        ],
        passed_over=[_name(p) for p in report.passed_over],
        waiting=report.waiting,
    )
    path.write_text(page, encoding="utf-8")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _with_name(file: Any) -> dict[str, Any]:
    return {
        "name": _name(file.path),
        "status": file.status,
        "error": file.error,
        "layers": file.layers,
        "sha256": file.sha256,
    }


def _reasons(report: Report) -> list[dict[str, Any]]:
    found = [
        (number, reason, layer.name)
        for file in report.files
        for layer in file.layers
        for reason, number in layer.reasons.items()
    ]
    most = max((number for number, _, _ in found), default=1)
    return [
        {
            "text": reason,
            "layer": layer,
            "number": number,
            "undecided": reason.startswith(UNDECIDED),
            "share": number / most,
        }
        for number, reason, layer in sorted(found, key=lambda item: -item[0])
    ]


def _lines(nodes: Iterable[Mapping[str, Any]], depth: int = 0) -> list[tuple[int, str]]:
    """Return the texts of trees from the top, each with how deep it stands."""
    return [line for node in nodes for line in ((depth, node["text"]), *_lines(node["parts"], depth + 1))]


class _View:
    """From metres of the storage CRS to the map."""

    def __init__(self, box: tuple[float, float, float, float]) -> None:
        west, south, east, north = box
        across, up = max(east - west, 1.0), max(north - south, 1.0)
        shape = min(max(up / across, _LOW), _HIGH)
        self.height = _WIDTH * shape
        free = 1 - 2 * _MARGIN
        self.scale = min(_WIDTH * free / across, self.height * free / up)
        self.west = west - (_WIDTH / self.scale - across) / 2
        self.north = north + (self.height / self.scale - up) / 2

    def points(self, coordinates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return places on the map, to a tenth of its unit."""
        moved: npt.NDArray[np.float64] = np.round(
            (coordinates - (self.west, self.north)) * (self.scale, -self.scale), 1
        )
        return moved


def _map(pictures: Sequence[Picture], system: pyproj.CRS) -> dict[str, Any] | None:
    boxes = [box for picture in pictures if (box := picture.bounds()) is not None]
    if not boxes:
        return None
    whole = np.array(boxes)
    view = _View((*whole[:, :2].min(axis=0).tolist(), *whole[:, 2:].max(axis=0).tolist()))
    parts = [
        f'<svg viewBox="0 0 {_WIDTH:.0f} {view.height:.0f}" role="img" aria-label="Map of what happened where"'
        ' stroke-width="0.6" stroke-linejoin="round">'
    ]
    parts += _shapes([s for picture in pictures for s in picture.around], "around", view)
    numbers: Counter[str] = Counter()
    for fate in _KEYS:
        shapes = [s for picture in pictures for s in picture.shapes.get(fate, ())]
        parts += _shapes(shapes, fate, view)
        cells = [(x, y, n, p.cell) for p in pictures for f, x, y, n in p.cells if f == fate]
        parts += _cells(cells, fate, view)
        numbers[fate] = len(shapes) + sum(n for _, _, n, _ in cells)
    marks = [mark for picture in pictures for mark in picture.marks]
    for mark in marks:
        css = "undecided" if mark.reason.startswith(UNDECIDED) else "reject"
        numbers[css] += 1
        title = html.escape(f"{mark.layer} {mark.source_id or ''}: {mark.reason}")
        parts += [
            "<g>",
            f"<title>{title}</title>",
            *_shapes([mark.shape], css, view),
            _ring(mark.shape, css, view),
            "</g>",
        ]
    parts += [_scale_bar(view), "</svg>"]
    around = sum(len(picture.around) for picture in pictures)
    keys = [(fate, label, numbers[fate]) for fate, label in _KEYS.items() if numbers[fate]]
    more = any(len(picture.around) >= MOST_AROUND for picture in pictures)
    keys += [("same", "as before, some of them" if more else "as before", around)] if around else []
    keys += [
        (css, css + ("" if css == "undecided" else "ed"), numbers[css])
        for css in ("reject", "undecided")
        if numbers[css]
    ]
    svg = Markup("".join(parts))  # noqa: S704 - numbers and words of ours; what a source said is escaped above
    return {"svg": svg, "legend": keys, "system": crs.name(system), "note": _note(pictures)}


def _note(pictures: Sequence[Picture]) -> str:
    said = []
    if any(picture.cells for picture in pictures):
        said.append("dense areas as a grid, darker where more objects are")
    said.append("objects without a place are not on it")
    unplaced = sum(picture.unplaced for picture in pictures)
    if unplaced:
        said.append(f"{unplaced:,} rejected without a place")
    if any(len(picture.marks) + picture.unplaced >= MOST_REJECTS for picture in pictures):
        said.append(f"the first {MOST_REJECTS:,} rejects")
    return "; ".join(said)


def _shapes(shapes: Iterable[shapely.Geometry], css: str, view: _View) -> list[str]:
    """Return areas as one path, lines as another, points as circles."""
    parts = shapely.get_parts(np.array(list(shapes), dtype=object))
    while (shapely.get_type_id(parts) > 3).any():
        parts = shapely.get_parts(parts)
    kinds = shapely.get_type_id(parts)
    areas = _areas(parts[kinds == 3], css, view)
    lines = "".join(_ring_path(line, view, "") for line in parts[(kinds == 1) | (kinds == 2)])
    found = areas + ([f'<path class="{css} line" stroke-width="1.4" d="{lines}"/>'] if lines else [])
    points = view.points(shapely.get_coordinates(parts[kinds == 0]))
    found += [f'<circle class="{css}" cx="{x:g}" cy="{y:g}" r="2.2"/>' for x, y in points.tolist()]
    return found


def _areas(polygons: npt.NDArray[np.object_], css: str, view: _View) -> list[str]:
    """Return polygons as three paths, the large ones first and pale: a building must show on its parcel."""
    shares = shapely.area(polygons) * view.scale**2 / (_WIDTH * view.height)
    found = []
    for low, high, opacity in ((0.01, np.inf, 0.08), (0.0012, 0.01, 0.2), (0.0, 0.0012, 0.85)):
        rings = shapely.get_rings(shapely.orient_polygons(polygons[(shares >= low) & (shares < high)]))
        outlines = "".join(_ring_path(ring, view, "Z") for ring in rings)
        if outlines:
            found.append(f'<path class="{css}" fill-opacity="{opacity}" d="{outlines}"/>')
    return found


def _ring_path(line: shapely.Geometry, view: _View, end: str) -> str:
    points = view.points(shapely.get_coordinates(line))
    if end:
        points = points[:-1]
    # What falls on one place at this scale is drawn once.
    kept = np.ones(len(points), dtype=bool)
    kept[1:] = (np.diff(points, axis=0) != 0).any(axis=1)
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points[kept].tolist()) + end


def _ring(shape: shapely.Geometry, css: str, view: _View) -> str:
    """Return a ring around a shape that would be too small to be seen."""
    (x, y), *_ = view.points(shapely.get_coordinates(shapely.centroid(shape))).tolist()
    return f'<circle class="{css}" cx="{x:g}" cy="{y:g}" r="6" fill-opacity="0.12" stroke-width="1.2"/>'


def _cells(cells: Sequence[tuple[float, float, int, float]], css: str, view: _View) -> list[str]:
    """Return squares, four depths of colour by how many objects they hold."""
    if not cells:
        return []
    numbers = np.array([n for _, _, n, _ in cells])
    depths = np.clip(np.searchsorted(np.quantile(numbers, (0.25, 0.5, 0.8)), numbers, side="right"), 0, 3)
    paths: list[list[str]] = [[], [], [], []]
    for (x, y, _, size), depth in zip(cells, depths, strict=True):
        (left, top), *_ = view.points(np.array([[x, y + size]])).tolist()
        side = f"{size * view.scale:.1f}"
        paths[depth].append(f"M{left:g},{top:g}h{side}v{side}h-{side}Z")
    return [
        f'<path class="{css}" stroke="none" style="stroke: none" fill-opacity="{opacity}" d="{"".join(path)}"/>'
        for opacity, path in zip((0.35, 0.55, 0.75, 0.95), paths, strict=True)
        if path
    ]


def _scale_bar(view: _View) -> str:
    """Return a bar of a round length about a seventh of the map wide."""
    wanted = _WIDTH / view.scale / 7
    power = 10 ** np.floor(np.log10(wanted))
    metres = float(max(m * power for m in (1, 2, 5) if m * power <= wanted))
    length, x, y = metres * view.scale, 18.0, view.height - 18
    label = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    place = f'x="{x - 8}" y="{y - 24:.1f}" width="{length + 16:.1f}" height="34"'
    back = f'<rect {place} rx="4" fill="#fff" fill-opacity="0.85" stroke="none"/>'
    bar = f'<path class="scale" stroke-width="1.5" d="M{x},{y - 5:.1f}v5h{length:.1f}v-5"/>'
    return f'{back}{bar}<text x="{x + 5}" y="{y - 8:.1f}">{label}</text>'
