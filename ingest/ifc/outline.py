"""What a model was understood to be, as a tree of sentences for the report: site, buildings, storeys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ingest.formats._base import Node
from ingest.ifc.placing import LINES

# How a place was found, as the dictionary has it → in words.
METHODS = {
    "operator": "the operator",
    "operator_map": "the operator, on a map",
    "control_points": "control points",
    "map_conversion": "map conversion",
    "rigid_operation": "rigid operation",
    "property_set_map_conversion": "map conversion in property sets",
    "local_coordinates": "coordinates of a map",
    "building_outline": "the outline of a building of the city",
    "site_lat_lon": "latitude and longitude of the site",
}
# Where a floor area comes from.
SOURCES = {
    "building_quantities": "as the building states",
    "storey_quantities": "as storeys state",
    "storey_outlines": "from outlines of storeys",
    "space_quantities": "as rooms state",
}


def tree(answer: Mapping[str, Any], codes: Sequence[str | None]) -> list[Node]:
    """Return one node a site, below it its buildings, below each its place and storeys; last what lies outdoors.

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
        name = answer["site_names"][index]
        sites.setdefault(f"site {name}" if name else "site without a name", []).append(
            Node(_building(record, code), parts)
        )
    nodes = [Node(name, buildings) for name, buildings in sites.items()]
    outdoors = [(kind, answer[kind]) for kind in LINES if answer[kind]]
    if outdoors:
        counts = [f"{len(records)} {kind if len(records) > 1 else kind[:-1]}" for kind, records in outdoors]
        nodes.append(Node(f"outside of buildings: {_joined(counts)}", [Node(_place(outdoors[0][1][0]))]))
    return nodes


def _building(record: Mapping[str, Any], code: str | None) -> str:
    columns = record["columns"]
    said = [
        _measure("footprint", columns.get("footprint_area"), "m²") or "no footprint",
        _measure("height", columns.get("height"), "m"),
        _measure("eaves", columns.get("eaves_height"), "m"),
        _measure("ridge", columns.get("ridge_height"), "m"),
        _floor_area(record),
        _value(columns.get("usage")),
        _value(columns.get("structure")),
        _words("built", columns.get("year_built")),
    ]
    return f"building {_name(columns)}{f' ({code})' if code else ''}: {_joined(said)}"


def _floor_area(record: Mapping[str, Any]) -> str | None:
    area = _measure("floor area", record["columns"].get("gross_floor_area"), "m²")
    below = record["columns"].get("gross_floor_area_below")
    if area is None:
        return None
    sources = record["attributes"]["gross_floor_area_source"].split(" and ")
    deeper = "" if below is None else f" and {below:,.1f} m² below ground"
    return f"{area}{deeper} {' and '.join(SOURCES[source] for source in sources)}"


def _place(record: Mapping[str, Any]) -> str:
    columns = record["columns"]
    method = columns.get("georeference_method")
    if method is None:
        return "place not known"
    level, accuracy = columns.get("georeference_level"), columns.get("georeference_accuracy")
    said = [
        f"placed by {METHODS[method]}",
        _words("LoGeoRef", level),
        None if accuracy is None else f"± {accuracy:,.0f} m" if accuracy >= 100 else f"± {accuracy:.3g} m",
        _measure("ground at", columns.get("ground_elevation"), "m"),
    ]
    return _joined(said)


def _storey(record: Mapping[str, Any], spaces: Sequence[Mapping[str, Any]]) -> str:
    columns = record["columns"]
    rooms = [r["columns"].get("net_floor_area") or 0.0 for r in spaces if r["parent"] == record["source_id"]]
    number = columns.get("number")
    said = [
        f"at {columns['elevation']:+.2f} m",
        _value(columns.get("usage")),
        _measure("floor area", columns.get("gross_floor_area"), "m²"),
        f"{len(rooms)} room{'s' if len(rooms) > 1 else ''} of {sum(rooms):,.1f} m² net" if rooms else None,
    ]
    what = "level, no storey" if number is None else f"storey {number}"
    return f"{what}, {_name(columns)}: {_joined(said)}"


def _name(columns: Mapping[str, Any]) -> str:
    return str(columns.get("name") or columns["source_global_id"])


def _value(name: str | None) -> str | None:
    """Return a value of a codelist in words."""
    return name and name.replace("_", " ")


def _measure(name: str, value: float | None, unit: str) -> str | None:
    return None if value is None else f"{name} {value:,.1f} {unit}"


def _words(name: str, value: object) -> str | None:
    return None if value is None else f"{name} {value}"


def _joined(parts: Sequence[str | None]) -> str:
    return ", ".join(part for part in parts if part)
