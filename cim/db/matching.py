"""Which objects waiting rows are: the statements that find, compare and settle them, all rows of a layer at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cim.codes import provisional
from cim.db.identifiers import current_codes
from cim.db.script import query
from cim.dictionary import FeatureType

# Pairs that are held as Python objects at a time.
_FETCHED = 20_000
_UNMATCHED = sa.table("unmatched", *map(sa.column, ("record", "name", "minted", "how", "code")))


@dataclass(frozen=True, slots=True)
class Settled:
    """What was decided about one row: by its number in the layer, how, the object's code, the score, the objects."""

    record: int
    how: str
    code: str | None = None
    score: float | None = None
    objects: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A row that is not taken: its number, the code it would have had, why, and the objects it may be."""

    record: int
    name: str
    how: str
    objects: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Stranger:
    """A row that names no object: its number, its code, and whether that was made here."""

    record: int
    name: str
    minted: bool


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Rows and objects that cover each other, a row of each array a pair; `object` are places in `codes`."""

    record: npt.NDArray[np.int64]
    object: npt.NDArray[np.int64]
    codes: Sequence[str]
    shares: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Undecided:
    """A record that was not placed, as the database keeps it; geometry as WKB in the storage CRS."""

    layer: str
    record: int
    source_id: str | None
    type: str
    name: str
    objects: Mapping[str, float]
    geom: bytes | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An object that an undecided record may be; geometry as WKB in the storage CRS."""

    type: str
    code: str
    name: str | None
    geom: bytes | None


class Matching:
    """The rows of one layer that wait in `staged` for the table of their type, in the caller's transaction."""

    def __init__(
        self, connection: sa.Connection, staged: sa.Table, target: sa.Table, feature_type: FeatureType
    ) -> None:
        self._connection = connection
        self._tables = {"staged": f'pg_temp."{staged.name}"', "target": f'"{target.schema}"."{target.name}"'}
        self._staged = staged
        self._type = feature_type

    def gather(self) -> int:
        """Find the rows whose code no object has, and return how many."""
        self._connection.execute(query("matching/stage"))
        self._connection.execute(query("matching/stage_claimed"))
        return int(self._connection.execute(query("matching/gather"), self._tables).scalar_one())

    def recall(self) -> None:
        """Settle rows whose code the crosswalk knows, or that was superseded: by the one object it stands for today.

        Where several took over, nobody but a person can say which of them it is.
        """
        rows = self._connection.execute(query("matching/recalled"), {"type": self._type.name}).all()
        named = {(self._scheme(row.name), row.name): row for row in rows}
        found = current_codes(self._connection, named, type_name=self._type.name)
        settled: list[Settled] = []
        for pair, objects in found.items():
            live = [current.code for current in objects if current.live]
            record = named[pair].record
            if len(live) == 1:
                settled.append(Settled(record, "recalled", live[0]))
            elif live:
                settled.append(Settled(record, "undecided", None, None, dict.fromkeys(live, 0.0)))
        self.settle(settled)

    def settle(self, rows: Sequence[Settled]) -> None:
        """Note what was decided."""
        if not rows:
            return
        parameters = {
            "records": [row.record for row in rows],
            "hows": [row.how for row in rows],
            "codes": [row.code for row in rows],
            "scores": [row.score for row in rows],
            "objects": [None if row.objects is None else orjson.dumps(row.objects).decode() for row in rows],
        }
        self._connection.execute(query("matching/settle"), parameters)

    def settle_named(self, decisions: Mapping[str, tuple[str, str | None]]) -> list[str]:
        """Note what a person decided: name of the record to how (`person`, `left out`) and the object's code.

        Returns the names of those that decide nothing, as there is no such object.
        """
        if not decisions:
            return []
        hows, chosen = zip(*decisions.values(), strict=True)
        said = {"names": list(decisions), "hows": list(hows), "codes": list(chosen), "type": self._type.name}
        self._connection.execute(query("matching/settle_named"), said)
        unsettled = sa.select(_UNMATCHED.c.name).where(
            _UNMATCHED.c.how.is_(None), _UNMATCHED.c.name == sa.any_(sa.cast(list(decisions), ARRAY(sa.Text)))
        )
        return list(self._connection.execute(unsettled).scalars())

    def take_out_rest(self) -> list[Stranger]:
        """Take out the rows that no object was found for, also those a person calls new, and return them."""
        rest = sa.or_(_UNMATCHED.c.how.is_(None), _UNMATCHED.c.code == _UNMATCHED.c.name)
        told = sa.delete(_UNMATCHED).where(rest).returning(*_UNMATCHED.c["record", "name", "minted"])
        found = [Stranger(*row) for row in self._connection.execute(told)]
        records = sa.cast([row.record for row in found], ARRAY(sa.BigInteger))
        self._connection.execute(sa.delete(self._staged).where(self._staged.c.record_ == sa.any_(records)))
        return sorted(found, key=lambda row: row.record)

    def settle_rest(self) -> None:
        """Note that the rest is new."""
        self._connection.execute(query("matching/settle_rest"))

    def overlaps(self, touch: float, same: float) -> Overlaps:
        """Measure how undecided rows and objects cover each other: of row, of object, overlap, aligned (or NaN)."""
        records: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
        objects: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
        shares: list[npt.NDArray[np.float64]] = [np.zeros((0, 4))]
        places: dict[str, int] = {}
        parameters = {**self._tables, "touch": touch, "same": same}
        result = self._connection.execute(
            query("matching/overlaps"), parameters, execution_options={"yield_per": _FETCHED}
        )
        for rows in result.partitions():
            records.append(np.array([row[0] for row in rows], np.int64))
            objects.append(np.array([places.setdefault(row[1], len(places)) for row in rows], np.int64))
            measured = [row[2:] for row in rows]
            shares.append(np.array(measured, dtype=np.float64))
        return Overlaps(np.concatenate(records), np.concatenate(objects), list(places), np.concatenate(shares))

    def apply(self) -> None:
        """Give the waiting rows the codes decided upon."""
        self._connection.execute(query("matching/apply"), {"staged": self._tables["staged"]})

    def not_taken(self) -> list[NotTaken]:
        """Return the rows that will not be taken, in their order."""
        rows = self._connection.execute(query("matching/not_taken"))
        return [NotTaken(r.record, r.name, r.how, r.objects or {}) for r in rows]

    def renamed(self) -> Iterator[tuple[str, str | None]]:
        """Yield the minted codes that stand for other objects, with their codes; None where a row is not taken."""
        for row in self._connection.execute(query("matching/renamed")):
            yield row.name, row.code

    def record(self, dataset: str, layer: str) -> dict[str, int]:
        """Store the decisions, take out what is not taken, and return how many were decided which way."""
        said = {"staged": self._tables["staged"], "type": self._type.name, "dataset": dataset, "layer": layer}
        self._connection.execute(query("matching/record"), said)
        rows = self._connection.execute(query("matching/count"), {"dataset": dataset, "layer": layer})
        return {row.how: row.number for row in rows}

    def _scheme(self, code: str) -> str:
        return provisional.SCHEME.name if code.startswith(provisional.PREFIX) else self._type.code_scheme


