"""Records that came before, and left their object as it still is: they would change nothing.

A layer's records are known by digests, on one basis: all that decides, besides the record, what becomes of it. What is
kept is a cache (see migrations/versions/0013_familiar.sql); whoever edits an object gives it another revision, and the
record that gave the one before is not familiar any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from cim.db.load import DIGEST, TRAITS, Load, Payload, copy_into, encode
from cim.db.script import query

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
# Of DIGESTS: the first 16 bytes of each record's SHA-256, as two numbers.
Digests = npt.NDArray[Any]

DIGESTS = np.dtype([("low", "<u8"), ("high", "<u8")])
_ROW = np.dtype([("digest", DIGESTS), ("traits", ">i4")])
# So many bases are kept of a lineage: departments may deliver one layer in several forms.
_BASES = 4

_FAMILIAR = sa.table(
    "familiar",
    *(sa.column(n, sa.BigInteger) for n in ("layer", "rev", "traits")),
    sa.column("record", sa.Uuid),
    sa.column("code", sa.Text),
    schema="cim",
)
_CLAIMED = sa.table("claimed", sa.column("code", sa.Text))
# Digests come as one value, strung together: for rows, each a message, the driver takes longer than the server.
_BARE = sa.func.uuid_send(_FAMILIAR.c.record)
_NOTHING = sa.literal(b"", sa.LargeBinary)


class UnlikeError(Exception):
    """What becomes of a familiar record depends on others that came with it: all have to be compared."""


class Familiar:
    """The familiar records of one layer, in the transaction of its connection.

    `meet` and `encode` may run in another thread than the rest: they do not touch the connection.
    """

    def __init__(self, connection: sa.Connection, target: sa.Table, lineage: str, basis: str) -> None:
        self._connection = connection
        self._target = target
        self._said = {"type": target.name, "lineage": lineage, "basis": basis}
        self._layer: int | None = connection.execute(query("familiar/find"), self._said).scalar_one_or_none()
        self._remembers = self._layer is not None
        self._known = np.zeros(0, DIGESTS)
        self._traits = np.zeros(0, np.int64)
        self._met = np.zeros(0, bool)
        self._claimed = False
        self._stale = True

    @property
    def remembers(self) -> bool:
        """Whether records of such a layer came before."""
        return self._remembers

    def recall(self) -> None:
        """Read which records are familiar; none is before. The type must be locked from here on."""
        if self._layer is not None:
            rows = self._read(self._layer)
            order = np.argsort(rows["digest"]["low"], kind="stable")
            self._known, self._traits = rows["digest"][order], rows["traits"][order].astype(np.int64)
            self._met = np.zeros(len(rows), bool)

    def meet(self, digests: Digests) -> tuple[Mask, Integers]:
        """Tell which records are familiar, and return the traits of those.

        Raises
        ------
        UnlikeError : one of them came before in this layer, so it is a repetition.
        """
        found, places = self._places(digests)
        if self._met[places].any() or len(np.unique(places)) < len(places):
            raise UnlikeError
        self._met[places] = True
        return found, self._traits[places]

    def tell_apart(self, waiting: Sequence[sa.Table]) -> None:
        """Make sure that no row that waits has the code of a record met.

        Raises
        ------
        UnlikeError : one has, so it or the record met is a repetition.
        """
        if not self._met.any():
            return
        for table in waiting:
            named = sa.select(sa.func.string_agg(_BARE, _NOTHING)).join_from(
                _FAMILIAR, table, table.c.code == _FAMILIAR.c.code
            )
            with self._by_hash():
                data = self._connection.execute(named.where(_FAMILIAR.c.layer == self._layer)).scalar_one() or b""
            _, places = self._places(np.frombuffer(data, DIGESTS))
            if self._met[places].any():
                raise UnlikeError

    def claim(self) -> None:
        """Put the codes of the records met into the temporary table `claimed`, till `settle`."""
        if self._claimed or not self._met.any():
            return
        met = _temporary("met", sa.Column("record", sa.Uuid))
        self._connection.execute(query("matching/stage_claimed"))
        met.create(self._connection)
        copy_into(self._connection, met, encode(pa.table({"record": as_binary(self._known[self._met])}), []))
        codes = sa.select(_FAMILIAR.c.code).where(_FAMILIAR.c.layer == self._layer, _FAMILIAR.c.record == met.c.record)
        with self._by_hash():
            self._connection.execute(sa.insert(_CLAIMED).from_select(["code"], codes))
        met.drop(self._connection)
        self._claimed = True

    @property
    def claimed(self) -> sa.TableClause | None:
        """The codes of the records met, from `claim` to `settle`; None where there are none."""
        return _CLAIMED if self._claimed else None

    def begin(self) -> None:
        """Prepare for records that go straight into the table of a type that is new and locked."""
        self._open()

    def encode(self, digests: Digests, codes: pa.ChunkedArray, traits: Integers) -> Payload:
        """Return records that gave new objects, ready to be copied; after `begin`."""
        count = len(digests)
        rows = {
            "layer": pa.array(np.full(count, self._layer, np.int32)),
            "record": as_binary(digests),
            "code": codes,
            "rev": pa.array(np.ones(count, np.int64)),
            "traits": pa.array(traits.astype(np.int32)),
        }
        return encode(pa.table(rows), [])

    def copy(self, payload: Payload) -> None:
        """Note such records."""
        copy_into(self._connection, _FAMILIAR, payload)

    def settle(self, load: Load) -> None:
        """Note what the rows gave that waited, once they are merged, and forget what is not so any more."""
        layer, staged, repeated = self._open(), load.waiting(everything=True), load.repeated
        target, own = self._target, _FAMILIAR.c.layer == self._layer
        if staged is not None and self._remembers:
            gone: sa.ColumnElement[bool] = sa.exists().where(staged.c.code == _FAMILIAR.c.code)  # said anew
            if self._stale:
                is_so = sa.exists().where(target.c.code == _FAMILIAR.c.code, target.c.rev == _FAMILIAR.c.rev)
                gone |= ~is_so
            with self._by_hash():
                self._connection.execute(sa.delete(_FAMILIAR).where(own, gone))
        if staged is not None:
            given = sa.select(layer, staged.c[DIGEST], target.c.code, target.c.rev, staged.c[TRAITS])
            given = given.join_from(staged, target, staged.c.code == target.c.code)
            given = given.where(staged.c[DIGEST].is_not(None))
            into = ["layer", "record", "code", "rev", "traits"]
            self._connection.execute(sa.insert(_FAMILIAR).from_select(into, given))
        if repeated is not None:  # both are to be compared again, in their order
            again = sa.exists().where(repeated.c.code == _FAMILIAR.c.code)
            with self._by_hash():
                self._connection.execute(sa.delete(_FAMILIAR).where(own, again))
        if self._claimed:
            self._connection.execute(sa.delete(_CLAIMED))

    def _open(self) -> sa.ColumnElement[int]:
        self._layer = self._connection.execute(query("familiar/open"), self._said).scalar_one()
        self._connection.execute(query("familiar/forget_oldest"), {**self._said, "most": _BASES})
        return sa.literal(self._layer, sa.Integer)

    def _read(self, layer: int) -> npt.NDArray[Any]:
        """Return the records whose object has still the revision they left it at, and note whether there are others."""
        target = self._target
        as_left = (target.c.code == _FAMILIAR.c.code) & (target.c.rev == _FAMILIAR.c.rev)
        bare = _BARE.concat(sa.func.int4send(_FAMILIAR.c.traits))
        so = target.c.code.is_not(None)
        records = sa.select(sa.func.string_agg(bare, _NOTHING).filter(so), sa.func.bool_or(~so))
        records = records.outerjoin_from(_FAMILIAR, target, as_left).where(_FAMILIAR.c.layer == layer)
        with self._by_hash():
            data, stale = self._connection.execute(records).one()
        self._stale = bool(stale)
        return np.frombuffer(data or b"", _ROW)

    def _places(self, digests: Digests) -> tuple[Mask, Integers]:
        """Tell which digests are those of familiar records, and where these stand among them."""
        if len(self._known) == 0:
            return np.zeros(len(digests), bool), np.zeros(0, np.int64)
        places = np.minimum(np.searchsorted(self._known["low"], digests["low"]), len(self._known) - 1)
        # Of two that share their first half, which somebody would have to contrive, only one is familiar.
        found: Mask = self._known[places] == digests
        return found, places[found]

    @contextmanager
    def _by_hash(self) -> Iterator[None]:
        """Keep the planner, which knows nothing yet of tables just filled, from looking row by row."""
        before = self._connection.execute(query("familiar/nested_loops"), {"may": "off"}).scalar_one()
        yield
        self._connection.execute(query("familiar/nested_loops"), {"may": before})


def as_binary(digests: Digests) -> pa.Array:
    """Return digests as an Arrow column, as COPY takes values of the type uuid."""
    offsets = np.arange(len(digests) + 1, dtype=np.int32) * DIGESTS.itemsize
    data = np.ascontiguousarray(digests)
    return pa.Array.from_buffers(pa.binary(), len(digests), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _temporary(name: str, *columns: sa.Column[Any]) -> sa.Table:
    return sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")
