"""The body of an object as a file of its own, named by its SHA-256: one feature of CityJSONSeq, two lines.

The same body gives the same bytes, whatever file it came in: objects and members are sorted by name, vertices are
numbered in the order in which the geometries use them and counted from the origin of the CRS in millimetres
(billionths of a degree), numbers are written the shortest way, and white space is left out. A reader of CityJSON
opens it as it is.

Source
------
OGC 20-072r5, CityJSON Community Standard 2.0; CityJSONSeq. https://www.cityjson.org/cityjsonseq/
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from cim.bodies import CITYJSON
from cim.files import Keep
from ingest.city3d.feature import DEPTHS, CityObject, Feature, Frame, lod_of, rings

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
# Members of a City Object that say how it looks or who collects it, not what it is.
_LEFT_OUT = frozenset({"material", "texture"})


def compact(feature: Feature) -> Feature:
    """Return the feature with only the vertices that its geometries use, in the order in which they do.

    The geometries of the feature are changed in place: its file is read once.

    Raises
    ------
    AttributeError, IndexError, KeyError, TypeError, ValueError : the geometry makes no sense.
    """
    objects = {name: feature.objects[name] for name in sorted(feature.objects)}
    geometries = [g for one in objects.values() for g in one.get("geometry") or () if g["type"] in DEPTHS]
    lists = [ring for geometry in geometries for ring in rings(geometry)]
    order = list(dict.fromkeys(chain.from_iterable(lists)))
    vertices = feature.vertices
    if order and not 0 <= min(order) <= max(order) < len(vertices):
        raise IndexError(f"its boundaries name vertices {min(order)} to {max(order)} of {len(vertices)}")
    if order != list(range(len(vertices))):
        number = {old: new for new, old in enumerate(order)}
        for ring in lists:
            ring[:] = map(number.__getitem__, ring)
        vertices = list(map(vertices.__getitem__, order))
    if not set(map(len, vertices)) <= {3}:
        raise ValueError("a vertex is not three numbers")
    return Feature(feature.id, objects, vertices)


def header(frame: Frame) -> bytes:
    """Return the first line of every file from one frame."""
    authority = None if frame.system is None else frame.system.to_authority()
    said: dict[str, Any] = {
        "CityObjects": {},
        "transform": {"scale": list(frame.units), "translate": [0.0, 0.0, 0.0]},
        "type": "CityJSON",
        "version": "2.0",
        "vertices": [],
    }
    if authority is not None:
        said["metadata"] = {"referenceSystem": "https://www.opengis.net/def/crs/{}/0/{}".format(*authority)}
    line = orjson.dumps(said, option=_OPTIONS)
    assert line.startswith(CITYJSON.head)
    return line


def keep_all(
    features: Sequence[Feature], coordinates: NDArray[np.float64], frame: Frame, first_line: bytes, keep: Keep
) -> list[str | None]:
    """Keep each feature that has a body (level of detail 1 and finer) and return its SHA-256, None without.

    `coordinates` are those of all vertices of all features, one after another.
    """
    numbers = np.rint(coordinates / np.array(frame.units)).astype(np.int64)
    digests: list[str | None] = []
    start = 0
    for feature in features:
        end = start + len(feature.vertices)
        if _has_body(feature):
            said = {
                "CityObjects": {name: _plain(one, feature) for name, one in feature.objects.items()},
                "id": feature.id,
                "type": "CityJSONFeature",
                "vertices": numbers[start:end],
            }
            digests.append(keep(first_line + orjson.dumps(said, option=_OPTIONS)))
        else:
            digests.append(None)
        start = end
    return digests


def _has_body(feature: Feature) -> bool:
    return any(
        not lod_of(geometry).startswith("0")
        for one in feature.objects.values()
        for geometry in one.get("geometry") or ()
    )


def _plain(one: CityObject, feature: Feature) -> CityObject:
    """Return a City Object as version 2.0 has it: without looks, relatives outside the feature and empty members."""
    said = dict(one)
    said["parents"] = sorted(p for p in one.get("parents") or () if p in feature.objects)
    said["children"] = sorted(one.get("children") or ())
    if isinstance(said.get("address"), dict):
        said["address"] = [said["address"]]
    kept = [g for g in one.get("geometry") or () if g["type"] in DEPTHS]
    said["geometry"] = [{k: v for k, v in g.items() if k not in _LEFT_OUT} | {"lod": lod_of(g)} for g in kept]
    return {name: value for name, value in said.items() if value or name == "type"}
