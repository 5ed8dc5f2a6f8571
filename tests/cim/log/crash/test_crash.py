"""Ended at each system call that writes, with or without power, or failing there: the next run gives the same bytes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest
import sqlalchemy as sa

from cim.city import City
from cim.db.engine import Database, told

KILL = -1
# In two batches the log grows from 250 leaves to 260 and to 267. These files are of size 260 alone, and must be there
# only where that size was signed.
BETWEEN = {"log/tile/0/001.p/4", "log/tile/entries/001.p/4"}
WRITTEN = ("leaf", "replaced", "tree_head", "tree_state")  # the tables that the sequencer writes


class Deployment:
    """A database with revisions that wait for their leaves, to be taken back to that state again and again."""

    def __init__(self, database: Database, log: Callable[[Database], int], stack: ExitStack) -> None:
        self.database = database
        self.home = database.settings.home
        self._log = log
        self._kept = self.home.with_name("kept")
        # Forked processes take the engine, which must have no connection open; here nothing uses it.
        self._connection = stack.enter_context(sa.create_engine(database.url, poolclass=sa.NullPool).connect())

    def sql(self, *statements: str) -> list[sa.Row[Any]]:
        """Run statements in one transaction; return the rows of the last one."""
        with self._connection.begin():
            results = [self._connection.execute(sa.text(statement)) for statement in statements]
            return list(results[-1]) if results[-1].returns_rows else []

    def sequence(self) -> None:
        """Sequence and publish, in the process that calls, as one that has just started."""
        self._log(self.database)
        self.database.engine.dispose()

    def keep(self) -> None:
        """Make the present state the one that `reset` goes back to."""
        self.home.mkdir(exist_ok=True)
        copytree(self.home, self._kept)
        self.sql(*(f"ALTER TABLE cim.{name} DISABLE TRIGGER ALL" for name in ("leaf", "replaced")))
        self.sql("CREATE SCHEMA kept", *(f"CREATE TABLE kept.{name} AS TABLE cim.{name}" for name in WRITTEN))

    def reset(self) -> None:
        rmtree(self.home)
        copytree(self._kept, self.home)
        self.sql(
            *(f"DELETE FROM cim.{name}" for name in WRITTEN),
            *(f"INSERT INTO cim.{name} TABLE kept.{name}" for name in WRITTEN),
        )

    def state(self) -> dict[str, Any]:
        """All that a run makes, but the times at which it did."""
        return {
            "leaves": self.sql("TABLE cim.leaf ORDER BY idx"),
            "replaced": self.sql("TABLE cim.replaced ORDER BY leaf"),
            "heads": self.sql("SELECT size, root FROM cim.tree_head ORDER BY size"),
            "tree": self.sql("SELECT size, root, edge FROM cim.tree_state"),
            **files(self.home),
        }


def files(folder: Path) -> dict[str, bytes]:
    """The files by path; what is unfinished stands in a folder whose name begins with a dot."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.parent.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def deployment(database: Database, log: Callable[[Database], int]) -> Iterator[Deployment]:
    database.engine.dispose()
    with ExitStack() as stack:
        yield Deployment(database, log, stack)


