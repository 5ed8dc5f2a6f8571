"""Footprints, heights and storeys of IFC models, ours against those known otherwise: the table of docs/models.md.

What is known stands in tests/ingest/ifc/outlines.json, and how it was found in outlines_make.py beside it.

Run: python -m benchmarks.outlines, with ../shared/data beside the checkout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shapely

from ingest.ifc.process import Limits, run

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "ifc"
KNOWN = Path(__file__).resolve().parents[1] / "tests" / "ingest" / "ifc" / "outlines.json"


def compare(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]:
    """Yield the name of each model, its buildings as known and as found, each with outline, height and storeys."""
    for name, known in json.loads(KNOWN.read_text(encoding="utf-8")).items():
        found = [
            {
                "outline": shapely.from_wkb(record["outline"]),
                "height": record["columns"]["height"],
                "storeys": record["columns"].get("storeys_above"),
            }
            for record in run(folder / name, Limits())["buildings"]
        ]
        yield name, [one | {"outline": shapely.from_wkt(one["outline"])} for one in known], found


def overlap(one: Any, other: Any) -> float:
    """Return the intersection over the union of two areas."""
    return float(one.intersection(other).area / one.union(other).area)


def row(name: str, known: list[dict[str, Any]], found: list[dict[str, Any]]) -> str:
    """Return a row of the table: least overlap, sums of areas, greatest heights, storeys where they are known."""
    least = min(overlap(k["outline"], f["outline"]) for k, f in zip(known, found, strict=True))
    sides = (known, found)
    areas = " / ".join(f"{sum(one['outline'].area for one in side):,.1f}" for side in sides)
    heights = " / ".join(f"{max(one['height'] for one in side):.2f}" for side in sides)
    storeys = " / ".join(str(one["storeys"]) for side in sides for one in side) if known[0]["storeys"] else ""
    return f"| {name} | {len(known)} | {least:.4f} | {areas} | {heights} | {storeys} |"


def main() -> None:
    if not FOLDER.is_dir():
        print("skipped: no ../shared/data/ifc beside the checkout")
        return
    sides = "known / found"
    print(f"| model | buildings | overlap | footprint {sides}, m² | height {sides}, m | storeys {sides} |")
    print("|---|---|---|---|---|---|")
    for name, known, found in compare(FOLDER):
        print(row(name, known, found), flush=True)


if __name__ == "__main__":
    main()
