"""Expressions of a mapping: what a column is made of where no single field holds it.

    coalesce("建物 名", name, 'unnamed')
    concat(street, ' ', number)
    case(floors > 0, floors, height / 3)
    date(survey, '%d.%m.%Y')

A bare or "double-quoted" word is a field, 'single quotes' are text, a doubled quote stands for itself, as in SQL.
There are + - * /, comparisons (= != < <= > >=), and, or, not, and the functions of `ingest.evaluation.FUNCTIONS`.
Nothing else: the text is parsed by the grammar below and never handed to an interpreter.

    or := and ("or" and)*        and := not ("and" not)*       not := "not" not | comparison
    comparison := sum (op sum)?  sum := product (± product)*   product := unary (*/ unary)*
    unary := "-" unary | primary
    primary := number | text | field | function "(" or, … ")" | "(" or ")" | "true" | "false" | "null"

Values are whole Arrow columns. Missing stays missing: an operand without a value gives none, only `coalesce`,
`concat` and `case` look past it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from cim.errors import InvalidData
from ingest.evaluation import FUNCTIONS, Evaluation, Field, Node, column_of
from ingest.faults import Faults
from ingest.values import Array

# An expression is written by a person; what is longer or deeper is a mistake or an attack on the parser.
MAX_LENGTH = 4000
_MAX_DEPTH = 60

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?)
    | '(?P<text>(?:[^']|'')*)'
    | "(?P<quoted>(?:[^"]|"")+)"
    | (?P<word>[^\W\d][\w.:]*)
    | (?P<sign><=|>=|!=|<>|[-+*/=<>(),])
    )""",
    re.VERBOSE,
)
_WORDS = frozenset({"and", "or", "not", "true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression: its text, for messages, and the fields it reads."""

    text: str
    root: Node
    fields: frozenset[str]

    def evaluate(self, field: Field, count: int, name: str, faults: Faults) -> Array:
        """Return the column it gives, `count` values.

        Parameters
        ----------
        field : answers a field's column by its name
        name : what is being made, for the reasons of records whose values do not fit
        """
        result = Evaluation(field, count, name, faults).of(self.root)
        return column_of(result, count)


def parse(text: str) -> Expression:
    """Return the parsed expression.

    Raises
    ------
    InvalidData : not of the grammar, an unknown function or a wrong number of arguments; says where.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidData(f"expression of {len(text)} characters: at most {MAX_LENGTH} are read")
    parser = _Parser(text, list(_tokens(text)))
    root = parser.whole()
    return Expression(text, root, frozenset(parser.fields))


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    place = 0
    while place < len(text.rstrip()):
        match = _TOKEN.match(text, place)
        if match is None:
            raise InvalidData(
                f"expression {text!r}: no reading it from place {place + 1}: {text[place : place + 12]!r}"
            )
        kind = match.lastgroup or ""
        yield kind, match[kind], match.start(kind) + 1
        place = match.end()
    yield "end", "", len(text) + 1


class _Parser:
    def __init__(self, text: str, tokens: Sequence[tuple[str, str, int]]) -> None:
        self.text = text
        self.tokens = tokens
        self.next = 0
        self.depth = 0
        self.fields: set[str] = set()

    def whole(self) -> Node:
        node = self.either()
        self.want("end")
        return node

    def fail(self, expected: str) -> InvalidData:
        kind, value, place = self.tokens[self.next]
        got = "it ends" if kind == "end" else f"it has {value!r}"
        return InvalidData(f"expression {self.text!r}: at place {place} expected {expected}, but {got}")

    def take(self, *values: str) -> str | None:
        """Return the next token if it is one of these signs or words, and go past it."""
        kind, value, _ = self.tokens[self.next]
        if kind in ("sign", "word") and value.lower() in values:
            self.next += 1
            return value.lower()
        return None

    def want(self, sign: str) -> None:
        kind, value, _ = self.tokens[self.next]
        if (sign == "end") != (kind == "end") or (sign != "end" and (kind, value) != ("sign", sign)):
            raise self.fail("the end or an operator" if sign == "end" else repr(sign))
        self.next += 1

    def either(self) -> Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise InvalidData(f"expression {self.text!r}: is nested more than {_MAX_DEPTH} deep")
        node = self.chain(self.both, "or")
        self.depth -= 1
        return node

    def both(self) -> Node:
        return self.chain(self.negation, "and")

    def negation(self) -> Node:
        turns = 0
        while self.take("not"):
            turns += 1
        node = self.comparison()
        return Node("not", parts=(node,)) if turns % 2 else node

    def comparison(self) -> Node:
        left = self.sum()
        sign = self.take("=", "!=", "<>", "<", "<=", ">", ">=")
        return left if sign is None else Node("compare", "!=" if sign == "<>" else sign, (left, self.sum()))

    def sum(self) -> Node:
        return self.chain(self.product, "+", "-")

    def product(self) -> Node:
        return self.chain(self.unary, "*", "/")

    def chain(self, part: Callable[[], Node], *signs: str) -> Node:
        node = part()
        while (sign := self.take(*signs)) is not None:
            node = Node("logic" if sign in ("and", "or") else "arithmetic", sign, (node, part()))
        return node

    def unary(self) -> Node:
        turns = 0
        while self.take("-"):
            turns += 1
        node = self.primary()
        return Node("arithmetic", "-", (Node("number", 0.0), node)) if turns % 2 else node

    def primary(self) -> Node:
        kind, value, _ = self.tokens[self.next]
        if self.take("("):
            node = self.either()
            self.want(")")
            return node
        if kind == "word" and value.lower() in ("true", "false", "null"):
            self.next += 1
            return Node("constant", {"true": True, "false": False, "null": None}[value.lower()])
        if kind not in ("number", "text", "quoted", "word") or value.lower() in _WORDS:
            raise self.fail("a field, a value or a function")
        self.next += 1
        if kind == "number":
            return Node("number", float(value))
        if kind == "text":
            return Node("text", value.replace("''", "'"))
        if kind == "word" and self.take("("):
            return self.call(value)
        name = value.replace('""', '"') if kind == "quoted" else value
        self.fields.add(name)
        return Node("field", name)

    def call(self, name: str) -> Node:
        parts: list[Node] = []
        if not self.take(")"):
            parts.append(self.either())
            while self.take(","):
                parts.append(self.either())
            self.want(")")
        function = FUNCTIONS.get(name.lower())
        if function is None:
            known = ", ".join(FUNCTIONS)
            raise InvalidData(f"expression {self.text!r}: there is no function {name!r}; there are {known}")
        if not function.least <= len(parts) <= function.most:
            raise InvalidData(f"expression {self.text!r}: {name} takes {function.usage}, got {len(parts)} arguments")
        for place in function.literal:
            if place < len(parts) and parts[place].kind not in ("text", "number"):
                raise InvalidData(f"expression {self.text!r}: argument {place + 1} of {name} must be written out")
        node = Node("call", name.lower(), tuple(parts))
        if function.check is not None:
            try:
                function.check(*(part.value for part in parts))
            except (ValueError, pa.ArrowInvalid) as error:
                raise InvalidData(f"expression {self.text!r}: {name}: {error}") from error
        return node
