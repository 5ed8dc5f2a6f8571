"""Proposals: the planner's set of interventions, and the branch of the city that they make.

An intervention is `{target, action, phase, params}`: what is done to which building, or what is built on which
parcel. A branch holds the rows that the interventions change and add; every query reads through it as through the
city itself. Nothing of a branch is ever written to the city's own tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import shapely
from shapely.geometry import MultiLineString, MultiPolygon

from cim.codes.provisional import mint_many
from cim.errors import InvalidData, NotFound
from cim.log.entry import canonicalize
from cim.scenarios._state import State, place

INLINE = "inline"  # what the new objects of a proposal without a code are numbered under

_AREA = {"type": "number", "minimum": 0, "maximum": 10_000_000, "x-ogc-unit": "m2"}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 100_000}
_METRES = {"type": "number", "minimum": 0, "maximum": 1000, "x-ogc-unit": "m"}
_STOREYS = {"type": "integer", "minimum": 0, "maximum": 200}
_WORD = {"type": "string", "minLength": 1, "maxLength": 100}
_YEAR = {"type": "integer", "minimum": 1000, "maximum": 2200}


def _geojson(*kinds: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", "coordinates"],
        "properties": {"type": {"enum": list(kinds)}, "coordinates": {"type": "array"}},
    }


_POLYGON = _geojson("Polygon", "MultiPolygon")
# What every action may say about people, exemption and parking.
COMMON: Mapping[str, Any] = {
    "displaced_households": _COUNT,
    "rehoused_households": _COUNT,
    "exemption": {"enum": ["illegal", "dangerous"]},
    "certificate": {"type": "string", "minLength": 1, "maxLength": 200},
    "parking_spaces": _COUNT,
}
MASSING: Mapping[str, Any] = {
    "geometry": _POLYGON,
    "gross_floor_area": _AREA,
    "gross_floor_area_below": _AREA,
    "storeys_above": _STOREYS,
    "storeys_below": _STOREYS,
    "height": _METRES,
    "usage": _WORD,
    "structure": _WORD,
    "dwellings": _COUNT,
    "households": _COUNT,
    "has_lift": {"type": "boolean"},
    "has_gas": {"type": "boolean"},
    "year_built": _YEAR,
}


@dataclass(frozen=True, slots=True)
class Action:
    """What an action takes: its parameters, the required ones, and the feature type of what it makes, if anything."""

    params: Mapping[str, Any]
    required: tuple[str, ...] = ()
    makes: str | None = None
    on_building: bool = True


ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "keep": Action({}),
        "repair": Action({"danger_grade": {"enum": ["A", "B"]}}),
        "retrofit": Action({"energy_class": _WORD, "seismic_intensity": {**_COUNT, "minimum": 1, "maximum": 12}}),
        "add_lift": Action({}),
        "add_gas": Action({}),
        "extend": Action(
            {
                "added_floor_area": _AREA,
                "added_dwellings": _COUNT,
                **{name: MASSING[name] for name in ("geometry", "storeys_above", "height")},
            },
            ("added_floor_area",),
        ),
        "change_use": Action({"usage": _WORD, "dwellings": _COUNT, "households": _COUNT}, ("usage",)),
        "demolish": Action({}),
        "rebuild": Action(MASSING, ("gross_floor_area",), makes="building"),
        "new_build": Action(MASSING, ("geometry", "gross_floor_area"), makes="building", on_building=False),
        "new_facility": Action(
            {"geometry": _geojson("Point"), "kind": _WORD, "capacity": _COUNT},
            ("geometry", "kind"),
            makes="facility",
            on_building=False,
        ),
        "new_green": Action(
            {"geometry": _POLYGON, "kind": _WORD, "counts_as_green": {"type": "boolean"}},
            ("geometry",),
            makes="green_space",
            on_building=False,
        ),
        "new_road": Action(
            {
                "geometry": _geojson("LineString", "MultiLineString"),
                "width": {**_METRES, "maximum": 300},
                "road_class": _WORD,
            },
            ("geometry",),
            makes="road",
            on_building=False,
        ),
    }
)


def _intervention_schema() -> dict[str, Any]:
    """Return the JSON Schema of an intervention: what `params` may hold depends on the action."""
    cases = [
        {
            "if": {"properties": {"action": {"const": name}}},
            "then": {
                "properties": {
                    "params": {
                        "type": "object",
                        "properties": {**action.params, **COMMON},
                        "required": list(action.required),
                        "additionalProperties": False,
                    }
                },
                "required": ["params"] if action.required else [],
            },
        }
        for name, action in ACTIONS.items()
    ]
    return {
        "type": "object",
        "properties": {
            "id": {**_WORD, "description": "Names it within the proposal; needed where two new objects share the rest"},
            "target": {**_WORD, "description": "Code of the building; of the parcel for what is new"},
            "action": {"enum": list(ACTIONS)},
            "phase": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1},
            "params": {"type": "object"},
        },
        "required": ["target", "action"],
        "additionalProperties": False,
        "allOf": cases,
    }


SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "title": "Interventions",
    "properties": {
        "crs": {"type": ["string", "integer"], "default": "OGC:CRS84", "description": "CRS of the geometries"},
        "interventions": {"type": "array", "maxItems": 100_000, "items": _intervention_schema()},
    },
    "required": ["interventions"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Intervention:
    """One thing done: `id` is unique in its proposal, `params` are those of its action."""

    id: str
    target: str
    action: str
    phase: int
    params: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {name: getattr(self, name) for name in ("id", "target", "action", "phase")} | {
            "params": dict(self.params)
        }


@dataclass(frozen=True, slots=True)
class Proposal:
    """A set of interventions in order of phase, target, action and id; `code` is None where nobody recorded it."""

    code: str | None
    crs: str | int
    interventions: tuple[Intervention, ...]

    @property
    def sha256(self) -> str:
        """Digest of the JCS bytes of the interventions and their CRS, hex: the same in whatever order they came."""
        document = {"crs": self.crs, "interventions": [one.document() for one in self.interventions]}
        return hashlib.sha256(canonicalize(document)).hexdigest()


def from_document(document: Mapping[str, Any], code: str | None = None) -> Proposal:
    """Return the proposal of a document that the schema has passed.

    Raises
    ------
    InvalidData : two actions on one target in one phase, two of one id, or new objects that only an id tells apart.
    """
    found: dict[str, Intervention] = {}
    taken: dict[tuple[str, int], str] = {}
    for item in document["interventions"]:
        target, action, phase = item["target"], item["action"], item.get("phase", 1)
        name = item.get("id") or f"{action} {target} {phase}"
        if ACTIONS[action].on_building:
            if (target, phase) in taken:
                raise InvalidData(
                    f"proposal: {target} has {taken[target, phase]} and {action} in phase {phase}; "
                    "one action per target and phase"
                )
            taken[target, phase] = action
        if name in found:
            raise InvalidData(f"proposal: two interventions are {name!r}; give each an id of its own")
        found[name] = Intervention(name, target, action, phase, MappingProxyType(dict(item.get("params", {}))))
    ordered = sorted(found.values(), key=lambda one: (one.phase, one.target, one.action, one.id))
    return Proposal(code, document.get("crs", "OGC:CRS84"), tuple(ordered))


def targets(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the codes that a proposal's document names, by feature type."""
    found: dict[str, set[str]] = {"building": set(), "parcel": set()}
    for item in document["interventions"]:
        found["building" if ACTIONS[item["action"]].on_building else "parcel"].add(item["target"])
    return {name: sorted(codes) for name, codes in found.items() if codes}


