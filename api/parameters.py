"""Query parameters: declared once, read and documented from the same declaration.

Whatever a path does not declare is refused: a misspelt filter that is passed over silently gives a wrong answer.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.requests import Request

from cim.crs import Bounds
from cim.db.cql2_text import MAX_LENGTH
from cim.db.sorting import Key
from cim.db.values import queryables
from cim.dictionary import FeatureType
from cim.errors import InvalidData

DEFAULT_LIMIT = 10
MAX_ZOOM = 24
MAX_LIMIT = 10_000
Period = tuple[date | None, date | None]

# Profiles in the register of OGC, by their ids.
PROFILES = "http://www.opengis.net/def/profile/OGC/0/"

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter: JSON Schema (OpenAPI 3.0) and meaning for readers, `parse` for us; it raises ValueError."""

    name: str
    schema: Mapping[str, Any]
    description: str
    parse: Callable[[str], Any] = str

    @property
    def document(self) -> dict[str, Any]:
        """The OpenAPI parameter object."""
        return {
            "name": self.name,
            "in": "query",
            "required": False,
            "description": self.description,
            "schema": dict(self.schema),
            "style": "form",
            "explode": False,
        }


def by_name(declared: Iterable[Parameter]) -> dict[str, Parameter]:
    """Return parameters as `read` looks them up, for those who read often."""
    return {parameter.name: parameter for parameter in declared}


def read(request: Request, declared: Iterable[Parameter] | Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the parsed values of the parameters given.

    Raises
    ------
    InvalidData : a parameter is unknown, given twice, or has a value it cannot have.
    """
    if not request.scope["query_string"]:
        return {}
    known = declared if isinstance(declared, Mapping) else by_name(declared)
    values: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        if name not in known:
            there_are = f"there are {', '.join(known)}" if known else "there are none"
            raise InvalidData(f"unknown query parameter {name[:60]!r}; {there_are}")
        if name in values:
            raise InvalidData(f"query parameter {name} is given twice")
        if "\0" in text:
            raise InvalidData(f"query parameter {name} holds a NUL character")
        try:
            values[name] = known[name].parse(text)
        except ValueError as error:
            raise InvalidData(f"query parameter {name}: {error}") from None
    return values


def token_of(code: str) -> str:
    """Return a paging token: where the page ended, whatever its length was."""
    return base64.urlsafe_b64encode(code.encode()).decode().rstrip("=")


def _code_of(token: str) -> str:
    try:
        code = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        code = ""
    if not code or "\0" in code or token_of(code) != token:
        raise ValueError(f"{token[:60]!r} is not a token of a `next` link; begin at the first page")
    return code


def _limit(text: str) -> int:
    if not re.fullmatch(r"\d{1,30}", text, re.ASCII) or int(text) < 1:
        raise ValueError(f"expected a whole number from 1 to {MAX_LIMIT}, got {text[:60]!r}")
    return min(int(text), 2**31 - 2)


def _bbox(text: str) -> Bounds:
    parts = text.split(",")
    if len(parts) not in (4, 6) or not all(_NUMBER.fullmatch(part) for part in parts):
        raise ValueError(f"expected 4 or 6 numbers with commas between, got {text[:120]!r}")
    numbers = [float(part) for part in parts]
    first, second = numbers[:2]
    third, fourth = numbers[len(numbers) // 2 :][:2]
    return first, second, third, fourth


def _datetime(text: str) -> Period:
    """Return the days a datetime parameter covers; None where it is open, or earlier than there are years."""
    first, last = (None if end is None else _day(end) for end in _ends(text))
    if first is not None and last is not None and first > last:
        raise ValueError(f"{text} ends before it begins")
    return first, last


def _ends(text: str) -> list[str | None]:
    ends = text.split("/")
    if len(ends) > 2:
        raise ValueError(f"expected an instant or start/end, got {text[:80]!r}")
    return [None if end in ("", "..") and len(ends) == 2 else end for end in (ends[0], ends[-1])]


def _day(text: str) -> date | None:
    if text.startswith("0000-"):  # QGIS writes an open end so; there is no such year in any record
        return None
    return _instant(text).date()


def instants(text: str) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last instant that a datetime parameter covers, a day whole; None where it is open."""
    first, last = _ends(text)
    until = None if last is None else _instant(last)
    if until is not None and last is not None and "T" not in last:
        until += timedelta(days=1, microseconds=-1)
    return None if first is None else _instant(first), until


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"expected a date or RFC 3339 instant such as 2026-01-31T08:00:00Z, got {text[:60]!r}"
        ) from None


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"expected a whole number from 0, got {text[:60]!r}")
    return int(text)


