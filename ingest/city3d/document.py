"""A whole CityJSON document without all of it in memory: its objects are parsed when they are asked for.

The text is gone over once for the brackets outside of strings, a slice of it at a time. What lies between them is
parsed piece by piece, so that a text that is no JSON is found to be none where it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from cim.errors import InvalidData
from ingest.city3d.feature import CityObject, Vertices

# Bytes that are gone over, and of vertices that are parsed, at a time.
_SLICE = 1 << 21
_OPEN = np.frombuffer(b"{[", np.uint8)
_BRACKETS = np.frombuffer(b"{[}]", np.uint8)
_QUOTES = re.compile(rb'\\.|"', re.DOTALL)
_LARGE = re.compile(rb'(?<!\\)"(CityObjects|vertices)"\s*:\s*\Z')
# What stands before an object: a comma, and its name.
_NAME = re.compile(rb'\s*(,?)\s*("(?:[^"\\]|\\.)*")\s*:\s*', re.DOTALL)

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Brackets:
    """Brackets in the order of a text: where they stand, how deep it is behind each, whether it opens."""

    places: NDArray[np.int64]
    depths: NDArray[np.int8]
    opens: NDArray[np.bool_]

    def spans(self, depth: int, within: Span) -> NDArray[np.int64]:
        """Return from where to where the values lie, brackets included, that are so deep; one a row."""
        first, last = np.searchsorted(self.places, within)
        places, depths, opens = (a[first:last] for a in (self.places, self.depths, self.opens))
        starts, ends = places[opens & (depths == depth)], places[~opens & (depths == depth - 1)] + 1
        return np.column_stack([starts, ends[: len(starts)]])


class Document:
    """A file of CityJSON.

    Attributes
    ----------
    members : all but the objects and the vertices.

    Raises
    ------
    InvalidData : it is no JSON.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = pa.OSFile(str(path), "rb")
        self._brackets = self._find_brackets()
        self._large: dict[str, Span] = {}
        rest, last = [], 0
        for start, end in self._brackets.spans(2, (0, self._file.size())).tolist():
            before = self._text((last, start))
            name = _LARGE.search(before)
            rest += [before, b"null" if name else self._text((start, end))]
            if name:
                self._large[name[1].decode()] = (start, end)
            last = end
        self.members = self._parse(b"".join([*rest, self._text((last, self._file.size()))]), "")

    def objects(self) -> Objects:
        """Return the City Objects.

        Raises
        ------
        InvalidData : there is no object of them.
        """
        span = self._large.get("CityObjects", (0, 0))
        wrong = InvalidData(f"{self._path}: CityObjects is no object of City Objects with a type each")
        if self._text((span[0], span[0] + 1)) != b"{" or span[1] == 0:
            raise wrong
        found: dict[str, Span] = {}
        last = span[0] + 1
        for start, end in self._brackets.spans(3, (span[0] + 1, span[1] - 1)).tolist():
            named = _NAME.fullmatch(self._text((last, start)))
            if named is None or bool(named[1]) != bool(found):
                raise wrong
            found[self._parse(named[2], "the name of an object")] = (start, end)
            last = end
        if self._text((last, span[1] - 1)).strip():
            raise wrong
        return Objects(self, found)

    def vertices(self) -> Vertices:
        """Return the vertices: an array (n, 3) of numbers, the list as it stands where they are none, three each.

        Raises
        ------
        InvalidData : there is no list of them.
        """
        span = self._large.get("vertices", (0, 0))
        if self._text((span[0], span[0] + 1)) != b"[":
            raise InvalidData(f"{self._path}: vertices is no array")
        start, stop = span[0] + 1, span[1] - 1
        ends = self._brackets.spans(3, (start, stop))[:, 1]
        parts: list[NDArray[Any]] = []
        while start < stop:
            place = np.searchsorted(ends, min(start + _SLICE, stop))
            end = int(ends[place]) if place < len(ends) else stop
            text = self._text((start, end)).strip()
            start = end
            if not text:  # behind the last
                continue
            if parts:
                comma, _, text = text.partition(b",")
                if comma or not text.strip():
                    raise self.refuse("vertices: is not JSON: a comma is missing, or nothing follows it")
            part = _numbers(self._parse(b"[" + text + b"]", "vertices"))
            if part is None:
                whole: list[Any] = self._parse(self._text(span), "vertices")
                return whole
            parts.append(part)
        return np.concatenate(parts) if parts else []

    def parse(self, span: Span, where: str) -> Any:
        """Return what a part of the text says.

        Raises
        ------
        InvalidData : it is no JSON.
        """
        return self._parse(self._text(span), where)

    def refuse(self, said: str) -> InvalidData:
        """Return the error that says what is wrong with the file."""
        return InvalidData(f"{self._path}: {said}")

    def _text(self, span: Span) -> bytes:
        text: bytes = self._file.read_at(max(span[1] - span[0], 0), span[0])
        return text

    def _parse(self, text: bytes, where: str) -> Any:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            place = f"{where}: " if where else ""
            raise self.refuse(f"{place}is not JSON: {error}; the file is damaged or cut off") from error

    def _find_brackets(self) -> _Brackets:
        """Return the brackets that open to depth 3 at most, or close from there."""
        places: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        depths: list[NDArray[np.int8]] = [np.empty(0, np.int8)]
        opens: list[NDArray[np.bool_]] = [np.empty(0, np.bool_)]
        start, depth, inside, size = 0, 0, False, self._file.size()
        while start < size:
            text = self._text((start, start + _SLICE))
            while text.endswith(b"\\") and start + len(text) < size:  # what it escapes belongs to it
                text += self._text((start + len(text), start + len(text) + 1))
            part = np.frombuffer(text, np.uint8)
            quotes = _quotes(text, part)
            found = np.flatnonzero(np.isin(part, _BRACKETS))
            found = found[(np.searchsorted(quotes, found) + inside) % 2 == 0]
            opening = np.isin(part[found], _OPEN)
            behind = depth + np.cumsum(np.where(opening, 1, -1))
            if len(behind) and behind.min() < 0:
                break
            kept = behind + ~opening <= 3
            places.append(found[kept] + start)
            depths.append(behind[kept].astype(np.int8))
            opens.append(opening[kept])
            depth = int(behind[-1]) if len(behind) else depth
            inside ^= bool(len(quotes) % 2)
            start += len(text)
        if depth or inside or start < size:
            raise self.refuse("is not JSON: its brackets do not match; the file is damaged or cut off")
        return _Brackets(np.concatenate(places), np.concatenate(depths), np.concatenate(opens))


