"""Objects that name a parent which is not there: a load may leave them so, for a load still to come."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from cim.db.script import query


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object of `type` whose `property` names `parent`, which was never there."""

    type: str
    code: str
    property: str
    parent: str


def orphans(connection: sa.Connection) -> list[Orphan]:
    """Return every object that waits for what it lies in, by type and code."""
    return [Orphan(*row) for row in connection.execute(query("hierarchy/orphans"))]


def count_orphans(connection: sa.Connection, type_name: str) -> list[tuple[str, str, int]]:
    """Return how many objects of a type name a parent that is still to come: property, type of the parent, number."""
    return [
        (o.property, o.parent, o.number)
        for o in connection.execute(query("hierarchy/count_orphans"), {"type": type_name})
    ]
