"""Proofs for the verifiers that are handed out, thousands of damaged ones among them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cim.errors import InvalidData, InvalidProof
from cim.log._text import write_base64
from cim.log.checkpoint import Checkpoint
from cim.log.entry import canonicalize
from cim.log.note import Signer, sign_note
from cim.log.proof import TlogProof
from cim.log.tree import EMPTY_ROOT, Tree, leaf_hashes
from cim.log.verify import verify_proof

ORIGIN = "city.example/log"
LOG = Signer(ORIGIN, bytes(range(32)))
OTHERS = [Signer(name, bytes([number]) * 32) for number, name in enumerate(("witness.example", "日志.example", ORIGIN))]


def proof_of(entry: bytes, size: int = 1, index: int = 0, signers: list[Signer] | None = None) -> bytes:
    """A proof of a log that the key signed, whatever its entry."""
    leaves = [b"entry %d" % number for number in range(size)]
    leaves[index] = entry
    tree = Tree(leaf_hashes(leaves))
    note = sign_note(Checkpoint(ORIGIN, size, tree.root()).to_text(), [LOG] if signers is None else signers)
    return TlogProof(index, tuple(tree.inclusion(index, size)), note, entry).to_text().encode()


# ---------------------------------------------------------------- damaged proofs

TEXTS = st.text(max_size=6) | st.sampled_from(
    ["甲", '"', "\\", "\x1f", "\x7f", "\u2028", "\ud800", "\ufb33", "😀", "__proto__"]
)
NUMBERS = (
    st.floats()
    | st.integers(-(2**54), 2**54)
    | st.sampled_from(
        [
            0.0,
            -0.0,
            1e21,
            1e20,
            123456789012345680000.0,
            1e-6,
            1e-7,
            5e-324,
            2**53 - 1,
            2**53,
            -(2**53),
            0.1,
            333333333.33333329,
        ]
    )
)
VALUES = st.recursive(
    TEXTS | NUMBERS | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def entries(draw: st.DrawFn) -> bytes:
    """An entry as this platform spells it, or nearly so."""
    entry: Any = {"v": 1, "type": "building", **draw(st.dictionaries(TEXTS, VALUES, max_size=4))}
    try:
        spelled = canonicalize(entry)
    except InvalidData:  # NaN and the like: as a careless writer would log it
        spelled = json.dumps(entry, separators=(",", ":")).encode()
    return draw(
        st.sampled_from(
            [
                spelled,
                spelled,
                spelled,
                spelled.replace(b'"v":1', b'"v":1.0'),
                spelled.replace(b'"v":1', b'"v":true'),
                spelled.replace(b'"v":1', b'"v":1,"v":1'),
                spelled.replace(b":", b": ", 1),
                json.dumps(entry, separators=(",", ":"), sort_keys=True).encode(),
                json.dumps([entry]).encode(),
                b"\xef\xbb\xbf" + spelled,
            ]
        )
    )


def edit(proof: bytes, kind: str, place: int, other: int, text: bytes) -> bytes:
    """Do one kind of damage to a proof."""
    place %= len(proof)
    lines = proof.split(b"\n")
    one, two = place % len(lines), other % len(lines)
    if kind == "flip":
        return proof[:place] + bytes([proof[place] ^ (1 << other % 8)]) + proof[place + 1 :]
    if kind == "cut":
        return proof[:place] + proof[place + 1 + other % 3 :]
    if kind == "insert":
        return proof[:place] + text + proof[place:]
    if kind == "truncate":
        return proof[:place] or b"\n"
    if kind == "line ends":
        return proof.replace(b"\n", b"\r\n")
    if kind == "swap lines":
        lines[one], lines[two] = lines[two], lines[one]
    if kind == "repeat line":
        lines.insert(one, lines[two])
    if kind == "drop line":
        del lines[one]
    if kind == "number":
        lines = [b"index %d" % other if line.startswith(b"index ") else line for line in lines]
    return b"\n".join(lines) or b"\n"


KINDS = ["flip", "cut", "insert", "truncate", "line ends", "swap lines", "repeat line", "drop line", "number"]
PIECES = [
    b"\n",
    b"\n\n",
    b" ",
    b"=",
    b"0",
    b"A",
    b"+",
    b"\t",
    b"\0",
    b"\xff",
    b"\xc2\x85",
    b"\xe2\x80\x94 ",
    b"\xf0\x9f\x98\x80",
]


@st.composite
def proofs(draw: st.DrawFn) -> bytes:
    """A proof that holds, or one that was built with something wrong, then damaged or not."""
    size = draw(st.integers(1, 20))
    signers = draw(st.sampled_from([[LOG], [LOG], [LOG, *OTHERS], [*OTHERS, LOG, LOG], OTHERS]))
    proof = proof_of(draw(entries()), size, draw(st.integers(0, size - 1)), signers)
    edits = st.tuples(st.sampled_from(KINDS), st.integers(0, 4000), st.integers(0, 25), st.sampled_from(PIECES))
    for kind, place, other, text in draw(st.lists(edits, max_size=2)):
        proof = edit(proof, kind, place, other, text)
    return proof


# ---------------------------------------------------------------- proofs at the edges of the rules

HEIGHT = canonicalize({"v": 1, "height": 1})
EDGE_ENTRIES = [
    b"", b"{}", b"[]", b"1", b"null", b"\xff", b'{"v":2}', b'{"v":1}\n', b'{"v":1.0}', b'{"v":true}', b'{"v":"1"}',
    b'{"V":1}', b'{"v":1}', b'{"__proto__":1,"v":1}', b'{"__proto__":{"v":1}}', b'{"v":1,"code":"a"}',
    b'{"code":"a","code":"b","v":1}', b'{"10":1,"9":1,"v":1}', b'{"9":1,"10":1,"v":1}',
    b'{"s":"\\u0061","v":1}', b'{"s":"\\u001F","v":1}', b'{"s":"\\u001f","v":1}', b'{"s":"\x7f","v":1}',
    b'{"s":"\\/","v":1}', b'{"s":"\\ud800","v":1}', b'{"s":"\\ud83d\\ude00","v":1}',
    '{"😀":1,"\ufb33":2,"v":1}'.encode(), '{"\ufb33":2,"😀":1,"v":1}'.encode(),
    b'{"n":[' + b"[" * 50 + b"]" * 50 + b'],"v":1}',
]  # fmt: skip
EDGE_NUMBERS = [
    "-0", "0", "0.0", "1.50", "1e2", "1E2", "1e+21", "1e21", "1e-7", "0.000001", "1e-6", "NaN", "Infinity", "1e400",
    "-1e400", "01", "+1", ".5", "0.1", "9007199254740991", "9007199254740992", "-9007199254740992",
    "9007199254740993", "100000000000000000000", "100000000000000000001", "1000000000000000000000", "5e-324",
    "1e-400", "0.10000000000000001",
    "1" + "0" * 400, "1" + "0" * 5000,
]  # fmt: skip
EDGE_NAMES = [
    "a b",
    "a+b",
    "",
    "a\u0085b",
    "a\u00a0b",
    "a\u1680b",
    "a\u2028b",
    "a\u3000b",
    "a\x1fb",
    "a\x7fb",
    "a\u200bb",
    "a\ufeffb",
    "日",
]


def spelled_again(line: str) -> str:
    """Base64 of the same bytes with a spare bit set."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = line.rstrip("=")[-1]
    return line.replace(f"{last}=", f"{letters[letters.index(last) + 1]}=")


