"""OpenStreetMap extracts (PBF): roads, public services and buildings, each with its tags."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from cim import crs
from cim.errors import InvalidData
from ingest.formats._base import GEOMETRY, SOURCE_ID, Format, Layer, ReadOptions, head

_BATCH = 4096
_HEADER = b"\n\tOSMHeader"  # after the length of the first block, four bytes
_TEXT, _WHOLE, _NUMBER, _JSON = pa.string(), pa.int64(), pa.float64(), pa.json_()
_COMMON = {"osm_id": _TEXT, "name": _TEXT, "tags": _JSON}
ROADS = {
    "highway": _TEXT,
    "surface": _TEXT,
    "lanes": _WHOLE,
    "width": _NUMBER,
    "speed_limit": _NUMBER,
    **_COMMON,
}
FACILITIES = {"feature": _TEXT, "feature_key": _TEXT, "capacity": _WHOLE, "address": _TEXT, **_COMMON}
BUILDINGS = {
    "building": _TEXT,
    "storeys_above": _WHOLE,
    "storeys_below": _WHOLE,
    "height": _NUMBER,
    "year_built": _WHOLE,
    "address": _TEXT,
    **_COMMON,
}
# Keys that say what a public service is, the more telling first.
FACILITY_KEYS = (
    "healthcare", "amenity", "shop", "leisure", "tourism", "office", "emergency", "social_facility", "railway",
    "highway", "public_transport",
)  # fmt: skip
# Of some keys only a few values are services; what stands in the street (benches, bins, hydrants) is furniture.
_ONLY: Mapping[str, frozenset[str]] = {
    "highway": frozenset({"bus_stop"}),
    "railway": frozenset({"station", "halt", "tram_stop", "subway_entrance"}),
    "public_transport": frozenset({"station"}),
    "emergency": frozenset({"assembly_point", "ambulance_station"}),
    "office": frozenset({"government", "diplomatic"}),
    "tourism": frozenset({"museum", "gallery", "hotel", "hostel", "guest_house", "information"}),
}
_FURNITURE = frozenset(
    {
        "bench", "waste_basket", "bicycle_parking", "motorcycle_parking", "parking_space", "parking_entrance",
        "vending_machine", "clock", "fountain", "artwork", "grit_bin", "life_ring", "post_box", "telephone",
        "drinking_water", "hunting_stand", "loading_dock", "letter_box", "picnic_table", "swimming_pool", "slipway",
    }
)  # fmt: skip
# What happens to objects on the way that are no records, or no whole ones, and is counted.
_CUT = "of which the file does not hold all points, as at the edge of an extract: rejected"
_NO_ROADS = "with the key highway, left out: areas, platforms and lifts are no roads"
_POINTS = "buildings of which only a point is known, left out"
_NO_BUILDINGS = "with building=no or building=entrance, left out"
_COLLECTIONS = "relations left out that collect objects which stand for themselves"
_NO_SERVICES = "with the keys of public services, left out: street furniture, and values of a key that are no service"
_DAMAGED = b"\x01\x03\0\0\0"
_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(m|metres?|meters?|ft|feet|')?\s*")
_SPEED = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(km/h|kmh|mph)?\s*")
_FOOT, _MILE = 0.3048, 1.609344  # metres, kilometres; exact by definition
_WHOLE_NUMBER = re.compile(r"\s*(\d{1,6})(?:\.0+)?\s*")
_YEAR = re.compile(r"\s*(\d{4})(?:-.*)?\s*")

Tags = Mapping[str, str]
Tally = Counter[str]
Record = dict[str, Any]


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the layers `roads`, `facilities` and `buildings` of an extract; coordinates are WGS 84.

    Objects are named by kind and number (`way/123`). Points stand for services that have an area. An object of which
    the file does not hold all points gets a geometry that is rejected, and is counted in the warnings. So are objects
    that have the keys of a layer and are left out of it; objects without any of them are not looked at.

    Raises
    ------
    InvalidData : no PBF of OpenStreetMap, damaged, or not in order of kind and number.
    """
    if head(path, 15)[4:] != _HEADER:
        raise InvalidData(f"{path}: is not an OpenStreetMap extract in PBF: it does not begin with an OSMHeader block")
    layers = (("roads", ROADS, _roads), ("facilities", FACILITIES, _facilities), ("buildings", BUILDINGS, _buildings))
    for name, columns, records in layers:
        if options.layer in (None, name):
            yield _layer(path, name, columns, records)


