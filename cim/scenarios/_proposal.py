"""Proposals: the planner's set of interventions, checked and in one order.

An intervention is `{target, action, phase, params}`: what is done to which building, or what is built on which
parcel. See `_branch.py` for the city that they make, and `cim/proposals.py` for those that are recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import shapely
from shapely.geometry import MultiLineString, MultiPolygon

from cim.errors import InvalidData
from cim.log.entry import canonicalize
from cim.scenarios._state import place

_AREA = {"type": "number", "minimum": 0, "maximum": 10_000_000, "x-ogc-unit": "m2"}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 100_000}
_METRES = {"type": "number", "minimum": 0, "maximum": 1000, "x-ogc-unit": "m"}
_STOREYS = {"type": "integer", "minimum": 0, "maximum": 200}
_LONGEST = 100  # characters of a word
_WORD = {"type": "string", "minLength": 1, "maxLength": _LONGEST}
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


def _params_schema(action: Action) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**action.params, **COMMON},
        "required": list(action.required),
        "additionalProperties": False,
    }


def _intervention_schema() -> dict[str, Any]:
    """Return the JSON Schema of an intervention: what `params` may hold depends on the action."""
    cases = [
        {
            "if": {"properties": {"action": {"const": name}}},
            "then": {
                "properties": {"params": _params_schema(action)},
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
    "type": ["string", "object"],
    "title": "Code of a recorded proposal, or interventions",
    "minLength": 1,
    "properties": {
        "code": {**_WORD, "description": "Code of the proposal, where it is recorded: it numbers the new objects"},
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
    """A set of interventions in order of phase, target, action and id; `code` is None where nobody recorded it.

    Geometries are in the storage CRS, snapped to 1 mm, as hex EWKB.
    """

    code: str | None
    interventions: tuple[Intervention, ...]

    @property
    def sha256(self) -> str:
        """Digest of the JCS bytes of the interventions, hex: the same in whatever order and CRS they came."""
        document = {"interventions": [one.document() for one in self.interventions]}
        return hashlib.sha256(canonicalize(document)).hexdigest()


def checked(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a proposal's document once it is of the form of SCHEMA; `from_document` checks what an action takes.

    Raises
    ------
    InvalidData : it is not of that form.
    """
    from jsonschema.exceptions import best_match  # slow to load, and most commands compute nothing

    error = best_match(_form().iter_errors(document))
    if error is not None:
        raise InvalidData(f"proposal: {error.json_path.removeprefix('$.')}: {error.message}")
    return document


def outlined(value: Any) -> Any:
    """Return an input with one intervention of each outline in its proposals: it is of the right form if they are.

    Most of many interventions differ in their target alone, and a validator takes longer over them than all that
    follows.
    """
    match value:
        case {"interventions": [*items]} if len(items) <= SCHEMA["properties"]["interventions"]["maxItems"]:
            return {**value, "interventions": list({_outline(item): item for item in items}.values())}
        case list():
            return [outlined(item) for item in value]
        case _:
            return value


def _outline(item: Any) -> Any:
    """Return all that the form of an intervention hangs on."""
    if not isinstance(item, dict):
        return repr(item)
    return frozenset(
        (
            name,
            0 < len(value) <= _LONGEST
            if name in ("id", "target") and isinstance(value, str)
            else type(value)
            if name == "params"
            else repr(value),
        )
        for name, value in item.items()
    )


def without_cases(schema: Any) -> Any:
    """Return a schema without its `allOf`: thirteen cases a piece are much to try for each of many interventions."""
    match schema:
        case Mapping():
            return {name: without_cases(item) for name, item in schema.items() if name != "allOf"}
        case list():
            return [without_cases(item) for item in schema]
        case _:
            return schema


@cache
def _form() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(without_cases(SCHEMA))


@cache
def _takes(action: str) -> Any:
    """Return the validator of what an action takes."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(_params_schema(ACTIONS[action]))


@cache
def _needs_nothing(action: str) -> bool:
    return bool(_takes(action).is_valid({}))


def _check_params(name: str, action: str, params: Mapping[str, Any]) -> None:
    if not params and _needs_nothing(action):
        return
    from jsonschema.exceptions import best_match

    error = best_match(_takes(action).iter_errors(params))
    if error is not None:
        raise InvalidData(f"proposal: params of {name!r}: {error.json_path.removeprefix('$.')}: {error.message}")


def from_document(document: Mapping[str, Any], srid: int) -> Proposal:
    """Return the proposal of a document that the schema has passed, its geometries in the storage CRS.

    Raises
    ------
    InvalidData : two actions on one target in one phase, two of one id, new objects that only an id tells apart, or a
    geometry that is none. CrsError : its CRS has no known path to the storage CRS.
    """
    crs = document.get("crs", "OGC:CRS84")
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
        params = dict(item.get("params", {}))
        _check_params(name, action, params)
        if "geometry" in params:
            params["geometry"] = _placed(params["geometry"], crs, srid, name)
        found[name] = Intervention(name, target, action, phase, MappingProxyType(params))
    ordered = sorted(found.values(), key=lambda one: (one.phase, one.target, one.action, one.id))
    return Proposal(document.get("code"), tuple(ordered))


def _placed(geometry: Mapping[str, Any], crs: str | int, srid: int, name: str) -> str:
    """Return a GeoJSON geometry as hex EWKB in the storage CRS, of the kind that tables hold."""
    placed = place(geometry, crs, srid, f"proposal: geometry of {name!r}")
    parts = list(getattr(placed, "geoms", [placed]))
    if placed.geom_type == "Polygon":
        placed = MultiPolygon(parts)
    elif placed.geom_type == "LineString":
        placed = MultiLineString(parts)
    return str(shapely.to_wkb(shapely.set_srid(placed, srid), hex=True, include_srid=True))


def targets(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the codes that a proposal's document names, by feature type."""
    found: dict[str, set[str]] = {"building": set(), "parcel": set()}
    for item in document["interventions"]:
        found["building" if ACTIONS[item["action"]].on_building else "parcel"].add(item["target"])
    return {name: sorted(codes) for name, codes in found.items() if codes}
