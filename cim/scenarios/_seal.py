"""The seal: state, rules, software and inputs that a result can be recomputed from, with a digest of each."""

from __future__ import annotations

import hashlib
from typing import Any

from cim.db.script import query
from cim.log.entry import canonicalize
from cim.scenarios._base import Outcome, Scenario
from cim.scenarios._state import State


def seal(scenario: Scenario, state: State, outcome: Outcome) -> dict[str, Any]:
    """Return the assessment of an outcome. Run again as of its `tree_size`, the same inputs give the same bytes.

    `inputs` are complete: defaults filled in, `as_of` a tree size, `reference_date` a day. Digests are SHA-256 (hex)
    over JCS bytes (RFC 8785); `read_set` is one over the sorted lines "type code leaf-index" of every object read.
    """
    versions = state.connection.execute(query("scenarios/versions")).one()
    read_set = state.rows(
        "read_set",
        types=list(scenario.reads),
        scope_type=state.scope.type,
        scope_codes=list(state.scope.codes),
    )[0]
    inputs = scenario.inputs() | {
        "as_of": state.head.size,
        "reference_date": state.reference_date.isoformat(),
    }
    return {
        "process": {"id": scenario.name, "version": scenario.version},
        "origin": state.database.settings.origin,
        "tree_size": state.head.size,
        "root": state.head.root.hex(),
        "as_of": state.as_of,
        "reference_date": state.reference_date.isoformat(),
        "proposal_root": None,
        "rule_pack": {"name": state.pack.name, "version": state.pack.version, "sha256": state.pack.sha256},
        "inputs": inputs,
        "inputs_hash": digest(inputs),
        "read_set": {"objects": read_set.objects, "sha256": read_set.sha256},
        "software": {"postgis": versions.postgis, "geos": versions.geos},
        "result_hash": digest({"result": outcome.result, "coverage": outcome.coverage}),
    }


def digest(document: Any) -> str:
    """Return the SHA-256 of a document's JCS bytes, hex."""
    return hashlib.sha256(canonicalize(document)).hexdigest()
