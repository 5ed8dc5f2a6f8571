"""Read the layers of a vector file through GDAL as Arrow records: what the four vector formats share."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyproj

from cim import crs
from cim.errors import InvalidData
from ingest.formats._base import BATCH, FEATURE_ID, GEOMETRY, Layer, ReadOptions, free_name
from ingest.gdal import apart, check_signature, confined, heard, pyogrio

# Names pyogrio gives to geometry and feature number where the file has none of its own.
_UNNAMED_GEOMETRY = "wkb_geometry"
_UNNAMED_FID = "OGC_FID"
_ZONE = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
# From here on a double does not hold every whole number.
_ROUNDED = 2.0**53
_LARGEST = pa.array([2**63 - 1, -(2**63)], pa.int64())


@dataclass(frozen=True, slots=True)
class _Head:
    """What is known of a layer before its records are read; the CRS as GDAL states it."""

    schema: pa.Schema
    crs: str | None


# What a layer gives, in this order: its head, then batches of records, and sentences for the report between them.
_Item: TypeAlias = "_Head | pa.RecordBatch | str"


def read_layers(
    path: Path,
    options: ReadOptions,
    title: str,
    signatures: tuple[bytes, ...],
    encoding: str | None = None,
    *,
    opened: Path | None = None,
    unasked: Collection[str] = (),
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Layer]:
    """Yield every layer of the file but those `unasked`, or the one that `options.layer` names.

    `opened` is the copy of the file to open, `settings` are those of GDAL.

    Raises
    ------
    InvalidData : not a file of this format, damaged, text in another encoding, without the layer asked for.
    """
    check_signature(path, signatures, title)
    source = _Source(path, opened or path, title, encoding, dict(settings), aside=not confined())
    yield from source.layers(options.layer, unasked)


def read_layers_apart(
    path: Path, opened: Path, options: ReadOptions, title: str, settings: Mapping[str, str]
) -> Iterator[Layer]:
    """Yield as `read_layers` does, read in a process of its own under these settings of GDAL.

    `opened` is what GDAL opens: `path`, or what was made of it. The caller has seen that it is of this format.
    """
    yield from _Source(path, opened, title, None, settings, aside=True).layers(options.layer)


@dataclass(frozen=True, slots=True)
class _Source:
    """A file for GDAL: `path` names it in messages, `opened` is what is opened; `aside` says in another process."""

    path: Path
    opened: Path
    title: str
    encoding: str | None
    settings: Mapping[str, str] = field(default_factory=dict)
    aside: bool = False

    def layers(self, wanted: str | None, unasked: Collection[str] = ()) -> Iterator[Layer]:
        names = list(apart(_names, self) if self.aside else _names(self))
        offered = [name for name in names if name == wanted or name not in unasked]
        if not offered:
            raise InvalidData(f"{self}: is {self.title} without any layer")
        if wanted not in (None, *offered):
            raise InvalidData(f"{self}: has no layer {wanted!r}; it has {', '.join(names)}")
        for name in offered:
            if wanted in (None, name):
                yield self._layer(name)

    def _layer(self, name: str) -> Layer:
        def items() -> Iterator[_Item]:
            return apart(_items, self, name) if self.aside else _items(self, name)

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
        return Layer(name, None, head.schema, batches, _crs(self.path, head.crs), said)

    def __str__(self) -> str:
        return str(self.path)

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Put the settings into GDAL, and take them out again: the process is used for other files."""
        gdal = pyogrio()
        gdal.set_gdal_config_options(dict(self.settings))
        try:
            yield
        finally:
            gdal.set_gdal_config_options(dict.fromkeys(self.settings))


def _names(source: _Source) -> Iterator[str]:
    gdal = pyogrio()
    try:
        with source.settled(), warnings.catch_warnings(action="ignore"):  # they come again, one layer at a time
            names = [str(name) for name, _ in gdal.list_layers(source.opened)]
    except (gdal.errors.DataSourceError, UnicodeDecodeError) as error:
        raise InvalidData(f"{source}: cannot be read as {source.title}: {_first_line(error)}") from error
    yield from names


