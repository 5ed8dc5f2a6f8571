"""HTML pages: templates, their language, and what they may load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from api import links
from api.links import HTML, JSON, url
from api.site import Site
from cim.dictionary import Dictionary, FeatureType, Property

Language = Literal["en", "zh"]

# Everything comes from here, nothing is inline.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_CHOSEN = "cim-language"  # the cookie that static/language.js sets
STATIC = Path(__file__).parent / "static"
_TEMPLATES = Path(__file__).parent / "templates"
_pages = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@cache
def _words() -> Mapping[str, str]:
    """Return what the templates say, English to Chinese."""
    words: dict[str, str] = json.loads((_TEMPLATES / "zh.json").read_text(encoding="utf-8"))
    return words


def language(request: Request) -> Language:
    """Return the language chosen on a page, else that which Accept-Language likes better, else English."""
    if (chosen := request.cookies.get(_CHOSEN)) in ("en", "zh"):
        return "zh" if chosen == "zh" else "en"
    best: Language = "en"
    liked = 0.0
    for part in request.headers.get("accept-language", "").split(","):
        tag, _, rest = part.strip().lower().partition(";")
        name = tag.partition("-")[0]
        try:
            quality = float(rest.strip().removeprefix("q=") or 1)
        except ValueError:
            quality = 1.0
        if quality > liked and name in ("en", "zh"):
            best, liked = ("zh" if name == "zh" else "en"), quality
    return best


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as people read it: text, what it says when pointed at, and where it leads."""

    text: str
    hint: str = ""
    href: str = ""
    number: bool = False


class Words:
    """Says things in one language."""

    def __init__(self, chosen: Language, dictionary: Dictionary) -> None:
        self.language = chosen
        self._dictionary = dictionary

    def __call__(self, english: str) -> str:
        """Return what a template says."""
        return english if self.language == "en" else _words()[english]

    def title(self, named: FeatureType | Property) -> str:
        """Return the title of a type or property."""
        return named.title_zh if self.language == "zh" and named.title_zh else named.title

    def of(self, described: Mapping[str, Any], member: str) -> str:
        """Return the title or description of what a process takes or gives; nothing where it has none."""
        chinese = described.get(f"x-cim-{member}-zh") if self.language == "zh" else None
        return str(chinese or described.get(member, ""))

    def label(self, prop: Property) -> str:
        """Return a property's title with its unit."""
        return f"{self.title(prop)} [{unit(prop.unit)}]" if prop.unit else self.title(prop)

    def cell(self, request: Request, prop: Property, value: Any) -> Cell:
        """Return a value as a cell: values of codelists by their label, links to other objects as such."""
        if value is None:
            return Cell("")
        if prop.codelist is not None:
            found = self._dictionary.codelists[prop.codelist].values.get(value)
            if found is not None:
                return Cell(found.title_zh if self.language == "zh" and found.title_zh else found.title, str(value))
        if prop.references is not None and isinstance(value, dict):
            place = ("collections", prop.references, "items", value["title"])
            return Cell(value["title"], href=url(request, *place, query=state_asked(request)))
        if isinstance(value, bool):
            return Cell(self("yes") if value else self("no"))
        if isinstance(value, (dict, list)):
            return Cell(json.dumps(value, ensure_ascii=False))
        if isinstance(value, (int, float)):
            # What is measured is set in groups of three; a year or a number of storeys is not.
            return Cell(f"{value:,}" if prop.unit else str(value), number=True)
        return Cell(str(value))


def state_asked(request: Request) -> dict[str, str]:
    """Return what of a query says which state it is of: a link that left it out would lead to another in silence."""
    return {name: text for name, text in request.query_params.items() if name in ("as-of", "proposal")}


def changed(
    words: Words, request: Request, feature_type: FeatureType, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[tuple[str, Cell, Cell]]:
    """Return the public properties and attributes that differ between two bodies: label, before, after."""
    found = []
    for prop in feature_type.public_properties:
        was, is_ = (_linked(prop, body.get(prop.name)) for body in (before, after))
        if was != is_:
            found.append((words.label(prop), words.cell(request, prop, was), words.cell(request, prop, is_)))
    said, says = (body.get("attributes") or {} for body in (before, after))
    keys = [key for key in sorted(said.keys() | says.keys()) if said.get(key) != says.get(key)]
    return found + [(key, Cell(plain(said.get(key))), Cell(plain(says.get(key)))) for key in keys]


def _linked(prop: Property, value: Any) -> Any:
    """Return a reference as a link: what it once named may be gone, and its code yet lead to what took over."""
    return {"title": value} if prop.references is not None and value is not None else value


def unit(ucum: str | None) -> str:
    """Return a unit as people write it: UCUM has powers as digits, and things counted in braces."""
    return (ucum or "").replace("m2", "m²").replace("m3", "m³").strip("{}")


def pretty(document: Any) -> str:
    """Return a document as indented JSON."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def plain(value: Any) -> str:
    """Return a value that the dictionary does not name as text; nothing where it is missing."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def columns(feature_type: FeatureType, rows: Sequence[Mapping[str, Any]]) -> list[Property]:
    """Return the properties that any of the rows has a value of."""
    return [p for p in feature_type.public_properties if any(row.get(p.name) is not None for row in rows)]


def render(
    request: Request, site: Site, template: str, *, headers: Mapping[str, str] | None = None, **shown: Any
) -> Response:
    """Return a page in the language of the request."""
    return Response(text(request, site, template, **shown), headers={**(headers or {}), **HEADERS}, media_type=HTML)


def text(request: Request, site: Site, template: str, **shown: Any) -> bytes:
    """Return the text of a page."""
    words = words_of(request, site)

    def to(*segments: str, **query: str) -> str:
        return url(request, *segments, query=query)

    filled = _pages.get_template(template).render(
        words=words, _=words, to=to, cell=lambda prop, value: words.cell(request, prop, value), **shown
    )
    return filled.encode()


# A page depends on the language, and shows more than its state: which leaf a revision has got meanwhile.
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Vary": "Accept, Accept-Language, Cookie",
    "Referrer-Policy": "same-origin",
}


def words_of(request: Request, site: Site) -> Words:
    """Return what says things in the language of a request."""
    return Words(language(request), site.city.database.dictionary)


def form_of(request: Request, asked: Mapping[str, Any], media_type: str = JSON) -> str:
    """Return `json` or `html`, by `f` or Accept."""
    offered = {"json": media_type, "html": HTML}
    return str(asked.get("f") or links.preferred(request.headers.get("accept", ""), offered))


def self_and_other(request: Request, form: str, title: str) -> list[dict[str, str]]:
    """Return the links of a document that is there as JSON and as a page: to itself, and to the other."""
    media, other = {"json": JSON, "html": HTML}, "html" if form == "json" else "json"
    return [
        links.link("self", links.here(request), media[form], title),
        links.link("alternate", links.here(request, f=other), media[other], f"{title} as {other.upper()}"),
    ]


def answer(
    request: Request,
    site: Site,
    asked: Mapping[str, Any],
    document: Mapping[str, Any],
    title: str,
    *,
    headers: Mapping[str, str] | None = None,
    media_type: str = JSON,
) -> Response:
    """Return a document as JSON, or as a page that shows it, with its links to follow."""
    headers = {"Cache-Control": "no-cache", **(headers or {}), "Vary": "Accept"}
    if form_of(request, asked, media_type) == "json":
        return links.json_response(document, headers, media_type)
    shown = {key: value for key, value in document.items() if key != "links"}
    found = document.get("links", ())
    return render(request, site, "document.html", headers=headers, title=title, links=found, pretty=pretty(shown))
