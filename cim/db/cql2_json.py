"""CQL2 JSON (OGC 21-065r2): the same tree as of a text, judged where it is compiled."""

from __future__ import annotations

import orjson

from cim.db.cql2_text import MAX_LENGTH, Node, shallow
from cim.errors import InvalidFilter


def parse_json(text: str) -> Node:
    """Return the tree of a filter.

    Raises
    ------
    InvalidFilter : longer than 4096 characters, nested deeper than 50 conditions, or not JSON.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidFilter(f"filter has {len(text)} characters; at most {MAX_LENGTH} are taken")
    try:
        return shallow(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise InvalidFilter(f"filter is not JSON: {error}") from None
