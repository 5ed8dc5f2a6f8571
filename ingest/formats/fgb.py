"""FlatGeobuf: a binary layer with a spatial index."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from ingest.formats._base import Format, Layer, ReadOptions, head

# Of `index_node_size` in the table `Header` (header.fbs): its place in the vtable, and what holds where it is left out.
_INDEX_NODE_SIZE, _DEFAULT = 4 + 2 * 9, 16
# GDAL's quick way gives records behind one without geometry the shapes of others; those an index does not have.
_SLOWLY = {"OGR_FLATGEOBUF_STREAM_BASE_IMPL": "YES"}


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the one layer of a FlatGeobuf file."""
    from ingest.formats._ogr import read_layers

    settings = {} if _is_indexed(path) else _SLOWLY
    yield from read_layers(path, options, "FlatGeobuf", (b"fgb\x03fgb", b"fgb\x02fgb"), settings=settings)


def _is_indexed(path: Path) -> bool:
    """Tell whether a file has a spatial index, which holds no record without geometry; no where it is damaged."""
    start = head(path)[12:]  # behind the signature and the size of the header
    try:
        (table,) = struct.unpack_from("<I", start)
        (back,) = struct.unpack_from("<i", start, table)
        (field,) = struct.unpack_from("<H", start, table - back + _INDEX_NODE_SIZE)
        (held,) = struct.unpack_from("<H", start, table - back)
        size = struct.unpack_from("<H", start, table + field)[0] if held > _INDEX_NODE_SIZE and field else _DEFAULT
    except struct.error:
        return False
    return size > 0


FORMAT = Format(
    name="fgb",
    title="FlatGeobuf",
    suffixes=(".fgb",),
    spec="FlatGeobuf 3.0. https://flatgeobuf.org",
    read=read,
)
