"""Which object does a code or another published identifier name, and which codes are taken."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from cim import codes
from cim.db.script import query
from cim.dictionary import Dictionary


@dataclass(frozen=True, slots=True)
class Named:
    """An object that an identifier names: `value` in `scheme` is the identifier, `code` the object's key."""

    type: str
    code: str
    scheme: str
    value: str


def resolve_identifier(connection: sa.Connection, dictionary: Dictionary, text: str) -> list[Named]:
    """Return the objects that a text names, however it is spelt; none gives an empty list."""
    values = sorted({text, *(scheme.normalise(text) for scheme in codes.schemes().values())})
    rows = connection.execute(query("codes/resolve"), {"types": list(dictionary.types), "values": values})
    return [Named(*row) for row in rows]


def propose(connection: sa.Connection, dictionary: Dictionary, scheme_name: str, parent: str) -> str:
    """Return the next code under `parent` by the scheme's numbering; nothing is reserved by asking.

    Raises
    ------
    NotFound : no such scheme. InvalidCode : the parent is refused, or its numbers are used up.
    """
    scheme = codes.scheme(scheme_name)
    canonical = scheme.check(parent)
    parameters = {"types": list(dictionary.types), "prefix": scheme.children_prefix(canonical)}
    return scheme.mint(canonical, connection.execute(query("codes/below"), parameters).scalars().all())
