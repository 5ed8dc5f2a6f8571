"""CityJSON 2.0: one document. Its vertices come last, and wait in a file until then."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import orjson

from api.formats import BulkFormat, Layer
from api.formats._city3d import head, known, shapes

_IN_MEMORY = 1 << 22  # bytes; beyond, they go to the disk
_PIECE = 1 << 18


def _write(layer: Layer) -> Iterator[bytes]:
    yield orjson.dumps(head(layer))[:-1] + b',"CityObjects":{'
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as waiting:
        count, between = 0, b""
        for _, shape in shapes(layer):
            for name, one in shape.objects.items():
                for geometry in one.get("geometry", ()):
                    geometry["boundaries"] = _counted(geometry["boundaries"], count)
                yield b"%s%s:%s" % (between, orjson.dumps(name), orjson.dumps(one))
                between = b","
            if shape.vertices:
                waiting.write(b"," * bool(count) + orjson.dumps(shape.vertices)[1:-1])
                count += len(shape.vertices)
        yield b'},"vertices":['
        waiting.seek(0)
        while piece := waiting.read(_PIECE):
            yield piece
        yield b"]}"


def _counted(boundaries: Any, first: int) -> Any:
    """Return boundaries whose vertices are counted from the first of this object."""
    return [_counted(one, first) for one in boundaries] if isinstance(boundaries, list) else boundaries + first


FORMAT = BulkFormat(
    "cityjson", "application/city+json", "CityJSON", ".city.json", "columns", _write, known, native=True
)
