"""A log as this platform publishes it, every kind of damage to a copy of it, and the programs to check it with."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cim.log.checkpoint import Checkpoint
from cim.log.entry import canonicalize
from cim.log.note import Signer, sign_note
from cim.log.publisher import Publisher
from cim.log.signer import KEY
from cim.log.tiles import TileReader, TileWriter
from cim.log.tree import CompactRange, Tree, leaf_hashes

HERE = Path(__file__).parent
ORIGIN = "city.example/log"


def entry(number: int, height: float = 3.5) -> bytes:
    return canonicalize({"v": 1, "type": "building", "code": f"B{number}", "body": {"height": height, "name": "甲"}})


@dataclass(frozen=True)
class Log:
    """A published log: its folder, its verifier key, and a file with the checkpoint of each size it had."""

    folder: Path
    keys: Path
    checkpoints: dict[int, Path]

    @property
    def key(self) -> str:
        return self.signer.verifier.to_text()

    @property
    def signer(self) -> Signer:
        return Signer.from_text((self.keys / KEY).read_text().strip())

    @property
    def size(self) -> int:
        return max(self.checkpoints)

    @property
    def remembered(self) -> list[Path]:
        """Every checkpoint so far, as a witness keeps them."""
        return list(self.checkpoints.values())

    def proof(self, index: int) -> str:
        """The proof file of a leaf, as this platform hands it out."""
        reader = TileReader(self.folder)
        return Publisher(self.folder, self.keys, ORIGIN).prove(index, reader.entry(index)).to_text()


def publish(home: Path, *sizes: int) -> Log:
    """Grow a log to each size, publishing every time."""
    leaves = [entry(number) for number in range(sizes[-1])]
    hashes = leaf_hashes(leaves)
    publisher = Publisher(home / "log", home / "keys", ORIGIN)
    tree, checkpoints = CompactRange(), {}
    for size in sizes:
        tree.append(hashes[tree.size : size])
        publisher.publish(tree, lambda a, b: hashes[a:b], lambda a, b: leaves[a:b])
        checkpoints[size] = home / f"checkpoint-{size}"
        checkpoints[size].write_text(publisher.checkpoint_text(), encoding="utf-8")
    return Log(home / "log", home / "keys", checkpoints)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log of 1,500 entries that was published at sizes around a full tile."""
    return publish(tmp_path_factory.mktemp("small"), 1, 255, 256, 257, 700, 1500)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log of 70,000 entries, which has tiles of three levels."""
    return publish(tmp_path_factory.mktemp("large"), 1000, 65_535, 65_536, 65_537, 70_000)


# ---------------------------------------------------------------- damage


def flip(name: str, place: int) -> Callable[[Log], None]:
    """Change one bit of a file."""

    def damage(log: Log) -> None:
        data = bytearray((log.folder / name).read_bytes())
        data[place] ^= 1
        (log.folder / name).write_bytes(data)

    return damage


def cut(name: str, length: int) -> Callable[[Log], None]:
    """Take bytes off the end of a file."""

    def damage(log: Log) -> None:
        (log.folder / name).write_bytes((log.folder / name).read_bytes()[:-length])

    return damage


def remove(name: str) -> Callable[[Log], None]:
    return lambda log: (log.folder / name).unlink()


def swap(one: str, other: str) -> Callable[[Log], None]:
    """Exchange two files."""

    def damage(log: Log) -> None:
        first, second = (log.folder / one).read_bytes(), (log.folder / other).read_bytes()
        (log.folder / one).write_bytes(second)
        (log.folder / other).write_bytes(first)

    return damage


def edit_checkpoint(line: int, text: str) -> Callable[[Log], None]:
    """Change a line of the checkpoint and leave its signature."""

    def damage(log: Log) -> None:
        lines = (log.folder / "checkpoint").read_text(encoding="utf-8").split("\n")
        lines[line] = text
        (log.folder / "checkpoint").write_text("\n".join(lines), encoding="utf-8")

    return damage


def sign_by_another(log: Log) -> None:
    """Sign the checkpoint with another key of the same name."""
    body = (log.folder / "checkpoint").read_text(encoding="utf-8").partition("\n\n")[0] + "\n"
    (log.folder / "checkpoint").write_text(sign_note(body, [Signer(ORIGIN, bytes(32))]), encoding="utf-8")


def rewrite(log: Log) -> None:
    """Change an early entry, make everything anew and sign it with the log's own key: only memory catches that."""
    leaves = [entry(number, height=99.0 if number == 100 else 3.5) for number in range(log.size)]
    hashes = leaf_hashes(leaves)
    root, signer = Tree(hashes).root(), log.signer
    shutil.rmtree(log.folder)
    writer = TileWriter(log.folder)
    for old, new in zip([0, *log.checkpoints], log.checkpoints, strict=False):
        writer.publish(old, new, Tree(hashes[:new]).root(), lambda a, b: hashes[a:b], lambda a, b: leaves[a:b])
    writer.publish_checkpoint(sign_note(Checkpoint(ORIGIN, log.size, root).to_text(), [signer]))


