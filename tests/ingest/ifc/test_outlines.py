"""Real models against outlines, heights and storeys found by hand, or computed otherwise: see `outlines_make`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import outlines

pytestmark = pytest.mark.real

LEAST = 0.97
DOCS = (Path(__file__).resolve().parents[3] / "docs" / "models.md").read_text(encoding="utf-8")


def test_real_models_come_out_as_they_are_known_and_as_the_docs_say(shared: Path) -> None:
    for name, known, found in outlines.compare(shared / "data/ifc"):
        assert len(found) == len(known)
        for one, other in zip(known, found, strict=True):
            assert outlines.overlap(one["outline"], other["outline"]) >= LEAST, name
            assert other["height"] == pytest.approx(one["height"], abs=0.01), name
            assert one["storeys"] in (None, other["storeys"]), name
        assert outlines.row(name, known, found) in DOCS, name