def _as_of(text: str) -> str:
    if text.isdigit() and not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is no tree size")
    if not text or len(text) > MAX_LENGTH:
        raise ValueError("expected a tree size, an RFC 3339 instant, or a signed checkpoint")
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"expected names with commas between, each once, got {text[:120]!r}")
    return names


def _order(text: str) -> tuple[Key, ...]:
    names = text.split(",")
    if not all(name.lstrip("+- ") for name in names):
        raise ValueError(f"expected names with commas between, each with - before it to descend, got {text[:120]!r}")
    # A plus sign arrives as a space where it was not encoded.
    return tuple(Key(name.lstrip("+- "), name.startswith("-")) for name in names)


def _zoom(text: str) -> int:
    if not re.fullmatch(r"\d{1,2}", text, re.ASCII) or int(text) > MAX_ZOOM:
        raise ValueError(f"expected a whole number from 0 to {MAX_ZOOM}, got {text[:60]!r}")
    return int(text)


def _profiles(*known: str) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        found = tuple(name.removeprefix(PROFILES) for name in text.split(","))
        if unknown := [name for name in found if name not in known]:
            raise ValueError(f"expected {' or '.join(known)}, or their URIs below {PROFILES}, got {unknown[0][:80]!r}")
        return found

    return parse


def _filter(text: str) -> str:
    return text  # judged where it is compiled


def _choice(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"expected {' or '.join(values)}, got {text[:60]!r}")
        return text

    return parse


def choices(name: str, description: str, *values: str, **keywords: Any) -> Parameter:
    """Return a parameter that takes one of some values."""
    return Parameter(name, {"type": "string", "enum": list(values), **keywords}, description, _choice(*values))


def several(name: str, description: str, *values: str) -> Parameter:
    """Return a parameter that takes some of these values, or any names, with commas between."""

    def parse(text: str) -> tuple[str, ...]:
        names = _names(text)
        return tuple(_choice(*values)(one) for one in names) if values else names

    items = {"type": "string", "enum": list(values)} if values else {"type": "string"}
    return Parameter(name, {"type": "array", "items": items, "minItems": 1}, description, parse)


def seconds(name: str, description: str) -> Parameter:
    """Return a parameter that takes a whole number of seconds."""
    return Parameter(name, {"type": "integer", "minimum": 0}, description, _whole)


_STRING: Mapping[str, Any] = {"type": "string"}

AS_OF = Parameter(
    "as-of",
    _STRING,
    "State of the city to read: a tree size, an RFC 3339 instant, or a signed checkpoint. Default: the live state.",
    _as_of,
)
PROPOSAL = Parameter(
    "proposal",
    _STRING,
    "Code of a proposal to read through: the city as it would be, on the state the proposal is pinned to, or on as-of.",
)
F_JSON = choices("f", "Format of the answer.", "json")


def f_of(names: Iterable[str]) -> Parameter:
    """Return the parameter `f` of a path that answers in formats of these names."""
    return choices("f", "Format of the answer; default by the Accept header, json where that says nothing.", *names)


