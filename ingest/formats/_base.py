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

# Column names of `Layer.schema` that are not attributes of the source.
GEOMETRY = "geom"
SOURCE_ID = "_source_id"
PARENT_SOURCE_ID = "_parent_source_id"
FEATURE_ID = "_fid"
RESERVED = frozenset({GEOMETRY, SOURCE_ID, PARENT_SOURCE_ID, FEATURE_ID})


# Records a batch holds at most. Memory goes with it, and the server works on one while the next is prepared.
BATCH = 8192

Batches = Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True)
class Node:
    """A sentence about what a file was understood to hold, and sentences about its parts."""

    text: str
    parts: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Model:
    """A file that stands for itself whole, by its name and its SHA-256: what a later one of that name lacks is gone."""

    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a file, not yet interpreted: what its records look like, and how to read them in batches.

    Attributes
    ----------
    name : what the source calls it; the file's stem where the format has no layers.
    feature_type : the type its records are, where the format itself knows (IFC does); None leaves it to the
        mapping.
    schema : of every batch. Attribute columns, and `geom` (binary: ISO WKB, little endian, null where missing).
        Optionally `_source_id` (string: the source's own identifier of a record, null where it has none; left out by
        formats without), `_parent_source_id` (string, the `_source_id` of the parent object in the same file) and
        `_fid` (the file's own row number, which an export may renumber: never an attribute, an identifier only where
        a mapping says so).
    batches : starts reading and gives the records from the first on, as often as it is called, in the same order;
        most layers are read once. Batches of at most BATCH records, so that memory does not grow with the file. Raises
        InvalidData where the file turns out to be damaged, at the latest with its last record.
    crs : of `geom` as read; None where the source does not say.
    warnings : sentences for the report, each about this layer; complete when the records have been read.
    understood : what a model was understood to be, for the report.
    encoding : of attribute text, where the format had to find it out; else None.
    file, format : path in the file, and name of the format, of a file that another one packs; else None.
    model : the one that the layer is of; None where a file is no model.
    lineage : name of the data set across deliveries, under which records are named; None where `name` is.
    """

    name: str
    feature_type: str | None
    schema: pa.Schema
    batches: Batches
    crs: pyproj.CRS | None
    warnings: list[str] = field(default_factory=list)
    understood: list[Node] = field(default_factory=list)
    encoding: str | None = None
    file: str | None = None
    format: str | None = None
    model: Model | None = None
    lineage: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        feature_type: str | None,
        table: pa.Table,
        crs: pyproj.CRS | None,
        warnings: list[str] | None = None,
    ) -> Layer:
        """Return the layer of records that are in memory anyway, as those of formats that are read as a whole."""

        def batches() -> Iterator[pa.RecordBatch]:
            yield from table.to_batches(max_chunksize=BATCH)

        return cls(name, feature_type, table.schema, batches, crs, warnings or [])

    def table(self) -> pa.Table:
        """Read all records into memory."""
        return pa.Table.from_batches(self.batches(), self.schema)

    def head(self, count: int) -> pa.Table:
        """Read the first records, so many at most, and no further than the batch they end in."""
        first: list[pa.RecordBatch] = []
        for batch in self.batches():
            first.append(batch)
            if sum(b.num_rows for b in first) >= count:
                break
        return pa.Table.from_batches(first, self.schema).slice(0, count)


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
    delivered : folder of all files that came with this one, as one delivery; None for a file that came alone.
    cores : how many processes may read one file side by side; other files are read meanwhile where it is one.
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
    delivered: Path | None = None
    cores: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: what it is called, how its files end, where it is specified, and how it is read.

    `read` yields the layers of one file one after another, without their records: those come from `Layer.batches`.
    Both raise InvalidData for a file they cannot take, naming the file, what is wrong with it and what to do.
    `sidecars` are the suffixes of files that belong to the one named: they count for its digest. `kept` says that
    objects refer to the file by its SHA-256, so that the file store keeps it; `whole` that a file is a `Model`.
    `claims` tells by content whether a file is of this format, for a suffix that several share; one of them has none
    and takes what nobody claims. It never raises.
    `folder` says that a folder may be one file of this format: all in it counts for its digest. `packs` says that it
    holds files of other formats, which its layers name.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    spec: str
    read: Callable[[Path, ReadOptions], Iterator[Layer]]
    sidecars: tuple[str, ...] = ()
    kept: bool = False
    whole: bool = False
    claims: Callable[[Path], bool] | None = None
    folder: bool = False
    packs: bool = False


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


def stem(path: Path) -> str:
    """Return the name of a file without its suffix, and the one before it where that says how it is packed.

    So that of a model is the same, packed or not: `house` for `house.ifc`, `house.ifczip` and `house.ifc.gz`.
    """
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem


def head(path: Path, count: int = 65_536) -> bytes:
    """Return the first bytes of a file, none where it cannot be read: what `claims` looks at."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""
