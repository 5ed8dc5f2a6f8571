"""Disaster recovery: a database made again from the published log, and geometry files, alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.logstore import LogStore
from cim.db.script import query
from cim.dictionary import PLATFORM_TYPES
from cim.errors import AuditFailed, Conflict, InvalidData
from cim.log.entry import canonicalize
from cim.log.folder import LogFolder, geometry_path
from cim.log.sequencer import Leaves
from cim.log.tree import CompactRange, leaf_hashes
from cim.log.verify import read_entry

SCHEMA_TYPE = "schema"
BUNDLES = 32  # of 256 entries each, recorded at once
UNRECORDED = "datasets and rejected records: the log does not hold them"


@dataclass(slots=True)
class ReplayReport:
    """What was restored, and what could not be.

    Attributes
    ----------
    size, root : the tree, the same as signed
    objects : number of live objects by type
    geometry : (type, code, rev, SHA-256 in hex) of each geometry whose file is absent, or is not what its name says
    private : number of private values, by (type, field), that only the lost database had
    """

    size: int
    root: bytes
    objects: dict[str, int] = field(default_factory=dict)
    geometry: list[tuple[str, str, int, str]] = field(default_factory=list)
    private: Counter[tuple[str, str]] = field(default_factory=Counter)

    def losses(self) -> list[str]:
        """Say in words what could not be restored."""
        said = [
            f"the geometry of {kind} {code}, revision {rev}: no file {h}.wkb" for kind, code, rev, h in self.geometry
        ]
        said += [f"{n} values of {kind}.{name}, which is private" for (kind, name), n in sorted(self.private.items())]
        return [*said, UNRECORDED]


def replay(
    database: Database,
    log: LogFolder,
    geometry: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ReplayReport:
    """Make revisions, leaves, tree and live tables from a log's entries, in one transaction.

    The log goes on where it stood: same leaves, same root. Numbers of `attributes` that no double holds come back as
    the text that the log has of them. An object that must have a geometry whose file is absent gets the empty one.

    Parameters
    ----------
    log : checked already
    geometry : folder of WKB files named by their SHA-256; None for none

    Raises
    ------
    Conflict : the database is not new. InvalidData : the dictionary lacks a type or column that the log has.
    AuditFailed : the entries of an object do not follow one another.
    """
    with database.engine.connect() as connection:
        store = LogStore(connection)
        with store.exclusive(), connection.begin():
            try:
                connection.execute(query("replay/begin"))
            except sa.exc.DBAPIError as error:
                if not isinstance(error.orig, psycopg.errors.ObjectNotInPrerequisiteState):
                    raise
                raise Conflict(
                    f"the log cannot be replayed: {error.orig}; name a new database with CIM_DATABASE_URL or CIM_HOME"
                ) from error
            return _Replay(database, store, log, geometry).run(progress)


class _Replay:
    """One replay, inside its transaction."""

    def __init__(self, database: Database, store: LogStore, log: LogFolder, geometry: Path | None) -> None:
        self._store = store
        self._connection = store.connection
        self._dictionary = database.dictionary
        self._log = log
        self._geometry = geometry
        self._columns = {
            t.name: {p.name for p in t.public_properties} | {"attributes"} for t in database.dictionary.types.values()
        }
        self._last: dict[tuple[str, str], tuple[int, int]] = {}
        self._digests: Any = None
        self._private: Counter[tuple[str, str, str]] = Counter()  # values by object and field, those erased left out
        self._times: list[datetime] = []  # of each leaf, the latest so far
        self._report = ReplayReport(log.checkpoint.size, log.checkpoint.root)

    def run(self, progress: Callable[[int, int], None]) -> ReplayReport:
        size = self._log.checkpoint.size
        self._connection.execute(query("replay/stage"))
        tree = CompactRange()
        bundles = self._log.bundles()
        while entries := list(chain.from_iterable(islice(bundles, BUNDLES))):
            leaves = self._record(tree.size, entries)
            tree.append(leaves.hashes)
            progress(tree.size, size)
        if tree.root() != self._log.checkpoint.root:
            raise AuditFailed(f"{self._log.path} changed while it was replayed; nothing was restored")
        self._move(tree)
        for name in self._dictionary.types:
            count = self._connection.execute(query("replay/fill"), {"type": name, "size": size}).scalar_one()
            self._report.objects[name] = count
        self._connection.execute(query("replay/fill_identifiers"))
        for (kind, _, name), number in self._private.items():
            self._report.private[kind, name] += number
        if self._digests != self._dictionary.digests():
            digests = json.dumps(self._dictionary.digests())
            self._connection.execute(query("migration/record_schema_entry"), {"digests": digests})
        return self._report

    def _record(self, start: int, entries: Sequence[bytes]) -> Leaves:
        """Record the revisions of the leaves from `start` on, and the leaves."""
        prevs, rows = [], []
        for index, data in enumerate(entries, start):
            entry = read_entry(data)
            self._check(index, entry)
            prevs.append(entry["prev"])
            rows.append(self._row(index, entry))
        self._store.copy(query("replay/copy_staged"), _STAGED, rows)
        self._connection.execute(query("replay/record"))
        ids = range(start + 1, start + 1 + len(entries))
        leaves = Leaves(start, ids, prevs, entries, leaf_hashes(entries))
        self._store.copy_leaves(leaves)
        return leaves

    def _check(self, index: int, entry: Mapping[str, Any]) -> None:
        """Check that an entry follows its predecessor, and that the dictionary has a place for it."""
        kind, code = entry["type"], entry["code"]
        prev, rev = self._last.get((kind, code), (None, 0))
        if (entry["prev"], entry["rev"]) != (prev, rev + 1):
            raise AuditFailed(
                f"{kind} {code}, leaf {index}: expected revision {rev + 1} with predecessor leaf {prev}, got "
                f"{entry['rev']} with {entry['prev']}"
            )
        self._last[kind, code] = (index, entry["rev"])
        if kind == SCHEMA_TYPE:
            self._digests = entry.get("body")
            return
        if kind in PLATFORM_TYPES:
            return
        if kind not in self._columns:
            raise InvalidData(f"the log has objects of type {kind}; set CIM_DICTIONARY to the folder that defines it")
        if unknown := entry.get("body", {}).keys() - self._columns[kind]:
            raise InvalidData(
                f"the log has {kind}.{min(unknown)}; set CIM_DICTIONARY to the folder that defines this column"
            )

    def _row(self, index: int, entry: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the staged revision of an entry; note what is lost."""
        kind, code, rev = entry["type"], entry["code"], entry["rev"]
        at = datetime.fromisoformat(entry["at"])
        self._times.append(max(at, self._times[-1]) if self._times else at)
        erased = entry.get("erased")
        for name in erased or ():
            self._private.pop((kind, code, name), None)
        self._private.update((kind, code, name) for name in entry.get("private", {}))
        shape = entry.get("geometry")
        wkb = None
        if shape is not None and (wkb := self._wkb(shape["sha256"])) is None:
            self._report.geometry.append((kind, code, rev, shape["sha256"]))
        body = canonicalize(entry["body"]).decode() if "body" in entry else None
        superseded = canonicalize(entry["superseded"]).decode() if "superseded" in entry else None
        said = (entry["by"], entry.get("reason"), entry.get("dataset"))
        srid = shape and shape["srid"]
        return (index + 1, kind, code, rev, entry["op"], at, *said, body, srid, wkb, erased, superseded)

    def _wkb(self, digest: str) -> bytes | None:
        if self._geometry is None:
            return None
        try:
            data = geometry_path(self._geometry, digest).read_bytes()
        except OSError:
            return None
        return data if sha256(data).hexdigest() == digest else None

    def _move(self, tree: CompactRange) -> None:
        """Set the tree and its heads; when a head was made is known only by the revisions it holds."""
        if not tree.size:
            return
        self._store.move(CompactRange(), tree)
        heads = [(0, CompactRange().root(), self._times[0])]
        heads += [(size, self._log.root(size), self._times[size - 1]) for size in self._log.sizes()]
        parameters = [{"size": size, "root": root, "at": at} for size, root, at in heads]
        self._connection.execute(query("replay/record_head"), parameters)
        self._connection.execute(query("replay/finish"))


_STAGED = [
    "int8",
    "text",
    "text",
    "int8",
    "text",
    "timestamptz",
    "text",
    "text",
    "text",
    "text",
    "int4",
    "bytea",
    "text[]",
    "text",
]
