"""The verifier of one file: RFC 8032's signatures, RFC 8785's numbers, and the same answers as ours."""

from __future__ import annotations

import ast
import base64
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cim.errors import CimError
from cim.log import standalone
from cim.log.entry import canonicalize
from cim.log.note import Signer
from cim.log.standalone import verify_tlog_proof
from cim.log.standalone.verify_tlog_proof import ORDER, Refused, canonical_json, ed25519_verify, verify
from cim.log.verify import verify_proof

FILE = Path(standalone.__file__).with_name("verify_tlog_proof.py")
ENTRY = canonicalize({"v": 1, "type": "building", "code": "B1", "body": {"name": "甲", "note": "a\u202eb"}})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the file as a stranger does: without any installed package, this one included."""
    command = [sys.executable, "-I", "-S", str(FILE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# ---------------------------------------------------------------- signatures

# RFC 8032, section 7.1: public key, message, signature.
RFC8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
        "454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
        "3dca179c138ac17ad9bef1177331a704",
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), RFC8032)
def test_rfc_8032_s_signatures_are_accepted_and_changed_ones_are_not(key: str, message: str, signature: str) -> None:
    public, text, signed = bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature)
    assert ed25519_verify(public, text, signed)
    assert not ed25519_verify(public, text + b"\0", signed)
    for place in range(0, 64, 7):
        changed = bytearray(signed)
        changed[place] ^= 1
        assert not ed25519_verify(public, text, bytes(changed))
    assert not ed25519_verify(bytes.fromhex(RFC8032[0][0])[::-1], text, signed)


def test_no_second_spelling_of_a_signature_is_accepted() -> None:
    key, message, signature = (bytes.fromhex(part) for part in RFC8032[1])
    s = int.from_bytes(signature[32:], "little")
    assert not ed25519_verify(key, message, signature[:32] + (s + ORDER).to_bytes(32, "little"))
    assert not ed25519_verify(key, message, signature + b"\0")
    assert not ed25519_verify(key, message, signature[:-1])


@pytest.mark.parametrize(
    "key",
    [
        (2**255 - 19 + 1).to_bytes(32, "little"),  # the point (0, 1), its y not reduced
        (1 + 2**255).to_bytes(32, "little"),  # (0, 1) with a sign that 0 has not
        (2).to_bytes(32, "little"),  # on no point: x² would be no square
    ],
)
def test_what_is_no_point_is_no_key(key: bytes) -> None:
    assert not ed25519_verify(key, b"", (1).to_bytes(32, "little") + bytes(32))


@given(st.binary(min_size=32, max_size=32), st.text(max_size=50).filter(lambda text: "\r" not in text))
def test_signatures_of_another_implementation_are_accepted(seed: bytes, text: str) -> None:
    signer = Signer("name", seed)
    message = f"{text.encode(errors='replace').decode().translate(dict.fromkeys(range(32)))}\n"
    signature = base64.b64decode(signer.sign(message).split(" ")[2])[4:]
    assert ed25519_verify(signer.verifier.public_key, message.encode(), signature)


# ---------------------------------------------------------------- canonical JSON


@pytest.mark.parametrize(
    ("bits", "text"),
    [  # RFC 8785, appendix B
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
    ],
)
def test_numbers_are_spelled_as_in_rfc_8785(bits: str, text: str) -> None:
    assert canonical_json(struct.unpack(">d", bytes.fromhex(bits))[0]) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
        | st.integers(-(2**53) + 1, 2**53 - 1),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)  # fmt: skip
def test_json_is_spelled_as_ours(value: object) -> None:
    assert canonical_json(value).encode() == canonicalize(value)


# ---------------------------------------------------------------- the same answers


def test_it_accepts_and_refuses_what_ours_does(many_proofs: list[bytes], ours: list[Any], key: str) -> None:
    for proof, expected in zip(many_proofs, ours, strict=True):
        try:
            answer = verify(proof, key)
        except Refused:
            answer = None
        assert answer == expected, proof


# What a verifier key may become on its way.
CHANGES: list[Callable[[str], str]] = [
    lambda key: key[:-1],
    lambda key: key + " ",
    lambda key: key.replace("+", " ", 1),
    lambda key: key.replace("city", "City"),
    lambda key: key.upper(),
    lambda key: key.rpartition("+")[0],
    lambda key: key.replace("+A", "+B"),
    lambda key: "",
    lambda key: Signer("city.example/log", bytes(32)).verifier.to_text(),
    lambda key: Signer("other.example", bytes(range(32))).verifier.to_text(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_another_key_is_refused(change: Callable[[str], str], key: str, make_proof: Callable[..., bytes]) -> None:
    proof, changed = make_proof(ENTRY), change(key)
    assert changed != key
    verify(proof, key)
    with pytest.raises(CimError):
        verify_proof(proof, changed)
    with pytest.raises(Refused):
        verify(proof, changed)


# ---------------------------------------------------------------- the command


def test_a_stranger_sees_the_entry(tmp_path: Path, key: str, make_proof: Callable[..., bytes]) -> None:
    proof, key_file = tmp_path / "B1.tlog-proof", tmp_path / "log.vkey"
    proof.write_bytes(make_proof(ENTRY, 7, 3))
    key_file.write_text(f"{key}\n")
    shown = run(str(proof), key)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("VERIFIED\nlog    city.example/log\nentry  3 (counted from 0) of 7\nroot   ")
    assert '"code": "B1"' in shown.stdout
    assert '"name": "甲"' in shown.stdout or r'"name": "\u7532"' in shown.stdout  # by the terminal's encoding
    assert r"a\u202eb" in shown.stdout  # turns the reading direction: spelled out
    assert run(str(proof), str(key_file)).stdout == shown.stdout


def test_a_refusal_has_its_exit_code_and_reason(tmp_path: Path, key: str, make_proof: Callable[..., bytes]) -> None:
    proof = tmp_path / "B1.tlog-proof"
    proof.write_bytes(make_proof(ENTRY, 7, 3).replace(b"index 3", b"index 4"))
    refused = run(str(proof), key)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("REFUSED: the entry and the hashes do not lead to the root")
    assert run(str(tmp_path / "absent"), key).returncode == 3
    assert run(str(proof), "no key").stderr.startswith("REFUSED: ")
    assert run().returncode == 2
    assert run(str(proof)).stderr.startswith("usage: ")


def test_it_is_short_and_needs_only_the_standard_library_of_python_3_9() -> None:
    source = FILE.read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 9))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    assert imported <= sys.stdlib_module_names
    assert not imported & {"socket", "http", "urllib", "ssl", "subprocess"}
    assert len(source.splitlines()) < 400
    assert verify_tlog_proof.__doc__ is not None
