"""GeoJSON: a feature collection as JSON text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingest.formats._base import Format, Layer, ReadOptions
from ingest.gdal import check_signature


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the one layer of a GeoJSON file, named like the file.

    Coordinates are degrees of WGS 84 (RFC 7946) unless the file has the `crs` member of the 2008 specification,
    which must name a CRS: one by link is refused, since GDAL would fetch it, and so is a name that nobody knows.
    Attributes are the `properties`; what features say beside them is told in the warnings.

    Raises
    ------
    InvalidData : the CRS is one of those, or a text holds U+0000.
    """
    from ingest.formats._json import check_known, check_no_link, check_no_nul
    from ingest.formats._members import left_out_of
    from ingest.formats._ogr import read_layers

    check_signature(path, (b"{",), "GeoJSON")
    check_no_link(path)
    check_no_nul(path)
    if options.assume_crs is None:
        check_known(path)
    for layer in read_layers(path, options, "GeoJSON", (b"{",)):
        layer.warnings.extend(left_out_of(path))
        yield layer


FORMAT = Format(
    name="geojson",
    title="GeoJSON",
    suffixes=(".geojson", ".json"),
    spec="RFC 7946, The GeoJSON Format. https://www.rfc-editor.org/rfc/rfc7946",
    read=read,
)
