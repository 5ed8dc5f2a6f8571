"""Triangles of the products of a model, from the geometry kernels of ifcopenshell.

The fast kernel goes first, the thorough one for what it left out, and what neither meshes is replaced by the
box of its points where that box is true. Openings stay closed: an outline does not need the holes of doors
and windows, and leaving them out is several times faster. Each kernel runs behind a fence (`fence`): what it
crashes on, or never finishes, is told from the rest and goes to the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ingest.ifc import fence
from ingest.ifc.fence import Triangles
from ingest.ifc.opening import check_text

KERNELS = ("hybrid-cgal-simple-opencascade", "opencascade")
# Products that are not the fabric of a building. IFC2X3 and IFC4 names together; a schema lacks some of them.
NOT_FABRIC = frozenset(
    {
        "IfcAnnotation", "IfcCivilElement", "IfcDistributionElement", "IfcElementComponent",
        "IfcExternalSpatialElement", "IfcFeatureElement", "IfcFurnishingElement", "IfcGeographicElement",
        "IfcGrid", "IfcPort", "IfcRailing", "IfcSite", "IfcSpace", "IfcSpatialZone", "IfcStructuralItem",
        "IfcTransportElement", "IfcVirtualElement",
    }
)  # fmt: skip
# Products that one process meshes: the library keeps all of them until the process ends.
_MOST = 250
# So few products are not worth a process of their own.
_LEAST = 20
_FABRIC: dict[str, bool] = {}  # by class, as asked so far
# Representation items whose points all lie on their surface, in the product's own coordinates.
_FACETED = frozenset(
    {
        "IfcFacetedBrep", "IfcFacetedBrepWithVoids", "IfcFaceBasedSurfaceModel", "IfcShellBasedSurfaceModel",
        "IfcTriangulatedFaceSet", "IfcPolygonalFaceSet",
    }
)  # fmt: skip
_BODIES = frozenset({"Body", "Facetation", "Reference"})
# What tells the contexts of a model apart.
_VIEW = ("ContextType", "ContextIdentifier", "TargetView", "TargetScale")
_CURVES = frozenset({"Curve", "Curve2D", "Curve3D", "GeometricCurveSet", "Annotation2D", "Point", "PointCloud"})
# The six faces of a box as twelve triangles over its corners, numbered by the bits of (x, y, z).
_BOX_FACES = np.array(
    [
        [0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4],
        [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5],
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Meshes:
    """Triangles by STEP id, float64 (n, 3, 3), metres, model coordinates; ids that got a box or nothing.

    `faults` says of ids on which a kernel ended badly how it did, whether another meshed them or not.
    """

    triangles: Mapping[int, Triangles]
    boxed: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    faults: Mapping[int, str] = field(default_factory=dict)


def is_fabric(product: Any) -> bool:
    """Say whether a product is part of a building's fabric: not terrain, room, furniture, plant or sign."""
    kind = product.is_a(True)  # with the schema, as what a class is differs between them
    if kind not in _FABRIC:
        _FABRIC[kind] = not any(product.is_a(name) for name in NOT_FABRIC)
    return _FABRIC[kind]


def mesh(
    model: Any, products: Iterable[Any], length_unit: float, kernels: Sequence[str] = KERNELS, cores: int = 1
) -> Meshes:
    """Mesh `products`, those without a body representation left out.

    Parameters
    ----------
    model : ifcopenshell.file
    products : its IfcProduct instances
    length_unit : metres per length unit of the project, for the boxes
    kernels : geometry libraries of ifcopenshell, in the order in which they are tried
    cores : how many processes may mesh side by side
    """
    waiting = {product.id(): product for product in products if _bodies(product)}
    done: dict[int, Triangles] = {}
    faults: dict[int, str] = {}
    for kernel in kernels:
        if waiting:
            done.update(_try(model, list(waiting.values()), kernel, faults, cores))
            waiting = {key: product for key, product in waiting.items() if key not in done}
    boxes = {key: box for key, product in waiting.items() if (box := _box(product, length_unit)) is not None}
    return Meshes(done | boxes, tuple(boxes), tuple(key for key in waiting if key not in boxes), faults)


