"""Disclosures: what opens one commitment of an entry, with the proof that the entry is in the log.

An entry holds, of a private field, only a salted commitment. Whoever is given the salt and the value can show to
anyone that this value was recorded; a later erasure takes nothing from a disclosure already made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cim.errors import InvalidData, InvalidProof
from cim.log._text import read_utf8
from cim.log.entry import SALT_LENGTH, commitment
from cim.log.verify import VerifiedEntry, verify_proof

FORMAT = "cim-disclosure/v1"
SUFFIX = ".cim-disclosure"


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One private value of one revision.

    Attributes
    ----------
    field : name of the private attribute
    salt : its 32 random bytes
    value : the JSON value that was committed to
    proof : proof file of the revision's entry, verbatim
    """

    field: str
    salt: bytes
    value: Any
    proof: str

    def to_text(self) -> str:
        """Write the disclosure as a JSON object."""
        document = {
            "format": FORMAT,
            "field": self.field,
            "value": self.value,
            "salt": self.salt.hex(),
            "proof": self.proof,
        }
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def from_text(cls, text: str | bytes) -> Disclosure:
        """Read a disclosure; nothing is verified but its form.

        Raises
        ------
        InvalidProof : not of the form.
        """
        try:
            document = json.loads(read_utf8(text, "disclosure"))
        except (ValueError, RecursionError) as error:
            raise InvalidProof(f"a disclosure is a JSON object: {error}") from None
        expected = {"format", "field", "value", "salt", "proof"}
        if not isinstance(document, dict) or document.keys() != expected or document["format"] != FORMAT:
            raise InvalidProof(f"a disclosure has format {FORMAT} and the members {', '.join(sorted(expected))}")
        texts = [document[name] for name in ("field", "salt", "proof")]
        if not all(isinstance(member, str) for member in texts):
            raise InvalidProof("field, salt and proof of a disclosure must be text")
        try:
            salt = bytes.fromhex(document["salt"])
        except ValueError:
            salt = b""
        if len(salt) != SALT_LENGTH:
            raise InvalidProof(f"the salt of a disclosure must have {SALT_LENGTH} bytes in hex")
        return cls(document["field"], salt, document["value"], document["proof"])


@dataclass(frozen=True, slots=True)
class VerifiedValue:
    """A private value that the log vouches for: `entry` holds the commitment to it."""

    field: str
    value: Any
    entry: VerifiedEntry


def verify_disclosure(text: str | bytes, verifier_text: str) -> VerifiedValue:
    """Verify that the log holds a commitment to the value disclosed.

    Parameters
    ----------
    text : a disclosure file
    verifier_text : the log's verifier key, name+id+key, from a source that is trusted

    Raises
    ------
    InvalidProof : anything is wrong: form, proof, or the value is not the one committed to.
    InvalidData : the verifier key itself is malformed.
    """
    disclosure = Disclosure.from_text(text)
    entry = verify_proof(disclosure.proof, verifier_text)
    commitments = entry.entry.get("private")
    promised = commitments.get(disclosure.field) if isinstance(commitments, dict) else None
    place = f"{entry.entry.get('type')} {entry.entry.get('code')}, leaf {entry.index}"
    if promised is None:
        raise InvalidProof(f"{place}: the entry holds no commitment to {disclosure.field!r}")
    try:
        computed = commitment(disclosure.field, disclosure.salt, disclosure.value)
    except InvalidData as error:
        raise InvalidProof(f"{place}: {error}") from None
    if computed != promised:
        raise InvalidProof(f"{place}: this value and salt are not those committed to as {disclosure.field!r}")
    return VerifiedValue(disclosure.field, disclosure.value, entry)