def cut_tail(log: Log) -> None:
    """Go back to an older checkpoint, which the key did sign."""
    shutil.copyfile(log.checkpoints[700], log.folder / "checkpoint")


DAMAGES: dict[str, Callable[[Log], None]] = {
    "leaf hash": flip("tile/0/001", 40),
    "leaf hash of the partial tile": flip("tile/0/005.p/220", 0),
    "inner hash": flip("tile/1/000.p/5", 33),
    "tile cut": cut("tile/0/003", 32),
    "tile removed": remove("tile/0/002"),
    "tiles exchanged": swap("tile/0/001", "tile/0/002"),
    "entry": flip("tile/entries/002", 60),
    "entry's length": flip("tile/entries/002", 1),
    "bundle cut": cut("tile/entries/000", 3),
    "bundle removed": remove("tile/entries/004"),
    "bundles exchanged": swap("tile/entries/001", "tile/entries/002"),
    "size": edit_checkpoint(1, "1499"),
    "root": edit_checkpoint(2, base64.b64encode(bytes(32)).decode()),
    "origin": edit_checkpoint(0, "other.example/log"),
    "signature": edit_checkpoint(4, f"— {ORIGIN} {base64.b64encode(bytes(68)).decode()}"),
    "another key": sign_by_another,
    "history rewritten and signed": rewrite,
    "tail cut": cut_tail,
}


@pytest.fixture(params=list(DAMAGES))
def damaged(request: pytest.FixtureRequest, published: Log, tmp_path: Path) -> Log:
    """A copy of the log with one thing wrong."""
    shutil.copytree(published.folder, tmp_path / "log")
    log = Log(tmp_path / "log", published.keys, published.checkpoints)
    DAMAGES[request.param](log)
    return log


# What may happen to a proof file on its way.
PROOF_DAMAGES: dict[str, Callable[[str], str]] = {
    "entry": lambda text: text.replace("extra eyJib2R5", "extra eyJiT2R5"),
    "place": lambda text: text.replace("\nindex 4", "\nindex 5"),
    "a hash": lambda text: change_line(text, 4, base64.b64encode(bytes(32)).decode()),
    "a hash less": lambda text: text.replace(text.split("\n")[-7] + "\n\n", "\n"),
    "a hash more": lambda text: text.replace("\n\n", f"\n{base64.b64encode(bytes(32)).decode()}\n\n", 1),
    "size": lambda text: text.replace("\n1500\n", "\n1499\n"),
    "root": lambda text: change_line(text, -4, base64.b64encode(bytes(32)).decode()),
    "signature": lambda text: change_line(text, -2, f"— {ORIGIN} {base64.b64encode(bytes(68)).decode()}"),
    "no signature": lambda text: text.rpartition("— ")[0],
}


def change_line(text: str, line: int, replacement: str) -> str:
    lines = text.split("\n")
    lines[line] = replacement
    return "\n".join(lines)


@pytest.fixture(params=list(PROOF_DAMAGES))
def damaged_proof(request: pytest.FixtureRequest, published: Log, tmp_path: Path) -> Path:
    """A proof file with one thing wrong."""
    whole = published.proof(400)
    changed = PROOF_DAMAGES[request.param](whole)
    assert changed != whole
    file = tmp_path / "damaged.tlog-proof"
    file.write_text(changed, encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def proofs(published: Log, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Proof files of leaves at the edges of tiles, and of some between."""
    folder = tmp_path_factory.mktemp("proofs")
    for index in (0, 1, 254, 255, 256, 257, 511, 700, 1023, 1024, 1279, 1280, 1498, 1499):
        (folder / f"{index}.tlog-proof").write_text(published.proof(index), encoding="utf-8")
    return sorted(folder.iterdir())


# ---------------------------------------------------------------- programs


Check = Callable[..., "subprocess.CompletedProcess[str]"]


def runner(command: list[str], environment: dict[str, str]) -> Check:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)],
            env=os.environ | environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=600,
        )

    return run


@pytest.fixture(scope="session")
def go_check(tmp_path_factory: pytest.TempPathFactory, absent: Callable[[str], None]) -> Check:
    """Our small Go program over golang.org/x/mod, as Debian packages it."""
    packages = Path("/usr/share/gocode")
    if shutil.which("go") is None or not (packages / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        absent("Go with golang.org/x/mod")
    program = tmp_path_factory.mktemp("go") / "crosscheck"
    build = runner(["go", "build", "-o", str(program)], {"GO111MODULE": "off", "GOPATH": str(packages)})
    built = build(HERE / "main.go")
    assert built.returncode == 0, built.stderr
    return runner([str(program)], {})


@pytest.fixture(scope="session")
def sigstore_check(absent: Callable[[str], None]) -> Check:
    """Our small script over npm's @sigstore/verify, which tools/setup.sh installs beside the virtual environment."""
    modules = Path(sys.prefix) / "node" / "node_modules"
    if shutil.which("node") is None or not (modules / "@sigstore/verify").is_dir():
        absent("@sigstore/verify")
    return runner(["node", str(HERE / "sigstore.js")], {"NODE_PATH": str(modules)})