def _try(model: Any, products: list[Any], kernel: str, faults: dict[int, str], cores: int) -> dict[int, Triangles]:
    """Return what one kernel makes of the products; note in `faults` those on which it ended badly."""
    side_by_side = max(min(cores, len(products) // _LEAST), 1)
    count = side_by_side * math.ceil(len(products) / (side_by_side * _MOST))
    # Dealt out in turn, as neighbours are alike and take alike.
    jobs = [partial(_all_at_once, model, products[n::count], kernel) for n in range(count)]
    outcomes: list[fence.Outcome] = []
    for start in range(0, count, side_by_side):
        outcomes += fence.run_all(jobs[start : start + side_by_side])
    done = {key: found for outcome in outcomes for key, found in outcome.triangles.items()}
    rest = [product for product in products if product.id() not in done]
    outcome = next((outcome for outcome in outcomes if outcome.fault is not None), outcomes[0])
    while outcome.fault is not None and rest:
        outcome = fence.run(partial(_one_by_one, rest, kernel))
        done.update(outcome.triangles)
        if outcome.fault is None or outcome.at is None:
            break
        faults[outcome.at] = f"{kernel}: {outcome.fault}"
        rest = rest[[product.id() for product in rest].index(outcome.at) + 1 :]
    return done


def _bodies(product: Any) -> list[Any]:
    shape = product.Representation
    return [
        r
        for r in (() if shape is None else shape.Representations)
        if r.RepresentationIdentifier in _BODIES and r.RepresentationType not in _CURVES and r.Items
    ]


def _are_several(bodies: list[Any]) -> bool:
    """Say whether bodies are parts of one thing: some are meant for the same view and scale."""
    if len(bodies) < 2:
        return False
    seen = {
        (body.RepresentationIdentifier, *(getattr(body.ContextOfItems, name, None) for name in _VIEW))
        for body in bodies
    }
    return len(seen) < len(bodies)


def _settings() -> Any:
    import ifcopenshell.geom

    # The library is typed in part, and for every kind of output; with these settings there is only one.
    geometry: Any = ifcopenshell.geom
    settings: Any = geometry.settings()
    settings.set("disable-opening-subtractions", True)
    settings.set("no-normals", True)
    settings.set("weld-vertices", False)
    settings.set("no-parallel-mapping", True)  # there is one thread
    # Vertices stay local and are placed in double precision below: kernels lose millimetres far from the
    # origin.
    settings.set("use-world-coords", False)
    return settings


def _all_at_once(model: Any, products: list[Any], kernel: str) -> Iterator[tuple[int, Triangles | None]]:
    import ifcopenshell.geom

    geometry: Any = ifcopenshell.geom
    # The iterator takes one body of a product.
    several = {product.id(): product for product in products if _are_several(_bodies(product))}
    whole = [product for product in products if product.id() not in several]
    for shape in geometry.iterator(_settings(), model, 1, include=whole, geometry_library=kernel) if whole else ():
        check_text()
        yield from _placed(shape)
    check_text()
    yield from _one_by_one(list(several.values()), kernel)


def _one_by_one(products: list[Any], kernel: str) -> Iterator[tuple[int, Triangles | None]]:
    import ifcopenshell.geom

    geometry: Any = ifcopenshell.geom
    settings = _settings()
    for product in products:
        yield product.id(), None
        try:
            shapes = [
                geometry.create_shape(settings, product, body, geometry_library=kernel) for body in _parts(product)
            ]
        except RuntimeError as error:  # this kernel cannot mesh it, which the next may
            check_text(error)
            continue
        check_text()
        meshes = [triangles for shape in shapes for _, triangles in _placed(shape)]
        if meshes:
            yield product.id(), np.concatenate(meshes)


def _parts(product: Any) -> list[Any]:
    """Return the bodies that a product consists of; where it is one, none is named, and the kernel chooses."""
    bodies = _bodies(product)
    return bodies if _are_several(bodies) else [None]


def _placed(shape: Any) -> Iterator[tuple[int, Triangles]]:
    faces = np.frombuffer(shape.geometry.faces_buffer, np.int32).reshape(-1, 3)
    if len(faces):
        vertices = np.frombuffer(shape.geometry.verts_buffer, np.float64).reshape(-1, 3)
        matrix = np.frombuffer(shape.transformation_buffer, np.float64).reshape(4, 4, order="F")
        yield shape.id, (vertices @ matrix[:3, :3].T + matrix[:3, 3])[faces]


def _box(product: Any, length_unit: float) -> Triangles | None:
    import ifcopenshell.util.placement

    items = [
        i for r in product.Representation.Representations if r.RepresentationIdentifier in _BODIES for i in r.Items
    ]
    if not all(item.is_a() in _FACETED for item in items):
        return None
    points = [point for item in items for point in _points(item)]
    if not points:
        return None
    local = np.asarray(points, np.float64)
    low, high = local.min(axis=0), local.max(axis=0)
    corners = np.array([[(low, high)[bit >> axis & 1][axis] for axis in range(3)] for bit in range(8)])
    matrix = ifcopenshell.util.placement.get_local_placement(product.ObjectPlacement)
    placed: Triangles = ((corners @ matrix[:3, :3].T + matrix[:3, 3]) * length_unit)[_BOX_FACES]
    return placed


def _points(item: Any) -> list[tuple[float, float, float]]:
    model = item.file
    found: list[tuple[float, float, float]] = []
    for part in model.traverse(item):
        if part.is_a("IfcCartesianPointList3D"):
            found.extend(part.CoordList)
        elif part.is_a("IfcCartesianPoint") and len(part.Coordinates) == 3:
            found.append(part.Coordinates)
    return found
