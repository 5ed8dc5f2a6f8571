"""GML: features as XML, each with geometry of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cim.errors import InvalidData
from ingest.formats._base import Format, Layer, ReadOptions

_NAMESPACE = "http://www.opengis.net/gml"
_SETTINGS = {
    # Without a schema GDAL guesses: what looks like a number becomes one.
    "GML_FIELDTYPES": "ALWAYS_STRING",
    "GML_DOWNLOAD_SCHEMA": "NO",
    "GML_SKIP_RESOLVE_ELEMS": "ALL",
}
# Of a feature's own bounding box, which is no attribute.
_ENVELOPE = frozenset({"lowerCorner", "upperCorner", "boundedBy|Box|coordinates"})


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield a layer for each feature type of a GML file, axes in the order x, y whatever the CRS says.

    Schemas are not followed, nor links out of the file; see `ingest.formats._links`. Text whose every value is a number
    as one would write it is a number. Files of Japan's KSJ are read, too, see `ingest.formats._ksj`.

    Raises
    ------
    InvalidData : no GML, a document type, an encoding that is not the one stated, links without end.
    """
    from ingest.formats._ksj import as_collection, is_ksj
    from ingest.formats._links import follow
    from ingest.formats._ogr import read_layers_apart
    from ingest.formats._text import identified, typed, without
    from ingest.formats._xml import stage
    from ingest.scratch import Scratch

    scratch = Scratch()
    copy, root = stage(path, scratch.path, "GML")
    if is_ksj(root):
        as_collection(path, copy)
    elif not any(uri.startswith(_NAMESPACE) for uri in root.declared):
        raise InvalidData(f"{path}: is not GML: its root element {root.name!r} declares no namespace of GML")
    lost = follow(path, copy)
    for layer in read_layers_apart(path, copy, options, "GML", _SETTINGS):
        layer.warnings.extend(lost)
        yield scratch.hold(typed(identified(without(layer, _ENVELOPE), "gml_id")))


FORMAT = Format(
    name="gml",
    title="Geography Markup Language",
    suffixes=(".gml", ".xml"),
    spec="OGC 07-036r1, Geography Markup Language 3.2.2. https://www.ogc.org/standards/gml/",
    read=read,
)
