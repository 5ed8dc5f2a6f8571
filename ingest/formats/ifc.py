"""IFC building models: one building per IfcBuilding, its storeys and spaces, with outlines from geometry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyproj
import shapely

from cim import codes, crs
from cim.errors import CrsError, InvalidCode
from ingest import georeference
from ingest.formats._base import GEOMETRY, PARENT_SOURCE_ID, SOURCE_ID, Format, Layer, ReadOptions
from ingest.georeference import Conversion, Geodetic, Placement
from ingest.ifc import process
from ingest.ifc.process import Limits

# Columns of the dictionary that a model can fill, by feature type; all layers of one type look alike.
_TEXT, _WHOLE, _NUMBER = pa.string(), pa.int64(), pa.float64()
_ORIGIN = (("source_global_id", _TEXT), ("model_file", _TEXT))
COLUMNS: dict[str, tuple[tuple[str, pa.DataType], ...]] = {
    "building": (
        ("name", _TEXT),
        ("address", _TEXT),
        ("usage", _TEXT),
        ("year_built", _WHOLE),
        ("year_renovated", _WHOLE),
        ("storeys_above", _WHOLE),
        ("storeys_below", _WHOLE),
        ("height", _NUMBER),
        ("ground_elevation", _NUMBER),
        ("footprint_area", _NUMBER),
        ("gross_floor_area", _NUMBER),
        ("gross_floor_area_below", _NUMBER),
        ("georeference_method", _TEXT),
        ("georeference_level", _WHOLE),
        ("georeference_accuracy", _NUMBER),
        *_ORIGIN,
    ),
    "storey": (
        ("name", _TEXT),
        ("number", _WHOLE),
        ("elevation", _NUMBER),
        ("height", _NUMBER),
        ("gross_floor_area", _NUMBER),
        *_ORIGIN,
    ),
    "space": (
        ("name", _TEXT),
        ("number", _TEXT),
        ("net_floor_area", _NUMBER),
        ("gross_floor_area", _NUMBER),
        ("height", _NUMBER),
        *_ORIGIN,
    ),
}
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
    "classifications": _JSON,
    "quantities": _JSON,
    "property_sets": _JSON,
}
_UNPLACED = "not georeferenced: read without outline; give its place with --place longitude,latitude[,angle]"
_HINTED = (
    "placed by latitude and longitude of the site: a hint of unknown accuracy, often a default of the authoring"
    " tool; confirm it or give --place"
)
_FAR_UNPLACED = (
    "coordinates more than 100 km from the origin are those of a map that the model does not name: read"
    " without outline; say which CRS it is with --assume-crs"
)


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield three layers: the buildings, storeys and spaces of a model.

    Outlines are in the CRS that the model or the operator states, in EPSG:4326 where the degrees of the site are
    all there is, and missing where nothing places the model. The degrees of `options.place` are on the datum of
    `options.assume_crs`, else of the storage CRS. `options.extra` may hold `code_property`
    (name of the property with a building's official code), `seconds` and `memory_bytes` (limits of the child
    process).

    Raises
    ------
    UnknownFormat : no IFC in STEP form, or a schema that cannot be read.
    CrsError : the model states a place that cannot be right.
    InvalidData : the model cannot be parsed, or reading it crashed or ran into a limit.
    """
    limits = Limits(**{k: options.extra[k] for k in ("seconds", "memory_bytes") if k in options.extra})
    answer = process.run(path, limits, options.encoding, options.extra.get("code_property"))
    _name_file(answer, path.stem)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        placements, warnings = _placements(answer, options)
        outlines = {kind: _place(answer[kind], placements) for kind in ("buildings", "storeys", "spaces")}
    except CrsError as error:
        raise type(error)(f"{path.name}: {error}") from error
    records = answer["buildings"]
    for record, placement in zip(records, placements, strict=True):
        _describe_place(record, placement)
    official, code_warnings = _codes(records)
    warnings = [*answer["warnings"], *warnings, *code_warnings]
    system = next((placement.crs for placement in placements if placement is not None), None)
    for feature_type in COLUMNS:
        kind = f"{feature_type}s"
        table = _table(feature_type, answer[kind], outlines[kind], digest, answer["schema"])
        if feature_type == "building":
            table = table.append_column("code", pa.array(official, _TEXT))
        yield Layer(kind, feature_type, table, system, warnings if feature_type == "building" else [])


def _name_file(answer: dict[str, Any], stem: str) -> None:
    """Put the name of the file before every source id: models made from one template share their GlobalIds."""
    for kind in ("buildings", "storeys", "spaces"):
        for record in answer[kind]:
            record["source_id"] = f"{stem}/{record['source_id']}"
            record["parent"] = None if record["parent"] is None else f"{stem}/{record['parent']}"