@dataclass(frozen=True, slots=True)
class Made:
    """A proposal laid over a state: the branch it makes, and which intervention did what.

    Attributes
    ----------
    branch : rows by feature type and code
    on : interventions by the building they act on, in order of phase
    new : the intervention that makes an object, by feature type and the object's provisional code
    """

    proposal: Proposal
    branch: Mapping[str, Mapping[str, Mapping[str, Any]]]
    on: Mapping[str, tuple[Intervention, ...]]
    new: Mapping[tuple[str, str], Intervention]


def lay(state: State, proposal: Proposal) -> Made:
    """Apply the interventions of a proposal to a state, in order of phase.

    Raises
    ------
    NotFound : a target is not there in this state. InvalidData : an intervention cannot be carried out.
    """
    on: dict[str, list[Intervention]] = {}
    new: dict[tuple[str, str], Intervention] = {}
    branch: dict[str, dict[str, Mapping[str, Any]]] = {}
    rows = _targets(state, proposal)
    for one in proposal.interventions:
        action = ACTIONS[one.action]
        if action.on_building:
            row = rows["building"][one.target]
            on.setdefault(one.target, []).append(one)
            changed = _changed(state, one, row, proposal.crs)
            _check_values(state, one, "building", one.params)
            rows["building"][one.target] = changed
            if changed != row:
                branch.setdefault("building", {})[one.target] = changed
        if action.makes is not None:
            (code,) = mint_many(action.makes, f"proposal {proposal.code or INLINE}", [one.id])
            made = {"code": code, "rev": 0, **_made(state, one, rows, proposal.crs)}
            _check_values(state, one, action.makes, made)
            branch.setdefault(action.makes, {})[code] = made
            new[action.makes, code] = one
    return Made(
        proposal,
        MappingProxyType({name: MappingProxyType(objects) for name, objects in branch.items()}),
        MappingProxyType({code: tuple(ones) for code, ones in on.items()}),
        MappingProxyType(new),
    )


