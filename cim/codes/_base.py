"""What every code scheme is made of: a layout of segments, rules over them, and how codes relate.

Places count from 1 in the canonical form: half-width, upper case, no spaces. Only that form is compared,
hashed and stored as a key; keep the text as received beside it where it matters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

import numpy as np
import numpy.typing as npt

from cim.errors import Conflict, InvalidCode, InvalidData, NotFound

Places = npt.NDArray[np.uint8]
"""Codes of one length as their characters: a row each, a column for each place."""
Mask = npt.NDArray[np.bool_]

DIGITS = "0123456789"
# What a message shows of a value that may be a whole page pasted into the wrong column.
SHOWN = 60
WAY_OUT = "mend it at the source, or leave it empty to have a provisional code given"

# Full-width forms become ASCII, a-z become A-Z, white space and invisible characters vanish. Nothing else is
# touched: full NFKC or str.upper() would turn letters such as 'ſ' or '①' into characters nobody wrote.
_CANONICAL: dict[int, str] = {
    **{0xFF01 + offset: chr(0x21 + offset).upper() for offset in range(0x5E)},
    **{ord(letter): letter.upper() for letter in "abcdefghijklmnopqrstuvwxyz"},
    **{ord(blank): "" for blank in "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"},
    **dict.fromkeys(range(0x2000, 0x200C), ""),
    **{ord(invisible): "" for invisible in "\u2060\ufeff"},
}


def among(column: Places, characters: str) -> Mask:
    """Return where the characters of a column are among those given."""
    table = np.zeros(256, dtype=bool)
    table[list(characters.encode())] = True
    return table[column]


def number_at(places: Places, first: int, last: int) -> npt.NDArray[np.int64]:
    """Return the numbers whose digits stand in places `first` to `last`, counted from 1; rubbish where no digits do."""
    numbers = np.zeros(len(places), dtype=np.int64)
    for place in range(first - 1, last):
        numbers = numbers * 10 + (places[:, place].astype(np.int64) - ord("0"))
    return numbers


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a code.

    `shape` and `rule` refuse it; a `warning` does not. `place` is the place at fault in the canonical form,
    counting from 1; None means the code as a whole.
    """

    kind: Literal["shape", "rule", "warning"]
    place: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of places with one meaning: its length, and the characters it may hold or its one fixed text.

    `least` is how short it may be where its length varies. A separator is a fixed text without a name.
    """

    name: str
    length: int
    characters: str = DIGITS
    literal: str | None = None
    least: int | None = None

    @property
    def shortest(self) -> int:
        """How many places it has at least."""
        return self.length if self.least is None else self.least

    @property
    def expression(self) -> str:
        """The regular expression of it."""
        if self.literal:
            return re.escape(self.literal)
        return f"[{re.escape(self.characters)}]{{{self.shortest},{self.length}}}"

    def fault(self, offset: int, character: str) -> str | None:
        """Return what is wrong with the character so many places into the segment; None if nothing is."""
        allowed = self.literal[offset] if self.literal else self.characters
        if character in allowed:
            return None
        wanted = "a digit" if allowed == DIGITS else allowed if len(allowed) == 1 else f"one of {allowed}"
        return f"{self.name or 'separator'} must be {wanted}, is {character!r}"


@dataclass(frozen=True, slots=True)
class Part:
    """A segment's text in one code; `first` is its first place."""

    name: str
    first: int
    text: str


@dataclass(frozen=True, slots=True)
class ParsedCode:
    """A good code taken apart; `levels` names what it may stand for, the most usual first."""

    scheme: str
    code: str
    levels: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def level(self) -> str | None:
        """What the code stands for, the most usual reading; None where the scheme has no levels."""
        return self.levels[0] if self.levels else None

    def __getitem__(self, name: str) -> str:
        """Return the text of the segment of that name."""
        return next(part.text for part in self.parts if part.name == name)


@dataclass(frozen=True, slots=True)
class Valid:
    """An example a scheme must take, as text received, with its level."""

    text: str
    level: str | None = None


@dataclass(frozen=True, slots=True)
class Invalid:
    """An example a scheme must refuse, with the first problem's kind and place."""

    text: str
    kind: Literal["shape", "rule"]
    place: int | None


