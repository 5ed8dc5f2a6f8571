"""The seal: state, rules, software and inputs that a result can be recomputed from, with a digest of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.state import TreeHead
from cim.log.entry import canonicalize
from cim.scenarios._branch import lay
from cim.scenarios._kept import versions
from cim.scenarios._proposal import from_document
from cim.scenarios._reads import reading, seal_beside
from cim.scenarios._rules import rule_pack
from cim.scenarios._state import State, open_state, snapshot
from cim.scenarios._why import opened

if TYPE_CHECKING:  # the base of all scenarios calls `assess`
    from cim.scenarios._base import Outcome, Scenario


def assess(database: Database, asked: Scenario, *, use_live: bool = True) -> dict[str, Any]:
    """Compute a scenario in one snapshot and return `{"result", "coverage", "assessment"}`, the last being the seal.

    Parameters
    ----------
    use_live : False reads the log alone, not what is live or kept added up; for checking, not for speed

    Raises
    ------
    NotFound : no such state, rule pack or land. InvalidData : a scope that is no valid polygon.
    """
    with snapshot(database) as connection:
        asked = asked.resolved(connection, database)
        state = state_of(connection, database, asked, use_live=use_live)
        with seal_beside(state, reading(asked, state)) as read_set:
            outcome = asked.compute(state)
            if asked.explain:
                outcome.result["why"] = opened(outcome.why, asked.explain, outcome.result)
            assessment = seal(asked, state, outcome, read_set)
    return {"result": outcome.result, "coverage": outcome.coverage, "assessment": assessment}


def state_of(connection: sa.Connection, database: Database, asked: Scenario, *, use_live: bool = True) -> State:
    """Return the state, land and rules that a scenario's inputs name, with their proposal on top.

    Raises
    ------
    NotFound : no such state, rule pack, land or target. InvalidData : a scope that is no valid polygon.
    """
    folder = database.settings.dictionary
    folders = [folder] if folder else []
    state = open_state(
        connection,
        database,
        as_of=asked.as_of,
        reference_date=asked.reference_date,
        pack=rule_pack(asked.rule_pack, *folders),
        scope=asked.scope,
        scope_crs=asked.scope_crs,
        reads=asked.reads,
        use_live=use_live,
    )
    if (other := asked.compared()) is not None:
        state = replace(state, compared=rule_pack(other, *folders))
    if asked.proposal is None:
        return state
    assert not isinstance(asked.proposal, str)  # a recorded one was read when the scenario was resolved
    return state.through(lay(state, from_document(asked.proposal, database.settings.srid)))


def seal(
    scenario: Scenario, state: State, outcome: Outcome, read_set: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the assessment of an outcome. Run again as of its `tree_size`, the same inputs give the same bytes.

    `inputs` are complete: defaults filled in, `as_of` a tree size, `reference_date` a day. Digests are SHA-256 (hex)
    over JCS bytes (RFC 8785). `read_set` is of every object read: how many, SHA-256 over the sorted lines
    "type code leaf-index", and the leaf indexes themselves as runs `[first, last]`.
    """
    inputs = scenario.inputs() | {
        "as_of": state.head.size,
        "reference_date": state.reference_date.isoformat(),
    }
    return {
        "process": {"id": scenario.name, "version": scenario.version},
        **sealed_state(state.database, state.head),
        "as_of": state.as_of,
        "reference_date": state.reference_date.isoformat(),
        "proposal_root": None if state.made is None else state.made.proposal.sha256,
        "rule_pack": state.pack.named(),
        "compared_with": None if state.compared is None else state.compared.named(),
        "inputs": inputs,
        "inputs_hash": digest(inputs),
        "software": software(state.connection, scenario.libraries),
        "result_hash": digest({"result": outcome.result, "coverage": outcome.coverage}),
        "read_set": read_set(),
    }


def sealed_state(database: Database, head: TreeHead) -> dict[str, Any]:
    """Return what names a state of a city anywhere: the log's origin, tree size and root."""
    return {
        "origin": database.settings.origin,
        "tree_size": head.size,
        "root": head.root.hex(),
    }


def software(connection: sa.Connection, libraries: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of what clipping depends on, and of the Python packages that a result depends on."""
    return {**versions(connection), **{name: _installed(name) for name in libraries}}


# Looking a package up reads its whole record; what a process runs does not change under it.
_installed = cache(version)


def digest(document: Any) -> str:
    """Return the SHA-256 of a document's JCS bytes, hex."""
    return hashlib.sha256(canonicalize(document)).hexdigest()