def _layer(
    path: Path, name: str, columns: Mapping[str, pa.DataType], records: Callable[[Path, Tally], Iterator[Record]]
) -> Layer:
    schema = pa.schema([*columns.items(), (SOURCE_ID, _TEXT), (GEOMETRY, pa.binary())])
    warnings: list[str] = []

    def batches() -> Iterator[pa.RecordBatch]:
        tally: Tally = Counter()
        found = _guarded(path, records(path, tally))
        while chunk := list(islice(found, _BATCH)):
            yield _batch(chunk, schema)
        warnings[:] = [f"{number:,} {what}" for what, number in sorted(tally.items()) if number]

    return Layer(name, None, schema, batches, crs.parse(4326), warnings)


def _guarded(path: Path, records: Iterator[Record]) -> Iterator[Record]:
    try:
        yield from records
    except RuntimeError as error:  # osmium has no class of its own for damage
        way_out = "sort it, as with `osmium sort`" if "out of order" in str(error) else "fetch it again"
        raise InvalidData(f"{path}: cannot be read as an OpenStreetMap extract: {error}; {way_out}") from error


def _batch(records: Sequence[Record], schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for field in schema:
        values = [record.get(field.name) for record in records]
        arrays.append(pa.array(values, _TEXT).cast(_JSON) if field.type == _JSON else pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _record(kind: str, number: int, tags: Tags, geometry: bytes | None) -> Record:
    name = f"{kind}/{number}"
    return {
        SOURCE_ID: name,
        "osm_id": name,
        "name": tags.get("name"),
        "tags": orjson.dumps(dict(sorted(tags.items()))).decode(),
        GEOMETRY: geometry,
    }


def _roads(path: Path, tally: Tally) -> Iterator[Record]:
    import osmium

    factory = osmium.geom.WKBFactory()
    ways: Any = osmium.FileProcessor(str(path), osmium.osm.NODE | osmium.osm.WAY).with_locations()
    for way in ways.with_filter(osmium.filter.EntityFilter(osmium.osm.WAY)).with_filter(
        osmium.filter.KeyFilter("highway")
    ):
        tags = dict(way.tags)
        if tags.get("area") == "yes" or tags["highway"] in ("platform", "elevator"):
            tally[_NO_ROADS] += 1
            continue
        yield _record("way", way.id, tags, _line(factory, way, tally)) | {
            "highway": tags["highway"],
            "surface": tags.get("surface"),
            "lanes": _whole(tags.get("lanes")),
            "width": _metres(tags.get("width")),
            "speed_limit": _speed(tags.get("maxspeed")),
        }


def _buildings(path: Path, tally: Tally) -> Iterator[Record]:
    for kind, number, tags, geometry in _areas(path, ("building",), tally):
        if kind == "node" or tags["building"] in ("no", "entrance"):
            tally[_POINTS if kind == "node" and tags["building"] != "entrance" else _NO_BUILDINGS] += 1
            continue
        yield _record(kind, number, tags, geometry) | {
            "building": tags["building"],
            "storeys_above": _whole(tags.get("building:levels")),
            "storeys_below": _whole(tags.get("building:levels:underground")),
            "height": _metres(tags.get("height") or tags.get("building:height")),
            "year_built": _year(tags.get("start_date")),
            "address": _address(tags),
        }


def _facilities(path: Path, tally: Tally) -> Iterator[Record]:
    import shapely

    for kind, number, tags, geometry in _areas(path, FACILITY_KEYS, tally, _facility_key):
        key = _facility_key(tags)
        if key is None:
            continue
        point = geometry
        if kind != "node" and geometry is not None and geometry != _DAMAGED:
            point = shapely.to_wkb(shapely.point_on_surface(shapely.from_wkb(geometry)), flavor="iso", byte_order=1)
        yield _record(kind, number, tags, point) | {
            "feature": f"{key}={tags[key]}",
            "feature_key": key,
            "capacity": _whole(tags.get("capacity")),
            "address": _address(tags),
        }


def _facility_key(tags: Tags) -> str | None:
    """Return the key that says what service an object is, None where it is none."""
    for key in FACILITY_KEYS:
        value = tags.get(key)
        if value is not None and value not in _FURNITURE and value != "no" and value in _ONLY.get(key, (value,)):
            return key
    return None


def _areas(
    path: Path, keys: tuple[str, ...], tally: Tally, wanted: Callable[[Tags], str | None] = lambda _tags: ""
) -> Iterator[tuple[str, int, Tags, bytes | None]]:
    """Yield points, areas, and what should be one but is not complete: kind, number, tags, WKB."""
    import osmium

    factory = osmium.geom.WKBFactory()
    key_filter = osmium.filter.KeyFilter(*keys)
    built: set[tuple[str, int]] = set()
    objects: Any = osmium.FileProcessor(str(path)).with_areas(key_filter).with_filter(key_filter)
    for one in objects:
        if one.is_node():
            if wanted(tags := dict(one.tags)) is not None:
                yield "node", one.id, tags, bytes.fromhex(factory.create_point(one))
            else:
                tally[_NO_SERVICES] += 1
        elif one.is_area():
            kind = "way" if one.from_way() else "relation"
            built.add((kind, one.orig_id()))
            if wanted(tags := dict(one.tags)) is not None:
                yield kind, one.orig_id(), tags, bytes.fromhex(factory.create_multipolygon(one))
            elif "highway" not in tags:  # those are roads, or counted there
                tally[_NO_SERVICES] += 1
    ways: Any = osmium.FileProcessor(str(path)).with_locations().with_filter(key_filter)
    for one in ways:
        kind = "way" if one.is_way() else "relation"
        if one.is_node() or (kind, one.id) in built:
            continue
        if wanted(tags := dict(one.tags)) is None:
            tally[_NO_SERVICES] += "highway" not in tags
            continue
        if kind == "relation":
            if tags.get("type") == "multipolygon":
                tally[_CUT] += 1
                yield kind, one.id, tags, _DAMAGED
            else:
                tally[_COLLECTIONS] += 1
        elif one.is_closed() or "building" in tags:
            tally[_CUT] += 1
            yield kind, one.id, tags, _DAMAGED
        else:
            yield kind, one.id, tags, _line(factory, one, tally)


def _line(factory: Any, way: Any, tally: Tally) -> bytes:
    """Return a way as WKB, `_DAMAGED` where the file does not hold all of its points."""
    if all(node.location.valid() for node in way.nodes):
        try:
            return bytes.fromhex(factory.create_linestring(way))
        except RuntimeError:  # a single point, or one twice
            return _DAMAGED
    tally[_CUT] += 1
    return _DAMAGED


def _whole(text: str | None) -> int | None:
    match = _WHOLE_NUMBER.fullmatch(text or "")
    return int(match[1]) if match else None


def _year(text: str | None) -> int | None:
    match = _YEAR.fullmatch(text or "")
    return int(match[1]) if match else None


def _metres(text: str | None) -> float | None:
    match = _LENGTH.fullmatch(text or "")
    if not match:
        return None
    return float(match[1]) * (_FOOT if match[2] in ("ft", "feet", "'") else 1.0)


def _speed(text: str | None) -> float | None:
    """Return kilometres an hour; None for a rule without a number (`FI:urban`)."""
    match = _SPEED.fullmatch(text or "")
    return None if not match else round(float(match[1]) * (_MILE if match[2] == "mph" else 1.0), 3)


def _address(tags: Tags) -> str | None:
    street = " ".join(tags[key] for key in ("addr:street", "addr:housenumber") if key in tags)
    town = " ".join(tags[key] for key in ("addr:postcode", "addr:city") if key in tags)
    return ", ".join(part for part in (street, town) if part) or None


FORMAT = Format(
    name="osm",
    title="OpenStreetMap PBF",
    suffixes=(".osm.pbf", ".pbf"),
    spec="https://wiki.openstreetmap.org/wiki/PBF_Format",
    read=read,
)
