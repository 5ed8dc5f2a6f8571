"""Outlines and heights of real models, to hold ours against.

Run: python tests/ingest/ifc/outlines_make.py ../shared/data/ifc

Written by other means than those under test: the opencascade kernel with all openings cut, 21 sections between 0.5 and
1.5 m above the ground, one triangle at a time, faces united, joints of up to 30 cm closed, holes filled (none of the
models has a courtyard). The models of CYAA0BF3 are closed bodies without eaves: there it is all that they cover.
Two outlines are drawn by hand, from the dimensions of the walls. A height is that of the highest corner of what is no
furniture over the ground; the storeys above it are counted by hand, from what lies on which IfcBuildingStorey: a level
that has but the roof is none. `outlines.json` keeps all of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ifcopenshell
import ifcopenshell.geom
import numpy as np
import shapely

# The outer faces of the walls: FZK-Haus 12 × 10 m, IfcOpenHouse 10 × 5.36 m.
BY_HAND = {"AC20-FZK-Haus.ifc": (0.0, 0.0, 12.0, 10.0), "IfcOpenHouse_IFC4.ifc": (-5.0, -0.18, 5.0, 5.18)}
# Height of the ground in the coordinates of the model, metres.
CUT = {
    "AC20-FZK-Haus.ifc": 0.0,
    "IfcOpenHouse_IFC4.ifc": 0.0,
    "Duplex_A_20110907.ifc": 0.0,
    "SampleHouse4.ifc": 0.0,
    "tested_sample_project.ifc": 0.0,
    "TallBuilding.ifc": 0.0,
    "LargeBuilding.ifc": 0.0,
}
BODIES = "CYAA0BF3.gml.ifc"
STOREYS = {
    "AC20-FZK-Haus.ifc": 2,
    "IfcOpenHouse_IFC4.ifc": 1,
    "Duplex_A_20110907.ifc": 2,
    "SampleHouse4.ifc": 1,
    "tested_sample_project.ifc": 1,
    "TallBuilding.ifc": 4,
    "LargeBuilding.ifc": 2,
}
NOT_WALLS = ("IfcSpace", "IfcSite", "IfcFurnishingElement", "IfcOpeningElement", "IfcFlowTerminal", "IfcRailing")


def triangles(model: Any, products: list[Any]) -> Any:
    settings: Any = ifcopenshell.geom.settings()
    settings.set("use-world-coords", True)
    iterator: Any = ifcopenshell.geom.iterator
    found = []
    for shape in iterator(settings, model, 1, include=products, geometry_library="opencascade"):
        faces = np.array(shape.geometry.faces).reshape(-1, 3)
        if len(faces):
            found.append(np.array(shape.geometry.verts).reshape(-1, 3)[faces])
    return np.concatenate(found)


def cut(triangle: Any, z: float) -> Any:
    ends = []
    for start, end in zip(triangle, np.roll(triangle, -1, axis=0), strict=True):
        if (start[2] < z) != (end[2] < z):
            ends.append(start[:2] + (z - start[2]) / (end[2] - start[2]) * (end[:2] - start[:2]))
    return shapely.LineString(ends) if len(ends) == 2 else None


def sections(fabric: Any, ground: float) -> Any:
    faces: list[Any] = []
    for z in np.arange(ground + 0.5, ground + 1.501, 0.05):
        lines = [line for line in (cut(triangle, z) for triangle in fabric) if line is not None and line.length]
        noded = shapely.union_all(lines, grid_size=0.001)
        faces += shapely.get_parts(shapely.polygonize(shapely.get_parts(noded))).tolist()
    closed = (
        shapely.union_all(faces, grid_size=0.001).buffer(0.15, join_style="mitre").buffer(-0.15, join_style="mitre")
    )
    parts = [shapely.Polygon(part.exterior) for part in shapely.get_parts(closed) if part.area >= 0.5]
    return shapely.union_all(parts).simplify(0.002)


def covered(fabric: Any) -> Any:
    flat = [shapely.Polygon(t[:, :2]) for t in fabric]
    return shapely.union_all([face for face in flat if face.area > 1e-6], grid_size=0.001)


def known(outline: Any, fabric: Any, ground: float, storeys: int | None) -> dict[str, Any]:
    height = round(float(fabric[:, :, 2].max()) - ground, 3)
    return {"outline": shapely.to_wkt(outline, rounding_precision=3), "height": height, "storeys": storeys}


def main(folder: Path) -> None:
    found: dict[str, list[dict[str, Any]]] = {}
    for name, ground in CUT.items():
        model: Any = ifcopenshell.open(str(folder / name))
        products = [p for p in model.by_type("IfcElement") if p.Representation and not any(map(p.is_a, NOT_WALLS))]
        fabric = triangles(model, products)
        outline = shapely.box(*BY_HAND[name]) if name in BY_HAND else sections(fabric, ground)
        found[name] = [known(outline, fabric, ground, STOREYS[name])]
    model = ifcopenshell.open(str(folder / BODIES))
    found[BODIES] = []
    for building in model.by_type("IfcBuilding"):
        storey = building.IsDecomposedBy[0].RelatedObjects[0]
        products = [p for relation in storey.ContainsElements for p in relation.RelatedElements if p.Representation]
        fabric = triangles(model, products)
        found[BODIES].append(known(covered(fabric), fabric, float(fabric[:, :, 2].min()), None))
    Path(__file__).with_name("outlines.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
