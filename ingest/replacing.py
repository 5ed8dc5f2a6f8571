"""Modes of a load: what happens to objects that are there already, and to those the source no longer has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from cim.db.ending import Delivered, lifetime
from cim.db.engine import Database
from cim.db.script import query
from cim.errors import InvalidData
from ingest.report import LayerReport

# Insert and update; only insert; insert, update and end what the layer had before and no longer has.
Mode = Literal["upsert", "insert-only", "replace-layer"]
MODES: tuple[Mode, ...] = ("upsert", "insert-only", "replace-layer")


class Replacement:
    """One delivery that stands in the place of the earlier ones of its file, by type.

    Deliveries belong together by the name of the file without its ending. An object belongs to the delivery that
    brought it, whoever changed it since.
    """

    def __init__(self, connection: sa.Connection, database: Database, path: Path, dataset: str) -> None:
        self._connection = connection
        self._database = database
        self._path = path
        self._dataset = dataset
        self._delivered: dict[str, Delivered] = {}

    def of(self, type_name: str) -> Delivered:
        """Return where the codes of a type are noted that this delivery holds."""
        if type_name not in self._delivered:
            scheme = self._database.dictionary.type(type_name).code_scheme
            self._delivered[type_name] = Delivered(self._connection, self._database.table(type_name), scheme)
        return self._delivered[type_name]

    def close(self, reports: Sequence[LayerReport], carried: dict[str, set[str]]) -> list[LayerReport]:
        """End what is gone, once all layers are in; return their reports with that in the last one of each type.

        Parameters
        ----------
        carried : the columns that the layers of each type say themselves.

        Raises
        ------
        InvalidData : the delivery is no replacement: it is empty, or layers are missing that earlier ones had.
        """
        last = {report.type: place for place, report in enumerate(reports)}
        closed = list(reports)
        for type_name, delivered in self._delivered.items():
            present = {report.lineage for report in reports if report.type == type_name}
            ended, revived, said = self._close_type(type_name, delivered, present, carried[type_name])
            place = last[type_name]
            report = closed[place]
            closed[place] = replace(report, ended=ended, revived=revived, warnings=[*report.warnings, *said])
            delivered.drop()
        return closed

    def _close_type(
        self, type_name: str, delivered: Delivered, present: set[str | None], carried: set[str]
    ) -> tuple[int, int, list[str]]:
        feature_type = self._database.dictionary.type(type_name)
        parameters = {"type": type_name, "stem": self._path.stem}
        found = self._connection.execute(query("ingest/list_deliveries"), parameters).all()
        earlier = [row for row in found if row.sha256 != self._dataset]
        missing = {name for row in earlier for name in row.lineages} - present - {None}
        if missing:
            raise InvalidData(
                f"{self._path}: cannot replace what it was: earlier deliveries had {', '.join(sorted(missing))}, too,"
                f" of type {type_name}; deliver all layers in one file, or use --mode upsert"
            )
        if not earlier:
            unknown = f"no earlier delivery of {self._path.stem} with {type_name} objects is known: nothing can be gone"
            return 0, 0, [f"{unknown}; deliveries belong together by the name of the file"]
        if delivered.read == 0:
            raise InvalidData(
                f"{self._path}: holds no {type_name}, and replacing would end all that {earlier[-1].name} had; "
                "use --mode upsert if that is meant to stay"
            )
        own = "sha256:" + self._dataset
        replacing = [own, *("sha256:" + row.sha256 for row in earlier if row.mode == "replace-layer")]
        end = lifetime(feature_type)[1]
        revived = 0 if end in carried else delivered.revive(feature_type, replacing)
        said = [f"delivered again, so no longer ended: {revived:,}"] if revived else []
        if delivered.unknown:
            rejects = f"{delivered.unknown:,} rejected records name no object and may be about those it seems to lack"
            return 0, revived, [*said, f"nothing is ended: {rejects}; mend them, see `cim rejects`"]
        ended = delivered.end_others(feature_type, [own, *("sha256:" + row.sha256 for row in earlier)])
        if ended:
            how = "removed from the table; the log keeps them" if end is None else f"{end} is the day of this load"
            said.append(f"no longer in the source, so ended: {ended:,}; {how}")
        return ended, revived, said
