"""GeoParquet: columns of a table, one of them geometry, with its CRS in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyproj

from cim import crs
from cim.errors import InvalidData
from ingest.formats._base import BATCH, GEOMETRY, Format, Layer, ReadOptions, check_only_layer, free_name
from ingest.formats._points import pair_of, points
from ingest.gdal import check_signature

# Encodings of GeoParquet 1.1 other than WKB, which are those of GeoArrow, and how deep their lists are nested.
_NATIVE = {"point": 0, "linestring": 1, "multipoint": 1, "polygon": 2, "multilinestring": 2, "multipolygon": 3}


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the one layer of a Parquet file, named like the file.

    Without metadata of GeoParquet its geometry are points where two columns of numbers are called like coordinates, as
    in CSV, in a CRS that is unknown; else it has none.
    The primary geometry column is read, in WKB or in one of the native encodings; others are attributes, as
    hexadecimal WKB. Without a CRS the coordinates are degrees of WGS 84 (specification 1.1), unless it is null.

    Raises
    ------
    InvalidData : no Parquet file, damaged, metadata that contradicts the columns, an encoding that is unknown.
    """
    import pyarrow.parquet as pq

    check_only_layer(path, options)
    check_signature(path, (b"PAR1",), "Parquet")
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidData(f"{path}: is no sound Parquet file: {error}") from error
    geo = _metadata(path, schema)
    primary: str | None = None if geo is None else geo["primary_column"]
    column: Mapping[str, Any] = {} if geo is None else geo["columns"][primary]
    bounds = _covering(column)
    pair = None if geo is not None else _pair(schema)
    names: dict[str, str] = {}
    for name in schema.names:
        if name != primary and name not in bounds and name not in (pair or ()):
            names[free_name(name, names)] = name
    ours = pa.schema([(ours, _plain(schema.field(name).type)) for ours, name in names.items()])
    ours = ours.append(pa.field(GEOMETRY, pa.binary()))
    encoding = str(column.get("encoding", "WKB"))

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(path) as opened:
                for batch in opened.iter_batches(BATCH):
                    arrays = [batch.column(name).cast(ours.field(n).type) for n, name in names.items()]
                    if primary is not None:
                        arrays.append(_wkb(path, batch.column(primary), encoding))
                    elif pair is not None:
                        arrays.append(_points(*map(batch.column, pair)))
                    else:
                        arrays.append(pa.nulls(batch.num_rows, pa.binary()))
                    yield pa.RecordBatch.from_arrays(arrays, schema=ours)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InvalidData(f"{path}: is no sound Parquet file: {error}") from error

    yield Layer(path.stem, None, ours, batches, _crs(path, column) if primary else None, _remarks(column))


def _metadata(path: Path, schema: pa.Schema) -> dict[str, Any] | None:
    """Return the metadata of GeoParquet, checked; None where there is none."""
    text = (schema.metadata or {}).get(b"geo")
    if text is None:
        return None
    try:
        geo = json.loads(text)
        primary, columns = geo["primary_column"], geo["columns"]
        sound = primary in schema.names and isinstance(columns[primary], dict)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidData(f"{path}: its metadata 'geo' is not that of GeoParquet: {error!r}") from error
    if not sound:
        raise InvalidData(f"{path}: its metadata names a geometry column {primary!r}, which the table does not have")
    checked: dict[str, Any] = geo
    return checked


def _pair(schema: pa.Schema) -> tuple[str, str] | None:
    """Return the names of two columns of numbers that are called like coordinates, None where there are none."""
    numbers = [
        field.name
        for field in schema
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type) or pa.types.is_decimal(field.type)
    ]
    places = pair_of(numbers)
    return None if places is None else (numbers[places[0]], numbers[places[1]])


def _points(x: pa.Array, y: pa.Array) -> pa.Array:
    x, y = (pc.if_else(pc.is_nan(column), None, column) for column in (x.cast(pa.float64()), y.cast(pa.float64())))
    return points((x, y), (x.cast(pa.string()), y.cast(pa.string())))


