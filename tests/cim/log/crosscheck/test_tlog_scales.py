"""PyPI's tlog-scales over our log: checkpoint, tiles, inclusion, consistency, and its proofs in our verifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash
from tlog_scales.tlog import Checkpoint

from cim.log.proof import TlogProof
from cim.log.tiles import TileReader
from cim.log.verify import verify_proof


class Refused(Exception):
    """What a program over that library would say of a log that it cannot rely on."""


def check(log: Any) -> TilesReader:
    """Verify everything: checkpoint, root from tiles, every entry under it, and the older checkpoints."""
    reader, key = TilesReader(LocalBackend(log.folder)), Vkey.from_string(log.key)
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(key)
    if checkpoint.origin != key.name or reader.calculate_root_hash() != checkpoint.root_hash:
        raise Refused("the tiles do not lead to the root")
    for index in range(checkpoint.size):
        proof = reader.get_inclusion_proof(index, checkpoint.size)
        proof.check(leaf_hash(reader.get_entry(index)), checkpoint.root_hash)
    for file in log.remembered:
        before = Checkpoint.from_text(file.read_text(encoding="utf-8"))
        before.verify(key)
        if before.size > checkpoint.size:
            raise Refused("the log was longer before")
        reader.get_consistency_proof(before.size, checkpoint.size).check(before.root_hash, checkpoint.root_hash)
    return reader


def test_it_verifies_our_log_and_makes_the_same_proofs(published: Any) -> None:
    theirs, ours = check(published), TileReader(published.folder)
    for index in range(0, published.size, 7):
        assert theirs.get_inclusion_proof(index, published.size).node_hashes == ours.inclusion(index, published.size)
    for size in published.checkpoints:
        assert theirs.get_consistency_proof(size, published.size).node_hashes == ours.consistency(size, published.size)


def test_it_refuses_every_damaged_copy(damaged: Any) -> None:
    with pytest.raises(Exception) as refusal:  # noqa: PT011 - it has no class of its own for this
        check(damaged)
    assert not isinstance(refusal.value, (TypeError, AttributeError, KeyError))


def test_our_proof_files_are_its_own(proofs: list[Path], published: Any) -> None:
    reader = TilesReader(LocalBackend(published.folder))
    checkpoint = reader.get_checkpoint()
    for file in proofs:
        proof = TlogProof.from_text(file.read_bytes())
        assert proof.hashes == tuple(reader.get_inclusion_proof(proof.index, checkpoint.size).node_hashes)
        theirs = TlogProof(proof.index, proof.hashes, checkpoint.serialize())
        assert verify_proof(theirs.to_text(), published.key, reader.get_entry(proof.index)).index == proof.index
