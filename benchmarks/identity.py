"""How well a record is found by its place: precision and recall over thresholds, on deliveries out of real footprints.

A link is a record and the object it is, or is a part of, or has as a part. Precision is the share of the links found
that are true, recall the share of the true links that are found; what is left undecided is found by nobody.

Run: python -m benchmarks identity, with ../shared/data beside the checkout. Writes the table to standard output and the
plot to docs/identity.png.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyogrio
import shapely

from benchmarks._labelled import Delivery, deliver
from ingest.match import Decisions, Pairs, Thresholds, decide, thresholds

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "gis"
PLOT = ROOT / "docs" / "identity.png"
# Name, file, layer, encoding, metric CRS, footprints taken from the middle of the set.
SETS = (
    ("Tokyo", "tokyo23ku_east_buildings.fgb", None, None, 6677, 30_000),
    ("Nanshan", "DERIVED_nanshan_gbk_4547/南山建筑.shp", None, "GB18030", 4547, 6_000),
    ("Bubeneč", "bubenec.gpkg", "buildings", None, 5514, 200),
)
SEED = 20_261_124
# What each threshold is tried at, the others at their defaults.
TRIED = {
    "same": np.arange(0.30, 0.951, 0.05),
    "like": np.arange(0.50, 1.001, 0.05),
    "part": np.arange(0.50, 0.951, 0.05),
    "cover": np.arange(0.50, 0.951, 0.05),
    "touch": np.arange(0.05, 0.501, 0.05),
    "margin": np.arange(0.0, 0.451, 0.05),
}


def footprints(name: str, layer: str | None, encoding: str | None, srid: int, most: int) -> npt.NDArray[np.object_]:
    """Read the valid polygons of a file, those nearest to its middle."""
    with warnings.catch_warnings(action="ignore"):
        frame = pyogrio.read_dataframe(DATA / name, layer=layer, columns=[], encoding=encoding).to_crs(srid)
    shapes = shapely.get_parts(frame.geometry.to_numpy())
    shapes = shapes[shapely.is_valid(shapes) & (shapely.area(shapes) > 1)]
    places = shapely.get_coordinates(shapely.centroid(shapes))
    far = np.hypot(*(places - np.median(places, axis=0)).T)
    nearest: npt.NDArray[np.object_] = shapes[np.argsort(far)[:most]]
    return nearest


def pairs_of(delivery: Delivery) -> Pairs:
    """Return all pairs that overlap, as PostGIS gives them to the loader."""
    record, object_ = shapely.STRtree(delivery.objects).query(delivery.records, predicate="intersects")
    ours, theirs = delivery.records[record], delivery.objects[object_]
    overlap, of_record, of_object = _shares(ours, theirs)
    off = shapely.get_coordinates(shapely.centroid(theirs)) - shapely.get_coordinates(shapely.centroid(ours))
    moved = shapely.get_coordinates(ours) + np.repeat(off, shapely.get_num_coordinates(ours), axis=0)
    aligned, _, _ = _shares(shapely.set_coordinates(ours.copy(), moved), theirs)
    return Pairs(record, object_, of_record, of_object, overlap, aligned)


def _shares(ours: npt.NDArray[np.object_], theirs: npt.NDArray[np.object_]) -> tuple[npt.NDArray[np.float64], ...]:
    common = shapely.area(shapely.intersection(ours, theirs))
    one, other = shapely.area(ours), shapely.area(theirs)
    return common / (one + other - common), common / one, common / other


def links(decisions: Decisions) -> set[tuple[int, int]]:
    """Return the links found."""
    found: set[tuple[int, int]] = set()
    for pairs in (decisions.same, decisions.split, decisions.merge):
        found |= set(zip(pairs.record.tolist(), pairs.object.tolist(), strict=True))
    return found


def measure(delivery: Delivery, decisions: Decisions) -> tuple[float, float]:
    """Return precision and recall."""
    found = links(decisions)
    true = len(found & delivery.links)
    return true / max(1, len(found)), true / max(1, len(delivery.links))


def curves(delivery: Delivery, pairs: Pairs, limits: Thresholds) -> Iterator[tuple[str, float, float, float]]:
    """Yield threshold, value, precision and recall, one threshold at a time."""
    for name, values in TRIED.items():
        for value in values:
            yield name, float(value), *measure(delivery, decide(pairs, replace(limits, **{name: float(value)})))


def main() -> None:
    """Measure, print and draw."""
    limits = thresholds("building", {})
    drawn: dict[str, list[tuple[str, float, float, float]]] = {}
    for title, file, layer, encoding, srid, most in SETS:
        shapes = footprints(file, layer, encoding, srid, most)
        delivery = deliver(shapes, SEED)
        pairs = pairs_of(delivery)
        decisions = decide(pairs, limits)
        precision, recall = measure(delivery, decisions)
        print(f"\n## {title}: {len(delivery.objects):,} objects, {len(delivery.records):,} records\n")
        print(f"precision {precision:.4f}, recall {recall:.4f} at the default thresholds\n")
        _print_fates(delivery, decisions)
        drawn[title] = list(curves(delivery, pairs, limits))
    _print_curves(drawn, limits)
    _draw(drawn, limits)
    print(f"\nplot: {PLOT.relative_to(ROOT)}")


def _print_fates(delivery: Delivery, decisions: Decisions) -> None:
    found = links(decisions)
    undecided = set(decisions.undecided.record.tolist())
    print("| fate | records | true links | found | wrong | undecided records |\n|---|---|---|---|---|---|")
    for fate in np.unique(delivery.fate):
        ours = set(np.flatnonzero(delivery.fate == fate).tolist())
        true = {link for link in delivery.links if link[0] in ours}
        here = {link for link in found if link[0] in ours}
        numbers = (len(ours), len(true), len(here & true), len(here - true), len(ours & undecided))
        print(f"| {fate} | {' | '.join(f'{n:,}' for n in numbers)} |")


def _print_curves(drawn: dict[str, list[tuple[str, float, float, float]]], limits: Thresholds) -> None:
    heads = [f"{title} {what}" for title in drawn for what in ("precision", "recall")]
    print(f"\n| threshold | value | {' | '.join(heads)} |\n|{'---|' * (2 + len(heads))}")
    for points in zip(*drawn.values(), strict=True):
        name, value = points[0][:2]
        shown = f"**{value:.2f}**" if np.isclose(value, getattr(limits, name)) else f"{value:.2f}"
        measured = " | ".join(f"{p:.4f} | {r:.4f}" for _, _, p, r in points)
        print(f"| {name} | {shown} | {measured} |")


def _draw(drawn: dict[str, list[tuple[str, float, float, float]]], limits: Thresholds) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(11, 6.4), sharey=True, layout="constrained")
    colours = ("#1b6ca8", "#c8553d", "#3a7d44")
    for axis, name in zip(axes.flat, TRIED, strict=True):
        for colour, (title, points) in zip(colours, drawn.items(), strict=True):
            here = [(value, p, r) for threshold, value, p, r in points if threshold == name]
            values, precision, recall = zip(*here, strict=True)
            axis.plot(values, precision, color=colour, linewidth=1.8, label=f"{title}, precision")
            axis.plot(values, recall, color=colour, linewidth=1.8, linestyle=(0, (4, 2)), label=f"{title}, recall")
        axis.axvline(getattr(limits, name), color="#888", linewidth=0.8, linestyle=":")
        axis.axhspan(0.97, 1.0, color="#3a7d44", alpha=0.06, linewidth=0)
        axis.set_title(f"{name} (default {getattr(limits, name):g})", fontsize=10, loc="left")
        axis.set_ylim(0.90, 1.003)
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.savefig(PLOT, dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main()
