"""GeoJSON text sequence (RFC 8142): a record separator, a feature, a line feed, for each."""

from __future__ import annotations

from collections.abc import Iterator

from api.formats import BulkFormat, Layer


def _write(layer: Layer) -> Iterator[bytes]:
    for batch in layer.stream:
        yield b"".join(b"\x1e%s\n" % text.encode() for text in batch.column("feature").to_pylist())


FORMAT = BulkFormat("geojsonseq", "application/geo+json-seq", "GeoJSON text sequence", ".geojsons", "features", _write)
