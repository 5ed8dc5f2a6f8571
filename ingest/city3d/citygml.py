"""Reading CityGML 1.0 to 3.0, PLATEAU's among it: one city object after another, as City Objects of CityJSON.

A member of the model is in memory while it is read, the file is not. XML entities and document types are refused,
nothing is fetched, and libxml2's own limits stand: no text above 10 MB, no more than 256 levels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj

from cim import crs as systems
from cim.errors import InvalidData
from ingest.city3d.codelists import Codelists
from ingest.city3d.feature import NO_SENSE, CityObject, Feature, Frame, Notes, frame
from ingest.city3d.gml import GML, Element, Shapes, identity, local, namespace

_ROOT = re.compile(r"http://www\.opengis\.net/citygml/(?:1\.0|2\.0|3\.0)")
_MEMBERS = frozenset({"cityObjectMember", "featureMember"})
_THEMATIC = frozenset({"boundedBy", "boundary", "opening", "fillingSurface", "trafficArea", "auxiliaryTrafficArea"})
# Names PROJ does not know: those of the German surveys (likely), with easting before northing.
_ADV = re.compile(r"urn:adv:crs:ETRS89_UTM(3[123])(?:\*(.+))?$")
# CRS written so have x before y, whatever the authority says (GML 3.2.1, a convention from before URNs).
_PLAIN = re.compile(r"(?i)^EPSG:\d+$")
_LOD = re.compile(r"lod(\d)(\w*)")
# Not geometry of the object itself: how its parts hang together, what stands on the ground, where it meets terrain.
_NO_SHAPE = ("Network", "TerrainIntersection")
# Objects that are part of another, and what CityJSON calls them.
PARTS: Mapping[str, str] = {
    "BuildingPart": "BuildingPart",
    "BuildingInstallation": "BuildingInstallation",
    "IntBuildingInstallation": "BuildingInstallation",
    "BuildingConstructiveElement": "BuildingConstructiveElement",
    "Room": "BuildingRoom",
    "BuildingRoom": "BuildingRoom",
    "BuildingStorey": "BuildingStorey",
    "BuildingUnit": "BuildingUnit",
}
_TYPES = {"TransportationComplex": "Road"}
_SURFACE = re.compile(r"(?:Ground|Roof|Wall|Closure|OuterFloor|OuterCeiling|Floor|Ceiling|InteriorWall)Surface")
_OPENINGS = frozenset({"Window", "Door", "WindowSurface", "DoorSurface"})
_REAL = frozenset({"measuredHeight"})
_WHOLE = frozenset({"yearOfConstruction", "yearOfDemolition", "storeysAboveGround", "storeysBelowGround"})
_SI = frozenset({"m", "#m", "metre", "meter", "urn:ogc:def:uom:UCUM::m", "m2", "m3"})
_GENERIC = re.compile(r"http://www\.opengis\.net/citygml/generics/")


@dataclass(frozen=True, slots=True)
class Model:
    """An open file: the frame of its coordinates, and its features, to be read once."""

    frame: Frame
    features: Iterator[Feature]


def open_model(path: Path, assumed: pyproj.CRS | None, default: pyproj.CRS | None, notes: Notes) -> Model:
    """Read a file up to its first object.

    Parameters
    ----------
    assumed, default : the operator's word on the CRS, before that of the file and where it has none

    Raises
    ------
    InvalidData : no CityGML, damaged, with a document type, an unknown CRS. So do the features, as they are read.
    """
    elements = _elements(path)
    envelope: Element | None = None
    first: Element | None = None
    for element in elements:
        if local(element) != "Envelope":
            first = element
            break
        envelope = element if envelope is None else envelope
    stated, dimension = _stated(envelope, first)
    system, swap = (None, False) if stated is None else _system(path, stated)
    system = assumed if assumed is not None else default if system is None else system
    if system is not None and envelope is not None:
        swap = _checked_order(envelope, system, swap, notes)
    placed = frame((1, 1, 1), (0, 0, 0), system)
    reader = _Reader(path, dimension, swap=swap, notes=notes)
    return Model(placed, reader.features(first, elements))


def _elements(path: Path) -> Iterator[Element]:
    """Yield the envelope of the model and its members, as they end; what was yielded is emptied afterwards."""
    from lxml import etree

    with path.open("rb") as file:
        events = etree.iterparse(
            file,
            events=("start", "end"),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        root: Element | None = None
        try:
            for event, element in events:
                if root is None:
                    root = element
                    _check_root(path, root)
                elif event == "end":
                    parent = element.getparent()
                    if parent is root:
                        if local(element) in _MEMBERS:
                            yield element
                        element.clear()
                        while element.getprevious() is not None:
                            del root[0]
                    elif local(element) == "Envelope" and parent.getparent() is root:
                        yield element
        except etree.XMLSyntaxError as error:
            raise InvalidData(f"{path}: is no sound XML: {error.msg}; the file is damaged or cut off") from error


def _check_root(path: Path, root: Element) -> None:
    if root.getroottree().docinfo.doctype:
        raise InvalidData(f"{path}: has a document type, which could name other files; take <!DOCTYPE …> out of it")
    if local(root) != "CityModel" or not _ROOT.match(namespace(root)):
        raise InvalidData(f"{path}: is not CityGML 1.0 to 3.0: its root is {root.tag}")


def _stated(envelope: Element | None, first: Element | None) -> tuple[str | None, int]:
    """Return the name of the CRS and the dimension of positions, as the model says, else its first object."""
    found = [] if envelope is None else [envelope]
    found += [] if first is None else [one for one in first.iter() if one.get("srsName") is not None][:1]
    name = next((one.get("srsName") for one in found if one.get("srsName")), None)
    dimension = next((one.get("srsDimension") for one in found if one.get("srsDimension")), None)
    return name, int(dimension) if dimension and dimension.isdecimal() else 3


def _system(path: Path, name: str) -> tuple[pyproj.CRS, bool]:
    """Return a CRS and whether its positions have y before x."""
    adv = _ADV.match(name)
    try:
        system = systems.parse(25800 + int(adv[1]) if adv else name)
    except InvalidData as error:
        raise InvalidData(f"{path}: srsName: {error}") from error
    north = systems.horizontal(system).axis_info[0].direction.lower() == "north"
    return system, north and not adv and _PLAIN.match(name) is None


def _checked_order(envelope: Element, system: pyproj.CRS, swap: bool, notes: Notes) -> bool:
    """Return the order of axes in which the envelope lies where its CRS is made for."""
    corners = [[float(t) for t in (one.text or "").split()[:2]] for one in envelope if "Corner" in local(one)]
    if len(corners) != 2 or any(len(corner) != 2 for corner in corners):
        return swap
    flat = systems.horizontal(system)

    def fits(order: bool) -> bool:
        box = [value for corner in corners for value in (corner[::-1] if order else corner)]
        return bool(systems.inside(np.array([box]), flat)[0])

    if fits(swap) or not fits(not swap):
        return swap
    notes.add(f"coordinates come in another order of axes than {systems.name(flat)} has")
    return not swap


class _Reader:
    """Makes features of the members of one model."""

    def __init__(self, path: Path, dimension: int, *, swap: bool, notes: Notes) -> None:
        self._path = path
        self._dimension = dimension
        self._swap = swap
        self._notes = notes
        self._codelists = Codelists(path)
        self._unnamed = 0

    def features(self, first: Element | None, rest: Iterator[Element]) -> Iterator[Feature]:
        """Yield a feature for each member."""
        if first is not None:
            yield from self._feature(first)
            for element in rest:
                if local(element) != "Envelope":
                    yield from self._feature(element)

    def _feature(self, member: Element) -> Iterator[Feature]:
        for element in member:
            shapes = Shapes(element, self._dimension, swap=self._swap)
            objects: dict[str, CityObject] = {}
            name = self._name(element)
            self._object(element, name, None, objects, shapes)
            if shapes.missing:
                self._notes.add("{n} surfaces are only referred to, and not in their object", shapes.missing)
            yield Feature(name, objects, shapes.vertices)

    def _name(self, element: Element) -> str:
        name = identity(element)
        if name is None:
            self._unnamed += 1
            name = f"{local(element)}_{self._unnamed}"
        return name

    def _object(
        self, element: Element, name: str, parent: str | None, objects: dict[str, CityObject], shapes: Shapes
    ) -> None:
        kind = local(element)
        one: CityObject = {"type": PARTS.get(kind) or _TYPES.get(kind, kind)}
        objects[name] = one
        if parent is not None:
            one["parents"] = [parent]
        attributes: dict[str, Any] = {}
        children: list[str] = []
        for child in element:
            if local(child) == "address":
                words = [t.strip() for t in child.itertext() if t.strip()]
                one["address"] = [{"text": ", ".join(words)}] if words else []
                continue
            below = [part for part in child if local(part) in PARTS]
            for part in below:
                own = self._name(part)
                children.append(own)
                self._object(part, own, name, objects, shapes)
            if not below:
                self._attribute(child, attributes)
        try:
            one["geometry"] = _geometries(element, shapes, self._notes)
        except NO_SENSE as error:
            self._notes.add(f"object {name!r} has a geometry that makes no sense: {error}")
            one["geometry"] = [{"type": "MultiSurface", "lod": "0", "boundaries": None}]
        one["attributes"] = _completed(attributes)
        if children:
            one["children"] = children

    def _attribute(self, child: Element, attributes: dict[str, Any]) -> None:
        """Add what a property says; geometry and surfaces are no attributes."""
        name = local(child)
        if name in _THEMATIC or _is_shape(child):
            return
        if _GENERIC.match(namespace(child)) and name.endswith(("Attribute", "AttributeSet")):
            generic = child.get("name") or _text_of(child, "name") or name
            _put(attributes, generic, _generic(child))
        elif name == "genericAttribute":
            for one in child:
                _put(attributes, _text_of(one, "name") or local(one), _generic(one))
        elif len(child) == 0:
            self._leaf(child, name, attributes)
        else:
            self._nested(child, name, attributes)

    def _leaf(self, child: Element, name: str, attributes: dict[str, Any]) -> None:
        text = (child.text or "").strip()
        if not text:
            return
        unit = child.get("uom")
        value: Any = text
        if name in _WHOLE and text.isdecimal():
            value = int(text)
        elif name in _REAL or unit is not None:
            value = _number(text)
        if unit is not None and unit not in _SI:
            value = {"value": value, "uom": unit}
        _put(attributes, name, value)
        space = child.get("codeSpace")
        label = None if space is None else self._codelists.label(space, text)
        if label is not None:
            _put(attributes, f"{name}_label", label)

    def _nested(self, child: Element, name: str, attributes: dict[str, Any]) -> None:
        said: dict[str, Any] = {}
        # A property holds an object, the object its properties: of the three levels, two say anything.
        inner = child[0] if len(child) == 1 and len(child[0]) else child
        for one in inner:
            self._attribute(one, said)
        if name in attributes or f"{name}." in {key[: len(name) + 1] for key in attributes}:
            before = {
                k.removeprefix(f"{name}."): attributes.pop(k) for k in list(attributes) if k.startswith(f"{name}.")
            }
            if before:
                attributes[name] = [before]
            _put(attributes, name, said)
        else:
            for key, value in said.items():
                attributes[f"{name}.{key}"] = value


def _put(attributes: dict[str, Any], name: str, value: Any) -> None:
    """Add a value; several of one name become a list."""
    if name not in attributes:
        attributes[name] = value
    elif isinstance(attributes[name], list):
        attributes[name].append(value)
    else:
        attributes[name] = [attributes[name], value]


def _generic(element: Element) -> Any:
    kind = local(element).lower()
    if kind.endswith("set"):
        return {one.get("name") or _text_of(one, "name") or local(one): _generic(one) for one in element if len(one)}
    text = (_text_of(element, "value") or "").strip()
    if kind.startswith(("int", "double", "measure")):
        return _number(text)
    return text or None


def _number(text: str) -> int | float | str:
    """Return the number a text is, itself where it is none."""
    try:
        return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else float(text)
    except ValueError:
        return text


def _text_of(element: Element, name: str) -> str | None:
    return next((one.text for one in element if local(one) == name and one.text), None)


def _is_shape(child: Element) -> bool:
    """Tell whether a property holds geometry: `lod2Solid` does, `lod1HeightType` does not."""
    return any(namespace(one) in GML or local(one) == "ImplicitGeometry" for one in child) or (
        _LOD.match(local(child)) is not None and "{http://www.w3.org/1999/xlink}href" in child.attrib
    )


def _completed(attributes: dict[str, Any]) -> dict[str, Any]:
    """Add what CityGML 3.0 and PLATEAU say elsewhere under the names that all others use."""
    said = dict(attributes)
    if "height.value" in said:
        said.setdefault("measuredHeight", said["height.value"])
    for old, new in (("dateOfConstruction", "yearOfConstruction"), ("dateOfDemolition", "yearOfDemolition")):
        if old in said:
            said.setdefault(new, said[old])
    for name, value in attributes.items():
        if name.rpartition(".")[2] == "buildingID":
            branch = attributes.get(f"{name.removesuffix('buildingID')}branchID", "1")
            # Branches are the buildings of one number; the first is the one it had before there were more.
            said.setdefault("plateau_id", value if branch == "1" else f"{value}-{branch}")
    return said


def _geometries(element: Element, shapes: Shapes, notes: Notes) -> list[dict[str, Any]]:
    """Return the geometries of an object, one or two for each level of detail."""
    meant: dict[str, list[tuple[Element, list[list[int]], str]]] = {}
    for kind, surface in _thematic(element):
        for lod, prop in _shape_properties(surface):
            meant.setdefault(lod, []).extend((p, rings, kind) for p, rings in shapes.surfaces(prop))
    found: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    for lod, prop in [*_shape_properties(element), *_flat_shapes(element)]:
        kinds = {polygon: kind for polygon, _, kind in meant.get(lod, [])}
        geometry = _geometry(lod, prop, kinds, shapes)
        if geometry is not None:
            (edges if local(prop) == "lod0RoofEdge" else found).append(geometry)
            if kinds and geometry["type"] == "Solid" and "semantics" in geometry:
                meant.pop(lod)
    found += [_meaningful(lod, surfaces) for lod, surfaces in meant.items() if surfaces]
    grounded = any(kind == "GroundSurface" for surfaces in meant.values() for _, _, kind in surfaces)
    if edges and not grounded and not any(g["lod"] == "0" for g in found):
        notes.add("{n} whose footprint is the edge of the roof (lod0RoofEdge)")
        found += edges
    return found


def _thematic(element: Element) -> Iterator[tuple[str, Element]]:
    """Yield the surfaces with a meaning that bound an object, and the openings in them."""
    for prop in element:
        if local(prop) in _THEMATIC:
            for surface in prop:
                kind = local(surface)
                if _SURFACE.fullmatch(kind) or kind in _OPENINGS or kind.endswith("TrafficArea"):
                    yield kind.removesuffix("Surface") if kind.startswith(("Window", "Door")) else kind, surface
                    yield from _thematic(surface)


def _shape_properties(element: Element) -> Iterator[tuple[str, Element]]:
    for prop in element:
        match = _LOD.match(local(prop))
        if match and not match[2].startswith(_NO_SHAPE) and _is_shape(prop):
            yield match[1], prop


def _flat_shapes(element: Element) -> Iterator[tuple[str, Element]]:
    """Yield what PLATEAU's pipes and cables are on the map, which stands among their attributes."""
    for prop in element.iter("{*}lod0Geometry"):
        if prop.getparent() is not element:
            yield "0", prop


