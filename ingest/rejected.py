"""A record that cannot be taken, kept as it came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyproj
import shapely

from ingest.formats._base import GEOMETRY, RESERVED


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be taken: where it was, why, and all of it as a GeoJSON feature with its CRS.

    `code` is that of the object it is about, None where it does not tell.
    """

    source_id: str | None
    reason: str
    record: dict[str, Any]
    code: str | None = None


def as_feature(record: dict[str, Any], system: str | None) -> dict[str, Any]:
    """Return the record as a GeoJSON feature, coordinates as they came; hexadecimal WKB where that cannot be."""
    wkb = record.get(GEOMETRY)
    geometry: dict[str, Any] | None = None
    feature: dict[str, Any] = {
        "type": "Feature",
        "properties": {name: _plain(value) for name, value in record.items() if name not in RESERVED},
    }
    if wkb is not None:
        try:
            shape = shapely.from_wkb(wkb)
            geometry = shapely.geometry.mapping(shape)
            if not np.isfinite(shapely.get_coordinates(shape)).all():
                geometry = None
        except (shapely.errors.GEOSException, NotImplementedError):
            geometry = None
        if geometry is None:
            feature["wkb"] = wkb.hex()
    return feature | {"geometry": geometry, "crs": system}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, date):  # datetime too
        return value.isoformat()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def crs_text(system: pyproj.CRS) -> str:
    """Return the authority and code of a system, those of a plan and heights joined by +; its WKT where it has none."""
    parts = [part.to_authority() for part in (system.sub_crs_list if system.is_compound else [system])]
    if any(part is None or part[0] != parts[0][0] for part in parts):
        return str(system.to_wkt())
    return f"{parts[0][0]}:{'+'.join(code for _, code in parts)}"
