"""Proofs while the log grows: the next checkpoint may replace the one a proof is made for at any moment."""

from __future__ import annotations

from pathlib import Path

from cim.log.checkpoint import open_checkpoint
from cim.log.publisher import Publisher
from cim.log.tree import CompactRange, leaf_hashes, verify_inclusion

LEAVES = [f"entry {i}".encode() for i in range(600)]
HASHES = leaf_hashes(LEAVES)


def publish(publisher: Publisher, size: int) -> None:
    tree = CompactRange()
    tree.append(HASHES[:size])
    publisher.publish(tree, lambda a, b: HASHES[a:b], lambda a, b: LEAVES[a:b])


def test_a_proof_is_for_the_checkpoint_it_carries_whatever_is_published_meanwhile(tmp_path: Path) -> None:
    sequencer = Publisher(tmp_path / "log", tmp_path / "keys", "example.org/log")
    publish(sequencer, 1)
    sizes = iter(range(38, 600, 37))

    class Overtaken(Publisher):
        def checkpoint_text(self) -> str:
            text = super().checkpoint_text()
            publish(sequencer, next(sizes))  # as another process does, right after the look
            return text

    server = Overtaken(tmp_path / "log", tmp_path / "keys", "example.org/log")
    seen = set()
    for _ in range(8):
        proof = server.prove(0, LEAVES[0])
        head = open_checkpoint(proof.checkpoint, [sequencer.signer.verifier])
        verify_inclusion(0, head.size, HASHES[0], proof.hashes, head.root)
        seen.add(head.size)
    assert len(seen) == 8
