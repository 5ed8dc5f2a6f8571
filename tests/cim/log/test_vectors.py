"""All 196 published cases of transparency-dev/merkle: what must verify and what must not."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cim.errors import InvalidProof
from cim.log.tree import verify_consistency, verify_inclusion

# Found at collection, so that each case is a test of its own; without the folder one skipped test remains.
FOLDER = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "merkle"


def cases(kind: str) -> list[Any]:
    found = sorted((FOLDER / kind).rglob("*.json"))
    absent = pytest.mark.skip(reason="no ../shared/vectors/merkle beside this checkout")
    return [pytest.param(path, id=str(path.relative_to(FOLDER / kind))) for path in found] or [
        pytest.param(FOLDER, marks=absent, id="absent")
    ]


def load(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    case = json.loads(path.read_text())
    return case, [base64.b64decode(value) for value in case["proof"] or []]


@pytest.mark.parametrize("path", cases("inclusion"))
def test_inclusion_case(path: Path) -> None:
    case, proof = load(path)
    leaf, root = base64.b64decode(case["leafHash"]), base64.b64decode(case["root"])
    arguments = (case["leafIdx"], case["treeSize"], leaf, proof, root)
    if case["wantErr"]:
        with pytest.raises(InvalidProof):
            verify_inclusion(*arguments)
    else:
        verify_inclusion(*arguments)


@pytest.mark.parametrize("path", cases("consistency"))
def test_consistency_case(path: Path) -> None:
    case, proof = load(path)
    roots = (base64.b64decode(case["root1"]), base64.b64decode(case["root2"]))
    arguments = (case["size1"], case["size2"], *roots, proof)
    if case["wantErr"]:
        with pytest.raises(InvalidProof):
            verify_consistency(*arguments)
    else:
        verify_consistency(*arguments)


def test_there_are_98_cases_of_each_kind(shared: Path) -> None:
    folder = shared / "vectors" / "merkle"
    assert [len(list((folder / kind).rglob("*.json"))) for kind in ("inclusion", "consistency")] == [98, 98]