def _covering(column: Mapping[str, Any]) -> set[str]:
    """Return the columns that repeat the bounds of the geometry."""
    covering = column.get("covering")
    boxes = covering.get("bbox") if isinstance(covering, dict) else None
    corners = boxes.values() if isinstance(boxes, dict) else []
    return {str(place[0]) for place in corners if isinstance(place, list) and place}


def _crs(path: Path, column: Mapping[str, Any]) -> pyproj.CRS | None:
    stated = column.get("crs", "OGC:CRS84")
    if stated is None:
        return None
    try:
        return crs.parse(stated if isinstance(stated, str) else json.dumps(stated))
    except InvalidData as error:
        raise InvalidData(f"{path}: states a CRS that PROJ does not know; correct it with --assume-crs") from error


def _remarks(column: Mapping[str, Any]) -> list[str]:
    said = []
    if column.get("edges", "planar") != "planar":
        said.append("edges are stated as arcs on the globe; they are taken as straight")
    if column.get("epoch") is not None:
        said.append(f"coordinates are stated for the epoch {column['epoch']}, which is not taken into account")
    return said


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type an attribute is read as: views and dictionaries as what they hold."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def _wkb(path: Path, column: pa.Array, encoding: str) -> pa.Array:
    """Return a geometry column as ISO WKB, little endian."""
    import shapely

    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    if encoding == "WKB":
        return storage.cast(pa.binary())
    if encoding not in _NATIVE:
        raise InvalidData(f"{path}: geometry encoding {encoding!r} is unknown; known are WKB, {', '.join(_NATIVE)}")
    shapes = _from_native(storage, encoding)
    return pa.array(shapely.to_wkb(shapes, flavor="iso", byte_order=1), pa.binary())


def _from_native(column: pa.Array, encoding: str) -> Any:
    """Return shapely geometries of GeoArrow lists around coordinates; of x, y, and z where there is one."""
    import shapely

    missing = column.is_null().to_numpy(zero_copy_only=False)
    offsets: list[Any] = []
    inner = column
    for _ in range(_NATIVE[encoding]):
        # Null lists are empty here, and what lies before and after the slice is left out.
        counts = pc.fill_null(pc.list_value_length(inner), 0).to_numpy(zero_copy_only=False)
        offsets.append(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
        inner = pc.list_flatten(inner)
    if _NATIVE[encoding] == 0:
        inner = inner.filter(pa.array(~missing))
    coordinates = _coordinates(inner)
    kind = shapely.GeometryType[encoding.upper()]
    # The innermost offsets come first.
    shapes = shapely.from_ragged_array(kind, coordinates, tuple(reversed(offsets)) or None)
    if _NATIVE[encoding] == 0:
        points = np.full(len(column), None, dtype=object)
        points[~missing] = shapes
        return points
    shapes[missing] = None
    return shapes


def _coordinates(points: pa.Array) -> Any:
    """Return the numbers of points, which are structures of x, y (and z), or lists of them, one row each."""
    if pa.types.is_struct(points.type):
        names = [points.type.field(place).name for place in range(points.type.num_fields)]
        axes = [points.field(names.index(axis)) for axis in ("x", "y", "z") if axis in names]
        return np.column_stack([axis.to_numpy(zero_copy_only=False).astype(float) for axis in axes])
    if pa.types.is_fixed_size_list(points.type):
        width = points.type.list_size
        numbers = pc.list_flatten(points).to_numpy(zero_copy_only=False).astype(float).reshape(-1, width)
        return numbers[:, :3]
    raise ValueError(f"coordinates are of type {points.type}, expected x and y")


FORMAT = Format(
    name="parquet",
    title="GeoParquet",
    suffixes=(".parquet", ".geoparquet", ".pq"),
    spec="GeoParquet 1.1.0. https://geoparquet.org/releases/v1.1.0/",
    read=read,
)
