"""Go's x/mod/sumdb packages over our log: checkpoint, entries, tiles, inclusion, consistency, proof files."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cim.log.tiles import TileReader

INDICES = [0, 1, 254, 255, 256, 257, 699, 700, 1023, 1024, 1279, 1280, 1498, 1499]


def encoded(hashes: list[bytes]) -> list[str]:
    return [base64.b64encode(value).decode() for value in hashes]


@pytest.mark.parametrize("name", ["published", "large"])
def test_go_rebuilds_the_log_and_makes_the_same_proofs(
    name: str, request: pytest.FixtureRequest, go_check: Any
) -> None:
    log = request.getfixturevalue(name)
    indices = [*INDICES, log.size - 1]
    run = go_check("log", log.folder, log.key, ",".join(map(str, indices)), *log.remembered)
    assert run.returncode == 0, run.stderr
    report, reader = json.loads(run.stdout), TileReader(log.folder)
    assert report["size"] == log.size
    assert report["root"] == encoded([reader.root(log.size)])[0]
    assert report["inclusion"] == {str(i): encoded(reader.inclusion(i, log.size)) for i in indices}
    assert report["consistency"] == {str(n): encoded(reader.consistency(n, log.size)) for n in log.checkpoints}


def test_go_refuses_every_damaged_copy(damaged: Any, go_check: Any) -> None:
    run = go_check("log", damaged.folder, damaged.key, "5", *damaged.remembered)
    assert run.returncode == 1
    assert run.stderr.strip()


def test_go_verifies_our_proof_files(proofs: list[Path], published: Any, go_check: Any) -> None:
    run = go_check("proof", published.key, *proofs)
    assert run.returncode == 0, run.stderr


def test_go_refuses_a_damaged_proof_file(damaged_proof: Path, published: Any, go_check: Any) -> None:
    assert go_check("proof", published.key, damaged_proof).returncode == 1
