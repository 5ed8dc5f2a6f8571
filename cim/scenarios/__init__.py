"""Scenarios: questions about a piece of the city, answered on one state of it and sealed.

One scenario per file, found by being here: see `_base.Scenario`. To add one, write the module with its query under
`cim/db/queries/scenarios` and a worked example; it is then a command, an SDK call and a process of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cim.db.engine import Database
from cim.log.entry import canonicalize
from cim.scenarios._base import Process, Scenario
from cim.scenarios._describe import OUTPUT, describe
from cim.scenarios._registry import scenario, scenarios
from cim.scenarios._report import FORMATS, render
from cim.scenarios._rules import differences, rule_pack, rule_packs

__all__ = [
    "FORMATS",
    "OUTPUT",
    "Process",
    "Scenario",
    "canonical",
    "describe",
    "differences",
    "render",
    "rule_pack",
    "rule_packs",
    "run",
    "scenario",
    "scenarios",
]


def run(database: Database, scenario_id: str, inputs: Mapping[str, Any], *, use_live: bool = True) -> dict[str, Any]:
    """Compute a scenario and return `{"result", "coverage", "assessment"}`, the last being the seal.

    Parameters
    ----------
    inputs : by name, as the scenario declares them (`describe`)
    use_live : False reads the log even where the live tables stand at the same state; for checking, not for speed

    Returns
    -------
    A document whose `canonical` bytes depend on the inputs, the state and the software alone, never on the clock.

    Raises
    ------
    NotFound : no such scenario, state, rule pack or land. InvalidData : an input is not of the declared form.
    """
    return scenario(scenario_id).from_inputs(inputs).execute(database, use_live=use_live)


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the one spelling of a result (JCS, RFC 8785): what is compared, hashed and sent."""
    return canonicalize(dict(document))
