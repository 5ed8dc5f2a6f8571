"""The signer: a key made once and kept secret, and a memory that no restored database can talk it out of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cim.errors import CimError, Conflict, InvalidData
from cim.log.checkpoint import Checkpoint, open_checkpoint
from cim.log.note import Verifier
from cim.log.signer import LogSigner
from cim.log.tree import EMPTY_ROOT, Tree, leaf_hashes

ORIGIN = "city.example/log"
TREE = Tree(leaf_hashes(f"entry {i}".encode() for i in range(20)))
FORK = Tree(leaf_hashes(f"another {i}".encode() for i in range(20)))


def head(size: int, tree: Tree = TREE, origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, size, tree.root(size))


def no_proof(old: int, new: int) -> Sequence[bytes]:
    raise AssertionError(f"no proof is needed from {old} to {new}")


def test_the_first_use_makes_a_secret_key_and_a_public_one(tmp_path: Path) -> None:
    keys = tmp_path / "home" / "keys"
    signer = LogSigner(keys, ORIGIN)
    assert keys.stat().st_mode & 0o777 == 0o700
    assert (keys / "log.key").stat().st_mode & 0o777 == 0o600
    assert Verifier.from_text((keys / "log.vkey").read_text().strip()) == signer.verifier
    assert signer.verifier.name == signer.origin == ORIGIN
    assert signer.last_signed == Checkpoint(ORIGIN, 0, EMPTY_ROOT)


def test_a_second_use_takes_the_same_key(tmp_path: Path) -> None:
    assert LogSigner(tmp_path, ORIGIN).verifier == LogSigner(tmp_path, ORIGIN).verifier


def test_two_processes_starting_at_once_make_one_key(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from cim.log.signer import LogSigner;"
        "print(LogSigner(Path(sys.argv[1]), sys.argv[2]).verifier.to_text())"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "keys"), ORIGIN]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    keys = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0] * 4
    assert len(keys) == 1


def test_a_growing_tree_is_signed(tmp_path: Path) -> None:
    signer = LogSigner(tmp_path, ORIGIN)
    for size, prove in ((0, no_proof), (1, no_proof), (2, TREE.consistency), (7, TREE.consistency)):
        note = signer.sign(head(size), prove)
        assert open_checkpoint(note, [signer.verifier]) == head(size)
        assert signer.last_signed == head(size)


def test_the_same_head_is_signed_again_to_the_same_bytes(tmp_path: Path) -> None:
    first = LogSigner(tmp_path, ORIGIN).sign(head(7), no_proof)
    assert LogSigner(tmp_path, ORIGIN).sign(head(7), no_proof) == first


@pytest.mark.parametrize(
    ("new", "prove"),
    [
        (head(6), TREE.consistency),
        (head(0), no_proof),
        (head(7, FORK), FORK.consistency),
        (head(12, FORK), FORK.consistency),
        (head(12), FORK.consistency),
        (head(12), lambda old, new: TREE.consistency(old, new)[:-1]),
        (head(12), lambda old, new: []),
    ],
    ids=["smaller", "empty", "other root", "other history", "other proof", "short proof", "no proof"],
)
def test_any_other_tree_is_refused_and_forgotten(tmp_path: Path, new: Checkpoint, prove: object) -> None:
    signer = LogSigner(tmp_path, ORIGIN)
    signer.sign(head(7), no_proof)
    for again in (signer, LogSigner(tmp_path, ORIGIN)):
        with pytest.raises(Conflict, match=r"old backup.* second deployment uses the same key"):
            again.sign(new, prove)  # type: ignore[arg-type]
        assert again.last_signed == head(7)
    signer.sign(head(12), TREE.consistency)


def test_a_head_that_cannot_be_recorded_is_not_signed(tmp_path: Path) -> None:
    signer = LogSigner(tmp_path, ORIGIN)
    signer.sign(head(3), no_proof)
    obstacle = tmp_path / ".staging" / "obstacle"
    obstacle.mkdir()
    with pytest.raises(CimError, match="cannot be written"):
        signer.sign(head(4), TREE.consistency)
    assert signer.last_signed == head(3)
    obstacle.rmdir()
    signer.sign(head(4), TREE.consistency)
    assert signer.last_signed == head(4)


@pytest.mark.parametrize(
    "text", ["", "city.example/log\n3\n", head(3).to_text() + "x\n", head(3).to_text().replace("\n3\n", "\n03\n")]
)
def test_a_damaged_record_stops_the_signer(tmp_path: Path, text: str) -> None:
    LogSigner(tmp_path, ORIGIN).sign(head(3), no_proof)
    (tmp_path / "last-signed").write_text(text)
    with pytest.raises(Conflict, match="missing or damaged"):
        LogSigner(tmp_path, ORIGIN)


def test_a_key_without_its_record_is_not_used(tmp_path: Path) -> None:
    LogSigner(tmp_path, ORIGIN)
    (tmp_path / "last-signed").unlink()
    with pytest.raises(Conflict, match="missing or damaged"):
        LogSigner(tmp_path, ORIGIN)


def test_a_record_without_its_key_makes_no_new_key(tmp_path: Path) -> None:
    LogSigner(tmp_path, ORIGIN).sign(head(3), no_proof)
    (tmp_path / "log.key").unlink()
    with pytest.raises(Conflict, match=r"log\.key is gone"):
        LogSigner(tmp_path, ORIGIN)
    assert not (tmp_path / "log.key").exists()


def test_a_start_that_was_killed_before_the_key_is_finished_by_the_next(tmp_path: Path) -> None:
    first = LogSigner(tmp_path, ORIGIN)
    (tmp_path / "log.key").unlink()
    second = LogSigner(tmp_path, ORIGIN)
    assert second.verifier != first.verifier
    assert (tmp_path / "log.vkey").read_text().strip() == second.verifier.to_text()


def test_another_log_s_key_is_refused(tmp_path: Path) -> None:
    LogSigner(tmp_path, ORIGIN)
    with pytest.raises(InvalidData, match=r"is the key of city\.example/log, but this log is other\.example"):
        LogSigner(tmp_path, "other.example")


def test_another_log_s_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"other\.example"):
        LogSigner(tmp_path, ORIGIN).sign(head(3, origin="other.example"), no_proof)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    LogSigner(tmp_path, ORIGIN)
    (tmp_path / "log.key").chmod(0o640)
    with pytest.raises(InvalidData, match="chmod 600"):
        LogSigner(tmp_path, ORIGIN)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"PRIVATE+KEY+city.example/log+00000000+AA==\n"])
def test_a_damaged_key_is_refused(tmp_path: Path, data: bytes) -> None:
    LogSigner(tmp_path, ORIGIN)
    (tmp_path / "log.key").write_bytes(data)
    with pytest.raises(InvalidData, match="private key"):
        LogSigner(tmp_path, ORIGIN)


def test_a_keys_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(CimError, match=r"home/keys cannot be written: Not a directory"):
        LogSigner(tmp_path / "home" / "keys", ORIGIN)
