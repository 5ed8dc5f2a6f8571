"""Read the layers of a vector file through GDAL as Arrow records: what the four vector formats share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyproj

from cim import crs
from cim.errors import InvalidData
from ingest.formats._base import FEATURE_ID, GEOMETRY, SOURCE_ID, Layer, ReadOptions, free_name
from ingest.gdal import apart, check_signature, confined, pyogrio

# Names pyogrio gives to geometry and feature number where the file has none of its own.
_UNNAMED_GEOMETRY = "wkb_geometry"
_UNNAMED_FID = "OGC_FID"


def read_layers(
    path: Path, options: ReadOptions, title: str, signatures: tuple[bytes, ...], encoding: str | None = None
) -> Iterator[Layer]:
    """Yield every layer of the file, or the one that `options.layer` names.

    Raises
    ------
    InvalidData : not a file of this format, damaged, text in another encoding, without the layer asked for.
    """
    check_signature(path, signatures, title)
    if confined():
        yield from _layers(path, path, options.layer, title, encoding)
    else:
        yield from apart(_layer_list, path, path, options.layer, title, encoding)


def read_layers_apart(
    path: Path, opened: Path, options: ReadOptions, title: str, settings: Mapping[str, str]
) -> Iterator[Layer]:
    """Yield as `read_layers` does, read in a process of its own under these settings of GDAL.

    `opened` is what GDAL opens: `path`, or what was made of it. The caller has seen that it is of this format.
    """
    yield from apart(_layer_list, path, opened, options.layer, title, None, settings)


def _layer_list(
    path: Path,
    opened: Path,
    wanted: str | None,
    title: str,
    encoding: str | None,
    settings: Mapping[str, str] | None = None,
) -> list[Layer]:
    pyogrio().set_gdal_config_options(dict(settings or {}))
    return list(_layers(path, opened, wanted, title, encoding))


def _layers(path: Path, opened: Path, wanted: str | None, title: str, encoding: str | None) -> Iterator[Layer]:
    gdal = pyogrio()
    try:
        with warnings.catch_warnings(action="ignore"):  # they come again, one layer at a time
            names = [str(name) for name, _ in gdal.list_layers(opened)]
    except gdal.errors.DataSourceError as error:
        raise InvalidData(f"{path}: cannot be read as {title}: {_first_line(error)}") from error
    if not names:
        raise InvalidData(f"{path}: is {title} without any layer")
    if wanted is not None and wanted not in names:
        raise InvalidData(f"{path}: has no layer {wanted!r}; it has {', '.join(names)}")
    for name in names:
        if wanted in (None, name):
            yield _read_layer(path, opened, name, title, encoding)


def _read_layer(path: Path, opened: Path, name: str, title: str, encoding: str | None) -> Layer:
    gdal = pyogrio()
    failures = (gdal.errors.DataSourceError, gdal.errors.DataLayerError, pa.ArrowException, ValueError, OSError)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            meta, table = gdal.read_arrow(opened, layer=name, encoding=encoding, return_fids=True)
            _check_text(table)
        except (UnicodeDecodeError, pa.ArrowInvalid) as error:
            raise InvalidData(
                f"{path}: text of layer {name!r} is not in {encoding or 'the encoding the file states'}: "
                f"{_first_line(error)}; name the right one: --encoding GB18030"
            ) from error
        except failures as error:
            raise InvalidData(f"{path}: layer {name!r} is no sound {title}: {_first_line(error)}") from error
    said = sorted({_first_line(w.message) for w in caught})
    return Layer(name, None, _attributes_and_geometry(table, meta), _crs(path, meta["crs"]), said)


def _check_text(table: pa.Table) -> None:
    """Raise pa.ArrowInvalid where a column of text is not UTF-8: GDAL hands on what a file wrongly calls so."""
    for column in table.columns:
        if pa.types.is_string(column.type):
            column.validate(full=True)


def _attributes_and_geometry(table: pa.Table, meta: Mapping[str, Any]) -> pa.Table:
    """Put the columns under our names: attributes first, then geometry, source id and feature number."""
    geometry = meta["geometry_name"] or _UNNAMED_GEOMETRY
    fid = meta["fid_column"] or _UNNAMED_FID
    columns: dict[str, pa.ChunkedArray] = {}
    for position, name in enumerate(table.column_names):
        if name == geometry or (name == fid and position == 0):
            continue
        columns[free_name(name, columns)] = table.column(position)
    columns[GEOMETRY] = (
        table.column(geometry).cast(pa.binary())
        if geometry in table.column_names
        else pa.chunked_array([pa.nulls(table.num_rows, pa.binary())])
    )
    columns[SOURCE_ID] = pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    if meta["fid_column"] not in ("", _UNNAMED_FID):
        columns[FEATURE_ID] = table.column(0)
    return pa.table(columns)


def _crs(path: Path, text: str | None) -> pyproj.CRS | None:
    if not text:
        return None
    try:
        return crs.parse(text)
    except InvalidData as error:
        raise InvalidData(f"{path}: {error}") from error


def _first_line(error: object) -> str:
    return str(error).split("; It might help", maxsplit=1)[0].split("\n", maxsplit=1)[0]
