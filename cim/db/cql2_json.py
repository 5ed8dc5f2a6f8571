"""CQL2 JSON (OGC 21-065r2): the same tree as of a text, judged where it is compiled."""

from __future__ import annotations

import orjson

from cim.db.cql2_text import MAX_LENGTH, MAX_NESTING, Node
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
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidFilter(f"filter is not JSON: {error}") from None
    level = [tree]
    # Each condition is an object with a list in it.
    for _ in range(2 * MAX_NESTING):
        level = [child for node in level for child in _children(node)]
        if not level:
            return tree
    raise InvalidFilter(f"filter is nested deeper than {MAX_NESTING} levels; simplify it")


def _children(node: Node) -> list[Node]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
