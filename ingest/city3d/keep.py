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

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from cim.bodies import CITYJSON
from cim.files import Keep
from ingest.city3d.feature import DEPTHS, NO_SENSE, CityObject, Feature, Frame, Notes, lod_of, rings
from ingest.city3d.images import is_kept
from ingest.city3d.looks import LOOKS, looks_of

_WITHOUT_IMAGES = (
    "{n} with textures whose images are named in the files of the bodies, and not kept: pack them, PNG or JPEG, in one"
    " zip with the model"
)
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


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
    vertices: Sequence[Sequence[float]]
    if order and not 0 <= min(order) <= max(order) < len(feature.vertices):
        raise IndexError(f"its boundaries name vertices {min(order)} to {max(order)} of {len(feature.vertices)}")
    # A document has one list of vertices for all of its features: what goes over all of it would do so for each.
    if isinstance(feature.vertices, np.ndarray):
        vertices = feature.vertices[order].tolist()
    else:
        vertices = list(map(feature.vertices.__getitem__, order))
    if order != list(range(len(order))):
        number = {old: new for new, old in enumerate(order)}
        for ring in lists:
            ring[:] = map(number.__getitem__, ring)
    if not set(map(len, vertices)) <= {3}:
        raise ValueError("a vertex is not three numbers")
    return Feature(feature.id, objects, vertices, feature.appearance)


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
    features: Sequence[Feature],
    coordinates: NDArray[np.float64],
    frame: Frame,
    first_line: bytes,
    keep: Keep,
    notes: Notes | None = None,
) -> list[str | None]:
    """Keep each feature that has a body (level of detail 1 and finer) and return its SHA-256, None without.

    `coordinates` are those of all vertices of all features, one after another; `notes` take what is left out.
    """
    numbers = np.rint(coordinates / np.array(frame.units)).astype(np.int64)
    digests: list[str | None] = []
    start = 0
    for feature in features:
        end = start + len(feature.vertices)
        if _has_body(feature):
            looks, appearance = _looks(feature, notes or Notes())
            said = {
                "CityObjects": {name: _plain(one, feature, looks) for name, one in feature.objects.items()},
                "id": feature.id,
                "type": "CityJSONFeature",
                "vertices": numbers[start:end],
            }
            if appearance:
                said["appearance"] = appearance
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


def _looks(feature: Feature, notes: Notes) -> tuple[Iterator[dict[str, Any]], dict[str, Any]]:
    """Return the looks of the geometries of a feature, one after another, and what they are numbers of."""
    if feature.appearance is not None:
        geometries = [g for one in feature.objects.values() for g in _geometries(one)]
        try:
            found, appearance = looks_of(geometries, feature.appearance)
        except NO_SENSE:
            notes.add("{n} whose materials or textures make no sense: these are left out")
        else:
            if not all(map(is_kept, appearance.get("textures", ()))):
                notes.add(_WITHOUT_IMAGES)
            return iter(found), appearance
    return repeat({}), {}


def _geometries(one: CityObject) -> list[Any]:
    return [g for g in one.get("geometry") or () if g["type"] in DEPTHS]


def _plain(one: CityObject, feature: Feature, looks: Iterator[dict[str, Any]]) -> CityObject:
    """Return a City Object as version 2.0 has it: without relatives outside the feature and empty members.

    `looks` are those of its geometries, and of others after them.
    """
    said = dict(one)
    said["parents"] = sorted(p for p in one.get("parents") or () if p in feature.objects)
    said["children"] = sorted(one.get("children") or ())
    if isinstance(said.get("address"), dict):
        said["address"] = [said["address"]]
    said["geometry"] = [
        {k: v for k, v in g.items() if k not in LOOKS} | {"lod": lod_of(g)} | next(looks) for g in _geometries(one)
    ]
    return {name: value for name, value in said.items() if value or name == "type"}