def _items(source: _Source, name: str) -> Iterator[_Item]:
    gdal = pyogrio()
    refusing = partial(_refusing, source.path, name, source.title, source.encoding)
    with ExitStack() as stack:
        stack.enter_context(source.settled())
        with refusing() as said:
            opened = gdal.open_arrow(
                source.opened,
                layer=name,
                return_fids=True,
                use_pyarrow=True,
                batch_size=BATCH,
                datetime_as_string=source.title == "FlatGeobuf" and _has_zones(source, name),
                # As an option of this file: `encoding` is one of the thread, and stays where another ends the stream.
                **({} if source.encoding is None else {"ENCODING": source.encoding}),
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
                if source.title.startswith("GeoJSON"):
                    said.extend(_altered(batch))
        yield from said


def _has_zones(source: _Source, name: str) -> bool:
    """Tell whether instants of a FlatGeobuf state their time zone, which GDAL leaves out where they are not text."""
    gdal = pyogrio()
    info = gdal.read_info(source.opened, layer=name)
    instants = [field for field, kind in zip(info["fields"], info["ogr_types"], strict=True) if kind == "OFTDateTime"]
    if not instants:
        return False
    only = {"columns": instants, "read_geometry": False, "datetime_as_string": True, "use_pyarrow": True}
    with gdal.open_arrow(source.opened, layer=name, **only) as (_, reader):
        columns = (column for batch in reader for column in batch.columns)
        return any(pc.any(pc.match_substring_regex(column, _ZONE)).as_py() for column in columns)


@contextmanager
def _refusing(path: Path, name: str, title: str, encoding: str | None) -> Iterator[list[str]]:
    """Turn what GDAL and Arrow raise into a refusal, and gather what GDAL warns of, each sentence once."""
    gdal = pyogrio()
    failures = (gdal.errors.DataSourceError, gdal.errors.DataLayerError, pa.ArrowException, ValueError, OSError)
    said: list[str] = []
    heard()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        except (UnicodeDecodeError, pa.ArrowInvalid) as error:
            # Shapefile is the one format here whose text may be in anything.
            named = title == "Shapefile"
            expected = encoding or ("the encoding the file states" if named else "UTF-8")
            do = "name the right one: --encoding GB18030" if named else "save it as UTF-8"
            raise InvalidData(
                f"{path}: text of layer {name!r} is not in {expected}: {_first_line(error)}; {do}"
            ) from error
        except failures as error:
            raise InvalidData(f"{path}: layer {name!r} is no sound {title}: {_first_line(error)}") from error
    said += sorted({_first_line(w.message) for w in caught})


def _check_text(batch: pa.RecordBatch) -> None:
    """Raise pa.ArrowInvalid where a column of text is not UTF-8: GDAL hands on what a file wrongly calls so.

    Raise ValueError where one of bytes is garbled.
    """
    for column in batch.columns:
        if pa.types.is_string(column.type):
            column.validate(full=True)
        elif pa.types.is_binary(column.type):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as error:
                raise ValueError(f"GDAL garbles its geometry: {error}") from None


def _altered(batch: pa.RecordBatch) -> Iterator[str]:
    """Say which columns hold what GDAL does not keep of JSON.

    Numbers of more digits are rounded, or become the largest; half a character (a lone surrogate) becomes U+FFFD.
    """
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_string(column.type):
            if pc.any(pc.match_substring(column, "\ufffd")).as_py():
                yield f"text of {name!r} holds U+FFFD, which stands for a character that was lost: look at its source"
            continue
        if pa.types.is_floating(column.type):
            altered = pc.greater_equal(pc.abs(column), _ROUNDED)
        elif pa.types.is_int64(column.type):
            altered = pc.is_in(column, _LARGEST)
        else:
            continue
        if pc.any(altered).as_py():
            yield f"numbers of {name!r} have more digits than are kept, and came altered: write them as text"


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
            places[free_name(name, places)] = position
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


def _crs(path: Path, text: str | None) -> pyproj.CRS | None:
    if not text:
        return None
    try:
        return crs.parse(text)
    except InvalidData as error:
        raise InvalidData(f"{path}: {error}") from error


def _first_line(error: object) -> str:
    return str(error).split("; It might help", maxsplit=1)[0].split("\n", maxsplit=1)[0]
