"""IFC models: one building per IfcBuilding, its storeys, spaces and units; roads and networks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyproj
import shapely

from cim import codes, crs
from cim.errors import CrsError, InvalidCode, InvalidData
from ingest import statement
from ingest.formats._base import GEOMETRY, PARENT_SOURCE_ID, SOURCE_ID, Format, Layer, ReadOptions, stem
from ingest.georeference import Placement
from ingest.ifc import placing, process
from ingest.ifc.body import keep_body
from ingest.ifc.outline import tree
from ingest.ifc.process import Limits

# Columns of the dictionary that a model can fill, by feature type; all layers of one type look alike.
_TEXT, _WHOLE, _NUMBER = pa.string(), pa.int64(), pa.float64()
_ORIGIN = (("source_global_id", _TEXT), ("model_file", _TEXT))
COLUMNS: dict[str, tuple[tuple[str, pa.DataType], ...]] = {
    "building": (
        ("name", _TEXT),
        ("address", _TEXT),
        ("usage", _TEXT),
        ("structure", _TEXT),
        ("year_built", _WHOLE),
        ("year_renovated", _WHOLE),
        ("storeys_above", _WHOLE),
        ("storeys_below", _WHOLE),
        ("height", _NUMBER),
        ("eaves_height", _NUMBER),
        ("ridge_height", _NUMBER),
        ("ground_elevation", _NUMBER),
        ("footprint_area", _NUMBER),
        ("gross_floor_area", _NUMBER),
        ("gross_floor_area_below", _NUMBER),
        ("georeference_method", _TEXT),
        ("georeference_level", _WHOLE),
        ("georeference_accuracy", _NUMBER),
        ("body_file", _TEXT),
        *_ORIGIN,
    ),
    "storey": (
        ("name", _TEXT),
        ("number", _WHOLE),
        ("elevation", _NUMBER),
        ("height", _NUMBER),
        ("usage", _TEXT),
        ("gross_floor_area", _NUMBER),
        *_ORIGIN,
    ),
    "space": (
        ("name", _TEXT),
        ("number", _TEXT),
        ("usage", _TEXT),
        ("net_floor_area", _NUMBER),
        ("gross_floor_area", _NUMBER),
        ("height", _NUMBER),
        *_ORIGIN,
    ),
}
_PLACED = (("georeference_method", _TEXT), ("georeference_level", _WHOLE), ("georeference_accuracy", _NUMBER))
# Of zones that are units; what the dictionary has no column for goes to `attributes`.
COLUMNS_OF_UNITS: tuple[tuple[str, pa.DataType], ...] = (
    ("code", _TEXT),
    ("name", _TEXT),
    ("room_number", _TEXT),
    ("storey_number", _WHOLE),
    ("net_floor_area", _NUMBER),
    *_ORIGIN,
)
# What lies outside of buildings; what the dictionary has no column for goes to `attributes`.
COLUMNS_OF_LINES: dict[str, tuple[tuple[str, pa.DataType], ...]] = {
    "road": (
        ("name", _TEXT),
        ("road_class", _TEXT),
        ("ifc_class", _TEXT),
        ("facility", _TEXT),
        ("facility_global_id", _TEXT),
        *_PLACED,
        *_ORIGIN,
    ),
    "pipe": (
        ("network", _TEXT),
        ("material", _TEXT),
        ("diameter", _NUMBER),
        ("diameter_source", _TEXT),
        ("flow_from", _TEXT),
        ("flow_to", _TEXT),
        ("label", _TEXT),
        ("ifc_class", _TEXT),
        *_PLACED,
        *_ORIGIN,
    ),
    "component": (
        ("name", _TEXT),
        ("class_code", _TEXT),
        ("class_scheme", _TEXT),
        ("ifc_class", _TEXT),
        *_PLACED,
        *_ORIGIN,
    ),
}
_INDOORS = ("buildings", "storeys", "spaces", "units")
# LoGeoRef level of a model that has an address and nothing else.
_ADDRESS_LEVEL = 10
# What a model says beyond those columns; it goes to `attributes`.
_JSON = pa.json_()
ATTRIBUTES: dict[str, pa.DataType] = {
    "long_name": _TEXT,
    "description": _TEXT,
    "object_type": _TEXT,
    "predefined_type": _TEXT,
    "code_as_stated": _TEXT,
    "footprint_area_source": _TEXT,
    "gross_floor_area_source": _TEXT,
    "net_floor_area_source": _TEXT,
    "usage_source": _TEXT,
    "rooms": _JSON,
    "roof_area": _NUMBER,
    "roof_outline": _JSON,
    "blocks": _JSON,
    "shell_gltf": _TEXT,
    "materials": _JSON,
    "zones": _JSON,
    "classifications": _JSON,
    "quantities": _JSON,
    "property_sets": _JSON,
}


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the layers of a model: buildings, storeys and spaces, always; then units, roads, pipes, components, if any.

    Outlines are in the CRS that the model or the operator states, in EPSG:4326 where the degrees of the site are
    all there is, and missing where nothing places the model. The degrees of `options.place` are on the datum of
    `options.assume_crs`, else of the storage CRS. `options.extra` may hold `code_property`
    (name of the property with a building's official code), `seconds` and `memory_bytes` (limits of the child
    process).

    Raises
    ------
    UnknownFormat : no IFC in STEP form, or a schema that cannot be read.
    CrsError : the model states a place that cannot be right.
    InvalidData : the model cannot be parsed, or reading it crashed or ran into a limit; it lacks the layer asked for.
    """
    found = list(_layers(path, options))
    # Storeys, rooms and units name what holds them, which is found among the other layers only.
    alone = [layer.name for layer in found if layer.feature_type in ("building", *COLUMNS_OF_LINES)]
    if options.layer not in (None, *alone):
        raise InvalidData(
            f"{path.name}: has no layer {options.layer!r} that can be taken alone; it has {', '.join(alone)}"
        )
    yield from (layer for layer in found if options.layer in (None, layer.name))