F_JSON_OR_HTML = choices("f", "Format of the answer; default by the Accept header.", "json", "html")
LIMIT = Parameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "At most so many features. On a page, more than the maximum counts as the maximum; a bulk format has no maximum, "
    "and gives the whole selection where limit is missing.",
    _limit,
)
MOST = Parameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
    "At most so many; more than the maximum counts as the maximum.",
    _limit,
)
BBOX = Parameter(
    "bbox",
    {
        "type": "array",
        "items": {"type": "number"},
        "oneOf": [{"minItems": 4, "maxItems": 4}, {"minItems": 6, "maxItems": 6}],
    },
    "Only features that meet this box, and those without geometry. Minimum and maximum, in the axis order of bbox-crs; "
    "a minimum longitude above the maximum crosses the antimeridian.",
    _bbox,
)
BBOX_CRS = Parameter("bbox-crs", {**_STRING, "format": "uri"}, "CRS of bbox, as a URI out of the collection's `crs`.")
CRS = Parameter("crs", {**_STRING, "format": "uri"}, "CRS of the answer, as a URI out of the collection's `crs`.")
DATETIME = Parameter(
    "datetime",
    _STRING,
    "Only features valid at an instant, or at some time from start to end (`start/end`, open ends as `..`). Features "
    "without dates match.",
    _datetime,
)
FILTER = Parameter("filter", _STRING, f"CQL2 of at most {MAX_LENGTH} characters over the queryables.", _filter)
FILTER_LANG = choices(
    "filter-lang",
    "Language of filter; cql-text is the former name of cql2-text.",
    "cql2-text",
    "cql2-json",
    "cql-text",
    default="cql2-text",
)
FILTER_CRS = Parameter("filter-crs", {**_STRING, "format": "uri"}, "CRS of geometries in filter; default CRS84.")
RESULT_TYPE = choices("resultType", "hits: only the number of matching features.", "results", "hits", default="results")
SORT_BY = Parameter(
    "sortby",
    {"type": "array", "items": _STRING, "minItems": 1},
    "Order by these queryables, each with - before it to descend; missing values come last.",
    _order,
)
PROPERTIES = Parameter(
    "properties",
    {"type": "array", "items": _STRING, "minItems": 1},
    "Only these properties, by name; the id is always there.",
    _names,
)
SKIP_GEOMETRY = Parameter(
    "skipGeometry",
    {"type": "boolean", "default": False},
    "true: without geometry.",
    lambda text: _choice("true", "false")(text) == "true",
)
ZOOM_LEVEL = Parameter(
    "zoom-level",
    {"type": "integer", "minimum": 0, "maximum": MAX_ZOOM},
    "Simplify geometry to what a map of that zoom level (WebMercatorQuad, 256 pixels) shows: by a pixel at most.",
    _zoom,
)


def _profile(description: str, *known: str) -> Parameter:
    schema = {"type": "array", "items": {"type": "string", "enum": list(known)}, "minItems": 1}
    return Parameter("profile", schema, f"{description} The first that the format knows counts.", _profiles(*known))


PROFILE = _profile(
    "How features refer to others: by code (the default), by URI, or by an object with href and title.",
    "rel-as-key",
    "rel-as-uri",
    "rel-as-link",
)
CODELIST_PROFILE = _profile(
    "How the schema gives codelists: as enum with the codelist's URI (the default), or each value with its title.",
    "codelist-ref",
    "codelist-inline",
)
NEXT = Parameter("next", _STRING, "Where the page before ended; taken from its `next` link.", _code_of)

SINCE = Parameter(
    "since",
    {"type": "integer", "minimum": 0, "default": 0},
    "Tree size a mirror holds already: changes from that leaf on.",
    _whole,
)

CHANGES = (SINCE, LIMIT, CRS, AS_OF, F_JSON)
# These and `f`, whose formats depend on the collection.
ITEM = (CRS, AS_OF, PROPOSAL, PROPERTIES, SKIP_GEOMETRY, ZOOM_LEVEL, PROFILE)
_SELECTION = (BBOX, BBOX_CRS, CRS, DATETIME, FILTER, FILTER_LANG, FILTER_CRS)
ITEMS = (
    LIMIT,
    *_SELECTION,
    SORT_BY,
    RESULT_TYPE,
    NEXT,
    AS_OF,
    PROPOSAL,
    PROPERTIES,
    SKIP_GEOMETRY,
    ZOOM_LEVEL,
    PROFILE,
)
TILES = (DATETIME, FILTER, FILTER_LANG, FILTER_CRS, AS_OF, PROPOSAL, PROPERTIES)

_KINDS: Mapping[str, Mapping[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
}


def property_parameters(feature_type: FeatureType) -> list[Parameter]:
    """Return a parameter for each property that can be compared; a name taken by another parameter keeps it."""
    taken = {"f", *(parameter.name for parameter in ITEMS)}
    return [
        Parameter(name, _KINDS[kind], f"Only features whose {name} is this.")
        for name, kind in queryables(feature_type).items()
        if kind in _KINDS and name not in taken
    ]
