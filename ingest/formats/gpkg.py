"""GeoPackage: an SQLite database of vector layers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from ingest.formats._base import Format, Layer, ReadOptions


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the layers of a GeoPackage, tables without geometry among them.

    What a program that has it open, or ended badly, left beside it in a log of its own is read too, from a copy: SQLite
    would write it into the file.
    """
    from ingest.formats._ogr import read_layers
    from ingest.scratch import Scratch

    signatures = (b"SQLite format 3\0",)
    log = path.with_name(f"{path.name}-wal")
    if not log.is_file():
        yield from read_layers(path, options, "GeoPackage", signatures)
        return
    scratch = Scratch()
    copy = scratch.path / path.name
    shutil.copy(path, copy)
    shutil.copy(log, scratch.path / log.name)
    for layer in read_layers(path, options, "GeoPackage", signatures, opened=copy):
        yield scratch.hold(layer)


FORMAT = Format(
    name="gpkg",
    title="GeoPackage",
    suffixes=(".gpkg",),
    spec="OGC 12-128r19, GeoPackage Encoding Standard 1.4. https://www.geopackage.org/spec140/",
    read=read,
    sidecars=(".gpkg-wal",),
)
