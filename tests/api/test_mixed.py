"""Readers, a writer, uploads and the sequencer at once: nothing fails. The long form: benchmarks.mixed 600."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_short_mixed_load_has_no_5xx() -> None:
    command = [sys.executable, "-m", "benchmarks.mixed", "8", "0.02"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.rstrip().endswith("no 5xx")
    for kind in ("item", "box", "write", "upload", "tile"):
        assert f"| {kind} |" in done.stdout
