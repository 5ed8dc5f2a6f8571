"""Proof files: what a citizen's computer accepts, and that it accepts nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cim.errors import InvalidData, InvalidProof
from cim.log.checkpoint import Checkpoint
from cim.log.entry import entry_bytes
from cim.log.note import Signer, sign_note
from cim.log.proof import TlogProof
from cim.log.tree import Tree, leaf_hash, leaf_hashes
from cim.log.verify import verify_proof

ORIGIN = "city.example/log"
LOG = Signer(ORIGIN, bytes(range(32)))
WITNESS = Signer("witness.example", bytes(32))
KEY = LOG.verifier.to_text()


def entry(number: int) -> bytes:
    return entry_bytes(
        type="building",
        code=f"B{number}",
        op="insert",
        rev=1,
        prev=None,
        at=datetime(2026, 11, 21, 8, tzinfo=UTC),
        by="kim",
        body={"name": "甲", "height": 12.5},
    )


ENTRIES = [entry(number) for number in range(11)]
TREE = Tree(leaf_hashes(ENTRIES))
CHECKPOINT = Checkpoint(ORIGIN, 11, TREE.root())
SIGNED = sign_note(CHECKPOINT.to_text(), [LOG])
PROOF = TlogProof(6, tuple(TREE.inclusion(6, 11)), SIGNED, ENTRIES[6])
TEXT = PROOF.to_text()
BYTES = TEXT.encode()


def proof_of(data: bytes, signer: Signer = LOG, origin: str = ORIGIN) -> str:
    """A proof of a log with one entry."""
    note = sign_note(Checkpoint(origin, 1, leaf_hash(data)).to_text(), [signer])
    return TlogProof(0, (), note, data).to_text()


# ---------------------------------------------------------------- what is accepted


def test_a_proof_file_has_the_lines_of_the_specification() -> None:
    lines = TEXT.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1].startswith("extra eyJhdCI6")  # {"at":
    assert lines[2] == "index 6"
    assert [len(line) for line in lines[3:7]] == [44, 44, 44, 44]
    assert lines[7] == ""
    assert "\n".join(lines[8:]) == SIGNED
    assert TlogProof.from_text(TEXT) == PROOF == TlogProof.from_text(BYTES)


@pytest.mark.parametrize("index", range(11))
def test_every_entry_s_proof_verifies(index: int) -> None:
    text = TlogProof(index, tuple(TREE.inclusion(index, 11)), SIGNED, ENTRIES[index]).to_text()
    verified = verify_proof(text, KEY)
    assert (verified.origin, verified.index, verified.size) == (ORIGIN, index, 11)
    assert verified.root == TREE.root()
    assert verified.leaf == leaf_hash(ENTRIES[index])
    assert verified.data == ENTRIES[index]
    assert verified.entry == json.loads(ENTRIES[index])
    assert verified.entry["code"] == f"B{index}"


def test_a_single_leaf_s_proof_has_no_hashes() -> None:
    assert verify_proof(proof_of(ENTRIES[0]), KEY).size == 1


def test_the_entry_may_come_apart_from_the_proof() -> None:
    bare = TlogProof(6, PROOF.hashes, SIGNED).to_text()
    assert "extra" not in bare
    assert verify_proof(bare, KEY, ENTRIES[6]).data == ENTRIES[6]
    assert verify_proof(TEXT, KEY, ENTRIES[6]).data == ENTRIES[6]
    with pytest.raises(InvalidProof, match="give the entry's file"):
        verify_proof(bare, KEY)
    with pytest.raises(InvalidProof, match="leads to"):
        verify_proof(bare, KEY, ENTRIES[5])
    with pytest.raises(InvalidProof, match="not the one in the proof"):
        verify_proof(TEXT, KEY, ENTRIES[5])


def test_signatures_of_witnesses_unknown_here_do_no_harm() -> None:
    note = sign_note(CHECKPOINT.to_text(), [WITNESS, LOG])
    assert verify_proof(TlogProof(6, PROOF.hashes, note, ENTRIES[6]).to_text(), KEY).index == 6


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_no_byte_of_a_proof_can_be_changed(mask: int) -> None:
    for place in range(len(BYTES)):
        changed = bytearray(BYTES)
        changed[place] ^= mask
        with pytest.raises(InvalidProof):
            verify_proof(bytes(changed), KEY)


def test_no_byte_of_a_proof_can_be_left_out_or_doubled() -> None:
    for place in range(len(BYTES)):
        for changed in (
            BYTES[:place] + BYTES[place + 1 :],
            BYTES[:place] + BYTES[place : place + 1] + BYTES[place:],
        ):
            if changed == BYTES:
                continue
            with pytest.raises(InvalidProof):
                verify_proof(changed, KEY)


def test_no_part_of_a_proof_will_do() -> None:
    for end in range(len(BYTES)):
        with pytest.raises(InvalidProof):
            verify_proof(BYTES[:end], KEY)


@settings(deadline=None, max_examples=400)
@given(st.integers(0, len(TEXT)), st.text(min_size=1, max_size=4) | st.sampled_from(["\n", "\n\n", " ", "=", "0"]))
def test_nothing_can_be_put_into_a_proof(place: int, text: str) -> None:
    with pytest.raises(InvalidProof):
        verify_proof(TEXT[:place] + text + TEXT[place:], KEY)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_byte_of_the_entry_can_be_changed(data: st.DataObject) -> None:
    original = ENTRIES[6]
    place = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != original[place]))
    changed = original[:place] + bytes([byte]) + original[place + 1 :]
    with pytest.raises(InvalidProof):
        verify_proof(TlogProof(6, PROOF.hashes, SIGNED, changed).to_text(), KEY)


@pytest.mark.parametrize("index", [0, 5, 7, 10, 11, 2**62])
def test_the_proof_of_another_place_is_refused(index: int) -> None:
    with pytest.raises(InvalidProof):
        verify_proof(TlogProof(index, PROOF.hashes, SIGNED, ENTRIES[6]).to_text(), KEY)


def test_another_size_of_the_same_log_is_refused() -> None:
    for size in range(7, 11):
        note = sign_note(Checkpoint(ORIGIN, size, TREE.root(size)).to_text(), [LOG])
        with pytest.raises(InvalidProof):
            verify_proof(TlogProof(6, PROOF.hashes, note, ENTRIES[6]).to_text(), KEY)


def test_an_empty_log_proves_nothing() -> None:
    note = sign_note(Checkpoint(ORIGIN, 0, Tree().root()).to_text(), [LOG])
    with pytest.raises(InvalidProof, match="below the tree size 0"):
        verify_proof(TlogProof(0, (), note, ENTRIES[0]).to_text(), KEY)


def test_an_inner_node_cannot_be_passed_off_as_an_entry() -> None:
    # The two halves of the root, joined, hash to the root only with the prefix of a node.
    left = TREE.root(8)
    right = TREE.inclusion(0, 11)[-1]
    note = sign_note(Checkpoint(ORIGIN, 1, TREE.root()).to_text(), [LOG])
    with pytest.raises(InvalidProof):
        verify_proof(TlogProof(0, (), note, left + right).to_text(), KEY)


def test_another_key_is_refused() -> None:
    namesake = Signer(ORIGIN, bytes(32))
    with pytest.raises(InvalidProof, match="no signature of a known key"):
        verify_proof(TEXT, namesake.verifier.to_text())
    with pytest.raises(InvalidProof, match="no signature of a known key"):
        verify_proof(proof_of(ENTRIES[0], namesake), KEY)


def test_a_key_cannot_vouch_for_a_log_of_another_name() -> None:
    with pytest.raises(InvalidProof, match=r"other\.example, for which no key was given"):
        verify_proof(proof_of(ENTRIES[0], LOG, "other.example"), KEY)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"1",
        b"null",
        b"\xff",
        b'{"v":2}',
        b'{"v":1} ',
        b'{"v": 1}',
        b'{"v":1.0}',
        b'{"v":true}',
        b'{"v":"1"}',
        b'{"v":1,"code":"a"}',  # keys out of order
        b'{"code":"a","code":"b","v":1}',  # two codes
        b'{"code":"\\u0061","v":1}',  # an escape that need not be
        b'{"n":NaN,"v":1}',
        b'{"n":9007199254740993,"v":1}',
        b'{"n":1' + b"0" * 5000 + b',"v":1}',
        b'{"n":1.50,"v":1}',
        b'{"s":"\\ud800","v":1}',
        b'{"n":' + b"[" * 20_000 + b"]" * 20_000 + b',"v":1}',
    ],
    ids=lambda data: ascii(data)[:40],
)
def test_a_logged_entry_of_another_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidProof, match="canonical JSON"):
        verify_proof(proof_of(data), KEY)


HASH = "A" * 43 + "="


@pytest.mark.parametrize(
    "head",
    [
        "",
        "c2sp.org/tlog-proof@v2\nindex 0",
        " c2sp.org/tlog-proof@v1\nindex 0",
        "\ufeffc2sp.org/tlog-proof@v1\nindex 0",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\nextra AA==",
        "c2sp.org/tlog-proof@v1\nextra AA=\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra AB==\nindex 0",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra AA==",
        "c2sp.org/tlog-proof@v1\nextra AA==\nextra AA==\nindex 0",
        "c2sp.org/tlog-proof@v1\nindex 0\nindex 0",
        "c2sp.org/tlog-proof@v1\nindex",
        "c2sp.org/tlog-proof@v1\nindex ",
        "c2sp.org/tlog-proof@v1\nindex 00",
        "c2sp.org/tlog-proof@v1\nindex +1",
        "c2sp.org/tlog-proof@v1\nindex -1",
        "c2sp.org/tlog-proof@v1\nindex 1 ",
        "c2sp.org/tlog-proof@v1\nindex  1",
        "c2sp.org/tlog-proof@v1\nindex 1\r",
        f"c2sp.org/tlog-proof@v1\nindex {2**63}",
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-2]}B=",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH} ",
        "c2sp.org/tlog-proof@v1\nindex 0\n" + "\n".join([HASH] * 64),
        "C2SP.org/tlog-proof@v1\nindex 0",
    ],
    ids=lambda head: ascii(head)[:60],
)
def test_a_malformed_proof_is_refused(head: str) -> None:
    with pytest.raises(InvalidProof):
        TlogProof.from_text(f"{head}\n\n{SIGNED}")


def test_a_proof_that_could_not_be_read_back_is_not_made() -> None:
    for index, hashes, note in ((-1, (), SIGNED), (0, (b"x" * 31,), SIGNED), (0, (), "no note")):
        with pytest.raises(InvalidData):
            TlogProof(index, hashes, note)
    with pytest.raises(InvalidData):
        TlogProof(0, (b"x" * 32,) * 64, SIGNED)


def test_a_malformed_key_is_told() -> None:
    with pytest.raises(InvalidData, match="verifier key"):
        verify_proof(TEXT, "not a key")


def test_the_verifier_loads_neither_database_nor_network() -> None:
    script = "import sys, cim.log.verify; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & {"sqlalchemy", "psycopg", "asyncpg", "numpy", "pandas", "http", "ssl", "httpx", "asyncio"}
    ours = {name for name in loaded if name.startswith("cim.")}
    assert ours <= {"cim.errors", "cim.log"} | {f"cim.log.{name}" for name in MODULES}


MODULES = ("_text", "checkpoint", "entry", "note", "proof", "tree", "verify")