def _placements(answer: dict[str, Any], options: ReadOptions) -> tuple[list[Placement | None], list[str]]:
    """Return a placement for each building (None: unknown), and what is to be said about them."""
    buildings = answer["buildings"]
    conversion = None if answer["conversion"] is None else _conversion(answer["conversion"])
    north = (answer["true_north"][0], answer["true_north"][1])
    if options.place is not None:
        placed = georeference.from_text(options.place, north, _system_of_degrees(options))
        return [placed] * len(buildings), []
    far = [_is_far(record) for record in buildings]
    if conversion is not None:
        placement, warnings = georeference.from_conversion(conversion, options.assume_crs)
        if any(far):
            raise CrsError(
                "georeferenced twice: its coordinates lie more than 100 km from the origin and a map"
                " conversion moves them on; correct the model, or give its place with --place"
            )
        _check_place(answer, conversion, placement)
        return [placement] * len(buildings), warnings
    if options.assume_crs is not None and any(far):
        return [georeference.from_coordinates(options.assume_crs)] * len(buildings), []
    return _hinted(answer, far, north, options)


def _system_of_degrees(options: ReadOptions) -> pyproj.CRS:
    """Return the system of the operator's degrees: the one named, else that of the storage CRS, else WGS 84."""
    if options.assume_crs is not None:
        return options.assume_crs
    return crs.parse("EPSG:4326" if options.srid is None else options.srid)


def _hinted(
    answer: dict[str, Any], far: Sequence[bool], north: tuple[float, float], options: ReadOptions
) -> tuple[list[Placement | None], list[str]]:
    """Place buildings by the degrees of their sites; degrees outside the storage CRS are a tool's default."""
    placements: list[Placement | None] = []
    warnings = []
    storage = None if options.srid is None else crs.parse(options.srid)
    for site, is_far in zip(answer["sites"], far, strict=True):
        point = None if site is None or is_far else Geodetic(**site)
        if point and storage and not crs.covers(storage, point.longitude, point.latitude):
            warnings.append(
                f"the site's longitude {point.longitude:.4f} and latitude {point.latitude:.4f} lie outside the area"
                f" of {crs.name(storage)} and are not used"
            )
            point = None
        placements.append(
            None
            if point is None
            else georeference.from_geodetic(point, north, crs.parse("EPSG:4326"), "site_lat_lon", 20)
        )
    if any(far):
        warnings.append(_FAR_UNPLACED)
    if any(p is None and not is_far for p, is_far in zip(placements, far, strict=True)):
        warnings.append(_UNPLACED)
    if any(placements):
        warnings.append(_HINTED)
    return placements, list(dict.fromkeys(warnings))


def _conversion(facts: dict[str, Any]) -> Conversion:
    return Conversion(**(facts | {"factors": tuple(facts["factors"]), "world": tuple(facts["world"])}))


def _is_far(record: dict[str, Any]) -> bool:
    if record["outline"] is None:
        return False
    bounds = shapely.from_wkb(record["outline"]).bounds
    return bool(max(abs(value) for value in bounds) > georeference.FAR)


def _check_place(answer: dict[str, Any], conversion: Conversion, placement: Placement) -> None:
    outlines = [shapely.from_wkb(record["outline"]) for record in answer["buildings"] if record["outline"]]
    try:
        placement.place(outlines)
    except CrsError as error:
        unit = georeference.mistaken_unit(conversion, placement.crs)
        if unit is None:
            raise
        raise CrsError(
            f"{error}. Eastings and northings would fit if they were in {unit}; correct the model"
        ) from error


def _place(records: list[dict[str, Any]], placements: list[Placement | None]) -> list[bytes | None]:
    placed: list[bytes | None] = [None] * len(records)
    for index, placement in enumerate(placements):
        members = [i for i, record in enumerate(records) if record["building"] == index and record["outline"]]
        if placement is None or not members:
            continue
        shapes = placement.place([shapely.from_wkb(records[i]["outline"]) for i in members])
        for i, wkb in zip(members, shapely.to_wkb(shapes, byte_order=1, flavor="iso"), strict=True):
            placed[i] = wkb
    return placed


def _describe_place(record: dict[str, Any], placement: Placement | None) -> None:
    if placement is None:
        return
    height = placement.height_of(record["ground"])
    record["columns"] |= {
        "georeference_method": placement.method,
        "georeference_level": placement.level,
        "ground_elevation": None if height is None else round(height, 3),
    }


def _codes(records: list[dict[str, Any]]) -> tuple[list[str | None], list[str]]:
    """Return the official code of each building, None where there is none, and warnings about bad ones."""
    found: list[str | None] = []
    warnings = []
    for record in records:
        official = None
        for place, value in record["codes"]:
            try:
                official = official or codes.check("cn-bdcdyh", value, level="building")
            except InvalidCode as error:
                if place == "property":
                    record["attributes"]["code_as_stated"] = value
                    warnings.append(f"{record['columns']['name']}: the code in the model is not used: {error}")
        found.append(official)
    return found, warnings


def _table(
    feature_type: str, records: list[dict[str, Any]], outlines: list[bytes | None], digest: str, schema: str
) -> pa.Table:
    arrays: dict[str, pa.Array] = {
        SOURCE_ID: pa.array([record["source_id"] for record in records], _TEXT),
        PARENT_SOURCE_ID: pa.array([record["parent"] for record in records], _TEXT),
    }
    for name, kind in COLUMNS[feature_type]:
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
    kept=True,
)
