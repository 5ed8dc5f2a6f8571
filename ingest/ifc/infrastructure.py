"""What a model says about roads, railways, bridges and networks outside of buildings: lines and points.

The dictionary has no railway and no bridge: the track is a road of class `other`, a bridge a component without class,
and `ifc_class` in the attributes says what the model calls them. Pipes and devices in buildings belong to the
building, and are left out. Nothing is placed yet: shapes are in metres in the coordinates of the model, in plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ingest.ifc import fence, properties
from ingest.ifc.opening import check_text
from ingest.ifc.properties import Units, text

# Predefined types of IfcDistributionSystem that leave no doubt → values of the codelist pipe_network.
_NETWORKS: Mapping[str, str] = MappingProxyType(
    {
        "STORMWATER": "storm", "RAINWATER": "storm", "SEWAGE": "sewage", "WASTEWATER": "sewage",
        "WATERSUPPLY": "water", "DOMESTICCOLDWATER": "water", "GAS": "gas", "ELECTRICAL": "power", "HEATING": "heat",
        "TELEPHONE": "telecom", "COMMUNICATION": "telecom",
    }
)  # fmt: skip
# The class of a manhole by its network (codelist component_class).
_MANHOLES: Mapping[str, str] = MappingProxyType(
    {
        "water": "0101", "sewage": "0102", "storm": "0103", "power": "0105", "telecom": "0107", "heat": "0110",
        "gas": "0111",
    }
)  # fmt: skip
_COMPONENTS = (
    "IfcDistributionChamberElement", "IfcFlowTerminal", "IfcFlowController", "IfcFlowStorageDevice", "IfcSignal",
    "IfcSign", "IfcBridge",
)  # fmt: skip
_WAYS = ("IfcRoad", "IfcRailway")
# A centre line may leave the curve of the model by so much, metres (design).
_TOLERANCE = 0.01
# Drawing a curve takes tenths of a second; some never come to an end, seconds (design).
_SILENCE = 5.0

# So many elements are named in a warning.
_NAMED = 5

Points = NDArray[np.float64]


@dataclass(slots=True)
class Infrastructure:
    """Records by layer (`roads`, `pipes`, `components`) and what has to be said about them.

    A record has `source_id`, `columns`, `attributes` and `outline`: WKB in hexadecimal digits, or None.
    """

    roads: list[dict[str, Any]] = field(default_factory=list)
    pipes: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_infrastructure(model: Any, units: Units) -> Infrastructure:
    """Read the roads, railways, bridges and networks of an open model (ifcopenshell.file)."""
    found = Infrastructure()
    ways = [(alignment, _way_of(model, alignment)) for alignment in _all(model, "IfcAlignment")]
    segments = _outdoors(model, "IfcFlowSegment")
    undrawn: list[str] = []
    curves = {
        entity.id(): curve for entity, way in ways if way and (curve := _line_of(model, entity, undrawn)) is not None
    }
    curves |= {entity.id(): curve for entity in segments if (curve := _axis_of(entity)) is not None}
    lines = _lines(model, curves, units, undrawn)
    for alignment, way in ways:
        if way is not None:
            found.roads.append(_road(alignment, way, lines.get(alignment.id()), units))
    found.pipes = [_pipe(entity, lines.get(entity.id()) or _extrusion(entity, units), units) for entity in segments]
    # A signal is a flow terminal as well.
    devices = {entity.id(): entity for kind in _COMPONENTS for entity in _outdoors(model, kind)}
    found.components = [_component(entity, units) for entity in devices.values()]
    records = [*found.roads, *found.pipes, *found.components]
    for record, source_id in zip(records, properties.unique(r["source_id"] for r in records), strict=True):
        record["source_id"] = source_id
    repeated = sum("#" in record["source_id"] for record in records)
    if repeated:
        found.warnings.append(
            f"roads, pipes and components with the GlobalId of another, told apart by a counter: {repeated}"
        )
    drawn = {way.id() for _, way in ways if way is not None}
    empty = sum(1 for kind in _WAYS for way in _all(model, kind) if way.id() not in drawn)
    if empty:
        found.warnings.append(f"roads and railways without an alignment, left out: {empty}")
    lost = sum(1 for _, way in ways if way is None)
    if lost:
        found.warnings.append(f"alignments of no road or railway, left out: {lost}")
    bare = sum(1 for record in records if record["outline"] is None)
    if bare:
        found.warnings.append(f"roads, pipes and components without a line or place that can be read: {bare}")
    if undrawn:
        more = f"; and {len(undrawn) - _NAMED} more" if len(undrawn) > _NAMED else ""
        found.warnings.append(f"lines that could not be drawn: {'; '.join(undrawn[:_NAMED])}{more}")
    return found


def _all(model: Any, kind: str) -> list[Any]:
    try:
        return list(model.by_type(kind))
    except RuntimeError:  # older schemas lack the name
        return []


def _outdoors(model: Any, kind: str) -> list[Any]:
    """Return the elements outside of buildings; of those that belong to nothing, where there is no building."""
    has_buildings = bool(model.by_type("IfcBuilding"))
    return [entity for entity in _all(model, kind) if _is_outdoors(entity, has_buildings=has_buildings)]


def _is_outdoors(entity: Any, *, has_buildings: bool) -> bool:
    above = list(_all_above(entity))
    return not any(part.is_a("IfcBuilding") for part in above) and bool(above or not has_buildings)


def _all_above(entity: Any) -> Iterator[Any]:
    # A model may be linked in a ring; no tree is this deep.
    for _ in range(32):
        entity = _above(entity)
        if entity is None:
            return
        yield entity


def _above(entity: Any) -> Any | None:
    for inverse, attribute in (
        ("ContainedInStructure", "RelatingStructure"),
        ("Nests", "RelatingObject"),
        ("Decomposes", "RelatingObject"),
    ):
        for relation in getattr(entity, inverse, ()):
            return getattr(relation, attribute)
    return None


def _way_of(model: Any, alignment: Any) -> Any | None:
    """Return the road or railway of an alignment: the one that holds or names it, else the only one there is."""
    named = [r.RelatingStructure for r in getattr(alignment, "ReferencedInStructures", ())]
    above = [*_all_above(alignment), *named, *(part for entity in named for part in _all_above(entity))]
    for entity in above:
        if any(entity.is_a(kind) for kind in _WAYS):
            return entity
    ways = [way for kind in _WAYS for way in _all(model, kind)]
    return ways[0] if len(ways) == 1 else None


def _line_of(model: Any, alignment: Any, undrawn: list[str]) -> Any | None:
    """Return the curve of an alignment; where the model has the design only, the curve is made from that.

    What cannot be made is noted in `undrawn`, with the reason.
    """
    if alignment.Representation is None:
        import ifcopenshell.api.alignment

        try:
            ifcopenshell.api.alignment.create_representation(model, alignment)
        except Exception as error:  # whatever the library raises, the design is not one it can draw
            check_text(error)
            undrawn.append(_undrawn(alignment, f"{type(error).__name__} {error}".strip()))
            return None
    return _item(alignment, "Axis") or _item(alignment, "FootPrint")


def _axis_of(segment: Any) -> Any | None:
    axis = _item(segment, "Axis")
    body = _item(segment, "Body")
    if axis is None and body is not None and body.is_a("IfcSweptDiskSolid"):
        return body.Directrix
    return axis


def _item(entity: Any, identifier: str) -> Any | None:
    shape = entity.Representation
    for representation in shape.Representations if shape is not None else ():
        if representation.RepresentationIdentifier == identifier and len(representation.Items) == 1:
            return representation.Items[0]
    return None


def _undrawn(entity: Any, why: str) -> str:
    return f"{entity.is_a()} {entity.GlobalId} ({why})"


def _lines(model: Any, curves: Mapping[int, Any], units: Units, undrawn: list[str]) -> dict[int, shapely.LineString]:
    """Draw curves in plan, behind the fence: what the kernel ends badly on has no line, and is noted in `undrawn`."""
    waiting = dict(curves)
    drawn: dict[int, Points] = {}
    while waiting:
        outcome = fence.run(partial(_draw, waiting), _SILENCE)
        drawn.update(outcome.triangles)
        if outcome.fault is None or outcome.at is None:
            break
        undrawn.append(_undrawn(model.by_id(outcome.at), outcome.fault))
        tried = list(waiting)
        waiting = {key: waiting[key] for key in tried[tried.index(outcome.at) + 1 :]}
    lines: dict[int, shapely.LineString] = {}
    for key, points in drawn.items():
        placed = _placed(model.by_id(key), points.reshape(-1, 3), units)
        if len(np.unique(placed[:, :2], axis=0)) > 1:
            simple = shapely.LineString(placed[:, :2]).simplify(_TOLERANCE)
            lines[key] = shapely.LineString(shapely.get_coordinates(simple))
    return lines


def _draw(curves: Mapping[int, Any]) -> Iterator[tuple[int, Points | None]]:
    """Yield the corners of curves in order, metres; three to a row of nine, the last one repeated to fill it."""
    import ifcopenshell.geom

    geometry: Any = ifcopenshell.geom
    settings = geometry.settings()
    settings.set("dimensionality", 0)  # curves, not surfaces
    for key, curve in curves.items():
        yield key, None
        try:
            shape = geometry.create_shape(settings, curve)
        except RuntimeError as error:
            check_text(error)
            continue
        check_text()
        vertices = np.asarray(shape.verts, np.float64).reshape(-1, 3)
        edges = np.asarray(shape.edges, np.int64).reshape(-1, 2)
        if len(edges) and (edges[1:, 0] == edges[:-1, 1]).all():  # one line, not several
            points = vertices[[edges[0, 0], *edges[:, 1]]]
            filled = np.concatenate([points, np.repeat(points[-1:], -len(points) % 3, axis=0)])
            yield key, filled.reshape(-1, 3, 3)


def _placed(entity: Any, points: Points, units: Units) -> Points:
    """Move points (n, 3) of an entity, metres, to the coordinates of the model."""
    import ifcopenshell.util.placement

    if entity.ObjectPlacement is None:
        return points
    matrix = ifcopenshell.util.placement.get_local_placement(entity.ObjectPlacement)
    moved: Points = points @ matrix[:3, :3].T + matrix[:3, 3] * units.length
    return moved


def _extrusion(segment: Any, units: Units) -> shapely.LineString | None:
    """Return the axis of a segment that is a round profile pushed along a line; None for other shapes."""
    import ifcopenshell.util.placement

    body = _item(segment, "Body")
    if body is None or not body.is_a("IfcExtrudedAreaSolid") or not body.SweptArea.is_a("IfcCircleProfileDef"):
        return None
    if body.SweptArea.Position is not None and any(body.SweptArea.Position.Location.Coordinates):
        return None
    along = np.array(body.ExtrudedDirection.DirectionRatios, np.float64)
    ends = np.array([[0.0, 0.0, 0.0], along / np.linalg.norm(along) * body.Depth])
    if body.Position is not None:
        own = ifcopenshell.util.placement.get_axis2placement(body.Position)
        ends = ends @ own[:3, :3].T + own[:3, 3]
    line = shapely.LineString(_placed(segment, ends * units.length, units)[:, :2])
    return line if line.length > 0 else None


def _road(alignment: Any, way: Any, line: shapely.LineString | None, units: Units) -> dict[str, Any]:
    record = _record(alignment, None if line is None else shapely.MultiLineString([line]), units)
    record["columns"] |= {
        "name": text(alignment.Name) or text(way.Name),
        "road_class": "other" if way.is_a("IfcRailway") else None,
        "ifc_class": way.is_a(),
        "facility": text(way.Name),
        "facility_global_id": way.GlobalId,
    }
    return record


def _pipe(segment: Any, line: shapely.LineString | None, units: Units) -> dict[str, Any]:
    record = _record(segment, None if line is None else shapely.MultiLineString([line]), units)
    sets = record["attributes"].get("property_sets", {})
    for name in ("NominalDiameter", "InnerDiameter"):
        value = properties.find_property(sets, name)
        if isinstance(value, int | float) and value > 0:
            record["columns"]["diameter"] = round(value * units.length * 1000, 3)
            record["columns"]["diameter_source"] = name
            break
    record["columns"] |= {"network": _network(segment), "material": properties.material(segment)}
    record["columns"] |= _ends(segment)
    record["columns"]["label"] = text(segment.Name)
    return record


def _component(entity: Any, units: Units) -> dict[str, Any]:
    placed = entity.ObjectPlacement is not None
    at = _placed(entity, np.zeros((1, 3)), units)[0] if placed else None
    record = _record(entity, None if at is None else shapely.Point(at[:2]), units)
    is_manhole = getattr(entity, "PredefinedType", None) == "MANHOLE"
    class_code = _MANHOLES.get(_network(entity) or "") if is_manhole else None
    record["columns"] |= {
        "name": text(entity.Name),
        "class_code": class_code,
        "class_scheme": "CJ/T 214-2007" if class_code else None,
    }
    return record


def _network(entity: Any) -> str | None:
    """Return what the system of an element carries; None where it is in none or in several kinds."""
    groups = [r.RelatingGroup for r in entity.HasAssignments if r.is_a("IfcRelAssignsToGroup")]
    kinds = {getattr(group, "PredefinedType", None) for group in groups if group.is_a("IfcDistributionSystem")}
    found = {_NETWORKS.get(kind or "") for kind in kinds}
    return found.pop() if len(found) == 1 else None


def _ends(segment: Any) -> dict[str, str | None]:
    """Return the labels of what a segment flows from and to, by its ports."""
    ends: dict[str, str | None] = {}
    ports = [part for relation in getattr(segment, "IsNestedBy", ()) for part in relation.RelatedObjects]
    for port in ports:
        side = {"SINK": "flow_from", "SOURCE": "flow_to"}.get(getattr(port, "FlowDirection", None) or "")
        others = [r.RelatedPort for r in getattr(port, "ConnectedTo", ())]
        others += [r.RelatingPort for r in getattr(port, "ConnectedFrom", ())]
        owners = [owner for other in others if (owner := _above(other)) is not None]
        if side and len(owners) == 1:
            ends[side] = text(owners[0].Name) or owners[0].GlobalId
    return ends


def _record(entity: Any, shape: shapely.Geometry | None, units: Units) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "description": text(entity.Description),
        "object_type": text(entity.ObjectType),
        "predefined_type": text(getattr(entity, "PredefinedType", None)),
        "classifications": properties.classifications(entity),
        "quantities": properties.quantities(entity, units),
        "property_sets": properties.property_sets(entity),
    }
    return {
        "source_id": entity.GlobalId,
        "parent": None,
        "columns": {"source_global_id": entity.GlobalId, "ifc_class": entity.is_a()},
        "attributes": {k: v for k, v in attributes.items() if v not in (None, [], {})},
        "outline": None if shape is None else shapely.to_wkb(shape, hex=True),
    }