@pytest.fixture
def grown(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A log of 250 leaves that is about to have 267, in two batches: new tiles of two levels, one of them full."""
    monkeypatch.setattr("cim.log.sequencer.BATCH", 10)
    deployment.sql("INSERT INTO city.building (code) SELECT 'b' || i FROM generate_series(1, 249) i")
    deployment.sequence()
    deployment.sql(
        "INSERT INTO city.building (code, name) SELECT 'c' || i, '甲' FROM generate_series(1, 9) i",
        "UPDATE city.building SET height = 3 WHERE code IN ('b1', 'c1', 'c2')",
        "INSERT INTO city.unit (code, owner_name) VALUES ('u1', '王芳')",
        "UPDATE city.building SET height = 4 WHERE code IN ('c1', 'c3')",
        "DELETE FROM city.building WHERE code IN ('b2', 'c2')",
    )
    deployment.keep()
    return deployment


@pytest.fixture
def new(deployment: Deployment) -> Deployment:
    """A deployment without folders and without a key, whose first revisions wait."""
    deployment.sql("INSERT INTO city.building (code) VALUES ('b1')")
    deployment.keep()
    return deployment


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << ((len(hashes) - 1).bit_length() - 1)
    return sha256(b"\1" + naive_root(hashes[:half]) + naive_root(hashes[half:])).digest()


def complete(deployment: Deployment) -> dict[str, Any]:
    """Run to the end; check by hand that the tree is that of the entries, and return all that it made."""
    deployment.sequence()
    return checked(deployment)


def watched(deployment: Deployment, supervisor: Any, decide: Callable[[Any], int]) -> dict[str, Any]:
    """Do the same in a process of its own, each of its calls passing by."""
    ending = supervisor.run(deployment.sequence, decide)
    assert (ending.killed, ending.error) == (False, None)
    return checked(deployment)


def checked(deployment: Deployment) -> dict[str, Any]:
    state = deployment.state()
    hashes = [sha256(b"\0" + bytes(leaf.entry)).digest() for leaf in state["leaves"]]
    assert state["tree"][0][:2] == (len(hashes), naive_root(hashes))
    assert state["log/checkpoint"].decode().splitlines()[1] == str(len(hashes))
    return state


def assert_same(state: dict[str, Any], expected: dict[str, Any], signed: int, place: object) -> None:
    """All is as expected, but perhaps for what is of size 260 alone, when the tree last signed is smaller."""
    missing = expected.keys() - state.keys()
    assert missing <= (BETWEEN if signed < 260 else set()), place
    assert state == {name: made for name, made in expected.items() if name not in missing}, place


def signed_size(record: bytes) -> int:
    """The size of the last tree that was signed, in the signer's record: the second line."""
    return int(record.splitlines()[1])


def strike(number: int, verdict: int | Callable[[Any], int], where: Callable[[Any], bool]) -> tuple[Any, list[Any]]:
    """Decide so on the number-th call at which `where` holds; that call is then in the list."""
    struck: list[Any] = []
    passed = 0

    def decide(call: Any) -> int:
        nonlocal passed
        if struck or not where(call):
            return 0
        passed += 1
        if passed < number:
            return 0
        struck.append(call)
        return verdict(call) if callable(verdict) else verdict

    return decide, struck


def changes(call: Any) -> bool:
    """Whether a call is about a file or folder; to make a folder that is there fails as it is."""
    return call.path is not None and not (call.name == "mkdir" and call.path.is_dir())


def both(decide: Callable[[Any], int], see: Callable[[Any], int], call: Any) -> int:
    return decide(call) or see(call)


def audit(deployment: Deployment) -> list[str]:
    with City(deployment.database.settings) as city:
        return [str(finding) for finding in city.audit().findings]


@pytest.mark.slow
def test_killed_at_every_writing_call(grown: Deployment, supervisor: Any, disk: Callable[[Path], Any]) -> None:
    """Calls to the database's socket are writing calls too. What the next run has published is durable."""
    expected = complete(grown)
    kinds: set[str] = set()
    for number in count(1):
        grown.reset()
        durable = disk(grown.home)
        decide, struck = strike(number, KILL, lambda _: True)
        ending = supervisor.run(grown.sequence, partial(both, decide, durable.see))
        if not struck:
            break
        assert ending.killed
        kinds.add(struck[0].name)
        signed = signed_size((grown.home / "keys/last-signed").read_bytes())
        if struck[0].path is None:
            assert_same(complete(grown), expected, signed, struck)
            continue
        assert_same(watched(grown, supervisor, durable.see), expected, signed, struck)
        # The checkpoint's own name need not be durable: any later run publishes it again.
        published, survives = files(grown.home), durable.after_power_cut(names=False)
        assert [n for n in published if n != "log/checkpoint" and survives.get(n) != published[n]] == [], struck
    assert number > 60
    assert kinds >= {"sendto", "openat", "write", "fsync", "rename", "mkdir"}
    assert audit(grown) == []


@pytest.mark.slow
def test_killed_while_a_deployment_gets_its_key(new: Deployment, supervisor: Any) -> None:
    """Before the key is written none was used: the next run makes another, and the same tree."""
    expected = complete(new)
    keys = {name for name in expected if name.startswith("keys/")}
    assert keys == {"keys/log.key", "keys/log.vkey", "keys/last-signed"}
    for number in count(1):
        new.reset()
        decide, struck = strike(number, KILL, lambda call: call.path and call.path.is_relative_to(new.home / "keys"))
        supervisor.run(new.sequence, decide)
        if not struck:
            break
        kept = (new.home / "keys" / "log.key").read_bytes() if (new.home / "keys" / "log.key").exists() else None
        state = complete(new)
        signed = keys | {"log/checkpoint"}
        assert state.keys() == expected.keys()
        assert {k: v for k, v in state.items() if k not in signed} == {
            k: v for k, v in expected.items() if k not in signed
        }
        assert kept in (None, state["keys/log.key"])
        assert state["log/checkpoint"].startswith(state["keys/last-signed"])
    assert number > 15
    assert audit(new) == []


@pytest.mark.slow
def test_the_power_cut_at_every_writing_call(grown: Deployment, supervisor: Any, disk: Callable[[Path], Any]) -> None:
    """Every set of files that a cut could leave while the log is published, each of them the beginning of a run."""
    durable = disk(grown.home)
    left: list[dict[str, bytes]] = []

    def note(call: Any) -> int:
        for names in (False, True):
            outcome = durable.after_power_cut(names=names)
            if outcome not in left:
                left.append(outcome)
        return int(durable.see(call))

    expected = watched(grown, supervisor, note)
    assert len(left) > 15
    modes = {path.name: path.stat().st_mode for path in grown.home.rglob("*")}
    for outcome in left:
        rmtree(grown.home)
        for name, content in outcome.items():
            path = grown.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(modes.get(path.name, 0o600))
        assert_same(complete(grown), expected, signed_size(outcome["keys/last-signed"]), sorted(outcome))


@pytest.mark.slow
def test_every_file_operation_fails(grown: Deployment, supervisor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, or one that cannot sync: an error that says what and where, and nothing is lost."""
    monkeypatch.setattr("cim.log.sequencer.BATCH", 100)  # one batch has every kind of operation
    expected = complete(grown)
    for number in count(1):
        grown.reset()
        decide, struck = strike(
            number,
            lambda call: errno.EIO if call.name == "fsync" else errno.ENOSPC,
            changes,
        )
        ending = supervisor.run(grown.sequence, decide)
        if not struck:
            break
        reason = "Input/output error" if struck[0].name == "fsync" else "No space left on device"
        assert ending.error.startswith("CimError: "), struck
        assert f"cannot be written: {reason} (" in ending.error
        assert str(grown.home) in ending.error
        assert complete(grown) == expected, struck
    assert number > 30
    assert audit(grown) == []


@pytest.mark.slow
def test_the_session_ends_at_every_message(grown: Deployment, supervisor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends all sessions just before one of them sends: an error of ours or none, and nothing is lost."""
    monkeypatch.setattr("cim.log.sequencer.BATCH", 100)  # one batch has every kind of message
    expected = complete(grown)

    def end_sessions(_call: Any) -> int:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        grown.sql(f"SELECT pg_terminate_backend(pid, 5000) {others}")
        return 0

    def sequence() -> None:
        with told():
            grown.sequence()

    errors = 0
    for number in count(1):
        grown.reset()
        decide, struck = strike(number, end_sessions, lambda call: call.name in ("sendto", "sendmsg"))
        ending = supervisor.run(sequence, decide)
        if not struck:
            break
        assert ending.error is None or ending.error.startswith("DatabaseError: the database gave up: "), struck
        errors += ending.error is not None
        assert complete(grown) == expected, struck
    assert errors > 10
    assert audit(grown) == []
