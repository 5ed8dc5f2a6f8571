"""Modes of a load: what happens to objects that are there already, and to those the source no longer has.

What a delivery lacks is ended in two cases, by one mechanism (`cim.db.ending`): in mode replace-layer, what earlier
deliveries of the file brought; and in any mode that updates, what earlier versions of a model had, as a model stands
for itself whole. Types with dates of life are ended, others leave their table; the log keeps both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from cim.db.ending import Delivered, lifetime
from cim.db.engine import Database
from cim.db.script import query
from cim.errors import InvalidData
from ingest.formats._base import stem
from ingest.report import LayerReport

# Insert and update; only insert; insert, update and end what the layer had before and no longer has.
Mode = Literal["upsert", "insert-only", "replace-layer"]
MODES: tuple[Mode, ...] = ("upsert", "insert-only", "replace-layer")
# What a building that vanished from its model had in it stays as it was: it tells of the building, whose end is said.
_WHOLE, _PART_OF = "building", "building_code"


class Replacement:
    """One delivery that stands in the place of earlier ones, by type.

    With `layers`, in the place of all that had its file's name without the ending. An object belongs to the delivery
    that brought it, whoever changed it since. Otherwise each model in it stands in the place of the earlier versions
    of that model, and an object belongs to the model whose file it names.
    """

    def __init__(
        self, connection: sa.Connection, database: Database, path: Path, dataset: str, *, layers: bool
    ) -> None:
        self._connection = connection
        self._database = database
        self._path = path
        self._dataset = dataset
        self._layers = layers
        self._delivered: dict[str, Delivered] = {}

    def of(self, type_name: str) -> Delivered:
        """Return where the codes of a type are noted that this delivery holds."""
        if type_name not in self._delivered:
            scheme = self._database.dictionary.type(type_name).code_scheme
            self._delivered[type_name] = Delivered(self._connection, self._database.table(type_name), scheme)
        return self._delivered[type_name]

    def close(self, reports: Sequence[LayerReport], carried: Mapping[str, set[str]]) -> list[LayerReport]:
        """End what is gone, once all layers are in; return their reports with that in the last one of each type.

        Parameters
        ----------
        carried : the columns that the layers of each type say themselves.

        Raises
        ------
        InvalidData : the delivery is no replacement: it is empty, or layers are missing that earlier ones had.
        """
        closed = list(reports)
        if self._layers:
            for type_name in list(self._delivered):
                present = {report.lineage for report in reports if report.type == type_name}
                _count(closed, type_name, *self._close_type(type_name, present, carried[type_name]))
        else:
            self._close_models(closed, carried)
        for delivered in self._delivered.values():
            delivered.drop()
        return closed

    def _close_models(self, reports: list[LayerReport], carried: Mapping[str, set[str]]) -> None:
        """End, in place of the reports, what earlier versions of the models had."""
        earlier = self._earlier_models(reports)
        if earlier is None:
            return
        models, datasets, types = earlier
        said: list[str] = []
        # Parts go before what they are part of.
        for type_name in [name for name in reversed(list(self._database.dictionary.types)) if name in types]:
            feature_type, delivered = self._database.dictionary.type(type_name), self.of(type_name)
            end = lifetime(feature_type)[1]
            revived = 0 if end in carried.get(type_name, ()) else delivered.revive(feature_type, datasets)
            ended = 0
            if not delivered.unknown:
                inside = _PART_OF in self._database.table(type_name).c
                part = delivered.part_of(models, self.of(_WHOLE) if inside else None, _PART_OF)
                ended = delivered.end_others(feature_type, part)
            if ended:
                said.append(f"{ended:,} {type_name}s {'removed' if end is None else 'ended'}")
            _count(reports, type_name, ended, revived, [*_rejects(delivered), *_again(revived)])
        if said:
            what = f"an earlier version of this file had more: {', '.join(said)}"
            reports[0] = replace(reports[0], warnings=[*reports[0].warnings, what])

    def _earlier_models(self, reports: Sequence[LayerReport]) -> tuple[list[str], list[str], set[str]] | None:
        """Return digests of the files of earlier versions, all datasets, and their types; None where there are none.

        A model must share something with its earlier versions: two that share nothing but their name are two.
        """
        given = {report.model: report.content for report in reports if report.model is not None}
        contents = [report.content for report in reports if report.content is not None]
        asked = {"stems": [stem(Path(name)) for name in given], "contents": contents}
        rows = self._connection.execute(query("ingest/list_models"), asked).all()
        versions = [row for row in rows if any(d.knows(row.datasets) for d in self._delivered.values())]
        if not versions:
            return None
        datasets = {"sha256:" + self._dataset}.union(*(row.datasets for row in versions))
        types = set(self._delivered).union(*(row.types for row in versions))
        return [row.content for row in versions], sorted(datasets), types

    def _close_type(self, type_name: str, present: set[str | None], carried: set[str]) -> tuple[int, int, list[str]]:
        feature_type, delivered = self._database.dictionary.type(type_name), self._delivered[type_name]
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
        if delivered.unknown:
            return 0, revived, [*_again(revived), *_rejects(delivered)]
        brought = delivered.brought_by([own, *("sha256:" + row.sha256 for row in earlier)])
        ended = delivered.end_others(feature_type, brought)
        said = _again(revived)
        if ended:
            how = "removed from the table; the log keeps them" if end is None else f"{end} is the day of this load"
            said.append(f"no longer in the source, so ended: {ended:,}; {how}")
        return ended, revived, said


def _again(revived: int) -> list[str]:
    return [f"delivered again, so no longer ended: {revived:,}"] if revived else []


def _rejects(delivered: Delivered) -> list[str]:
    if not delivered.unknown:
        return []
    rejects = f"{delivered.unknown:,} rejected records name no object and may be about those it seems to lack"
    return [f"nothing is ended: {rejects}; mend them, see `cim rejects`"]


def _count(reports: list[LayerReport], type_name: str, ended: int, revived: int, said: list[str]) -> None:
    """Put in the last report of a type what ended and revived, and what is to be said of it."""
    places = [place for place, report in enumerate(reports) if report.type == type_name]
    if places:
        last = reports[places[-1]]
        reports[places[-1]] = replace(last, ended=ended, revived=revived, warnings=[*last.warnings, *said])
