"""Results as a table (CSV) and as a layer (GeoJSON)."""

from __future__ import annotations

import csv as csv_module
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import shapely
from shapely.geometry.base import BaseGeometry

from cim import crs
from cim.scenarios._report._material import Material

COLUMNS = ("process", "at", "title", "title_zh", "value", "unit", "low", "high", "n", "n_known", "num", "den")
DEGREES = 9  # decimals of a degree, about 0.1 mm


def csv(materials: Sequence[Material]) -> bytes:
    """Return every number as a row, UTF-8 with a byte order mark, without which Excel takes it for the local code page.

    Unknown and undefined values are empty. The last rows name the state, so that no copy of the table loses it.
    """
    out = io.StringIO(newline="")
    writer = csv_module.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for material in materials:
        process = material.seal["process"]["id"]
        for number in material.numbers():
            shown = number.indicator
            rest = (shown.get(name) for name in COLUMNS[4:])
            writer.writerow([process, number.at, number.title, number.title_zh, *rest])
        for name in ("tree_size", "root", "reference_date", "result_hash"):
            writer.writerow([process, f"assessment/{name}", "", "", material.seal[name]])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def geojson(materials: Sequence[Material]) -> bytes:
    """Return the land, and every listed object that has a place, as features in CRS84; the seals are foreign members.

    A feature's properties are the numbers of its entry: the value by its name, null where unknown.
    """
    features = [feature for material in materials for feature in _features(material)]
    document = {
        "type": "FeatureCollection",
        "features": features,
        "assessments": [material.seal for material in materials],
    }
    return orjson.dumps(document)


def _features(material: Material) -> Iterator[dict[str, Any]]:
    process = material.seal["process"]["id"]
    own = {number.at: number.indicator["value"] for number in material.numbers() if not _listed(material, number.path)}
    places = {**{one.code: one.geometry for one in material.drawn}, **material.parts}
    entries = list(_entries(material.result))
    found = [(material.name, "scope", own, material.land)]
    found += [(code, name, values, places[code]) for name, code, values in entries if code in places]
    shapes = _degrees([geometry for *_, geometry in found], material.srid)
    for (identity, name, values, _), shape in zip(found, shapes, strict=True):
        yield {
            "type": "Feature",
            "id": identity,
            "geometry": shape,
            "properties": {"process": process, "part": name, **values},
        }


def _listed(material: Material, path: tuple[str, ...]) -> bool:
    return isinstance(material.result.get(path[0]), list)


def _entries(result: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every entry with a code of a list of the result: the list's name, the code, its values."""
    for name, items in result.items():
        if isinstance(items, list):
            for item in items:
                if isinstance(item, Mapping) and isinstance(item.get("code"), str):
                    yield name, item["code"], {k: _value(v) for k, v in item.items() if k != "code"}


def _value(item: Any) -> Any:
    return item["value"] if isinstance(item, Mapping) and "value" in item else item


def _degrees(geometries: Sequence[BaseGeometry], srid: int) -> list[dict[str, Any]]:
    storage = crs.parse(srid)
    moved = crs.transform(np.array(geometries, dtype=object), storage, crs.geographic_of(storage))
    rounded = shapely.set_precision(moved, 10.0**-DEGREES, mode="pointwise")
    return [orjson.loads(text) for text in shapely.to_geojson(rounded)]