@dataclass(frozen=True)
class Layout:
    """The segments of a scheme and the lengths at which a code may end; no lengths where those of segments vary."""

    segments: tuple[Segment, ...]
    lengths: tuple[int, ...] = ()
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.lengths:
            expression = "|".join(self._expression(length) for length in self.lengths)
        else:
            expression = "".join(f"({segment.expression})" for segment in self.segments)
        object.__setattr__(self, "pattern", re.compile(expression))

    def parts(self, code: str) -> tuple[Part, ...]:
        """Cut a code of right shape into its segments."""
        match = self.pattern.fullmatch(code)
        if match and not self.lengths:
            return tuple(
                Part(segment.name, match.start(group) + 1, match.group(group))
                for group, segment in enumerate(self.segments, 1)
                if match.group(group)
            )
        ends = accumulate(segment.length for segment in self.segments)
        cut = zip(self.segments, ends, strict=True)
        return tuple(Part(s.name, end - s.length + 1, code[end - s.length : end]) for s, end in cut if end <= len(code))

    def misplaced(self, places: Places) -> Mask:
        """Return which codes of one length, a row each, hold a character out of place."""
        found = np.zeros(len(places), dtype=bool)
        place = 0
        for segment in self.segments:
            for offset in range(segment.length):
                if place < places.shape[1]:
                    allowed = segment.literal[offset] if segment.literal else segment.characters
                    found |= ~among(places[:, place], allowed)
                place += 1
        return found

    def problem(self, code: str) -> Problem | None:
        """Return the first fault of shape, a character out of place before a wrong length; None if none."""
        if self.pattern.fullmatch(code):
            return None
        if not self.lengths:
            return self._varying_problem(code)
        lengths = " or ".join(map(str, self.lengths))
        length = "" if len(code) in self.lengths else f" ({len(code)} places, expected {lengths})"
        place = 0
        for segment in self.segments:
            for offset, character in enumerate(code[place : place + segment.length]):
                fault = segment.fault(offset, character)
                if fault:
                    return Problem("shape", place + offset + 1, fault + length)
            place += segment.length
        end = min((n for n in self.lengths if n > len(code)), default=None)
        if end is None:
            return Problem("shape", max(self.lengths) + 1, f"too long{length}")
        return Problem("shape", len(code) + 1, f"too short{length}")

    def _varying_problem(self, code: str) -> Problem:
        """Return the first fault where lengths vary: a segment ends at the first character that it may not hold."""
        place = 0
        fault: str | None = None
        for segment in self.segments:
            taken, fault = 0, None
            while taken < segment.length and place < len(code):
                fault = segment.fault(taken, code[place])
                if fault:
                    break
                taken, place = taken + 1, place + 1
            if taken < segment.shortest:
                return Problem("shape", place + 1, fault or f"too short: {segment.name or 'separator'} is missing")
        return Problem("shape", place + 1, fault or "too long")

    def _expression(self, length: int) -> str:
        expression = ""
        for segment in self.segments:
            if length > 0:
                expression += segment.expression
                length -= segment.length
        return expression


@dataclass(frozen=True, slots=True)
class Numbering:
    """How a scheme numbers within a parent: `prefix`, a number of `width` digits, and what `complete` adds.

    Numbers above `highest` have another meaning and do not count as used. `used` is a number that the parent has
    itself; none is 0.
    """

    parent: str
    prefix: str
    width: int
    highest: int
    complete: Callable[[str], str] = lambda code: code
    used: int = 0

    def following(self, last: int, count: int = 1) -> list[str]:
        """Return the codes that follow the highest number given so far. Gaps are never filled.

        Raises
        ------
        Conflict : not so many numbers are left.
        """
        first = max(last, self.used) + 1
        left = self.highest - first + 1
        if count > left:
            said = f"only {left} are left" if left > 0 else f"{self.highest} is taken"
            raise Conflict(f"no number is left behind {self.prefix}: {said}; number within another parent")
        numbers = range(first, first + count)
        return [self.complete(f"{self.prefix}{number:0{self.width}d}") for number in numbers]

    def last(self, taken: Iterable[str]) -> int:
        """Return the highest number that codes behind the prefix have, 0 where none has."""
        end = len(self.prefix) + self.width
        found = [code[len(self.prefix) : end] for code in taken if code.startswith(self.prefix) and len(code) >= end]
        return max((n for n in map(int, filter(str.isdecimal, found)) if n <= self.highest), default=0)


def _no_problems(_code: str) -> Sequence[Problem]:
    return ()


def translated(text: str) -> str:
    """Return a text half-width, upper case and without white space."""
    return text.translate(_CANONICAL)


