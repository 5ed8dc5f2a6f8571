"""CQL2 text (OGC 21-065r2) to the tree of its JSON encoding, in bounded time whatever comes.

PyPI `cql2` parses, but needs twice the time for each level of brackets when something inside them is wrong: 25 levels
of a faulty text hold a processor for minutes. So AND, OR, NOT and the brackets around conditions are taken apart
here, in linear time, and the parser sees one predicate at a time, whose brackets are few.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import cql2

from cim.errors import InvalidFilter

MAX_LENGTH = 4096
MAX_NESTING = 50
# S_INTERSECTS(geom, MULTIPOLYGON(((…)))) has four.
MAX_PREDICATE_NESTING = 8

Node = Any  # dict, list, str, float or bool, as in CQL2 JSON

_QUOTED = r"'(?:[^']|'')*'"
_NAME = r'"(?:[^"]|"")*"'
_ILIKE = re.compile(rf"{_QUOTED}|({_NAME}|\b[^\W\d]\w*)\s+(NOT\s+)?ILIKE\s+({_QUOTED})", re.IGNORECASE)
_TOKEN = re.compile(rf"{_QUOTED}|{_NAME}|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        return self.text.upper()


def parse(text: str) -> Node:
    """Return the tree of a filter; ILIKE, which GDAL writes, becomes CASEI on both sides.

    Raises
    ------
    InvalidFilter : longer than 4096 characters, nested deeper than 50 (a sum nests with each of its terms), or not
    CQL2 text.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidFilter(f"filter has {len(text)} characters; at most {MAX_LENGTH} are taken")
    if not text.strip():
        raise InvalidFilter("filter is empty; leave the parameter out or write a condition")
    text = _ILIKE.sub(lambda m: f"CASEI({m[1]}) {m[2] or ''}LIKE CASEI({m[3]})" if m[1] else m[0], text)
    return shallow(_Splitter(text).condition(_tokens(text)))


def shallow(tree: Node) -> Node:
    """Return a tree that is no deeper than what compiles it can follow.

    Raises
    ------
    InvalidFilter : it is.
    """
    level = [tree]
    # Each condition is an object with a list in it.
    for _ in range(2 * (MAX_NESTING + MAX_PREDICATE_NESTING)):
        level = [child for node in level for child in _children(node)]
        if not level:
            return tree
    raise InvalidFilter(f"filter is nested deeper than {MAX_NESTING} levels; simplify it")


def _children(node: Node) -> list[Node]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    depth = nots = 0
    for match in _TOKEN.finditer(text):
        symbol = match[0]
        depth -= symbol == ")"
        tokens.append(_Token(symbol, *match.span(), depth))
        depth += symbol == "("
        nots = nots + 1 if symbol.upper() == "NOT" else 0
        if depth < 0:
            raise InvalidFilter(f"filter closes a bracket it never opened, at character {match.start() + 1}")
        if depth + nots > MAX_NESTING:
            raise InvalidFilter(f"filter is nested deeper than {MAX_NESTING} levels; simplify it")
    if depth:
        raise InvalidFilter(f"filter leaves {depth} brackets open; close them")
    return tokens


class _Splitter:
    """Takes a filter apart at AND, OR, NOT and the brackets around conditions."""

    def __init__(self, text: str) -> None:
        self.text = text

    def condition(self, tokens: list[_Token]) -> Node:
        alternatives = [self._all(part) for part in _split(tokens, "OR")]
        return alternatives[0] if len(alternatives) == 1 else {"op": "or", "args": alternatives}

    def _all(self, tokens: list[_Token]) -> Node:
        parts = [self._one(part) for part in _split(tokens, "AND")]
        return parts[0] if len(parts) == 1 else {"op": "and", "args": parts}

    def _one(self, tokens: list[_Token]) -> Node:
        if not tokens:
            raise InvalidFilter("filter lacks a condition beside AND, OR or NOT, or between brackets")
        if tokens[0].word == "NOT":
            return {"op": "not", "args": [self._one(tokens[1:])]}
        closing = next((t for t in tokens if t.text == ")" and t.depth == tokens[0].depth), None)
        if tokens[0].text == "(" and closing is tokens[-1]:
            return self.condition(tokens[1:-1])
        return self._predicate(tokens)

    def _predicate(self, tokens: list[_Token]) -> Node:
        text = self.text[tokens[0].start : tokens[-1].end]
        if max(t.depth for t in tokens) - tokens[0].depth > MAX_PREDICATE_NESTING:
            raise InvalidFilter(f"brackets of {_shortened(text)} are nested deeper than {MAX_PREDICATE_NESTING} levels")
        try:
            return cql2.parse_text(text).to_json()
        except Exception as error:  # the parser raises bare ones, for a coordinate of 400 digits for example
            raise InvalidFilter(f"{_shortened(text)} is not CQL2 text: {_expected(error)}") from None


def _split(tokens: list[_Token], word: str) -> list[list[_Token]]:
    """Split at a word outside brackets; the AND of BETWEEN … AND … does not count."""
    parts: list[list[_Token]] = [[]]
    between = False
    for token in tokens:
        at_level = token.depth == tokens[0].depth
        if at_level and token.word == word and not between:
            parts.append([])
            continue
        if at_level and token.word in ("BETWEEN", "AND"):
            between = token.word == "BETWEEN"
        parts[-1].append(token)
    return parts


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _expected(error: Exception) -> str:
    """Return what the parser says it had expected, without its drawing of where."""
    lines = [line.strip(" |=") for line in str(error).splitlines()]
    return next((line[:160] for line in lines if line.startswith("expected")), "it cannot be parsed")
