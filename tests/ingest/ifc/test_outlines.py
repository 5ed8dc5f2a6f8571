"""Footprints of real models against outlines drawn by hand, or computed otherwise: see `outlines_make`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import shapely

from ingest.ifc.process import Limits, run

pytestmark = pytest.mark.real

KNOWN = json.loads(Path(__file__).with_name("outlines.json").read_text(encoding="utf-8"))
LEAST = 0.97


@pytest.mark.parametrize("name", KNOWN)
def test_overlap_with_the_known_outline(shared: Path, name: str) -> None:
    buildings = run(shared / "data/ifc" / name, Limits())["buildings"]
    assert len(buildings) == len(KNOWN[name])
    overlaps = []
    for building, wkt in zip(buildings, KNOWN[name], strict=True):
        ours, known = shapely.from_wkb(building["outline"]), shapely.from_wkt(wkt)
        overlaps.append(ours.intersection(known).area / ours.union(known).area)
    print(name, f"{min(overlaps):.4f}")
    assert min(overlaps) >= LEAST