def whole_number(text: str) -> str:
    """Return a whole number's text without leading zeros."""
    return re.sub("^0+(?=[0-9])", "", translated(text))


def _no_levels(_code: str) -> tuple[str, ...]:
    return ()


def _no_parent(_code: str) -> str | None:
    return None


def _itself(code: str) -> str:
    return code


@dataclass(frozen=True)
class CodeScheme:
    """One way of coding objects.

    Attributes
    ----------
    source, version, confidence : the text the scheme is from and how sure it is (confirmed, likely, design).
    layout : segments and lengths.
    levels : what a code may stand for, say parcel, building, unit; empty if all are alike.
    rules, warnings : what is wrong with, or merely odd about, a canonical code of right shape.
    suspects : which of many codes of one length and right shape, a row each, may break a rule or miss a level: the
        quick twin of `rules` and `levels_of`, for columns. It may suspect too many, never too few.
    canonical : the one spelling of a code; half-width, upper case, without white space, unless the scheme says more.
    codelist, with_values : the codelist that the rules ask, if any, and what makes the scheme from its values: a city's
        dictionary may extend the published list.
    reserved : why no value can be judged yet; None for a scheme in use.
    levels_of, parent_of, prefix_of : what a good code stands for, lies in, shares with its children.
    children_of : a regular expression of the children's codes, where they do not begin with a prefix.
    numbering_of : how the scheme numbers within a parent, InvalidCode where it does not; None if the codes are not for
        us to give.
    issuer : who gives the codes, for the message that we do not.
    examples_valid, examples_invalid : what the contract test holds the scheme to.
    """

    name: str
    title: str
    title_zh: str
    source: str
    version: str
    confidence: str
    layout: Layout
    examples_valid: tuple[Valid, ...]
    examples_invalid: tuple[Invalid, ...]
    levels: tuple[str, ...] = ()
    rules: Callable[[str], Sequence[Problem]] = _no_problems
    warnings: Callable[[str], Sequence[Problem]] = _no_problems
    levels_of: Callable[[str], tuple[str, ...]] = _no_levels
    parent_of: Callable[[str], str | None] = _no_parent
    prefix_of: Callable[[str], str] = _itself
    children_of: Callable[[str], str] | None = None
    numbering_of: Callable[[str], Numbering] | None = None
    issuer: str = "their issuer"
    suspects: Callable[[Places, str | None], Mask] | None = None
    canonical: Callable[[str], str] = translated
    codelist: str | None = None
    with_values: Callable[[Collection[str]], CodeScheme] | None = None
    reserved: str | None = None

    def normalise(self, text: str) -> str:
        """Return the canonical form of any text."""
        return self.canonical(text)

    def validate(self, text: str, *, strict: bool = False, level: str | None = None) -> list[Problem]:
        """Return what is wrong with a code, in the order of the scheme's rules; [] for a good one.

        Parameters
        ----------
        strict : report warnings of a code that is otherwise good.
        level : refuse a code that stands for something else, say a unit's where a building's is wanted.

        Raises
        ------
        NotFound : the scheme has no such level.
        """
        self._demand_level(level)
        if self.reserved is not None:
            return [Problem("rule", None, self.reserved)]
        code = self.normalise(text)
        shape = self.layout.problem(code)
        if shape:
            return [shape]
        problems = list(self.rules(code))
        if not problems and level is not None and level not in self.levels_of(code):
            problems.append(Problem("rule", None, self._wrong_level(code, level)))
        if strict and not problems:
            problems += self.warnings(code)
        return problems

    def check(self, text: str, *, level: str | None = None) -> str:
        """Return the canonical form of a good code.

        Raises
        ------
        InvalidCode : the code is refused; the message names scheme, value, place, problem and way out.
        NotFound : the scheme has no such level.
        """
        problems = self.validate(text, level=level)
        if problems:
            raise InvalidCode(self.refusal(text, problems))
        return self.normalise(text)

    def check_many(
        self, values: Sequence[str | None], *, level: str | None = None
    ) -> tuple[list[str | None], dict[int, str]]:
        """Check a column of codes.

        Returns
        -------
        (codes, problems): the canonical codes in the order of `values`, None where one is missing or refused,
        and the messages of the refused ones by index. None and blank text are missing codes, not problems.
        """
        self._demand_level(level)
        codes: list[str | None] = list(values)
        problems: dict[int, str] = {}
        # Most values are canonical and good; all others take the slow way, which knows what to say.
        for index in self._not_plainly_good(codes, level):
            value = codes[index] or ""
            code = self.normalise(value)
            found = self.validate(code, level=level) if code else []
            if found:
                problems[index] = self.refusal(value, found)
            codes[index] = None if found or not code else code
        return codes, problems

    def _not_plainly_good(self, values: Sequence[str | None], level: str | None) -> Sequence[int]:
        """Return the indices of the values that are not canonical and good, and maybe of some that are."""
        if self.reserved is not None:
            return range(len(values))
        if self.suspects is None:
            matches, rules, levels_of = self.layout.pattern.fullmatch, self.rules, self.levels_of
            return [
                index
                for index, value in enumerate(values)
                if not (value and matches(value) and not rules(value) and (level is None or level in levels_of(value)))
            ]
        lengths = np.fromiter((len(value or "") for value in values), dtype=np.intp, count=len(values))
        good = np.zeros(len(values), dtype=bool)
        for length in self.layout.lengths:
            rows = np.flatnonzero(lengths == length)
            text = "".join([values[row] or "" for row in rows.tolist()])
            # What is not ASCII becomes a question mark, which no code holds.
            places = np.frombuffer(text.encode("ascii", "replace"), np.uint8).reshape(len(rows), length)
            good[rows] = ~(self.layout.misplaced(places) | self.suspects(places, level))
        indices: list[int] = np.flatnonzero(~good).tolist()
        return indices

    def parse(self, text: str) -> ParsedCode:
        """Take a code apart; InvalidCode if it is refused."""
        code = self.check(text)
        return ParsedCode(self.name, code, self.levels_of(code), self.layout.parts(code))

    def format(self, text: str) -> str:
        """Return a code for reading, a space between segments that nothing else divides; InvalidCode if refused."""
        return (" " if self.layout.lengths else "").join(part.text for part in self.parse(text).parts)

    def parent(self, text: str) -> str | None:
        """Return the code of what contains the object, if the code itself tells; InvalidCode if refused."""
        return self.parent_of(self.check(text))

    def children_pattern(self, text: str) -> str:
        """Return a regular expression that the codes of what lies inside the object match; InvalidCode if refused."""
        code = self.check(text)
        return self.children_of(code) if self.children_of else f"{re.escape(self.prefix_of(code))}.+"

    def numbering(self, parent: str) -> Numbering:
        """Return how the scheme numbers within a parent: a containing code, or the prefix it numbers within.

        Raises
        ------
        InvalidCode : the scheme does not number under such a parent.
        InvalidData : the scheme's codes are not for us to give.
        """
        if self.numbering_of is None:
            raise InvalidData(f"codes of {self.name} are given by {self.issuer}, not minted here; ask for one there")
        return self.numbering_of(self.normalise(parent))

    def mint(self, parent: str, taken: Iterable[str] = ()) -> str:
        """Return the next code under `parent`: one more than the highest number among `taken`; nothing is reserved.

        Parameters
        ----------
        taken : every code ever given under it, closed ones too (codes are never reused), or just the highest.

        Raises
        ------
        InvalidCode : the scheme does not number under such a parent, or refuses what comes of it.
        InvalidData : the scheme's codes are not for us to give.
        Conflict : the numbers have run out.
        """
        numbering = self.numbering(parent)
        (code,) = numbering.following(numbering.last(map(self.normalise, taken)))
        return self.check(code)

    def refusal(self, text: str, problems: Iterable[Problem]) -> str:
        """Return one line naming scheme, value, places, problems, and the way out."""
        shown = repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
        said = (f"place {p.place}: {p.message}" if p.place else p.message for p in problems)
        return f"{self.name} refuses {shown}: {'; '.join(said)}; {WAY_OUT}"

    def _demand_level(self, level: str | None) -> None:
        if level is not None and level not in self.levels:
            raise NotFound(f"{self.name} has no level {level!r}; it has {', '.join(self.levels) or 'none'}")

    def _wrong_level(self, code: str, wanted: str) -> str:
        level = next(iter(self.levels_of(code)), "thing unknown to us")
        message = f"is the code of a {level}, expected that of a {wanted}"
        ancestor = self.parent_of(code)
        while ancestor is not None:
            if wanted in self.levels_of(ancestor):
                return f"{message}; its {wanted} is {ancestor}"
            ancestor = self.parent_of(ancestor)
        return message
