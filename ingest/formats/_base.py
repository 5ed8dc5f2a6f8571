"""What a format gives to the rest of ingest: layers of Arrow records, whatever the file was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyproj

from cim.errors import InvalidData
from cim.files import Keep, digest
from ingest.city import Buildings

# Column names of `Layer.table` that are not attributes of the source.
GEOMETRY = "geom"
SOURCE_ID = "_source_id"
PARENT_SOURCE_ID = "_parent_source_id"
FEATURE_ID = "_fid"
RESERVED = frozenset({GEOMETRY, SOURCE_ID, PARENT_SOURCE_ID, FEATURE_ID})


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a file, read but not yet interpreted.

    Attributes
    ----------
    name : what the source calls it; the file's stem where the format has no layers.
    feature_type : the type its records are, where the format itself knows (IFC does); None leaves it to the
        mapping.
    table : attribute columns, and `geom` (ISO WKB, little endian, null where missing), `_source_id` (string, null
        where the source has no identifier of its own), optionally `_parent_source_id` (string, the `_source_id`
        of the parent object in the same file) and `_fid` (the file's own row number, which an export may renumber:
        never an attribute, an identifier only where a mapping says so).
    crs : of `geom` as read; None where the source does not say.
    warnings : sentences for the report, each about this layer.
    """

    name: str
    feature_type: str | None
    table: pa.Table
    crs: pyproj.CRS | None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the operator says about the sources, because they do not say it themselves.

    Attributes
    ----------
    place : what places a model, see `ingest.statement` (format `ifc` reads it).
    encoding : character encoding of attribute text, for formats that may not declare it (shp).
    layer : read only the layer of this name; None reads all.
    crs : CRS of layers that state none.
    assume_crs : CRS to take for layers that state none or whose statement is wrong.
    srid : EPSG code of the storage CRS, for formats that compute geometry rather than read it.
    buildings : those the city has, for models that are placed by them.
    keep : takes files that the objects of a format have of their own and returns their SHA-256.
    extra : options of single formats, by name.
    """

    place: str | None = None
    encoding: str | None = None
    layer: str | None = None
    crs: pyproj.CRS | None = None
    assume_crs: pyproj.CRS | None = None
    srid: int | None = None
    buildings: Buildings | None = None
    keep: Keep = digest
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: what it is called, how its files end, where it is specified, and how it is read.

    `read` yields the layers of one file one after another. It raises InvalidData for a file it cannot take,
    naming the file, what is wrong with it and what to do. `sidecars` are the suffixes of files that belong to the
    one named: they count for its digest. `kept` says that objects refer to the file by its SHA-256, so that the file
    store keeps it. `claims` tells by content whether a file is of this format, for a suffix that several share; one
    of them has none and takes what nobody claims. It never raises. `folder` says that a
    folder may be one file of this format: all in it counts for its digest.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    spec: str
    read: Callable[[Path, ReadOptions], Iterator[Layer]]
    sidecars: tuple[str, ...] = ()
    kept: bool = False
    claims: Callable[[Path], bool] | None = None
    folder: bool = False


def free_name(name: str, taken: Mapping[str, object]) -> str:
    """Return a name that keeps an attribute apart from our own columns and from a namesake."""
    candidate, number = f"source_{name}" if name in RESERVED else name, 1
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def check_only_layer(path: Path, options: ReadOptions) -> None:
    """Refuse a layer by another name than the file's stem, which the one layer of a file without layers has.

    Raises
    ------
    InvalidData : the operator asks for another.
    """
    if options.layer not in (None, path.stem):
        raise InvalidData(f"{path}: has no layer {options.layer!r}; it has {path.stem}")


def head(path: Path, count: int = 65_536) -> bytes:
    """Return the first bytes of a file, none where it cannot be read: what `claims` looks at."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""
