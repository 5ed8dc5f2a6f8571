"""The scenarios there are, found by being in this folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from cim.errors import NotFound
from cim.plugins import scan
from cim.scenarios._base import Process


@cache
def scenarios() -> Mapping[str, type[Process]]:
    """Return every scenario by its process id, sorted."""
    return MappingProxyType(scan(sys.modules[__package__], "SCENARIO"))


def scenario(scenario_id: str) -> type[Process]:
    """Return the scenario of that id; NotFound lists the ones there are."""
    if scenario_id not in scenarios():
        raise NotFound(f"no scenario {scenario_id!r}; there are {', '.join(scenarios())}")
    return scenarios()[scenario_id]