def edge_proofs() -> Iterator[bytes]:
    """Proofs that a careless verifier takes, or that a strict one must still take."""
    yield from map(proof_of, EDGE_ENTRIES)
    yield from (proof_of(b'{"n":%b,"v":1}' % number.encode()) for number in EDGE_NUMBERS)
    whole = proof_of(HEIGHT, 7, 3).decode()
    head, note = whole.split("\n\n", 1)
    lines = head.split("\n")
    for place in range(1, len(lines)):  # other spellings of each line
        for line in (
            lines[place] + " ",
            lines[place] + "\r",
            lines[place].lower(),
            spelled_again(lines[place]),
            lines[place] + "=",
        ):
            yield "\n".join([*lines[:place], line, *lines[place + 1 :]]).encode() + b"\n\n" + note.encode()
    for index in ("00", "03", "+3", "-3", "３", "3.0", "0x3", "", "4", "7", str(2**63 - 1), str(2**63), "9" * 5000):
        yield whole.replace("index 3", f"index {index}").encode()
    signature = note.rstrip("\n").split(" ")[-1]
    stranger = base64.b64encode(bytes(68)).decode()
    for name in EDGE_NAMES:
        yield f"{whole}— {name} {stranger}\n".encode()
    for number in (3, 4, 5, 64, 68):
        yield f"{whole}— stranger.example {base64.b64encode(bytes(number)).decode()}\n".encode()
        yield f"{whole}— {ORIGIN} {base64.b64encode(LOG.verifier.key_id + bytes(number)).decode()}\n".encode()
    for number in (99, 100):  # with the log's own: 100 and 101
        yield (whole + f"— stranger.example {stranger}\n" * number).encode()
    yield whole.replace(signature, spelled_again(signature) + "=").encode()
    yield whole.replace("— ", "- ").encode()
    yield f"{whole}— {'日' * 340_000} {stranger}\n".encode()  # too many bytes, though not too many characters
    yield f"{whole}\n".encode()
    yield f"\ufeff{whole}".encode()
    yield from lying_checkpoints()


