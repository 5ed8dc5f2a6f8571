"""Proofs for the verifiers that are handed out, thousands of damaged ones among them, and a real browser."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cim.errors import InvalidData, InvalidProof
from cim.log.checkpoint import Checkpoint
from cim.log.entry import canonicalize
from cim.log.note import Signer, sign_note
from cim.log.proof import TlogProof
from cim.log.tree import Tree, leaf_hashes
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


@pytest.fixture(scope="session")
def many_proofs() -> list[bytes]:
    """Thousands of proofs, new ones in every run; some verify, most do not."""
    found: list[bytes] = []

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


# ---------------------------------------------------------------- the browser


class Browser:
    """Chromium without a window, spoken to over its DevTools pipe: JSON messages that end in NUL.

    Source
    ------
    https://chromedevtools.github.io/devtools-protocol/
    """

    def __init__(self, program: str, profile: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        arguments = [
            program, "--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run", "--window-size=900,1400",
        ]  # fmt: skip
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # Chromium's sandbox refuses to start as root
        # Chromium reads commands on descriptor 3 and writes answers on 4.
        self._pid = os.posix_spawnp(
            "sh",
            ["sh", "-c", 'exec "$@" 2>/dev/null', "sh", *arguments],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, commands, 13),
                (os.POSIX_SPAWN_DUP2, answers, 14),
                (os.POSIX_SPAWN_DUP2, 13, 3),
                (os.POSIX_SPAWN_DUP2, 14, 4),
            ],
        )
        os.close(commands)
        os.close(answers)
        self._buffer, self._last, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer; what the page reports meanwhile goes to `events`."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") != self._last:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            else:
                return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._answers, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def open(self, url: str) -> None:
        """Load a page and wait for it."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.run("new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', done))")

    def run(self, script: str) -> Any:
        """Run JavaScript in the page, wait for what it promises, and return its value."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def close(self) -> None:
        self._session = ""
        self.call("Browser.close")
        os.waitpid(self._pid, 0)
        os.close(self._commands)
        os.close(self._answers)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory, absent: Callable[[str], None]) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        absent("Chromium")
    browser = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()
