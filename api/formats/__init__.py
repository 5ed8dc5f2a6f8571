"""The formats features leave in: one a file, found by being there, chosen by `f` or the Accept header.

A format of pages writes what a page or an item holds, with links onwards. A bulk format writes a whole selection,
batch by batch, so that memory does not grow with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from starlette.requests import Request

import api.formats
from api import links
from api.links import Links
from api.reference import Reference
from api.site import Site, State
from cim.db.stream import Stream
from cim.dictionary import FeatureType
from cim.plugins import scan

DEFAULT = "json"
# Names that are asked for as well.
ALIASES: Mapping[str, str] = {"geojson": "json", "geoparquet": "parquet", "flatgeobuf": "fgb"}


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows: GeoJSON features joined by commas, how many, how many match (None where it is not known)."""

    request: Request
    site: Site
    feature_type: FeatureType
    reference: Reference
    state: State
    links: Links
    features: bytes
    returned: int
    matched: int | None


@dataclass(frozen=True, slots=True)
class Item:
    """What the page of one feature shows: its GeoJSON."""

    request: Request
    site: Site
    feature_type: FeatureType
    reference: Reference
    state: State
    links: Links
    feature: bytes


@dataclass(frozen=True, slots=True)
class PageFormat:
    """A format of pages and items: `f` value, media type, title, how each is written, headers that come first."""

    name: str
    media_type: str
    title: str
    page: Callable[[Page], bytes]
    item: Callable[[Item], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """A selection on its way out: what it is of, and its batches."""

    site: Site
    feature_type: FeatureType
    reference: Reference
    state: State
    stream: Stream


def _every(_feature_type: FeatureType) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class BulkFormat:
    """A format of whole selections.

    Attributes
    ----------
    name, media_type, title, suffix : value of `f`, media type, title, suffix of the file's name
    rows : what the batches hold: `features` (one column of GeoJSON text), or `columns` (properties, `geom` as WKB)
    write : yields the document; raises CimError, before the first bytes where it can
    applies : whether a feature type can be written so
    native : whether coordinates only leave in the storage CRS
    """

    name: str
    media_type: str
    title: str
    suffix: str
    rows: Literal["features", "columns"]
    write: Callable[[Layer], Iterator[bytes]]
    applies: Callable[[FeatureType], bool] = _every
    native: bool = False


@cache
def formats() -> Mapping[str, PageFormat | BulkFormat]:
    """Return every format by its name."""
    return scan(api.formats, "FORMAT")


def of_items(feature_type: FeatureType) -> dict[str, PageFormat | BulkFormat]:
    """Return the formats a collection's items leave in, the default first."""
    fitting = {n: f for n, f in formats().items() if isinstance(f, PageFormat) or f.applies(feature_type)}
    return {DEFAULT: fitting[DEFAULT], **fitting}


def of_item() -> dict[str, PageFormat]:
    """Return the formats one item leaves in, the default first."""
    fitting = {name: found for name, found in formats().items() if isinstance(found, PageFormat)}
    return {DEFAULT: fitting[DEFAULT], **fitting}


def chosen(request: Request, asked: Mapping[str, Any], offered: Mapping[str, Any]) -> str:
    """Return the name of the format a request wants: by `f`, else by Accept, else the first on offer.

    What accepts nothing on offer gets the first, too (RFC 9110, section 12.5.1, lets a server do so).
    """
    if "f" in asked:
        return ALIASES.get(asked["f"], asked["f"])
    accepted = request.headers.get("accept", "*/*")
    if accepted == "*/*":
        return next(iter(offered))
    return links.preferred(accepted, {name: one.media_type for name, one in offered.items()})
