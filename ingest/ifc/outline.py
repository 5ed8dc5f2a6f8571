"""What a model was understood to be, as a tree of sentences for the report: site, buildings, storeys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ingest.formats._base import Node


def tree(answer: Mapping[str, Any], codes: Sequence[str | None]) -> list[Node]:
    """Return one node a site, below it its buildings, below each its storeys.

    Parameters
    ----------
    answer : what `process.run` gives, its buildings placed
    codes : official code of each building, None without
    """
    sites: dict[str, list[Node]] = {}
    for index, (record, code) in enumerate(zip(answer["buildings"], codes, strict=True)):
        storeys = [r for r in answer["storeys"] if r["building"] == index]
        spaces = [r for r in answer["spaces"] if r["building"] == index]
        ordered = sorted(storeys, key=lambda r: -(r["columns"].get("elevation") or 0.0))
        parts = [Node(_place(record)), *(Node(_storey(storey, spaces)) for storey in ordered)]
        sites.setdefault(answer["site_names"][index] or "site without a name", []).append(
            Node(_building(record, code), parts)
        )
    return [Node(name, buildings) for name, buildings in sites.items()]


def _building(record: Mapping[str, Any], code: str | None) -> str:
    columns, attributes = record["columns"], record["attributes"]
    said = [
        f"footprint {columns['footprint_area']:,.1f} m²" if columns.get("footprint_area") else "no footprint",
        _measure("height", columns.get("height"), "m"),
        _measure("eaves", columns.get("eaves_height"), "m"),
        _measure("ridge", columns.get("ridge_height"), "m"),
        _measure("floor area", columns.get("gross_floor_area"), "m²"),
        _measure("below ground", columns.get("gross_floor_area_below"), "m²"),
        _words("by", attributes.get("gross_floor_area_source")),
        columns.get("usage"),
        columns.get("structure"),
        _words("built", columns.get("year_built")),
    ]
    name = columns.get("name") or columns["source_global_id"]
    return f"{name}{f' ({code})' if code else ''}: {_joined(said)}"


def _place(record: Mapping[str, Any]) -> str:
    columns = record["columns"]
    method = columns.get("georeference_method")
    if method is None:
        return "place: unknown"
    level, accuracy = columns.get("georeference_level"), columns.get("georeference_accuracy")
    said = [
        method,
        _words("LoGeoRef", level),
        None if accuracy is None else f"± {accuracy:,.0f} m" if accuracy >= 100 else f"± {accuracy:.3g} m",
        _measure("ground at", columns.get("ground_elevation"), "m"),
    ]
    return f"place: {_joined(said)}"


def _storey(record: Mapping[str, Any], spaces: Sequence[Mapping[str, Any]]) -> str:
    columns = record["columns"]
    rooms = [r["columns"].get("net_floor_area") or 0.0 for r in spaces if r["parent"] == record["source_id"]]
    number = columns.get("number")
    said = [
        "no floor" if number is None else f"number {number}",
        f"at {columns['elevation']:+.2f} m",
        columns.get("usage"),
        _measure("floor area", columns.get("gross_floor_area"), "m²"),
        f"{len(rooms)} space{'s' if len(rooms) > 1 else ''}, net {sum(rooms):,.1f} m²" if rooms else None,
    ]
    return f"{columns.get('name') or columns['source_global_id']}: {_joined(said)}"


def _measure(name: str, value: float | None, unit: str) -> str | None:
    return None if value is None else f"{name} {value:,.1f} {unit}"


def _words(name: str, value: object) -> str | None:
    return None if value is None else f"{name} {value}"


def _joined(parts: Sequence[str | None]) -> str:
    return ", ".join(part for part in parts if part)