def _targets(state: State, proposal: Proposal) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return the rows of the buildings acted on and the codes of the parcels built on."""
    buildings = sorted({one.target for one in proposal.interventions if ACTIONS[one.action].on_building})
    parcels = sorted({one.target for one in proposal.interventions if not ACTIONS[one.action].on_building})
    found = state.through(None).rows("targets", buildings=buildings, parcels=parcels)
    rows: dict[str, dict[str, Mapping[str, Any]]] = {"building": {}, "parcel": {}}
    for row in found:
        rows[row.type][row.code] = row.object
    for name, wanted in (("building", buildings), ("parcel", parcels)):
        missing = sorted(set(wanted) - rows[name].keys())
        if missing:
            raise NotFound(
                f"proposal: no {name} {', '.join(missing[:10])} at tree size {state.head.size}; "
                f"{len(missing)} of its targets"
            )
    return rows


def _changed(state: State, one: Intervention, row: Mapping[str, Any], crs: str | int) -> Mapping[str, Any]:
    """Return the row of a building after an intervention."""
    params = one.params
    if row.get("status") == "demolished":
        raise InvalidData(f"proposal: {one.target} is demolished already; {one.id!r} comes too late")
    match one.action:
        case "repair":
            repair = state.pack.limit("repair")
            graded = params.get("danger_grade")
            if graded is None and row.get("danger_grade") in repair["of"]:
                graded = repair["danger_grade"]
            return row if graded is None else {**row, "danger_grade": graded}
        case "retrofit":
            return {**row, **{name: params[name] for name in ("energy_class", "seismic_intensity") if name in params}}
        case "add_lift":
            return {**row, "has_lift": True}
        case "add_gas":
            return {**row, "has_gas": True}
        case "extend":
            return {**row, **_extended(state, one, row, crs)}
        case "change_use":
            return {**row, **{name: params[name] for name in ("usage", "dwellings", "households") if name in params}}
        case "demolish" | "rebuild":
            return {**row, "status": "demolished", "year_demolished": state.reference_date.year}
        case _:
            return row


def _extended(state: State, one: Intervention, row: Mapping[str, Any], crs: str | int) -> dict[str, Any]:
    params = one.params
    after = {name: params[name] for name in ("storeys_above", "height") if name in params}
    # An unknown area stays unknown when something is added to it.
    for name, added in (("gross_floor_area", "added_floor_area"), ("dwellings", "added_dwellings")):
        if row.get(name) is not None:
            after[name] = row[name] + params.get(added, 0)
    if "geometry" in params:
        after["geom"] = _geometry(state, one, crs)
    return after


def _made(
    state: State, one: Intervention, rows: Mapping[str, Mapping[str, Mapping[str, Any]]], crs: str | int
) -> dict[str, Any]:
    """Return the columns of the object that an intervention makes, but for its code."""
    params = {name: one.params[name] for name in ACTIONS[one.action].params if name in one.params}
    geometry = params.pop("geometry", None)
    geom = None if geometry is None else _geometry(state, one, crs)
    match one.action:
        case "rebuild":
            old = rows["building"][one.target]
            made = {
                "parcel_code": old.get("parcel_code"),
                "usage": old.get("usage"),
                "status": "in_use",
                "year_built": state.reference_date.year,
                "geom": geom or old.get("geom"),
            }
        case "new_build":
            made = {
                "parcel_code": one.target,
                "status": "in_use",
                "year_built": state.reference_date.year,
                "geom": geom,
            }
        case "new_road":
            made = {"status": "in_use", "geom": geom}
        case _:
            made = {"geom": geom}
    return made | params


def _check_values(state: State, one: Intervention, type_name: str, values: Mapping[str, Any]) -> None:
    """Refuse a value that is not in its property's codelist."""
    dictionary = state.database.dictionary
    for item in dictionary.type(type_name).properties:
        value = values.get(item.name)
        if item.codelist is not None and value is not None and value not in dictionary.codelists[item.codelist]:
            known = ", ".join(dictionary.codelists[item.codelist].values)
            raise InvalidData(f"proposal: {item.name} of {one.id!r} is one of {known}; got {value!r}")


def _geometry(state: State, one: Intervention, crs: str | int) -> str:
    """Return the geometry of an intervention as hex EWKB in the storage CRS."""
    srid = state.database.settings.srid
    placed = place(cast("Mapping[str, Any]", one.params["geometry"]), crs, srid, f"proposal: geometry of {one.id!r}")
    parts = list(getattr(placed, "geoms", [placed]))
    if placed.geom_type == "Polygon":
        placed = MultiPolygon(parts)
    elif placed.geom_type == "LineString":
        placed = MultiLineString(parts)
    return str(shapely.to_wkb(shapely.set_srid(placed, srid), hex=True, include_srid=True))
