"""The API as a client sees it: requests, links, and a feature to try things on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx

GEOJSON = "application/geo+json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
SCHEMA = "application/schema+json"
REL = "http://www.opengis.net/def/rel/ogc/1.0/"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
FEW = 200  # features of a collection that samples are chosen from
_HYPHENED = {"bbox_crs": "bbox-crs", "filter_crs": "filter-crs", "filter_lang": "filter-lang"}


@dataclass(frozen=True)
class Sample:
    """A feature with its collection, and properties of it that filters can name."""

    collection: dict[str, Any]
    feature: dict[str, Any]
    text: str
    number: str

    @property
    def id(self) -> str:
        """Return the feature's id."""
        return str(self.feature["id"])

    @property
    def position(self) -> tuple[float, float]:
        """Return one of its positions."""
        found = self.feature["geometry"]["coordinates"]
        while isinstance(found[0], list):
            found = found[0]
        return found[0], found[1]


@dataclass
class Api:
    """An API by its client; `writable` is a feature that may be created in the collection `into`, and removed."""

    http: httpx.Client
    writable: Mapping[str, Any] | None = None
    into: str | None = None
    _schemas: dict[str, Any] = field(default_factory=dict)

    def get(self, address: str, media_type: str = "application/json", /, **parameters: Any) -> Any:
        """Return the JSON that an address answers with 200 and that media type."""
        response = self.ask(address, {"Accept": media_type}, **parameters)
        if response.status_code != 200:
            raise AssertionError(f"{response.url} answered {response.status_code}: {response.text[:300]}")
        found = response.headers.get("content-type", "")
        if found.partition(";")[0] != media_type.partition(";")[0]:
            raise AssertionError(f"{response.url} answered {found}, expected {media_type}")
        return response.json()

    def ask(self, address: str, headers: Mapping[str, str] | None = None, /, **parameters: Any) -> httpx.Response:
        """Send a GET; parameters go on to those of the address."""
        parts = urlsplit(address)
        # A property of the collection may have an underscore of its own.
        given = {_HYPHENED.get(name, name): value for name, value in parameters.items()}
        query = urlencode({**dict(parse_qsl(parts.query, keep_blank_values=True)), **given})
        return self.http.get(urlunsplit(parts._replace(query=query)), headers=headers)

    @cached_property
    def landing(self) -> Any:
        """The landing page."""
        return self.get(str(self.http.base_url))

    @cached_property
    def claims(self) -> frozenset[str]:
        """The conformance classes that are claimed."""
        return frozenset(self.get(linked(self.landing, "conformance"))["conformsTo"])

    @cached_property
    def collections(self) -> list[dict[str, Any]]:
        """The collections of features, as they are listed."""
        listed = self.get(linked(self.landing, "data"))["collections"]
        return [one for one in listed if one.get("itemType", "feature") == "feature"]

    @cached_property
    def openapi(self) -> Any:
        """The description of the API."""
        return self.get(linked(self.landing, "service-desc", OPENAPI), OPENAPI)

    def parameters(self, path: str) -> dict[str, dict[str, Any]]:
        """Return the declared parameters of GET on a path of the description, by name."""
        shared = self.openapi["components"].get("parameters", {})
        found = {}
        for one in self.openapi["paths"][path]["get"]["parameters"]:
            declared = shared[one["$ref"].rpartition("/")[2]] if "$ref" in one else one
            found[declared["name"]] = declared
        return found

    def items(self, collection: Mapping[str, Any]) -> str:
        """Return the address of a collection's features."""
        return linked(collection, "items", GEOJSON)

    def pages(self, collection: Mapping[str, Any], **parameters: Any) -> Iterator[Any]:
        """Yield page after page as conformance suites ask for them: `next` with `limit` replaced by the maximum."""
        address: str | None = self.items(collection)
        most = self.parameters(f"/collections/{collection['id']}/items")["limit"]["schema"]["maximum"]
        while address is not None:
            page = self.get(address, GEOJSON, **parameters)
            yield page
            address = next((one["href"] for one in page["links"] if one["rel"] == "next"), None)
            parameters = {"limit": most}

    def ids(self, collection: Mapping[str, Any], **parameters: Any) -> set[str]:
        """Return the ids of all features that parameters select."""
        return {str(f["id"]) for page in self.pages(collection, limit=1000, **parameters) for f in page["features"]}

    def first(self, collection: Mapping[str, Any], **parameters: Any) -> list[str]:
        """Return the ids of the first page of what parameters select."""
        page = self.get(self.items(collection), GEOJSON, limit=FEW, **parameters)
        return [str(feature["id"]) for feature in page["features"]]

    def near(self, **parameters: Any) -> set[str]:
        """Return the ids of what parameters select of the features around the sample."""
        x, y = self.sample.position
        return self.ids(self.sample.collection, bbox=f"{x - 1e-6},{y - 1e-6},{x + 1e-6},{y + 1e-6}", **parameters)

    def schema(self, collection: Mapping[str, Any], rel: str = "schema", **parameters: Any) -> Any:
        """Return the schema, queryables or sortables of a collection."""
        key = f"{collection['id']} {rel} {parameters}"
        if key not in self._schemas:
            self._schemas[key] = self.get(linked(collection, REL + rel), SCHEMA, **parameters)
        return self._schemas[key]

    @cached_property
    def sample(self) -> Sample:
        """A feature with geometry, a text of more than one letter and a number, both of which filters can name."""
        for collection in self.collections:
            queryables = self.schema(collection, "queryables")["properties"]
            for feature in self.get(self.items(collection), GEOJSON, limit=FEW)["features"]:
                named = {n: v for n, v in feature["properties"].items() if n in queryables}
                texts = [n for n, v in named.items() if _plain(v) and queryables[n].get("format") is None]
                numbers = [n for n, v in named.items() if isinstance(v, (int, float)) and not isinstance(v, bool)]
                if texts and numbers and feature["geometry"] is not None:
                    return Sample(collection, feature, texts[-1], numbers[0])
        raise AssertionError("no collection has a feature with geometry, text and number that filters could name")


def _plain(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 1 and value.isascii() and not set(value) & set("'%_\\")


def linked(document: Mapping[str, Any], rel: str, media_type: str | None = None) -> str:
    """Return where a document's first link of that relation leads.

    Raises
    ------
    AssertionError : it has none.
    """
    for one in document["links"]:
        if one["rel"] == rel and media_type in (None, one.get("type")):
            return str(one["href"])
    raise AssertionError(f"no link {rel} {media_type or ''} in {json.dumps(document)[:200]}")
