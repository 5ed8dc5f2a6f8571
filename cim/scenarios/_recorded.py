"""Recorded proposals: objects of the types `proposal` and `intervention`, logged like any other, read as documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import shapely
import sqlalchemy as sa
from shapely.geometry import mapping

from cim.db.engine import Database
from cim.db.script import query
from cim.db.state import resolve
from cim.errors import Conflict, NotFound
from cim.scenarios._proposal import ACTIONS, COMMON


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded proposal: its record, the document that scenarios take, and the tree size it is pinned to."""

    record: Mapping[str, Any]
    document: Mapping[str, Any]
    base: int


def read_proposal(connection: sa.Connection, database: Database, code: str) -> Recorded:
    """Return a proposal as it is recorded now.

    Raises
    ------
    NotFound : no such proposal, or the state it is pinned to is not in this log. Conflict : that state is another.
    """
    record = connection.execute(query("scenarios/proposal"), {"size": None, "code": code}).scalar()
    if record is None:
        raise NotFound(f"no proposal {code!r}; `cim proposal list` names them")
    head = resolve(connection, record["base_tree_size"], database.settings.log_dir)
    if head.root.hex() != record["base_root"]:
        raise Conflict(
            f"proposal {code} lies on root {record['base_root']} at tree size {head.size}, where this log has "
            f"{head.root.hex()}: it was drawn up on another log"
        )
    rows = connection.execute(query("scenarios/interventions"), {"size": None, "code": code}).scalars()
    document = {"code": code, "crs": database.settings.srid, "interventions": [_intervention(row) for row in rows]}
    return Recorded(record, document, head.size)


def _intervention(row: Mapping[str, Any]) -> dict[str, Any]:
    named = {**ACTIONS[row["action"]].params, **COMMON}
    params = {name: row[name] for name in named if row.get(name) is not None}
    if row["geom"] is not None:
        params["geometry"] = _geojson(shapely.from_wkb(row["geom"]))
    return {**{name: row[name] for name in ("target", "action", "phase")}, "id": row["name"], "params": params}


def _geojson(geometry: Any) -> dict[str, Any]:
    document = mapping(geometry)
    return {"type": document["type"], "coordinates": _lists(document["coordinates"])}


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, (tuple, list)) else value
