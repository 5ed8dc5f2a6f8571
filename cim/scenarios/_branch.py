"""Branches: the city as it will be. A proposal laid over a state changes some rows and adds others.

Every query reads through a branch as through the city itself (`State.through`). Nothing of it is written to the
city's own tables before the proposal is merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from cim.codes.provisional import mint_many
from cim.errors import InvalidData, NotFound
from cim.scenarios._proposal import ACTIONS, Intervention, Proposal
from cim.scenarios._state import State

INLINE = "inline"  # what the new objects of a proposal without a code are numbered under


@dataclass(frozen=True, slots=True)
class Made:
    """A proposal laid over a state: the branch it makes, and which intervention did what.

    Attributes
    ----------
    before : the buildings acted on, as they were: the columns that interventions read or set
    branch : the rows that are changed or new, by feature type and code
    text : the branch as JSON text, as queries take it: of a row that is changed, what is another
    on : interventions by the building they act on, in order of phase
    new : the intervention that makes an object, by feature type and the object's provisional code
    meeting : type and code of the targets that meet the land of the state
    """

    proposal: Proposal
    before: Mapping[str, Mapping[str, Any]]
    branch: Mapping[str, Mapping[str, Mapping[str, Any]]]
    text: str
    on: Mapping[str, tuple[Intervention, ...]]
    new: Mapping[tuple[str, str], Intervention]
    meeting: frozenset[tuple[str, str]]

    @property
    def parcels(self) -> list[str]:
        """Codes of the parcels that it changes, and of those that its buildings stand on, before and after."""
        rows = [*self.before.values(), *self.branch.get("building", {}).values()]
        named = {row["parcel_code"] for row in rows if row.get("parcel_code") is not None}
        return sorted(named | self.branch.get("parcel", {}).keys())


def lay(state: State, proposal: Proposal) -> Made:
    """Apply the interventions of a proposal to a state, in order of phase.

    Raises
    ------
    NotFound : a target is not there in this state. InvalidData : an intervention cannot be carried out.
    """
    on: dict[str, list[Intervention]] = {}
    new: dict[tuple[str, str], Intervention] = {}
    branch: dict[str, dict[str, Mapping[str, Any]]] = {}
    sent: dict[str, dict[str, Mapping[str, Any]]] = {}
    rows, meeting = _targets(state, proposal)
    before = dict(rows["building"])
    for one in proposal.interventions:
        action = ACTIONS[one.action]
        if action.on_building:
            row = rows["building"][one.target]
            on.setdefault(one.target, []).append(one)
            changes = {name: value for name, value in _changes(state, one, row).items() if value != row.get(name)}
            _check_values(state, one, "building", one.params)
            if changes:
                rows["building"][one.target] = branch.setdefault("building", {})[one.target] = {**row, **changes}
                earlier = sent.setdefault("building", {}).get(one.target, {})
                sent["building"][one.target] = {**earlier, **changes}
        if action.makes is not None:
            (code,) = mint_many(action.makes, f"proposal {proposal.code or INLINE}", [one.id])
            made = {"code": code, "rev": 0, **_made(state, one, rows)}
            _check_values(state, one, action.makes, made)
            branch.setdefault(action.makes, {})[code] = sent.setdefault(action.makes, {})[code] = made
            new[action.makes, code] = one
    return Made(
        proposal,
        MappingProxyType(before),
        MappingProxyType({name: MappingProxyType(objects) for name, objects in branch.items()}),
        orjson.dumps(sent).decode(),
        MappingProxyType({code: tuple(ones) for code, ones in on.items()}),
        MappingProxyType(new),
        meeting,
    )


def _targets(
    state: State, proposal: Proposal
) -> tuple[dict[str, dict[str, Mapping[str, Any]]], frozenset[tuple[str, str]]]:
    """Return the rows of the buildings acted on and the codes of the parcels built on, and which meet the land."""
    buildings = sorted({one.target for one in proposal.interventions if ACTIONS[one.action].on_building})
    parcels = sorted({one.target for one in proposal.interventions if not ACTIONS[one.action].on_building})
    found = state.through(None).rows("acted_on", buildings=buildings, parcels=parcels)
    rows: dict[str, dict[str, Mapping[str, Any]]] = {"building": {}, "parcel": {}}
    meeting = frozenset((row.type, row.code) for row in found if row.meets)
    for row in found:
        values = row._asdict()
        del values["meets"]
        rows[values.pop("type")][row.code] = values
    for name, wanted in (("building", buildings), ("parcel", parcels)):
        missing = sorted(set(wanted) - rows[name].keys())
        if missing:
            raise NotFound(
                f"proposal: no {name} {', '.join(missing[:10])} at tree size {state.head.size}; "
                f"{len(missing)} of its targets"
            )
    return rows, meeting


def _changes(state: State, one: Intervention, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the columns of a building that an intervention sets, on its row before that."""
    params = one.params
    if row.get("status") == "demolished":
        raise InvalidData(f"proposal: {one.target} is demolished already; {one.id!r} comes too late")
    match one.action:
        case "repair":
            repair = state.pack.limit("repair")
            graded = params.get("danger_grade")
            if graded is None and row.get("danger_grade") in repair["of"]:
                graded = repair["danger_grade"]
            return {} if graded is None else {"danger_grade": graded}
        case "retrofit":
            return {name: params[name] for name in ("energy_class", "seismic_intensity") if name in params}
        case "add_lift":
            return {"has_lift": True}
        case "add_gas":
            return {"has_gas": True}
        case "extend":
            return _extended(one, row)
        case "change_use":
            return {name: params[name] for name in ("usage", "dwellings", "households") if name in params}
        case "demolish" | "rebuild":
            return {"status": "demolished", "year_demolished": state.reference_date.year}
        case _:
            return {}


def _extended(one: Intervention, row: Mapping[str, Any]) -> dict[str, Any]:
    params = one.params
    after = {name: params[name] for name in ("storeys_above", "height") if name in params}
    # An unknown area stays unknown when something is added to it.
    for name, added in (("gross_floor_area", "added_floor_area"), ("dwellings", "added_dwellings")):
        if row.get(name) is not None:
            after[name] = row[name] + params.get(added, 0)
    if "geometry" in params:
        after["geom"] = one.params["geometry"]
    return after


def _made(state: State, one: Intervention, rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the columns of the object that an intervention makes, but for its code."""
    params = {name: one.params[name] for name in ACTIONS[one.action].params if name in one.params}
    geom = params.pop("geometry", None)
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
    if not values:
        return
    dictionary = state.database.dictionary
    for item in dictionary.type(type_name).properties:
        value = values.get(item.name)
        if item.codelist is not None and value is not None and value not in dictionary.codelists[item.codelist]:
            known = ", ".join(dictionary.codelists[item.codelist].values)
            raise InvalidData(f"proposal: {item.name} of {one.id!r} is one of {known}; got {value!r}")
