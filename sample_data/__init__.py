"""A synthetic renewal district: the layers and models the demo, the notebook and the tests load."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent
DATA = ROOT / "data"
FORMATS = ROOT / "formats"
MAPPINGS = ROOT / "mappings"
