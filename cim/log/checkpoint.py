"""Checkpoints: a tree head as text, to be signed as a note.

Source
------
C2SP tlog-checkpoint. https://c2sp.org/tlog-checkpoint
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cim.errors import InvalidData, InvalidProof
from cim.log._text import MAX_SIZE, read_base64, read_decimal, write_base64
from cim.log.note import Verifier, check_name, open_note
from cim.log.tree import EMPTY_ROOT, HASH_LENGTH


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log's tree.

    Attributes
    ----------
    origin : name of the log, a URL without scheme
    size : number of leaves
    root : 32 bytes, the RFC 6962 root at that size
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        """Refuse what could not be written, so that text and object always agree."""
        check_name(self.origin)
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_LENGTH:
            raise InvalidData(
                f"checkpoint of {self.origin}: expected a size from 0 and a root of {HASH_LENGTH} bytes, "
                f"got {self.size} and {len(self.root)} bytes"
            )
        if (self.size == 0) != (self.root == EMPTY_ROOT):
            raise InvalidData(f"checkpoint of {self.origin}: size {self.size} cannot have root {self.root.hex()}")

    def to_text(self) -> str:
        """Write the body: origin, size and base64 root, a line each."""
        return f"{self.origin}\n{self.size}\n{write_base64(self.root)}\n"

    @classmethod
    def from_text(cls, text: str) -> Checkpoint:
        """Read a body. Extension lines are refused: this log writes none, so they would be another's words.

        Raises
        ------
        InvalidProof : not exactly three lines, or a line of the wrong form.
        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:
            raise InvalidProof(f"a checkpoint has three lines (origin, size, root), got {text[:200]!r}")
        origin, size, root = lines[:3]
        try:
            return cls(origin, read_decimal(size, "tree size"), read_base64(root, "root hash", HASH_LENGTH))
        except InvalidProof:
            raise
        except InvalidData as error:
            raise InvalidProof(str(error)) from None


def open_checkpoint(note: str | bytes, verifiers: Sequence[Verifier]) -> Checkpoint:
    """Return the checkpoint of a note signed by the log itself, among others.

    Parameters
    ----------
    note : the signed checkpoint
    verifiers : known keys; the log's own key has the name of its origin

    Raises
    ------
    InvalidProof : malformed, badly signed, or signed but not by the log that it names.
    """
    checkpoint = Checkpoint.from_text(open_note(note, verifiers))
    own = [verifier for verifier in verifiers if verifier.name == checkpoint.origin]
    if not own:
        raise InvalidProof(f"the checkpoint is of {checkpoint.origin}, for which no key was given")
    open_note(note, own)
    return checkpoint