def lying_checkpoints() -> Iterator[bytes]:
    """Checkpoints that the key did sign, but that are of no such tree, or of no checkpoint's form."""
    tree = Tree(leaf_hashes([HEIGHT] * 4))
    root, nothing = write_base64(tree.root()), write_base64(EMPTY_ROOT)
    bodies = [
        f"{ORIGIN}\n{size}\n{root}\n"
        for size in ("0", "1", "2", "3", "4", "5", "8", "04", "4 ", str(2**63), str(2**63 - 1))
    ]
    bodies += [f"{ORIGIN}\n{size}\n{nothing}\n" for size in (0, 4)]
    bodies += [f"{name}\n4\n{root}\n" for name in ("other.example", "", " ", ORIGIN.upper())]
    bodies += [f"{ORIGIN}\n4\n{root}\n{more}" for more in ("\n", "extension\n", "\n\n")]
    bodies += [
        f"\n\n{ORIGIN}\n4\n{root}\n",
        f"{ORIGIN}\n4\n{root[:-4]}\n",
        f"{ORIGIN}\n4\n",
        f"{ORIGIN}\n4\n{spelled_again(root)}\n",
    ]
    head = TlogProof(1, tuple(tree.inclusion(1, 4)), sign_note("x\n", [LOG]), HEIGHT).to_text().partition("\n\n")[0]
    for body in bodies:
        yield f"{head}\n\n{sign_note(body, [LOG])}".encode()


@pytest.fixture(scope="session")
def many_proofs() -> list[bytes]:
    """Thousands of proofs, new ones in every run; some verify, most do not."""
    found = list(edge_proofs())

    @settings(
        max_examples=2000,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(proofs())
    def collect(proof: bytes) -> None:
        found.append(proof)

    collect()
    return found


@pytest.fixture(scope="session")
def ours(many_proofs: list[bytes]) -> list[dict[str, Any] | None]:
    """What our own verifier says of each of them; None where it refuses."""
    answers: list[dict[str, Any] | None] = []
    for proof in many_proofs:
        try:
            found = verify_proof(proof, LOG.verifier.to_text())
        except InvalidProof:
            answers.append(None)
        else:
            place = {"origin": found.origin, "index": found.index, "size": found.size, "root": found.root.hex()}
            answers.append(place | {"entry": found.entry})
    assert len(answers) >= 1500
    assert 0.05 < sum(answer is not None for answer in answers) / len(answers) < 0.8  # both kinds, and many of each
    return answers


@pytest.fixture(scope="session")
def make_proof() -> Callable[..., bytes]:
    return proof_of


@pytest.fixture(scope="session")
def key() -> str:
    return LOG.verifier.to_text()
