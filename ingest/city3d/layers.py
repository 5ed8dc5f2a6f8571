"""From features to layers of Arrow records: one layer for each type of object that stands for itself."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from cim.files import Keep
from cim.memory import uncollected
from ingest.city3d import keep as kept
from ingest.city3d.body import DAMAGED, Body, bodies, coordinates_of
from ingest.city3d.feature import BUILDING, NO_SENSE, Feature, Frame, Notes
from ingest.formats._base import GEOMETRY, RESERVED, SOURCE_ID, Layer

# Features in hand at a time: enough for whole arrays to pay, few enough for memory to stay flat.
CHUNK = 256
# Chunks of records, without their bodies, that go on together.
_TOGETHER = 8
# The entry of the log takes 65,535 bytes in all; parts with more to say than this are read in the file of the body.
MAX_PARTS = 20_000

_TEXT, _WHOLE, _NUMBER, _FLAG, _JSON = pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.json_()
# What every layer has besides the attributes of the source, and what layers of buildings have beyond that.
OBJECT_COLUMNS: Mapping[str, pa.DataType] = {
    "source_global_id": _TEXT,
    "lod_max": _TEXT,
    "height_system": _TEXT,
    "ground_elevation": _NUMBER,
    "parts": _JSON,
}
BUILDING_COLUMNS: Mapping[str, pa.DataType] = {
    "name": _TEXT,
    "class": _TEXT,
    "function": _TEXT,
    "usage": _TEXT,
    "body_file": _TEXT,
    "height": _NUMBER,
    "footprint_area": _NUMBER,
    "eaves_elevation": _NUMBER,
    "roof_elevation": _NUMBER,
    "storeys_above": _WHOLE,
    "storeys_below": _WHOLE,
    "year_built": _WHOLE,
    "year_demolished": _WHOLE,
    "address": _TEXT,
}
# Attributes whose names the standard fixes, by the column that takes them.
_WHOLE_ATTRIBUTES = {
    "storeys_above": "storeysAboveGround",
    "storeys_below": "storeysBelowGround",
    "year_built": "yearOfConstruction",
    "year_demolished": "yearOfDemolition",
}
# Attributes of the standard that are text: columns of every layer of buildings, filled or not.
_TAKEN_OVER = ("name", "class", "function", "usage")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_YEAR = re.compile(r"\s*(-?\d{1,6})(?:[-.].*)?\s*")
_MEASURED = "measuredHeight"
_FOR_FILE = "{n} with more to say about their parts than a record takes: it is in the file of the body"
_ATTRIBUTES = "_attributes"

Attributes = dict[str, Any]
# Raises one of NO_SENSE where the feature makes none.
Placed = Callable[[Feature], Feature]


def layers(
    features: Iterable[Feature], frame: Frame, stem: str, keep: Keep, notes: Notes, placed: Placed | None = None
) -> Iterator[Layer]:
    """Yield a layer for each type of object, buildings first.

    What a record needs of a feature is taken from it once and put aside in a file of the system, so that memory holds
    no more than a chunk, whatever the size of the source and however its types are mixed.

    Parameters
    ----------
    stem : name of the file without suffix; it goes before ids that do not look unique beyond their file
    keep : takes the file of each building's body
    placed : gives a feature the geometries it has from elsewhere, for files that have such
    """
    spools: dict[str, _Spool] = {}
    work = _Work(frame, stem, keep, notes, placed)
    with uncollected():
        waiting = iter(features)
        while chunk := list(islice(waiting, CHUNK)):
            for kind, batch, attributes in work.batches(chunk):
                if kind not in spools:
                    spools[kind] = _Spool(kind)
                spools[kind].add(batch, attributes)
    for spool in sorted(spools.values(), key=lambda spool: (spool.kind != BUILDING, spool.kind)):
        warnings = notes.sentences() if spool.kind == BUILDING or len(spools) == 1 else []
        if frame.height_system is not None:
            warnings.insert(0, f"heights are kept as they are, in {frame.height_system}")
        feature_type = "building" if spool.kind == BUILDING else None
        yield Layer(spool.kind, feature_type, spool.schema, spool.batches, frame.crs, warnings, lineage=spool.kind)


class _Work:
    """Turns chunks of features into batches of the columns that every record has."""

    def __init__(self, frame: Frame, stem: str, keep: Keep, notes: Notes, placed: Placed | None) -> None:
        self._placed = placed
        self._frame = frame
        self._stem = stem
        self._keep = keep
        self._notes = notes
        self._first_line = kept.header(frame)

    def batches(self, chunk: list[Feature]) -> Iterator[tuple[str, pa.RecordBatch, list[Attributes]]]:
        """Yield, for each type of object among the features, its records and the attributes of the source."""
        features, coordinates, damaged = self._sound(chunk)
        found = bodies(features, coordinates, self._frame, self._notes)
        for row in damaged:
            found[row] = Body(DAMAGED)
        digests = kept.keep_all(features, coordinates, self._frame, self._first_line, self._keep, self._notes)
        rows_of: dict[str, list[int]] = {}
        for row, feature in enumerate(features):
            rows_of.setdefault(feature.root["type"], []).append(row)
        for kind, rows in rows_of.items():
            own = [features[row] for row in rows]
            columns = self._columns(own, [found[row] for row in rows])
            if kind == BUILDING:
                columns |= _of_buildings(own, [found[row] for row in rows], [digests[row] for row in rows])
            yield kind, _batch(columns, _core(kind)), [_attributes_of(feature, kind) for feature in own]

    def _columns(self, features: Sequence[Feature], found: Sequence[Body]) -> dict[str, list[Any]]:
        return {
            SOURCE_ID: [f.id if _UUID.search(f.id) else f"{self._stem}/{f.id}" for f in features],
            GEOMETRY: [b.shape for b in found],
            "source_global_id": [f.id for f in features],
            "lod_max": [b.lod for b in found],
            "height_system": [self._frame.height_system] * len(features),
            "ground_elevation": [b.ground for b in found],
            "parts": [_parts(f, self._notes) if len(f.objects) > 1 else None for f in features],
        }

    def _sound(self, chunk: list[Feature]) -> tuple[list[Feature], NDArray[np.float64], list[int]]:
        """Return the features with vertices all their own, their coordinates, and which make no sense."""
        features: list[Feature] = []
        damaged: list[int] = []
        for row, feature in enumerate(chunk):
            try:
                features.append(kept.compact(feature if self._placed is None else self._placed(feature)))
            except NO_SENSE as error:
                features.append(self._bare(feature, error))
                damaged.append(row)
        try:
            return features, coordinates_of(features, self._frame), damaged
        except (TypeError, ValueError):  # some vertex is no number: find whose
            for row, feature in enumerate(features):
                try:
                    coordinates_of([feature], self._frame)
                except (TypeError, ValueError) as error:
                    features[row] = self._bare(feature, error)
                    damaged.append(row)
        return features, coordinates_of(features, self._frame), damaged

    def _bare(self, feature: Feature, error: Exception) -> Feature:
        self._notes.add(f"object {feature.id!r} has a geometry that makes no sense: {error}")
        objects = {n: {k: v for k, v in o.items() if k != "geometry"} for n, o in feature.objects.items()}
        return Feature(feature.id, objects, [])


class _Spool:
    """The records of one type, put aside until all are seen, and the attributes they have between them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._seen: dict[str, set[type]] = {}
        self._stored = pa.schema([*_core(kind), (_ATTRIBUTES, pa.binary())])
        with tempfile.NamedTemporaryFile() as file:  # it loses its name at once, and its room with this object
            self._file = pa.OSFile(file.name, "rb")
            self._writer = pa.ipc.new_stream(pa.OSFile(file.name, "wb"), self._stored)

    def add(self, batch: pa.RecordBatch, attributes: list[Attributes]) -> None:
        """Put records aside."""
        for one in attributes:
            for name, value in one.items():
                self._seen.setdefault(name, set()).add(_type(value))
        said = pa.array([orjson.dumps(one) for one in attributes], pa.binary())
        self._writer.write_batch(pa.RecordBatch.from_arrays([*batch.columns, said], schema=self._stored))

    @property
    def schema(self) -> pa.Schema:
        """Return the schema of the records: attributes of the source, then the columns every record has."""
        return pa.schema([*((name, kind) for name, (_, kind) in self._attributes().items()), *_core(self.kind)])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all records, from the first on each time; no more can be put aside."""
        self._writer.close()
        self._file.seek(0)
        schema, attributes = self.schema, self._attributes()
        waiting = iter(pa.ipc.open_stream(self._file))
        while chunks := list(islice(waiting, _TOGETHER)):
            (stored,) = pa.Table.from_batches(chunks).combine_chunks().to_batches()
            given = [orjson.loads(one) for one in stored.column(_ATTRIBUTES).to_pylist()]
            arrays = [_array([one.get(name) for one in given], kind) for name, kind in attributes.values()]
            yield pa.RecordBatch.from_arrays([*arrays, *stored.columns[:-1]], schema=schema)

    def _attributes(self) -> dict[str, tuple[str, pa.DataType]]:
        """Return, by the name of its column, each attribute's own name and type."""
        taken = RESERVED.union(_core(self.kind).names)
        return {(f"source_{n}" if n in taken else n): (n, _type_of(seen)) for n, seen in self._seen.items()}


