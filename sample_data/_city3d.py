"""Three houses with bodies, and what maps of streets say, in the formats that carry them.

The houses stand beside the sample district and belong to no part of it; their numbers can be checked by hand:

- gable: 10 m × 8 m, walls of 6 m, a ridge of 9 m; two storeys of 1998
- courtyard: 20 m × 20 m around a court of 8 m × 8 m, 12 m high, with a tower of 4 m × 20 m × 30 m beside it as
  its second part: 336 m² and 80 m² of ground
- block: 12 m × 12 m × 5 m at level of detail 1, its surfaces without meaning
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

# Corner of the houses in EPSG:4548, and the height of their ground in the heights of 1985 (EPSG:5737).
EAST, NORTH, GROUND = 421_000, 4_318_000, 20
IDS = {
    "gable": "bldg_7c1f8a52-0d3e-4a6b-9f10-5b2c6d7e8f90",
    "courtyard": "bldg_1a2b3c4d-5e6f-4071-8293-a4b5c6d7e8f9",
    "block": "bldg_0f1e2d3c-4b5a-4697-8877-665544332211",
}
_SPACES = {
    "core": "http://www.opengis.net/citygml/2.0",
    "bldg": "http://www.opengis.net/citygml/building/2.0",
    "gml": "http://www.opengis.net/gml",
    "xlink": "http://www.w3.org/1999/xlink",
}
# Attributes in the order in which the schema has them.
_GML_NAMES = {
    "name": "gml:name",
    "function": "bldg:function",
    "yearOfConstruction": "bldg:yearOfConstruction",
    "measuredHeight": "bldg:measuredHeight",
    "storeysAboveGround": "bldg:storeysAboveGround",
}
Point = tuple[float, float, float]
Surface = list[list[Point]]


def box(x: float, y: float, dx: float, dy: float, top: float) -> list[tuple[str, Surface]]:
    """Return the surfaces of a box on the ground, seen from outside, with their meanings."""
    corners = [(x, y), (x + dx, y), (x + dx, y + dy), (x, y + dy)]
    floor: Surface = [[(a, b, 0) for a, b in reversed(corners)]]
    roof: Surface = [[(a, b, top) for a, b in corners]]
    return [("GroundSurface", floor), ("RoofSurface", roof), *_walls(corners, top)]


def _walls(corners: list[tuple[float, float]], top: float) -> list[tuple[str, Surface]]:
    pairs = zip(corners, corners[1:] + corners[:1], strict=True)
    return [("WallSurface", [[(a, b, 0), (c, d, 0), (c, d, top), (a, b, top)]]) for (a, b), (c, d) in pairs]


def gable() -> list[tuple[str, Surface]]:
    """Return the house with a gable roof along its length."""
    x, y, dx, dy, eaves, ridge = 0.0, 0.0, 10.0, 8.0, 6.0, 9.0
    middle = y + dy / 2
    return [
        ("GroundSurface", [[(x, y, 0), (x, y + dy, 0), (x + dx, y + dy, 0), (x + dx, y, 0)]]),
        ("RoofSurface", [[(x, y, eaves), (x + dx, y, eaves), (x + dx, middle, ridge), (x, middle, ridge)]]),
        ("RoofSurface", [[(x + dx, y + dy, eaves), (x, y + dy, eaves), (x, middle, ridge), (x + dx, middle, ridge)]]),
        ("WallSurface", [[(x, y, 0), (x + dx, y, 0), (x + dx, y, eaves), (x, y, eaves)]]),
        ("WallSurface", [[(x + dx, y + dy, 0), (x, y + dy, 0), (x, y + dy, eaves), (x + dx, y + dy, eaves)]]),
        ("WallSurface", [[(x, y + dy, 0), (x, y, 0), (x, y, eaves), (x, middle, ridge), (x, y + dy, eaves)]]),
        (
            "WallSurface",
            [
                [
                    (x + dx, y, 0), (x + dx, y + dy, 0), (x + dx, y + dy, eaves), (x + dx, middle, ridge),
                    (x + dx, y, eaves),
                ]
            ],
        ),
    ]  # fmt: skip


def courtyard() -> list[tuple[str, Surface]]:
    """Return the block around a court."""
    outer = [(30.0, 0.0), (50.0, 0.0), (50.0, 20.0), (30.0, 20.0)]
    inner = [(36.0, 6.0), (36.0, 14.0), (44.0, 14.0), (44.0, 6.0)]
    floor: Surface = [[(a, b, 0) for a, b in reversed(ring)] for ring in (outer, inner)]
    roof: Surface = [[(a, b, 12) for a, b in ring] for ring in (outer, inner)]
    walls = [*_walls(outer, 12), *_walls(inner, 12)]
    return [("GroundSurface", floor), ("RoofSurface", roof), *walls]


def write(folder: Path) -> None:
    """Write the houses as CityJSON, CityJSONSeq and CityGML."""
    folder.mkdir(parents=True, exist_ok=True)
    features = [_feature(*house) for house in _houses()]
    first = {
        "type": "CityJSON",
        "version": "2.0",
        "transform": {"scale": [0.001, 0.001, 0.001], "translate": [EAST, NORTH, GROUND]},
        "metadata": {"referenceSystem": "https://www.opengis.net/def/crs/EPSG/0/4548"},
        "CityObjects": {},
        "vertices": [],
    }
    lines = [first, *features]
    (folder / "houses.city.jsonl").write_text("".join(_json(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "houses.gml").write_text(_citygml(), encoding="utf-8")
    objects: dict[str, Any] = {}
    vertices: list[list[int]] = []
    for feature in features:
        for name, one in feature["CityObjects"].items():
            objects[name] = {**one, "geometry": [_shifted(g, len(vertices)) for g in one.get("geometry", ())]}
        vertices += feature["vertices"]
    (folder / "houses.city.json").write_text(
        _json({**first, "CityObjects": objects, "vertices": vertices}) + "\n", encoding="utf-8"
    )


def _citygml() -> str:
    """Return the houses as CityGML 2.0; EPSG:4548 has northing before easting."""
    members = []
    for name, attributes, bodies in _houses():
        said = "".join(
            f"<{_GML_NAMES[key]}>{attributes[key]}</{_GML_NAMES[key]}>" for key in _GML_NAMES if key in attributes
        )
        own = _body(*bodies[name]) if name in bodies else ""
        parts = "".join(
            f'<bldg:consistsOfBuildingPart><bldg:BuildingPart gml:id="{part}">{_body(*body)}'
            "</bldg:BuildingPart></bldg:consistsOfBuildingPart>"
            for part, body in bodies.items()
            if part != name
        )
        members.append(
            f'<core:cityObjectMember><bldg:Building gml:id="{name}">{said}{own}{parts}</bldg:Building>'
            "</core:cityObjectMember>\n"
        )
    envelope = (
        '<gml:boundedBy><gml:Envelope srsName="urn:ogc:def:crs:EPSG::4548" srsDimension="3">'
        f"<gml:lowerCorner>{NORTH} {EAST} {GROUND}</gml:lowerCorner>"
        f"<gml:upperCorner>{NORTH + 20} {EAST + 82} {GROUND + 30}</gml:upperCorner></gml:Envelope></gml:boundedBy>\n"
    )
    spaces = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in _SPACES.items())
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f"{head}<core:CityModel{spaces}>\n{envelope}{''.join(members)}</core:CityModel>\n"


def _body(lod: str, surfaces: list[tuple[str, Surface]]) -> str:
    """Return a solid, its surfaces in place at level 1, by reference to surfaces with a meaning at level 2."""
    polygons = [_polygon(surface) for _, surface in surfaces]
    if not any(kind for kind, _ in surfaces):
        return _solid_gml(lod, polygons)
    ids = [f"p{zlib.crc32(polygon.encode()):08x}" for polygon in polygons]
    bounds = "".join(
        f"<bldg:boundedBy><bldg:{kind}><bldg:lod{lod}MultiSurface><gml:MultiSurface><gml:surfaceMember>"
        f"{_polygon(surface, one)}"
        f"</gml:surfaceMember></gml:MultiSurface></bldg:lod{lod}MultiSurface></bldg:{kind}></bldg:boundedBy>"
        for (kind, surface), one in zip(surfaces, ids, strict=True)
    )
    return _solid_gml(lod, [f"#{one}" for one in ids]) + bounds


def _solid_gml(lod: str, surfaces: list[str]) -> str:
    members = "".join(
        f'<gml:surfaceMember xlink:href="{one}"/>'
        if one.startswith("#")
        else f"<gml:surfaceMember>{one}</gml:surfaceMember>"
        for one in surfaces
    )
    return (
        f"<bldg:lod{lod}Solid><gml:Solid><gml:exterior><gml:CompositeSurface>{members}"
        f"</gml:CompositeSurface></gml:exterior></gml:Solid></bldg:lod{lod}Solid>"
    )


def _polygon(surface: Surface, name: str | None = None) -> str:
    sides = ["exterior"] + ["interior"] * (len(surface) - 1)
    rings = "".join(
        f"<gml:{side}><gml:LinearRing><gml:posList>"
        + " ".join(f"{NORTH + y} {EAST + x} {GROUND + z}" for x, y, z in [*ring, ring[0]])
        + f"</gml:posList></gml:LinearRing></gml:{side}>"
        for side, ring in zip(sides, surface, strict=True)
    )
    identity = "" if name is None else f' gml:id="{name}"'
    return f"<gml:Polygon{identity}>{rings}</gml:Polygon>"


def _houses() -> list[tuple[str, dict[str, Any], dict[str, tuple[str, list[tuple[str, Surface]]]]]]:
    """Return each house: its id, its attributes, and its bodies by id with their level of detail."""
    yard = IDS["courtyard"]
    return [
        (
            IDS["gable"],
            {"name": "人字顶", "measuredHeight": 9.0, "storeysAboveGround": 2, "yearOfConstruction": 1998},
            {IDS["gable"]: ("2", gable())},
        ),
        (
            yard,
            {"name": "院落", "function": "1000", "storeysAboveGround": 4},
            {f"{yard}_1": ("2", courtyard()), f"{yard}_2": ("2", box(50, 0, 4, 20, 30))},
        ),
        (IDS["block"], {"name": "平房"}, {IDS["block"]: ("1", [("", s) for _, s in box(70, 0, 12, 12, 5)])}),
    ]


def _feature(name: str, attributes: dict[str, Any], bodies: dict[str, Any]) -> dict[str, Any]:
    numbers: dict[Point, int] = {}
    objects: dict[str, Any] = {name: {"type": "Building", "attributes": attributes}}
    parts = [part for part in bodies if part != name]
    if parts:
        objects[name]["children"] = parts
    for part, (lod, surfaces) in bodies.items():
        one = objects.setdefault(part, {"type": "BuildingPart", "parents": [name]})
        one["geometry"] = [_solid(lod, surfaces, numbers)]
    vertices = [[round(value * 1000) for value in point] for point in numbers]
    return {"type": "CityJSONFeature", "id": name, "CityObjects": objects, "vertices": vertices}


def _solid(lod: str, surfaces: list[tuple[str, Surface]], numbers: dict[Point, int]) -> dict[str, Any]:
    shell = [[[numbers.setdefault(p, len(numbers)) for p in ring] for ring in surface] for _, surface in surfaces]
    geometry: dict[str, Any] = {"type": "Solid", "lod": lod, "boundaries": [shell]}
    kinds = list(dict.fromkeys(kind for kind, _ in surfaces if kind))
    if kinds:
        values = [kinds.index(kind) for kind, _ in surfaces]
        geometry["semantics"] = {"surfaces": [{"type": kind} for kind in kinds], "values": [values]}
    return geometry


def _shifted(geometry: dict[str, Any], by: int) -> dict[str, Any]:
    shells = [[[[n + by for n in ring] for ring in surface] for surface in shell] for shell in geometry["boundaries"]]
    return {**geometry, "boundaries": shells}


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
