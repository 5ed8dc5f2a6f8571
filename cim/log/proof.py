"""Proof files: one entry's inclusion proof and the signed checkpoint it leads to, as one text.

Source
------
C2SP tlog-proof. https://c2sp.org/tlog-proof
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cim.errors import InvalidData, InvalidProof
from cim.log._text import MAX_SIZE, read_base64, read_decimal, read_utf8, write_base64
from cim.log.note import split_note
from cim.log.tree import HASH_LENGTH

HEADER = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"
MAX_HASHES = 63  # no path is longer in a tree of at most 2^63 - 1 leaves


@dataclass(frozen=True, slots=True)
class TlogProof:
    """What a citizen takes home.

    Attributes
    ----------
    index : place of the entry in the log, from 0
    hashes : inclusion proof, 32 bytes each, from the leaf's sibling to the root's child
    checkpoint : the signed checkpoint, verbatim
    extra : the entry's own bytes in the files that this platform hands out; None where the line is absent
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be written, so that text and object always agree."""
        if not 0 <= self.index <= MAX_SIZE or len(self.hashes) > MAX_HASHES:
            raise InvalidData(f"proof: index {self.index} or number of hashes {len(self.hashes)} out of range")
        if any(len(value) != HASH_LENGTH for value in self.hashes):
            raise InvalidData(f"proof of leaf {self.index}: every hash must have {HASH_LENGTH} bytes")
        split_note(self.checkpoint)

    def to_text(self) -> str:
        """Write the proof file."""
        extra = [] if self.extra is None else [f"extra {write_base64(self.extra)}"]
        hashes = [write_base64(value) for value in self.hashes]
        return "\n".join([HEADER, *extra, f"index {self.index}", *hashes, "", self.checkpoint])

    @classmethod
    def from_text(cls, text: str | bytes) -> TlogProof:
        """Read a proof file; nothing is verified but its form.

        Raises
        ------
        InvalidProof : not of the form, in any byte.
        """
        head, blank, checkpoint = read_utf8(text, "proof").partition("\n\n")
        lines = iter(head.split("\n"))
        if next(lines) != HEADER or not blank:
            raise InvalidProof(f"a proof file starts with {HEADER}, got {head[:60]!r}")
        extra, index = _read_head(lines)
        hashes = tuple(read_base64(line, "proof hash", HASH_LENGTH) for line in lines)
        if len(hashes) > MAX_HASHES:
            raise InvalidProof(f"a proof has at most {MAX_HASHES} hashes, got {len(hashes)}")
        return cls(index, hashes, checkpoint, extra)


def _read_head(lines: Iterator[str]) -> tuple[bytes | None, int]:
    """Read the optional `extra` line and the `index` line."""
    line, extra = next(lines, ""), None
    if line.startswith("extra "):
        extra = read_base64(line.removeprefix("extra "), "extra data of the proof")
        line = next(lines, "")
    if not line.startswith("index "):
        raise InvalidProof(f"a proof file has a line 'index N' before its hashes, got {line[:60]!r}")
    return extra, read_decimal(line.removeprefix("index "), "index of the proof")