def _geometry(lod: str, prop: Element, kinds: Mapping[Element, str], shapes: Shapes) -> dict[str, Any] | None:
    """Return the geometry of a property, None where it holds none we know."""
    if any(local(one) == "ImplicitGeometry" for one in prop):
        points = [n for one in prop.iter("{*}referencePoint") for n in shapes.points(one)]
        return {"type": "MultiPoint", "lod": lod, "boundaries": points} if points else None
    solids = shapes.solids(prop)
    if solids:
        shells = [[[rings for _, rings in shell] for shell in solid] for solid in solids]
        if len(solids) > 1:
            return {"type": "MultiSolid", "lod": lod, "boundaries": shells}
        geometry: dict[str, Any] = {"type": "Solid", "lod": lod, "boundaries": shells[0]}
        told = [[kinds.get(polygon) for polygon, _ in shell] for shell in solids[0]]
        if any(kind for shell in told for kind in shell):
            geometry["semantics"] = _semantics([k for shell in told for k in shell], [len(shell) for shell in told])
        return geometry
    surfaces = shapes.surfaces(prop)
    if surfaces:
        return {"type": "MultiSurface", "lod": lod, "boundaries": [rings for _, rings in surfaces]}
    lines = shapes.lines(prop)
    if lines:
        return {"type": "MultiLineString", "lod": lod, "boundaries": lines}
    points = shapes.points(prop)
    return {"type": "MultiPoint", "lod": lod, "boundaries": points} if points else None


def _meaningful(lod: str, surfaces: list[tuple[Element, list[list[int]], str]]) -> dict[str, Any]:
    semantics = _semantics([kind for _, _, kind in surfaces], None)
    return {
        "type": "MultiSurface",
        "lod": lod,
        "boundaries": [rings for _, rings, _ in surfaces],
        "semantics": semantics,
    }


def _semantics(kinds: list[str | None], shells: list[int] | None) -> dict[str, Any]:
    names = list(dict.fromkeys(kind for kind in kinds if kind is not None))
    values: list[Any] = [None if kind is None else names.index(kind) for kind in kinds]
    if shells is not None:
        waiting = iter(values)
        values = [[next(waiting) for _ in range(count)] for count in shells]
    return {"surfaces": [{"type": name} for name in names], "values": values}
