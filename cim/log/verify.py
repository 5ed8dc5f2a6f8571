"""Verify a proof file offline: with the log's public key, and neither database nor network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cim.errors import InvalidData, InvalidProof
from cim.log.checkpoint import open_checkpoint
from cim.log.entry import VERSION, canonicalize
from cim.log.note import Verifier
from cim.log.proof import TlogProof
from cim.log.tree import leaf_hash, verify_inclusion


@dataclass(frozen=True, slots=True)
class VerifiedEntry:
    """An entry that the log vouches for.

    Attributes
    ----------
    origin : name of the log that signed
    index : place of the entry in the log, from 0
    size : number of leaves of the signed tree
    root : 32 bytes, root of the signed tree
    leaf : 32 bytes, hash of the entry
    entry : the entry as data
    data : the entry as the bytes that were hashed
    """

    origin: str
    index: int
    size: int
    root: bytes
    leaf: bytes
    entry: dict[str, Any]
    data: bytes


def verify_proof(text: str | bytes, verifier_text: str, entry: bytes | None = None) -> VerifiedEntry:
    """Verify that an entry is in the log whose key is given.

    Parameters
    ----------
    text : a proof file
    verifier_text : the log's verifier key, name+id+key, from a source that is trusted
    entry : the entry's bytes; None takes them from the proof file's extra line

    Raises
    ------
    InvalidProof : anything is wrong: form, signature, origin, path, entry.
    InvalidData : the verifier key itself is malformed.

    Source
    ------
    C2SP tlog-proof. https://c2sp.org/tlog-proof
    """
    verifier = Verifier.from_text(verifier_text)
    proof = TlogProof.from_text(text)
    data = _entry_bytes(proof, entry)
    checkpoint = open_checkpoint(proof.checkpoint, [verifier])
    leaf = leaf_hash(data)
    verify_inclusion(proof.index, checkpoint.size, leaf, proof.hashes, checkpoint.root)
    return VerifiedEntry(checkpoint.origin, proof.index, checkpoint.size, checkpoint.root, leaf, read_entry(data), data)


def _entry_bytes(proof: TlogProof, entry: bytes | None) -> bytes:
    """Return the entry from outside or from the proof; if both are there they must agree."""
    if entry is None and proof.extra is None:
        raise InvalidProof(f"the proof of leaf {proof.index} does not hold its entry; give the entry's file too")
    if entry is not None and proof.extra is not None and entry != proof.extra:
        raise InvalidProof(f"the entry given is not the one in the proof of leaf {proof.index}")
    data = proof.extra if entry is None else entry
    assert data is not None
    return data


def read_entry(data: bytes) -> dict[str, Any]:
    """Read an entry's bytes and refuse every spelling but the canonical one.

    Two readers of `{"code":"a","code":"b"}` may see two codes; one allowed spelling leaves no such choice.

    Raises
    ------
    InvalidProof : not the canonical JSON of an entry.
    """
    try:
        entry: dict[str, Any] = json.loads(data.decode("utf-8"))
        canonical = canonicalize(entry)
    except (ValueError, RecursionError, InvalidData) as error:
        raise InvalidProof(f"the entry is not canonical JSON: {error}") from None
    version = entry.get("v") if isinstance(entry, dict) else None
    canonical_object = isinstance(entry, dict) and canonical == data
    if not canonical_object or type(version) is not int or version != VERSION:  # True == 1
        raise InvalidProof(f"the entry is not a version {VERSION} entry in canonical JSON (RFC 8785)")
    return entry