@cache
def _core(kind: str) -> pa.Schema:
    own = dict(BUILDING_COLUMNS) if kind == BUILDING else {}
    return pa.schema([*(dict(OBJECT_COLUMNS) | own).items(), (SOURCE_ID, _TEXT), (GEOMETRY, pa.binary())])


def _batch(columns: Mapping[str, list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([_array(columns[f.name], f.type) for f in schema], schema=schema)


def _attributes_of(feature: Feature, kind: str) -> Attributes:
    """Return what the source says of an object, without what is a column of every building anyway."""
    said: Attributes = feature.root.get("attributes") or {}
    if kind != BUILDING:
        return said
    return {name: value for name, value in said.items() if not (name in _TAKEN_OVER and isinstance(value, str))}


def _of_buildings(
    features: Sequence[Feature], found: Sequence[Body], digests: Sequence[str | None]
) -> dict[str, list[Any]]:
    attributes = [feature.root.get("attributes") or {} for feature in features]
    columns: dict[str, list[Any]] = {
        **{n: [a[n] if isinstance(a.get(n), str) else None for a in attributes] for n in _TAKEN_OVER},
        "body_file": list(digests),
        "height": [_height(f, b) for f, b in zip(features, found, strict=True)],
        "footprint_area": [b.area for b in found],
        "eaves_elevation": [b.eaves for b in found],
        "roof_elevation": [b.top for b in found],
        "address": [_address(f.root) for f in features],
    }
    for column, attribute in _WHOLE_ATTRIBUTES.items():
        columns[column] = [_whole(a.get(attribute)) for a in attributes]
    return columns


def _type(value: Any) -> type:
    """Return the type of a value; an integer beyond 64 bits counts as text."""
    return str if type(value) is int and not -(2**63) <= value < 2**63 else type(value)


def _type_of(seen: set[type]) -> pa.DataType:
    kinds = seen - {type(None)}
    if kinds == {bool}:
        return _FLAG
    if kinds == {int}:
        return _WHOLE
    if kinds and kinds <= {int, float}:
        return _NUMBER
    return _JSON if kinds & {dict, list} else _TEXT


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == _JSON:
        said = [v if v is None or isinstance(v, str) else orjson.dumps(v).decode() for v in values]
        return pa.array(said, _TEXT).cast(_JSON)
    if kind == _TEXT:
        values = [v if v is None or isinstance(v, str) else orjson.dumps(v).decode() for v in values]
    return pa.array(values, kind)


def _parts(feature: Feature, notes: Notes) -> str | None:
    """Return what is known of the parts of an object, as JSON: id, type, attributes."""
    said = [
        {"id": name, "type": one["type"], "attributes": one["attributes"]}
        for name, one in feature.objects.items()
        if name != feature.id and one.get("attributes")
    ]
    text = orjson.dumps(said).decode() if said else None
    if text is not None and len(text) > MAX_PARTS:
        notes.add(_FOR_FILE)
        return None
    return text


def _height(feature: Feature, body: Body) -> float | None:
    """Return the height the source measured, of its highest part where it has none itself, else that of the body."""
    own = _measure(feature.root)
    if own is not None:
        return own
    parts = [h for name, one in feature.objects.items() if name != feature.id and (h := _measure(one)) is not None]
    if parts:
        return max(parts)
    if body.top is None or body.ground is None:
        return None
    return round(body.top - body.ground, 3)


def _measure(one: Mapping[str, Any]) -> float | None:
    value = (one.get("attributes") or {}).get(_MEASURED)
    try:
        number = float(value) if value is not None and not isinstance(value, bool) else -1.0
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None  # PLATEAU writes -9999 for unknown


def _whole(value: Any) -> int | None:
    """Return a count or the year of a date; None where it is neither."""
    if isinstance(value, bool) or value is None:
        return None
    match = _YEAR.fullmatch(str(value))
    return int(match[1]) if match and 0 <= int(match[1]) < 9999 else None


def _address(one: Mapping[str, Any]) -> str | None:
    """Return the first address of an object on one line, None without."""
    given = one.get("address")
    first = given[0] if isinstance(given, list) and given else given
    if not isinstance(first, dict):
        return None
    words = [str(value).strip() for value in first.values() if isinstance(value, str | int) and str(value).strip()]
    return ", ".join(words) or None