def name_sources(connection: sa.Connection, dataset: str, layer: str, names: Mapping[int, str | None]) -> None:
    """Say what names, in their source, the records that were not taken; by number, from 1."""
    parameters = {"records": list(names), "source_ids": list(names.values()), "dataset": dataset, "layer": layer}
    connection.execute(query("matching/name_source"), parameters)


def left_out(connection: sa.Connection, types: Sequence[str]) -> list[str]:
    """Return the names of the records of these types that a person left out, and nobody has decided otherwise since."""
    return list(connection.execute(query("matching/left_out"), {"types": list(types)}).scalars())


def clear(connection: sa.Connection, dataset: str) -> None:
    """Forget the decisions on a data set that comes again."""
    connection.execute(query("matching/clear"), {"dataset": dataset})


def undecided(connection: sa.Connection, dataset: str) -> list[Undecided]:
    """Return the records of a data set that nobody could place, in their order."""
    rows: Any = connection.execute(query("matching/undecided"), {"dataset": dataset})
    return [
        Undecided(r.layer, r.record, r.source_id, r.type, r.name, r.objects or {}, r.geom and bytes(r.geom))
        for r in rows
    ]


def candidates(connection: sa.Connection, records: Sequence[Undecided]) -> list[Candidate]:
    """Return the objects that undecided records may be, each once."""
    wanted = sorted({(record.type, code) for record in records for code in record.objects})
    parameters = {"types": [of for of, _ in wanted], "codes": [code for _, code in wanted]}
    rows: Any = connection.execute(query("matching/objects"), parameters)
    return [Candidate(r.type, r.code, r.name, r.geom and bytes(r.geom)) for r in rows]
