"""npm's @sigstore/verify over our proof files: checkpoint and inclusion, in code that another team runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cim.log.note import Signer


def test_sigstore_verifies_our_proof_files(proofs: list[Path], published: Any, sigstore_check: Any) -> None:
    run = sigstore_check(published.key, *proofs)
    assert run.returncode == 0, run.stderr


def test_sigstore_refuses_a_damaged_proof_file(damaged_proof: Path, published: Any, sigstore_check: Any) -> None:
    run = sigstore_check(published.key, damaged_proof)
    assert run.returncode == 1
    assert "Error" not in run.stderr  # a reason of the verifier, not a defect of our script


def test_sigstore_refuses_another_key(proofs: list[Path], published: Any, sigstore_check: Any) -> None:
    run = sigstore_check(Signer("city.example/log", bytes(32)).verifier.to_text(), proofs[0])
    assert (run.returncode, run.stderr) == (1, "invalid checkpoint signature\n")
