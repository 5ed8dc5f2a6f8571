"""Links between resources, and the media types they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from starlette.datastructures import URL
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


def base_of(request: Request) -> str:
    """Return the address of the API as the client knows it, without a slash at its end."""
    scope = request.scope
    host = next((value for name, value in scope["headers"] if name == b"host"), None)
    server = scope.get("server")  # of servers other than ours it may come as a list
    return _base(scope["scheme"], host, server and tuple(server), scope.get("root_path", ""))


@lru_cache(maxsize=256)
def _base(scheme: str, host: bytes | None, server: tuple[str, int] | None, root: str) -> str:
    headers = [] if host is None else [(b"host", host)]
    return str(URL(scope={"scheme": scheme, "headers": headers, "server": server, "path": f"{root}/"})).rstrip("/")


def url(request: Request, *segments: str, query: Mapping[str, str] | None = None) -> str:
    """Return the address of a resource of ours; segments and values may hold any character."""
    return address(base_of(request), *segments, query=query)


def address(base: str, *segments: str, query: Mapping[str, str] | None = None) -> str:
    """Return the address of a resource below that of the API."""
    path = "".join(["/" + escaped(segment) for segment in segments])
    return f"{base}{path or '/'}{query_text(query) if query else ''}"


@lru_cache(maxsize=4096)
def escaped(segment: str) -> str:
    """Return a segment of a path, which may hold any character, as addresses have it."""
    return quote(segment, safe="")


def query_text(query: Mapping[str, str]) -> str:
    """Return a query as addresses have it, with its question mark; nothing where it is empty."""
    return "?" + urlencode(query, quote_via=quote) if query else ""


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


@dataclass(frozen=True, slots=True)
class Links:
    """Links of an answer, written: as a JSON array, and as the value of a Link header.

    Gaps, `{name}`, stand where one answer differs from the next: no address has braces of its own.
    """

    text: str
    header: str

    @classmethod
    def of(cls, links: Sequence[Mapping[str, str]], in_header: Sequence[Mapping[str, str]] | None = None) -> Links:
        """Write links; those of the header where they are others."""
        return cls(orjson.dumps(links).decode(), link_header(links if in_header is None else in_header))

    def __iter__(self) -> Iterator[dict[str, str]]:
        return iter(orjson.loads(self.text))

    def filled(self, **gaps: str) -> Links:
        """Return them with the gaps filled by parts of addresses."""
        text, header = self.text, self.header
        for name, part in gaps.items():
            gap = f"{{{name}}}"
            text, header = text.replace(gap, part), header.replace(gap, part)
        return Links(text, header)

    def also(self, links: Sequence[Mapping[str, str]]) -> Links:
        """Return them with others after them."""
        if not links:
            return self
        more = Links.of(links)
        return Links(f"{self.text[:-1]},{more.text[1:]}", f"{self.header}, {more.header}")


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
    """Return whether the client holds what has this ETag: If-None-Match, compared weakly as RFC 9110 says.

    Nobody holds what has none.
    """
    held = request.headers.get("if-none-match")
    return held is not None and etag != "" and etag in {tag.strip().removeprefix("W/") for tag in held.split(",")}