def _layers(path: Path, options: ReadOptions) -> Iterator[Layer]:
    limits = Limits(**{k: options.extra[k] for k in ("seconds", "memory_bytes") if k in options.extra})
    answer = process.run(path, limits, options.encoding, options.extra.get("code_property"), options.cores)
    _name_file(answer, stem(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        placed = placing.place(answer, _circumstances(path, options))
        system = _system_of(placed.placements, options)
        outlines = {kind: _place(answer[kind], placed.placements, system) for kind in _INDOORS}
        of_lines, said_of_lines = placing.place_lines(answer, placed, _circumstances(path, options))
        outlines |= {kind: _place_lines(answer[kind], of_lines, options) for kind in placing.LINES}
    except (CrsError, InvalidData) as error:
        raise type(error)(f"{path.name}: {error}") from error
    records = answer["buildings"]
    for record, placement in zip(records, placed.placements, strict=True):
        _describe_place(record, placement, options)
        _describe_body(record, placement, options)
    official, code_warnings = _codes(records, placed.codes)
    warnings = [*answer["warnings"], *dict.fromkeys((*placed.warnings, *said_of_lines)), *code_warnings]
    for feature_type in COLUMNS:
        kind = f"{feature_type}s"
        table = _table(feature_type, answer[kind], outlines[kind], digest, answer["schema"])
        if feature_type == "building":
            table = table.append_column("code", pa.array(official, _TEXT))
        building = feature_type == "building"
        layer = Layer.of(kind, feature_type, table, system, warnings if building else [])
        yield replace(layer, understood=tree(answer, official)) if building else layer
    if answer["units"]:
        table = _table("unit", answer["units"], outlines["units"], digest, answer["schema"])
        yield Layer.of("units", "unit", table, system, [])
    for feature_type in COLUMNS_OF_LINES:
        kind = f"{feature_type}s"
        if answer[kind]:
            table = _table(feature_type, answer[kind], outlines[kind], digest, answer["schema"])
            yield Layer.of(kind, feature_type, table, None if of_lines is None else of_lines.crs, [])


def _name_file(answer: dict[str, Any], stem: str) -> None:
    """Put the name of the file before every source id: models made from one template share their GlobalIds."""
    for kind in (*_INDOORS, *placing.LINES):
        for record in answer[kind]:
            record["source_id"] = f"{stem}/{record['source_id']}"
            record["parent"] = None if record["parent"] is None else f"{stem}/{record['parent']}"


def _system_of(placements: list[Placement | None], options: ReadOptions) -> pyproj.CRS | None:
    """Return the CRS for the outlines of a model: that of its placements, the storage CRS where they have several."""
    systems = [placement.crs for placement in placements if placement is not None]
    if options.srid is not None and not all(crs.same(systems[0], system) for system in systems):
        return crs.parse(options.srid)
    return systems[0] if systems else None


def _place(
    records: list[dict[str, Any]], placements: list[Placement | None], system: pyproj.CRS | None
) -> list[bytes | None]:
    """Place records, in `system`, as the buildings are that they belong to."""
    placed: list[bytes | None] = [None] * len(records)
    for index, placement in enumerate(placements):
        members = [i for i, record in enumerate(records) if record["building"] == index and record["outline"]]
        if placement is None or system is None or not members:
            continue
        shapes = np.array(placement.place([shapely.from_wkb(records[i]["outline"]) for i in members]))
        shapes = crs.transform(shapes, placement.crs, system)
        for i, wkb in zip(members, shapely.to_wkb(shapes, byte_order=1, flavor="iso"), strict=True):
            placed[i] = wkb
    return placed


def _place_lines(
    records: list[dict[str, Any]], placement: Placement | None, options: ReadOptions
) -> list[bytes | None]:
    """Place roads, pipes and components, and note at each how it was placed."""
    if placement is None:
        return [None] * len(records)
    said = {
        "georeference_method": placement.method,
        "georeference_level": placement.level,
        "georeference_accuracy": _accuracy(placement, options.srid),
    }
    for record in records:
        record["columns"] |= said
    shapes = placement.place([shapely.from_wkb(r["outline"]) if r["outline"] else None for r in records])
    return [None if s is None else shapely.to_wkb(s, byte_order=1, flavor="iso") for s in shapes]


def _circumstances(path: Path, options: ReadOptions) -> placing.Circumstances:
    """Gather what says where a model is; the operator's word goes before the file beside the model."""
    beside = statement.beside(path)
    said = None
    if options.place is not None:
        said = statement.parse(options.place, "--place")
    elif beside is not None:
        name, text = beside
        said = statement.parse(text, name)
    storage = None if options.srid is None else crs.parse(options.srid)
    return placing.Circumstances(said, options.assume_crs, storage, options.buildings)


def _describe_place(record: dict[str, Any], placement: Placement | None, options: ReadOptions) -> None:
    if placement is None:
        record["columns"]["georeference_level"] = _ADDRESS_LEVEL if record["columns"].get("address") else None
        return
    height = placement.height_of(record["ground"])
    record["columns"] |= {
        "georeference_method": placement.method,
        "georeference_level": placement.level,
        "georeference_accuracy": _accuracy(placement, options.srid),
        "ground_elevation": None if height is None else round(height, 3),
    }


def _describe_body(record: dict[str, Any], placement: Placement | None, options: ReadOptions) -> None:
    """Keep the outside of a building in files of its own, and say where its roof is."""
    storage = None if options.srid is None else crs.parse(options.srid)
    name = record["columns"]["source_global_id"]
    body, gltf = keep_body(record, name, placement, storage, options.keep)
    record["columns"]["body_file"] = body
    record["attributes"]["shell_gltf"] = gltf
    if placement is not None and record["roof"]:
        system = storage or placement.crs
        (roof,) = crs.transform(np.array(placement.place([shapely.from_wkb(record["roof"])])), placement.crs, system)
        said = shapely.geometry.mapping(shapely.set_precision(roof, 1e-9 if system.is_geographic else 0.001))
        record["attributes"]["roof_outline"] = said | {"crs": crs.name(system)}


def _accuracy(placement: Placement, srid: int | None) -> float | None:
    """Return the accuracy of a place together with that of the change to the storage CRS, metres, to 1 mm."""
    if placement.accuracy is None:
        return None
    area = placement.crs.area_of_use
    try:
        change = None if srid is None or area is None else crs.accuracy(placement.crs, crs.parse(srid), area.bounds)
    except CrsError:  # there is no way to the storage CRS, which the clean-up will say
        change = None
    return round(math.hypot(placement.accuracy, change or 0.0), 3)


def _codes(records: list[dict[str, Any]], laid_on: list[str | None]) -> tuple[list[str | None], list[str]]:
    """Return the code of each building (the model's, else of the one it was laid on), and warnings about bad ones."""
    found: list[str | None] = []
    warnings = []
    for record, known in zip(records, laid_on, strict=True):
        official = None
        for place, value in record["codes"]:
            try:
                official = official or codes.check("cn-bdcdyh", value, level="building")
            except InvalidCode as error:
                if place == "property":
                    record["attributes"]["code_as_stated"] = value
                    warnings.append(f"{record['columns']['name']}: the code in the model is not used: {error}")
        found.append(official or known)
    return found, warnings


def _table(
    feature_type: str, records: list[dict[str, Any]], outlines: list[bytes | None], digest: str, schema: str
) -> pa.Table:
    arrays: dict[str, pa.Array] = {
        SOURCE_ID: pa.array([record["source_id"] for record in records], _TEXT),
        PARENT_SOURCE_ID: pa.array([record["parent"] for record in records], _TEXT),
    }
    for name, kind in (COLUMNS | COLUMNS_OF_LINES | {"unit": COLUMNS_OF_UNITS})[feature_type]:
        values = [digest if name == "model_file" else record["columns"].get(name) for record in records]
        arrays[name] = pa.array(values, kind)
    for name, kind in ATTRIBUTES.items():
        found = [record["attributes"].get(name) for record in records]
        if isinstance(kind, pa.JsonType):
            found = [None if value is None else orjson.dumps(value).decode() for value in found]
        arrays[name] = pa.array(found, kind)
    arrays["ifc_schema"] = pa.array([schema] * len(records), _TEXT)
    arrays[GEOMETRY] = pa.array(outlines, pa.binary())
    return pa.table(arrays)


FORMAT = Format(
    name="ifc",
    title="Industry Foundation Classes (STEP), also zip or gzip",
    suffixes=(".ifc", ".ifczip", ".ifc.gz", ".ifcxml"),
    spec="https://technical.buildingsmart.org/standards/ifc/ifc-schema-specifications/",
    read=read,
    sidecars=(statement.SUFFIX,),
    kept=True,
    whole=True,
)
