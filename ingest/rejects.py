"""The records that could not be taken, as the database keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cim.db.engine import Database
from cim.db.script import query


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """One record: the file and layer it came from, what names it there, why it was rejected, and all of it.

    `record` is a GeoJSON feature in the source's coordinates; its `crs` says which.
    """

    file: str
    dataset: str
    layer: str
    source_id: str | None
    reason: str
    record: dict[str, Any]
    at: datetime


def rejects_of(database: Database, dataset: str | None = None, layer: str | None = None) -> list[RejectedRecord]:
    """Return rejected records in the order they came, of one file (by name or digest) and one layer if asked for."""
    with database.engine.connect() as connection:
        rows = connection.execute(query("ingest/list_rejects"), {"dataset": dataset, "layer": layer})
        return [RejectedRecord(r.name, r.dataset, r.layer, r.source_id, r.reason, r.record, r.at) for r in rows]
