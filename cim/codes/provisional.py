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

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from stdnum.iso7064 import mod_37_2

from cim.codes._base import CodeScheme, Invalid, Layout, Problem, Segment, Valid

PREFIX: Final = "PV"
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
BODY_BYTES: Final = 10
BODY: Final = BODY_BYTES * 8 // 5
_TO_ALPHABET = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET.encode())


def mint_from(type_name: str, dataset_identity: str, source_id: str) -> str:
    """Return the provisional code of one source record: the same for the same three strings, always.

    Parameters
    ----------
    dataset_identity : what names the data set across deliveries, not the file's content, which changes.
    source_id : what names the record within it.
    """
    return mint_many(type_name, dataset_identity, (source_id,))[0]


def mint_many(type_name: str, dataset_identity: str, source_ids: Sequence[str]) -> list[str]:
    """Return the provisional codes of many records of one type and data set, in their order."""
    # Lengths in front keep ("a", "bc") and ("ab", "c") apart.
    named = "".join(f"{len(text)}:{text}" for text in (type_name, dataset_identity))
    common = hashlib.sha256(named.encode("utf-8", "surrogatepass"))
    codes = []
    for source_id in source_ids:
        digest = common.copy()
        digest.update(source_id.encode("utf-8", "surrogatepass"))
        codes.append(_code(digest.digest()))
    return codes


def _code(digest: bytes) -> str:
    # Each of the 23 windows fails with 5 in 37: that all do has odds of 10⁻²⁰, and would be a StopIteration.
    windows = (digest[start : start + BODY_BYTES] for start in range(len(digest) - BODY_BYTES + 1))
    bodies = (PREFIX + base64.b32encode(window).translate(_TO_ALPHABET).decode("ascii") for window in windows)
    return next(body + check for body in bodies if (check := mod_37_2.calc_check_digit(body)) in ALPHABET)


def _rules(code: str) -> list[Problem]:
    if mod_37_2.checksum(code) == 1:
        return []
    return [
        Problem("rule", len(code), "check character does not fit: a character is wrong or two are swapped")
    ]


SCHEME = CodeScheme(
    name="provisional",
    title="Provisional code",
    title_zh="临时编码",
    source="design of this project; check character of ISO/IEC 7064 MOD 37-2",
    version="1",
    confidence="design",
    issuer="provisional.mint_from, out of a record's identity",
    layout=Layout(
        (
            Segment("prefix", len(PREFIX), literal=PREFIX),
            Segment("body", BODY, ALPHABET),
            Segment("check", 1, ALPHABET),
        ),
        lengths=(len(PREFIX) + BODY + 1,),
    ),
    rules=_rules,
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
