"""Reading CityJSON and CityJSONSeq, versions 1.0, 1.1 and 2.0: the header, and one feature after another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyproj

from cim import crs as systems
from cim.errors import InvalidData
from ingest.city3d.document import Document, Objects
from ingest.city3d.feature import CityObject, Feature, Frame, frame

VERSIONS = ("1.0", "1.1", "2.0")
_EPSG = re.compile(
    r"(?i)^(?:urn:(?:x-)?ogc:def:crs:EPSG:[^:]*:|https?://www\.opengis\.net/def/crs/EPSG/[^/]+/|EPSG:)(\d+)$"
)
_IDENTITY = ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
# Groups collect objects that stand for themselves; they own none.
_GROUP = "CityObjectGroup"


@dataclass(frozen=True, slots=True)
class Header:
    """What a document says about all of its objects."""

    version: str
    frame: Frame
    templates: Mapping[str, Any]
    appearance: Mapping[str, Any] | None


def header_of(path: Path, document: Any, assumed: pyproj.CRS | None, default: pyproj.CRS | None) -> Header:
    """Return what a document (of CityJSONSeq: its first line) says about all of its objects.

    Parameters
    ----------
    assumed, default : the operator's word on the CRS, before that of the file and where it has none

    Raises
    ------
    InvalidData : no CityJSON, a version other than those read, a transform that is none, an unknown CRS.
    """
    if not isinstance(document, dict) or document.get("type") != "CityJSON":
        raise InvalidData(f"{path}: is not CityJSON: expected an object whose type is CityJSON{_shown(document)}")
    version = str(document.get("version"))
    if version[:3] not in VERSIONS:
        raise InvalidData(
            f"{path}: is CityJSON {version}; read are {', '.join(VERSIONS)}: bring it up to date with"
            " `cjio … upgrade save …`"
        )
    stated = (document.get("metadata") or {}).get("referenceSystem")
    system = default if stated is None else _system(path, stated)
    system = system if assumed is None else assumed
    templates, appearance = (_member(path, document, name) for name in ("geometry-templates", "appearance"))
    return Header(version[:3], frame(*_transform(path, document), system), templates or {}, appearance)


def features_of_document(path: Path, document: Document, header: Header) -> Iterator[Feature]:
    """Yield the features of a whole CityJSON document: every object without a parent there that is no group.

    Raises
    ------
    InvalidData : an object names a child that is not there, is its own descendant, or no child of its parent.
    """
    objects, vertices = document.objects(), document.vertices()
    named: set[str] = set()
    naming: set[str] = set()
    for name, one in objects.items():
        if all(objects.type_of(parent) in (_GROUP, None) for parent in one.get("parents") or ()):
            family = _family(path, name, one, objects)
            named.update(family.keys() - {name})
            yield Feature(name, family, vertices, header.appearance)
        else:
            naming.add(name)
    if naming - named:
        raise InvalidData(f"{path}: object {min(naming - named)!r} names a parent that does not name it as its child")


def features_of_lines(path: Path, lines: Iterator[bytes], header: Header) -> Iterator[Feature]:
    """Yield the feature of each line of CityJSONSeq after the first, which may say how features look that do not.

    Raises
    ------
    InvalidData : a line is no CityJSONFeature, or no object of it stands for itself.
    """
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        document = parse(path, line, f"line {number}")
        if not isinstance(document, dict) or document.get("type") != "CityJSONFeature":
            raise InvalidData(f"{path}: line {number}: expected a CityJSONFeature{_shown(document)}")
        objects, vertices = _members(path, document, f"line {number}: ")
        appearance = _member(path, document, "appearance", f"line {number}: ")
        root = document.get("id")
        if root not in objects:  # 1.1 had it optional
            roots = [n for n, o in objects.items() if not any(p in objects for p in o.get("parents") or ())]
            if len(roots) != 1:
                raise InvalidData(
                    f"{path}: line {number}: has {len(roots)} objects that are part of no other; expected one"
                )
            root = roots[0]
        yield Feature(root, objects, vertices, header.appearance if appearance is None else appearance)


def parse(path: Path, text: bytes, where: str = "") -> Any:
    """Return what a text of JSON says.

    Raises
    ------
    InvalidData : it is none.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        place = f"{where}: " if where else ""
        raise InvalidData(f"{path}: {place}is not JSON: {error}; the file is damaged or cut off") from error


def _member(path: Path, document: Mapping[str, Any], name: str, where: str = "") -> Mapping[str, Any] | None:
    """Return a member that is an object, None where it is missing or empty."""
    said = document.get(name)
    if not said:
        return None
    if not isinstance(said, dict):
        raise InvalidData(f"{path}: {where}{name} is no object")
    return said


def _members(path: Path, document: Mapping[str, Any], where: str = "") -> tuple[dict[str, CityObject], Sequence[Any]]:
    objects, vertices = document.get("CityObjects"), document.get("vertices")
    if not isinstance(objects, dict) or not all(isinstance(o, dict) and "type" in o for o in objects.values()):
        raise InvalidData(f"{path}: {where}CityObjects is no object of City Objects with a type each")
    if not isinstance(vertices, list):
        raise InvalidData(f"{path}: {where}vertices is no array")
    return objects, vertices


def _family(path: Path, root: str, whole: CityObject, objects: Objects) -> dict[str, CityObject]:
    """Return an object, with all that is part of it, by their names."""
    found = {root: whole}
    waiting = list(_children(whole))
    while waiting:
        name = waiting.pop()
        if name in found:
            raise InvalidData(f"{path}: object {name!r} is a child twice, or of itself")
        if name not in objects:
            raise InvalidData(f"{path}: object {root!r} names a child {name!r} that the file does not hold")
        found[name] = objects[name]
        waiting += _children(found[name])
    return found


def _children(one: CityObject) -> Sequence[str]:
    return () if one["type"] == _GROUP else one.get("children") or ()


def _transform(path: Path, document: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    given = document.get("transform")
    if given is None:
        if str(document.get("version")).startswith("1.0"):
            return _IDENTITY
        raise InvalidData(f"{path}: has no transform, which CityJSON since 1.1 demands")
    try:
        scale, translate = (tuple(float(v) for v in given[key]) for key in ("scale", "translate"))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidData(f"{path}: transform: expected scale and translate of three numbers each") from error
    sound = len(scale) == len(translate) == 3 and np.isfinite([*scale, *translate]).all() and all(scale)
    if not sound:
        raise InvalidData(f"{path}: transform: expected scale and translate of three numbers each, scales not zero")
    return scale, translate


def _system(path: Path, stated: Any) -> pyproj.CRS:
    match = _EPSG.match(str(stated).strip())
    try:
        return systems.parse(int(match[1]) if match else str(stated))
    except InvalidData as error:
        raise InvalidData(f"{path}: metadata.referenceSystem: {error}") from error


def _shown(document: Any) -> str:
    kind = document.get("type") if isinstance(document, dict) else type(document).__name__
    return f", found {str(kind)[:60]!r}"


def stem(path: Path) -> str:
    """Return the name of a file without its suffixes: `a.city.json` is `a`."""
    return path.name.removesuffix(path.suffix).removesuffix(".city")
