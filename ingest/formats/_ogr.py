"""Read the layers of a vector file through GDAL as Arrow records: what the four vector formats share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyproj

from cim import crs
from cim.errors import InvalidData
from ingest.formats._base import BATCH, FEATURE_ID, GEOMETRY, RESERVED, Layer, ReadOptions
from ingest.gdal import apart, check_signature, confined, pyogrio

# Names pyogrio gives to geometry and feature number where the file has none of its own.
_UNNAMED_GEOMETRY = "wkb_geometry"
_UNNAMED_FID = "OGC_FID"


@dataclass(frozen=True, slots=True)
class _Head:
    """What is known of a layer before its records are read; the CRS as GDAL states it."""

    schema: pa.Schema
    crs: str | None


# What a layer gives, in this order: its head, then batches of records, and sentences for the report between them.
_Item: TypeAlias = "_Head | pa.RecordBatch | str"


def read_layers(
    path: Path, options: ReadOptions, title: str, signatures: tuple[bytes, ...], encoding: str | None = None
) -> Iterator[Layer]:
    """Yield every layer of the file, or the one that `options.layer` names.

    Raises
    ------
    InvalidData : not a file of this format, damaged, text in another encoding, without the layer asked for.
    """
    check_signature(path, signatures, title)
    names = list(_names(path, title) if confined() else apart(_names, path, title))
    if options.layer not in (None, *names):
        raise InvalidData(f"{path}: has no layer {options.layer!r}; it has {', '.join(names)}")
    for name in names:
        if options.layer in (None, name):
            yield _layer(path, name, title, encoding)


def _names(path: Path, title: str) -> Iterator[str]:
    gdal = pyogrio()
    try:
        with warnings.catch_warnings(action="ignore"):  # they come again, one layer at a time
            names = [str(name) for name, _ in gdal.list_layers(path)]
    except gdal.errors.DataSourceError as error:
        raise InvalidData(f"{path}: cannot be read as {title}: {_first_line(error)}") from error
    yield from names


def _layer(path: Path, name: str, title: str, encoding: str | None) -> Layer:
    def items() -> Iterator[_Item]:
        return _items(path, name, title, encoding) if confined() else apart(_items, path, name, title, encoding)

    def batches() -> Iterator[pa.RecordBatch]:
        # Opening may cost a pass over the file (GeoJSON), so the stream that gave the head goes on.
        for item in opened.pop() if opened else items():
            if isinstance(item, pa.RecordBatch):
                yield item
            elif isinstance(item, str) and item not in said:
                said.append(item)

    said: list[str] = []
    opened = [items()]
    head = next(opened[0])
    assert isinstance(head, _Head)
    return Layer(name, None, head.schema, batches, _crs(path, head.crs), said)


def _items(path: Path, name: str, title: str, encoding: str | None) -> Iterator[_Item]:
    gdal = pyogrio()
    refusing = partial(_refusing, path, name, title, encoding)
    with ExitStack() as stack:
        with refusing() as said:
            opened = gdal.open_arrow(
                path, layer=name, encoding=encoding, return_fids=True, use_pyarrow=True, batch_size=BATCH
            )
            meta, reader = stack.enter_context(opened)
            places = _places(reader.schema, meta)
            schema = pa.schema([(ours, _kind(ours, place, reader.schema)) for ours, place in places.items()])
        yield _Head(schema, meta["crs"])
        batch: pa.RecordBatch | None = None
        while True:
            yield from said
            if batch is not None:
                yield batch
            with refusing() as said:
                read = next(reader, None)
                if read is None:
                    break
                _check_text(read)
                batch = _ours(read, places, schema)
        yield from said


@contextmanager
def _refusing(path: Path, name: str, title: str, encoding: str | None) -> Iterator[list[str]]:
    """Turn what GDAL and Arrow raise into a refusal, and gather what GDAL warns of, each sentence once."""
    gdal = pyogrio()
    failures = (gdal.errors.DataSourceError, gdal.errors.DataLayerError, pa.ArrowException, ValueError, OSError)
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        except (UnicodeDecodeError, pa.ArrowInvalid) as error:
            raise InvalidData(
                f"{path}: text of layer {name!r} is not in {encoding or 'the encoding the file states'}: "
                f"{_first_line(error)}; name the right one: --encoding GB18030"
            ) from error
        except failures as error:
            raise InvalidData(f"{path}: layer {name!r} is no sound {title}: {_first_line(error)}") from error
    said += sorted({_first_line(w.message) for w in caught})


def _check_text(batch: pa.RecordBatch) -> None:
    """Raise pa.ArrowInvalid where a column of text is not UTF-8: GDAL hands on what a file wrongly calls so."""
    for column in batch.columns:
        if pa.types.is_string(column.type):
            column.validate(full=True)


def _places(schema: pa.Schema, meta: Mapping[str, Any]) -> dict[str, int | None]:
    """Return where each of our columns stands in GDAL's: attributes, geometry (None where there is none), number."""
    geometry = meta["geometry_name"] or _UNNAMED_GEOMETRY
    fid = meta["fid_column"] or _UNNAMED_FID
    places: dict[str, int | None] = {}
    shape = None
    for position, name in enumerate(schema.names):
        if name == geometry:
            shape = position
        elif name != fid or position > 0:
            places[_free_name(name, places)] = position
    places[GEOMETRY] = shape
    if meta["fid_column"] not in ("", _UNNAMED_FID):
        places[FEATURE_ID] = 0
    return places


def _kind(ours: str, place: int | None, schema: pa.Schema) -> pa.DataType:
    return pa.binary() if ours == GEOMETRY or place is None else schema.field(place).type


def _ours(batch: pa.RecordBatch, places: Mapping[str, int | None], schema: pa.Schema) -> pa.RecordBatch:
    """Put the columns of GDAL's batch under our names."""
    columns = [
        pa.nulls(batch.num_rows, field.type) if place is None else batch.column(place).cast(field.type)
        for field, place in zip(schema, places.values(), strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    """Keep an attribute apart from our own columns and from a namesake."""
    candidate, number = f"source_{name}" if name in RESERVED else name, 1
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def _crs(path: Path, text: str | None) -> pyproj.CRS | None:
    if not text:
        return None
    try:
        return crs.parse(text)
    except InvalidData as error:
        raise InvalidData(f"{path}: {error}") from error


def _first_line(error: object) -> str:
    return str(error).split("; It might help", maxsplit=1)[0].split("\n", maxsplit=1)[0]
