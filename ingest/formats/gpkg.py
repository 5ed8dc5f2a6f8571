"""GeoPackage: an SQLite database of vector layers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingest.formats._base import Format, Layer, ReadOptions


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the layers of a GeoPackage, tables without geometry among them."""
    from ingest.formats._ogr import read_layers

    yield from read_layers(path, options, "GeoPackage", (b"SQLite format 3\0",))


FORMAT = Format(
    name="gpkg",
    title="GeoPackage",
    suffixes=(".gpkg",),
    spec="OGC 12-128r19, GeoPackage Encoding Standard 1.4. https://www.geopackage.org/spec140/",
    read=read,
    sidecars=(".gpkg-wal",),
)
