"""CityJSON: a whole model of city objects as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingest.city3d.claims import claims_cityjson
from ingest.formats._base import Format, Layer, ReadOptions


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield a layer for each type of city object; parts belong to the object they are part of.

    Of a document the vertices are held in memory, as numbers, and where its objects lie; these are parsed one by one.

    Raises
    ------
    InvalidData : no CityJSON, a version that is not read, an object that names a child there is none of.
    """
    from ingest.city3d import cityjson
    from ingest.city3d.document import Document
    from ingest.city3d.feature import Notes
    from ingest.city3d.images import Images
    from ingest.city3d.layers import layers
    from ingest.city3d.templates import Templates
    from ingest.gdal import check_signature

    check_signature(path, (b"{",), "CityJSON")
    document = Document(path)
    header = cityjson.header_of(path, document.members, options.assume_crs, options.crs)
    notes = Notes()
    Images(path, options.delivered, options.keep).call(header.appearance)
    features = cityjson.features_of_document(path, document, header)
    templates = Templates(header.templates, header.appearance, header.frame, notes)
    yield from layers(features, header.frame, cityjson.stem(path), options.keep, notes, templates.placed)


FORMAT = Format(
    name="cityjson",
    title="CityJSON 1.0 to 2.0",
    suffixes=(".city.json", ".json"),
    spec="OGC 20-072r5, CityJSON Community Standard 2.0. https://www.cityjson.org/specs/2.0.1/",
    read=read,
    claims=claims_cityjson,
)
