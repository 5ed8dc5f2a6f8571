"""Which of the formats that share a suffix a file is of, told by its first bytes."""

from __future__ import annotations

import re
from pathlib import Path

from ingest.formats._base import head

# Members that CityJSON has and no other JSON, in whatever order they come.
_CITYJSON = re.compile(rb'"type"\s*:\s*"CityJSON(?:Feature)?"|"CityObjects"\s*:')
# Namespaces of CityGML 1.0 to 3.0, which a CityModel declares.
_CITYGML = re.compile(rb"<(?:[\w.-]+:)?CityModel[\s>]")


def claims_cityjson(path: Path) -> bool:
    """Tell whether a file of JSON is CityJSON or CityJSONSeq."""
    return _CITYJSON.search(head(path)) is not None


def claims_citygml(path: Path) -> bool:
    """Tell whether a file of XML is CityGML: its root is a CityModel."""
    return _CITYGML.search(head(path)) is not None
