"""Which objects a request asks for, and in what form they are to leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from api import reference
from api.formats import BulkFormat, PageFormat
from api.links import base_of
from api.parameters import PROFILES
from api.reference import Reference
from api.site import Site, State
from cim.db.features import Selection
from cim.db.geojson import Output, References, published
from cim.dictionary import FeatureType

# Metres of a pixel at zoom level 0: the equator of WebMercatorQuad (OGC 17-083r4) over 256 pixels.
PIXEL_AT_0 = 156_543.033_928
# What makes features leave otherwise than their CRS alone says.
_FORMS = frozenset({"zoom-level", "properties", "skipGeometry", "profile"})


def selection_of(
    site: Site, asked: Mapping[str, Any], own: Sequence[str], pinned: State | None, branch: str | None
) -> Selection:
    """Return the selection that parsed parameters state; `own` are the names of the collection's properties."""
    box_crs = reference.named(site.references, "bbox-crs", asked.get("bbox-crs"))
    filter_crs = reference.named(site.references, "filter-crs", asked.get("filter-crs"))
    return Selection(
        tree_size=None if pinned is None else pinned.size,
        branch=branch,
        bbox=box_crs.box(asked["bbox"]) if "bbox" in asked else None,
        bbox_srid=box_crs.srid,
        where=asked.get("filter"),
        where_srid=filter_crs.srid,
        where_flip=filter_crs.flip,
        where_encoding="cql2-json" if asked.get("filter-lang") == "cql2-json" else "cql2-text",
        equal={name: asked[name] for name in own if name in asked},
        period=asked.get("datetime"),
        order=asked.get("sortby", ()),
    )


def output_of(
    request: Request,
    feature_type: FeatureType,
    output: Reference,
    asked: Mapping[str, Any],
    chosen: PageFormat | BulkFormat,
) -> Output:
    """Return how features leave: CRS, the properties wanted, how exact their geometry must be, how they refer.

    Raises
    ------
    InvalidFilter : there is no public property of a wanted name, whether or not anything is to leave.
    """
    page = "html" in chosen.media_type
    if _FORMS.isdisjoint(asked) and not page:
        return output.output
    published(feature_type, asked.get("properties"))
    zoom = asked.get("zoom-level")
    found = replace(
        output.output,
        properties=asked.get("properties"),
        geometry=not asked.get("skipGeometry", False),
        tolerance=None if zoom is None else PIXEL_AT_0 / 2**zoom,
    )
    profile = "rel-as-link" if page else profile_of(chosen, asked)
    if profile not in _REFERENCES:
        return found
    return replace(found, references=_REFERENCES[profile], base=base_of(request))


def profile_of(chosen: PageFormat | BulkFormat, asked: Mapping[str, Any]) -> str | None:
    """Return the profile of an answer (OGC 23-058r2, clause 13), None where the client asked for none.

    Tables hold codes, whatever was asked for; a page for people has links.
    """
    wanted: tuple[str, ...] | None = asked.get("profile")
    if wanted is None:
        return None
    if isinstance(chosen, BulkFormat):
        return wanted[0] if chosen.rows == "features" else "rel-as-key"
    return "rel-as-link" if "html" in chosen.media_type else wanted[0]


def profile_link(profile: str) -> dict[str, str]:
    """Return the link to the profile of an answer."""
    return {"rel": "profile", "href": PROFILES + profile, "title": "Profile of this answer"}


# The profiles that change what PostGIS writes.
_REFERENCES: Mapping[str | None, References] = {"rel-as-uri": "uri", "rel-as-link": "link"}
