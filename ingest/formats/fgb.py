"""FlatGeobuf: a binary layer with a spatial index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingest.formats._base import Format, Layer, ReadOptions


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the one layer of a FlatGeobuf file."""
    from ingest.formats._ogr import read_layers

    yield from read_layers(path, options, "FlatGeobuf", (b"fgb\x03fgb", b"fgb\x02fgb"))


FORMAT = Format(
    name="fgb",
    title="FlatGeobuf",
    suffixes=(".fgb",),
    spec="FlatGeobuf 3.0. https://flatgeobuf.org",
    read=read,
)
