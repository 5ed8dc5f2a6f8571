"""What the live tables are at: the state of the log, and whether they are ahead of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

_TREE = sa.table("tree_state", sa.column("size"), sa.column("root"), sa.column("xid_floor"), schema="cim")
_REVISION = sa.table("revision", sa.column("id"), sa.column("xid"), schema="cim")
_LEAF = sa.table("leaf", sa.column("revision_id"), schema="cim")


@dataclass(frozen=True, slots=True)
class Live:
    """What the live tables were read at: the tree's size and root (32 bytes), and whether they are ahead of it."""

    size: int
    root: bytes
    ahead: bool


def live_columns() -> list[sa.ColumnElement[Any]]:
    """Give the state of a statement's own snapshot: asked separately, a batch could come between the two."""
    floor = sa.select(_TREE.c.xid_floor).scalar_subquery()
    # Asked of each such revision: as a join the planner reads all leaves, since it cannot know that these are few.
    leafless = sa.select(sa.literal(False)).where(_LEAF.c.revision_id == _REVISION.c.id).scalar_subquery()
    waiting = sa.select(sa.literal(1)).select_from(_REVISION).where(_REVISION.c.xid >= floor)
    waiting = waiting.where(sa.func.coalesce(leafless, sa.true()))
    return [
        sa.select(_TREE.c.size).scalar_subquery().label("tree_size"),
        sa.select(_TREE.c.root).scalar_subquery().label("tree_root"),
        waiting.exists().label("ahead"),
    ]


def with_live(statement: sa.Select[Any]) -> sa.Select[Any]:
    """Add to each row what the live tables are at."""
    return statement.add_columns(*live_columns())


def live_of(row: Any) -> Live:
    """Return it out of such a row."""
    return Live(row["tree_size"], row["tree_root"], row["ahead"])
