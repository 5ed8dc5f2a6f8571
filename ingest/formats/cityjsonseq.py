"""CityJSONSeq: city objects as lines of JSON, one feature a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingest.city3d.claims import claims_cityjson
from ingest.formats._base import Format, Layer, ReadOptions


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield a layer for each type of city object; parts belong to the object they are part of.

    The file is read line by line.

    Raises
    ------
    InvalidData : no CityJSONSeq, a version that is not read, a damaged line.
    """
    from ingest.city3d import cityjson
    from ingest.city3d.feature import Notes
    from ingest.city3d.images import Images
    from ingest.city3d.layers import layers
    from ingest.city3d.templates import Templates
    from ingest.gdal import check_signature

    check_signature(path, (b"{",), "CityJSONSeq")
    with path.open("rb") as file:
        header = cityjson.header_of(path, cityjson.parse(path, next(file), "line 1"), options.assume_crs, options.crs)
        notes = Notes()
        images = Images(path, options.delivered, options.keep)
        images.call(header.appearance)
        features = images.of(cityjson.features_of_lines(path, file, header))
        templates = Templates(header.templates, header.appearance, header.frame, notes)
        yield from layers(features, header.frame, cityjson.stem(path), options.keep, notes, templates.placed)


FORMAT = Format(
    name="cityjsonseq",
    title="CityJSONSeq 1.0 to 2.0",
    suffixes=(".city.jsonl", ".jsonl"),
    spec="CityJSON Text Sequences. https://www.cityjson.org/cityjsonseq/",
    read=read,
    claims=claims_cityjson,
)
