"""Links between resources, and the media types they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

JSON = "application/json"
GEOJSON = "application/geo+json"
MERGE_PATCH = "application/merge-patch+json"
SCHEMA_JSON = "application/schema+json"
OPENAPI_JSON = "application/vnd.oai.openapi+json;version=3.0"
HTML = "text/html"
TEXT = "text/plain; charset=utf-8"

REL_QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
REL_SCHEMA = "http://www.opengis.net/def/rel/ogc/1.0/schema"
REL_CONFORMANCE = "http://www.opengis.net/def/rel/ogc/1.0/conformance"
REL_SORTABLES = "http://www.opengis.net/def/rel/ogc/1.0/sortables"
REL_FUNCTIONS = "http://www.opengis.net/def/rel/ogc/1.0/functions"
REL_CODELISTS = "http://www.opengis.net/def/rel/ogc/1.0/codelists"
REL_TILESETS = "http://www.opengis.net/def/rel/ogc/1.0/tilesets-vector"
REL_TILING_SCHEME = "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme"
REL_PROCESSES = "http://www.opengis.net/def/rel/ogc/1.0/processes"
REL_JOBS = "http://www.opengis.net/def/rel/ogc/1.0/job-list"
REL_EXECUTE = "http://www.opengis.net/def/rel/ogc/1.0/execute"


def url(request: Request, *segments: str, query: Mapping[str, str] | None = None) -> str:
    """Return the address of a resource of ours; segments and values may hold any character."""
    base = str(request.base_url).rstrip("/")
    path = "".join(map(_step, segments))
    return f"{base}{path or '/'}{'?' + urlencode(query, quote_via=quote) if query else ''}"


@lru_cache(maxsize=4096)
def _step(segment: str) -> str:
    return "/" + quote(segment, safe="")


def here(request: Request, **changes: str | None) -> str:
    """Return the address of the request itself with some query parameters changed; None takes one out."""
    query = {**request.query_params, **{name.replace("_", "-"): value for name, value in changes.items()}}
    segments = [segment for segment in _raw_segments(request) if segment]
    return url(request, *segments, query={k: v for k, v in query.items() if v is not None})


def _raw_segments(request: Request) -> list[str]:
    """Split the path below the root path; a code may itself hold an encoded slash."""
    root = request.scope.get("root_path", "").rstrip("/")
    path = request.scope["path"].removeprefix(root)
    code = request.path_params.get("code")
    if code is None:
        return str(path).split("/")
    before, _, after = str(path).rpartition(code)
    return [*before.split("/"), code, *after.split("/")]


def link(rel: str, href: str, media_type: str, title: str = "") -> dict[str, str]:
    """Return a link object."""
    found = {"rel": rel, "href": href, "type": media_type}
    return {**found, "title": title} if title else found


def link_header(links: Iterable[Mapping[str, str]]) -> str:
    """Return links as the value of a Link header (RFC 8288)."""
    return ", ".join(
        f'<{one["href"]}>; rel="{one["rel"]}"' + (f'; type="{one["type"]}"' if "type" in one else "") for one in links
    )


def json_response(
    document: Any, headers: Mapping[str, str] | None = None, media_type: str = JSON, status: int = 200
) -> Response:
    """Return a document as JSON."""
    return Response(orjson.dumps(document), status, headers=headers, media_type=media_type)


def preferred(accept: str, offered: Mapping[str, str]) -> str:
    """Return the key of the media type an Accept header likes best; the first on offer where it says nothing of any.

    What is liked equally goes by the order on offer, so that a list as long as a browser's does not get a file.
    """
    wishes: dict[str, float] = {}
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            wishes[media] = float(weight)
        except ValueError:
            wishes[media] = 1.0
    best, liked = next(iter(offered)), 0.0
    for name, full in offered.items():
        media = full.partition(";")[0]
        names = [media, *_ALSO.get(media, ()), f"{media.partition('/')[0]}/*", "*/*"]
        quality = next((wishes[one] for one in names if one in wishes), 0.0)
        if quality > liked:
            best, liked = name, quality
    return best


# What clients say when they mean these.
_ALSO: Mapping[str, tuple[str, ...]] = {
    GEOJSON: (JSON, "application/vnd.geo+json"),
    "application/vnd.apache.parquet": ("application/parquet", "application/x-parquet"),
}


def unchanged(request: Request, etag: str) -> bool:
    """Return whether the client holds what has this ETag: If-None-Match, compared weakly as RFC 9110 says."""
    held = request.headers.get("if-none-match")
    return held is not None and etag in {tag.strip().removeprefix("W/") for tag in held.split(",")}
