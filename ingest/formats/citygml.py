"""CityGML: city objects as GML, of Japan's PLATEAU among others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingest.city3d.claims import claims_citygml
from ingest.formats._base import Format, Layer, ReadOptions


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield a layer for each type of city object; parts belong to the object they are part of.

    Objects are read one by one. Codes have their meaning beside them (`usage_label`) where the codelist lies in a
    folder `codelists` beside the file or up to two folders above it.

    Raises
    ------
    InvalidData : no CityGML, damaged, with a document type, a CRS that PROJ does not know.
    """
    from ingest.city3d.citygml import open_model
    from ingest.city3d.cityjson import stem
    from ingest.city3d.feature import Notes
    from ingest.city3d.layers import layers
    from ingest.gdal import check_signature

    check_signature(path, (b"<",), "CityGML")
    notes = Notes()
    model = open_model(path, options.assume_crs, options.crs, notes)
    yield from layers(model.features, model.frame, stem(path), options.keep, notes)


FORMAT = Format(
    name="citygml",
    title="CityGML 1.0 to 3.0, PLATEAU",
    suffixes=(".gml", ".xml"),
    spec="OGC 12-019, CityGML 2.0; OGC 20-010 and 21-006r2, CityGML 3.0. https://www.ogc.org/standards/citygml/",
    read=read,
    claims=claims_citygml,
)
