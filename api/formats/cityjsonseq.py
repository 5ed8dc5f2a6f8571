"""CityJSONSeq: a line that says what coordinates mean, then a line for each object."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from api.formats import BulkFormat, Layer
from api.formats._city3d import head, known, shapes
from cim.bodies import CITYJSON


def _write(layer: Layer) -> Iterator[bytes]:
    yield orjson.dumps({**head(layer), "CityObjects": {}, "vertices": []}, option=orjson.OPT_APPEND_NEWLINE)
    for code, shape in shapes(layer):
        feature = {"type": "CityJSONFeature", "id": code, "CityObjects": shape.objects, "vertices": shape.vertices}
        yield orjson.dumps(feature, option=orjson.OPT_APPEND_NEWLINE)


FORMAT = BulkFormat(
    "cityjsonseq", CITYJSON.media_type, "CityJSON text sequence", ".city.jsonl", "columns", _write, known, native=True
)