class Objects(Mapping[str, CityObject]):
    """The City Objects of a document, by their names, each parsed when it is asked for."""

    def __init__(self, document: Document, spans: Mapping[str, Span]) -> None:
        self._document = document
        self._spans = spans
        self._types: dict[str, str] = {}

    def __getitem__(self, name: str) -> CityObject:
        one = self._document.parse(self._spans[name], f"object {name!r}")
        if not isinstance(one, dict) or "type" not in one:
            raise self._document.refuse("CityObjects is no object of City Objects with a type each")
        self._types[name] = one["type"]
        return one

    def __contains__(self, name: object) -> bool:
        return name in self._spans

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def type_of(self, name: str) -> str | None:
        """Return the type of an object; None where there is none of that name."""
        if name in self._spans and name not in self._types:
            self[name]
        return self._types.get(name)


def _quotes(text: bytes, part: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return where strings begin and end in a slice that does not begin behind a backslash."""
    if b"\\" not in text:
        return np.flatnonzero(part == ord('"'))
    return np.array([m.start() for m in _QUOTES.finditer(text) if m[0] == b'"'], dtype=np.int64)


def _numbers(vertices: list[Any]) -> NDArray[Any] | None:
    """Return vertices as an array, as small as they go; None where one is not three numbers."""
    try:
        array = np.array(vertices)
    except ValueError:
        return None
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "if":
        return None
    small = array.dtype.kind == "i" and np.abs(array).max() < 2**31
    return array.astype(np.int32) if small else array
