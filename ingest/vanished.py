"""What an earlier version of a model had and the one taken in now has not: it is ended, and said.

Rooms, storeys, and the roads, pipes and components outside of buildings are parts of a version of a model, so they are
removed; buildings and units are ended (`valid_to`), as whether they are still there is for someone else to say. The log
keeps them all.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from cim.db.script import query

_STEPS = (
    ("ingest/remove_spaces", "spaces removed"),
    ("ingest/remove_storeys", "storeys removed"),
    ("ingest/end_units", "units ended"),
    ("ingest/end_buildings", "buildings ended"),
)
# Types outside of buildings. Many more of them come from layers than from models, so they are not looked through for
# every building.
_LINES = frozenset({"road", "pipe", "component"})


def end_vanished(
    connection: sa.Connection, name: str, sha256: str, content: str, types: Collection[str | None]
) -> str | None:
    """End what earlier files of this name had and the present one has not; return what, None where nothing.

    Parameters
    ----------
    connection : its transaction holds the objects of the present file already
    name : of the file
    sha256, content : digest of the file with what belongs to it, and of the file alone
    types : feature types of its layers
    """
    given = {"name": name, "sha256": sha256, "content": content}
    counts = [(connection.execute(query(step), given).rowcount, said) for step, said in _STEPS]
    if not _LINES.isdisjoint(types):
        lines = connection.execute(query("ingest/remove_lines"), given).one()
        counts += [(number, f"{kind} removed") for kind, number in lines._mapping.items()]
    said = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f"an earlier version of this file had more: {said}" if said else None
