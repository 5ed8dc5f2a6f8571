"""Provisional code: the key of an object until an official code is issued. A design of this project.

`PV`, 16 characters from the record's identity, one check character: 19 in all, out of digits and the
capital letters without I, L, O, U, which are misread. The 16 stand for 80 bits of SHA-256 over feature
type, data set identity and source id, so the same record gets the same code whenever it is ingested, and
nothing has to be asked or remembered. The type goes into the hash and is not readable from the code.

Odds that any two among n records share a code: about n² / 2⁸¹, that is 4·10⁻¹¹ for ten million records.

The check character is ISO/IEC 7064 MOD 37-2 over all that precedes. 37 is prime and 2 has order 36
modulo 37, so every wrong character and every swap of two characters, neighbours or not, is found: 100 %.
Of other errors one in 37 passes. Where the check would be `*` or a letter we do not use, the 80 bits
that start one byte on are taken.

Once the official code is known it supersedes this one; the provisional code stays resolvable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from stdnum.iso7064 import mod_37_2

from cim.codes._base import CodeScheme, Invalid, Layout, Mask, Places, Problem, Segment, Valid

PREFIX: Final = "PV"
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
BODY_BYTES: Final = 10
BODY: Final = BODY_BYTES * 8 // 5
_LENGTH = len(PREFIX) + BODY + 1
# Values of ISO/IEC 7064 MOD 37-2: digits, letters, and * for 36.
_ISO_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*"
_BYTES = np.frombuffer(ALPHABET.encode(), np.uint8)
_ISO_VALUES = np.array([_ISO_ALPHABET.index(letter) for letter in ALPHABET])
_VALUE_OF_BYTE = np.zeros(256, dtype=np.uint8)
_VALUE_OF_BYTE[_BYTES] = np.arange(len(ALPHABET))
_CHECK_BYTES = np.array([ord(letter) if letter in ALPHABET else 0 for letter in _ISO_ALPHABET], dtype=np.uint8)


def mint_many(type_name: str, dataset_identity: str, source_ids: Sequence[str]) -> list[str]:
    """Return the provisional codes of records of one type and data set, in their order: the same for the same, always.

    Parameters
    ----------
    dataset_identity : what names the data set across deliveries, not the file's content, which changes.
    source_ids : what names each record within it.
    """
    # Lengths in front keep ("a", "bc") and ("ab", "c") apart.
    named = "".join(f"{len(text)}:{text}" for text in (type_name, dataset_identity))
    common = hashlib.sha256(named.encode("utf-8", "surrogatepass"))
    digests = bytearray()
    for source_id in source_ids:
        digest = common.copy()
        digest.update(source_id.encode("utf-8", "surrogatepass"))
        digests += digest.digest()
    return _codes(np.frombuffer(digests, np.uint8).reshape(-1, common.digest_size))


def _codes(digests: npt.NDArray[np.uint8]) -> list[str]:
    """Return the codes of digests, one a row: the first window of 80 bits whose check character is one of ours."""
    characters = np.empty((len(digests), _LENGTH), dtype=np.uint8)
    characters[:, : len(PREFIX)] = list(PREFIX.encode())
    open_rows = np.arange(len(digests))
    for start in range(digests.shape[1] - BODY_BYTES + 1):
        values = _five_bits(digests[open_rows, start : start + BODY_BYTES])
        check = _check_values(values)
        characters[open_rows, len(PREFIX) : -1] = _BYTES[values]
        ours = _CHECK_BYTES[check]
        characters[open_rows, -1] = ours
        open_rows = open_rows[ours == 0]
        if len(open_rows) == 0:
            break
    # Each of the 23 windows fails with 5 in 37: that all do has odds of 10⁻²⁰.
    assert len(open_rows) == 0
    return [code.decode("ascii") for code in characters.view(f"S{_LENGTH}").ravel().tolist()]


def _five_bits(windows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cut rows of bytes into groups of five bits, as base 32 does (RFC 4648, section 6)."""
    bits = np.unpackbits(windows, axis=1).reshape(len(windows), BODY, 5)
    return (bits @ np.array([16, 8, 4, 2, 1], dtype=np.uint8)).astype(np.uint8)


def _check_values(body: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Return the value of the check character that makes the weighted sum 1 modulo 37."""
    sums = np.zeros(len(body), dtype=np.intp)
    for letter in PREFIX:
        sums = (sums + _ISO_ALPHABET.index(letter)) * 2 % 37
    values = _ISO_VALUES[body]
    for place in range(BODY):
        sums = (sums + values[:, place]) * 2 % 37
    return (1 - sums) % 37


def _suspects(places: Places, _level: str | None) -> Mask:
    values = _VALUE_OF_BYTE[places[:, len(PREFIX) : -1]]
    found: Mask = places[:, -1] != _CHECK_BYTES[_check_values(values)]
    return found


def _rules(code: str) -> list[Problem]:
    if mod_37_2.checksum(code) == 1:
        return []
    return [Problem("rule", len(code), "check character does not fit: a character is wrong or two are swapped")]


SCHEME = CodeScheme(
    name="provisional",
    title="Provisional code",
    title_zh="临时编码",
    source="design of this project; check character of ISO/IEC 7064 MOD 37-2",
    version="1",
    confidence="design",
    issuer="`cim ingest`, out of a record's identity",
    layout=Layout(
        (
            Segment("prefix", len(PREFIX), literal=PREFIX),
            Segment("body", BODY, ALPHABET),
            Segment("check", 1, ALPHABET),
        ),
        lengths=(len(PREFIX) + BODY + 1,),
    ),
    rules=_rules,
    suspects=_suspects,
    examples_valid=(
        Valid("PV0ZACHMWWAYZ5P9J27"),
        Valid("pv0zac hmwway z5p9j27"),
    ),
    examples_invalid=(
        Invalid("PV0ZACHMWWAYZ5P9J28", "rule", 19),
        Invalid("PV0ZACHMWWAYZ59PJ27", "rule", 19),
        Invalid("PVOZACHMWWAYZ5P9J27", "shape", 3),
        Invalid("PV0ZACHMWWAYZ5P9J2", "shape", 19),
        Invalid("PW0ZACHMWWAYZ5P9J27", "shape", 2),
    ),
)
