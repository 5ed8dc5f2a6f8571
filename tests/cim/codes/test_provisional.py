from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cim import codes
from cim.codes import provisional
from cim.errors import InvalidData

CODE = "PV0ZACHMWWAYZ5P9J27"


def mint(type_name: str, dataset: str, source_id: str) -> str:
    (code,) = provisional.mint_many(type_name, dataset, [source_id])
    return code


def weighted_sum(code: str) -> int:
    """ISO/IEC 7064 MOD 37-2 as the sum of value times power of two, the check character weighing one."""
    values = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*"
    return sum(values.index(c) * 2**power for power, c in enumerate(reversed(code))) % 37


def test_the_code_is_the_digest_of_what_names_the_record() -> None:
    digest = hashlib.sha256(b"8:building14:city/buildings1").digest()
    bits = "".join(f"{byte:08b}" for byte in digest)
    body = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[int(bits[at : at + 5], 2)] for at in range(0, 80, 5))
    assert provisional.mint_many("building", "city/buildings", ["1"]) == [CODE]
    assert f"PV{body}7" == CODE
    assert weighted_sum(CODE) == 1


def test_minting_many_gives_what_minting_each_gives() -> None:
    ids = [*map(str, range(500)), "", "栋-1", "\udce9", "1"]
    many = provisional.mint_many("building", "city/buildings", ids)
    assert many == [mint("building", "city/buildings", i) for i in ids]
    assert len(set(many)) == len(set(ids))
    assert all(re.fullmatch("PV[0-9A-HJKMNP-TV-Z]{17}", code) and weighted_sum(code) == 1 for code in many)
    assert codes.check_many("provisional", many) == (many, {})


def test_what_names_the_record_is_not_run_together() -> None:
    named = [
        ("a", "b", "c"),
        ("ab", "", "c"),
        ("a", "bc", ""),
        ("", "a", "bc"),
        ("a", "b", "C"),
        ("a", "1:b", "c"),
    ]
    assert len({mint(*names) for names in named}) == len(named)


def test_every_wrong_character_is_found() -> None:
    wrong = [CODE[:at] + c + CODE[at + 1 :] for at in range(19) for c in provisional.ALPHABET if c != CODE[at]]
    assert len(wrong) == 19 * 31  # 19 places, 31 other letters each
    assert not [code for code in wrong if not provisional.SCHEME.validate(code)]


def test_every_swap_of_two_characters_is_found() -> None:
    swapped = set()
    for first in range(19):
        for second in range(first + 1, 19):
            letters = list(CODE)
            letters[first], letters[second] = letters[second], letters[first]
            swapped.add("".join(letters))
    swapped.discard(CODE)  # two equal characters
    assert len(swapped) > 150
    assert not [code for code in swapped if not provisional.SCHEME.validate(code)]


@given(st.text(), st.text(), st.text())
def test_any_names_give_a_good_code(type_name: str, dataset: str, source_id: str) -> None:
    code = mint(type_name, dataset, source_id)
    assert codes.check("provisional", code.lower()) == code


def test_it_is_not_minted_by_number() -> None:
    with pytest.raises(InvalidData, match="given by `cim ingest`"):
        provisional.SCHEME.mint(CODE)


def test_it_is_told_from_other_codes_by_its_prefix() -> None:
    assert provisional.SCHEME.format(CODE) == "PV 0ZACHMWWAYZ5P9J2 7"
    (problem,) = provisional.SCHEME.validate("PW" + CODE[2:])
    assert problem.message == "prefix must be V, is 'W'"
