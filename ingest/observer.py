"""What is looked at of each file while its transaction is open: a dry run leaves nothing to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from cim.db.matching import Candidate, Undecided, candidates, undecided
from ingest.picture import Picture, gather
from ingest.plans import Plan, plans_of
from ingest.report import FileReport
from ingest.sources import Fingerprint


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of one file.

    Attributes
    ----------
    picture, plans : what it did on a map, and its storeys; None and empty where no page is wanted.
    undecided : its records that nobody could place, each with the name of the file; candidates : the objects that they
        may be. Both are empty where no review is wanted.
    """

    picture: Picture | None = None
    plans: list[Plan] = field(default_factory=list)
    undecided: list[tuple[str, Undecided]] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Observer:
    """Looks at what a page (`page`) and a review (`review`) need; goes to the process that takes the file.

    `ends` names, by type, the column whose date ends an object.
    """

    srid: int
    page: bool
    review: bool
    ends: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, connection: sa.Connection, mark: Fingerprint, file: FileReport) -> Observed:
        """Return what the transaction of the connection shows of a file that is not refused."""
        picture, plans = None, []
        if self.page:
            types = [layer.type for layer in file.layers if layer.type is not None]
            picture = gather(connection, mark.sha256, types, self.srid, self.ends)
            plans = plans_of(connection, mark.content)
        records = undecided(connection, mark.sha256) if self.review else []
        named = [(Path(file.path).name, record) for record in records]
        return Observed(picture, plans, named, candidates(connection, records) if records else [])
