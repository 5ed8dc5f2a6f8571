"""Code schemes: one file each, found by being in this folder.

>>> from cim import codes
>>> codes.check("cn-bdcdyh", "340123 002004 gb00011 f00010001")
'340123002004GB00011F00010001'

Some schemes are made from a codelist, which a city may extend: whoever asks for a deployment's scheme passes the
codelists of its dictionary. Without them it is the scheme as published.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Protocol

from cim import plugins
from cim.codes import provisional
from cim.codes._base import CodeScheme, Invalid, Layout, ParsedCode, Part, Problem, Segment, Valid
from cim.errors import InvalidCode, NotFound

__all__ = [
    "CodeScheme",
    "Codelists",
    "Invalid",
    "Keyed",
    "Layout",
    "Listed",
    "ParsedCode",
    "Part",
    "Problem",
    "Segment",
    "Valid",
    "check",
    "check_for",
    "check_many",
    "check_many_for",
    "scheme",
    "scheme_of",
    "schemes",
]


class Listed(Protocol):
    """A codelist, as far as schemes ask: its values, whatever is said of them."""

    @property
    def values(self) -> Mapping[str, object]:
        """The values."""


Codelists = Mapping[str, Listed]
"""The codelists of a deployment, by name"""
AS_PUBLISHED: Codelists = MappingProxyType({})


class Keyed(Protocol):
    """What keys are checked for: a feature type, or anything else that names a scheme, a level and the codelists."""

    @property
    def code_scheme(self) -> str:
        """Name of the scheme of the key."""

    @property
    def code_level(self) -> str | None:
        """Which of the scheme's levels the key has; None for any."""

    @property
    def codelists(self) -> Codelists:
        """The codelists of the deployment."""


@cache
def _published() -> Mapping[str, CodeScheme]:
    return plugins.scan(sys.modules[__name__], "SCHEME")


def schemes(codelists: Codelists = AS_PUBLISHED) -> Mapping[str, CodeScheme]:
    """Return all code schemes by name, those that are made from a codelist as the given ones have it."""
    return MappingProxyType({name: _listed(published, codelists) for name, published in _published().items()})


def scheme(name: str, codelists: Codelists = AS_PUBLISHED) -> CodeScheme:
    """Return the scheme of that name, as `schemes` has it; NotFound lists the ones there are."""
    if name not in _published():
        raise NotFound(f"no code scheme {name!r}; there are {', '.join(_published())}")
    return _listed(_published()[name], codelists)


def scheme_of(kind: Keyed) -> CodeScheme:
    """Return the scheme of a type's keys in its deployment; NotFound if there is no such scheme."""
    return scheme(kind.code_scheme, kind.codelists)


def _listed(published: CodeScheme, codelists: Codelists) -> CodeScheme:
    codelist = codelists.get(published.codelist or "")
    if codelist is None or published.with_values is None:
        return published
    return published.with_values(codelist.values.keys())


def check(scheme_name: str, text: str, *, level: str | None = None, codelists: Codelists = AS_PUBLISHED) -> str:
    """Return the canonical form of a good code.

    Raises
    ------
    InvalidCode : the code is refused; the message names scheme, value, place, problem and way out.
    NotFound : there is no such scheme or level.
    """
    return scheme(scheme_name, codelists).check(text, level=level)


def check_many(
    scheme_name: str,
    values: Sequence[str | None],
    *,
    level: str | None = None,
    codelists: Codelists = AS_PUBLISHED,
) -> tuple[list[str | None], dict[int, str]]:
    """Check a column of codes: see CodeScheme.check_many. NotFound if there is no such scheme or level."""
    return scheme(scheme_name, codelists).check_many(values, level=level)


def check_for(kind: Keyed, text: str) -> str:
    """Return the canonical form of a key: a code of the type's scheme and level, or a provisional one.

    Raises
    ------
    InvalidCode : neither takes it.
    NotFound : there is no such scheme or level.
    """
    (code,), problems = check_many_for(kind, [text])
    if problems:
        raise InvalidCode(problems[0])
    if code is None:
        raise InvalidCode(f"{kind.code_scheme} refuses an empty code; give one, or mint a provisional one")
    return code


def check_many_for(kind: Keyed, values: Sequence[str | None]) -> tuple[list[str | None], dict[int, str]]:
    """Check a column of keys of one feature type; besides its own scheme every type takes provisional codes.

    Returns
    -------
    (codes, problems) as CodeScheme.check_many gives them. What looks provisional is judged as such.
    """
    found, problems = scheme_of(kind).check_many(values, level=kind.code_level)
    refused = list(problems)
    again, misprints = provisional.SCHEME.check_many([values[index] for index in refused])
    for position, index in enumerate(refused):
        if again[position] is not None:
            found[index] = again[position]
            del problems[index]
        elif provisional.SCHEME.normalise(values[index] or "").startswith(provisional.PREFIX):
            problems[index] = misprints[position]
    return found, problems
