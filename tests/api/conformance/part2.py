"""OGC 18-058r1, Features Part 2: Coordinate Reference Systems by Reference."""

from __future__ import annotations

from typing import Any

from tests.api.conformance.client import CRS84, GEOJSON, Api, linked
from tests.api.conformance.registry import need, requirement

CRS = "ogcapi-features-2/1.0/conf/crs"
NO_CRS = "http://www.opengis.net/def/crs/EPSG/0/9999999"


@requirement(CRS, "/crs-uri", "/fc-md-crs-list", "/fc-md-crs-list-global", "/fc-md-storageCrs-valid-value")
def lists(api: Api) -> None:
    known = api.get(linked(api.landing, "data")).get("crs", [])
    for one in api.collections:
        offered = known if one["crs"] == ["#/crs"] else one["crs"]
        need(CRS84 in offered, f"{one['id']} does not come in CRS84")
        need(one["storageCrs"] in offered, f"{one['id']}: storageCrs is not offered")
    need(not known or known[0] == CRS84, "CRS84 is not the first of all")


@requirement(CRS, "/fc-crs-definition", "/fc-bbox-crs-definition", "/ogc-crs-header", "/ogc-crs-header-value")
def header(api: Api) -> None:
    one, item = api.sample.collection, f"{api.items(api.sample.collection)}/{api.sample.id}"
    for address in (api.items(one), item):
        need(api.ask(address).headers.get("content-crs") == f"<{CRS84}>", "Content-Crs is not CRS84 by default")
        for crs in one["crs"]:
            found = api.ask(address, crs=crs).headers.get("content-crs")
            need(found == f"<{crs}>", f"Content-Crs is {found} where {crs} was asked for")


@requirement(CRS, "/fc-crs-valid-value", "/fc-bbox-crs-valid-value")
def unknown(api: Api) -> None:
    for name in ("crs", "bbox-crs"):
        for bad in (NO_CRS, "EPSG:4326", "", "x"):
            need(api.ask(api.items(api.collections[0]), **{name: bad}).status_code == 400, f"{name}={bad} is taken")


@requirement(CRS, "/fc-bbox-crs-action", "/fc-crs-action", "/fc-bbox-crs-default-value", "/geojson")
def a_box_finds_what_lies_in_it(api: Api) -> None:
    """In each CRS the box is where the feature's coordinates are: so both have the axis order of the URI."""
    one, sample = api.sample.collection, api.sample
    address = f"{api.items(one)}/{sample.id}"
    for crs in one["crs"]:
        first, second = _corner(api.get(address, GEOJSON, crs=crs)["geometry"])
        step = 1e-7 if abs(first) <= 180 and abs(second) <= 180 else 0.01
        near = f"{first - step},{second - step},{first + step},{second + step}"
        need(sample.id in api.ids(one, bbox=near, bbox_crs=crs), f"a box in {crs} does not find the feature")
        elsewhere = f"{first + 50 * step},{second + 50 * step},{first + 51 * step},{second + 51 * step}"
        shown = {
            f["id"] for f in api.get(api.items(one), GEOJSON, bbox=elsewhere, bbox_crs=crs, limit=1000)["features"]
        }
        size = _size(api.get(address, GEOJSON, crs=crs)["geometry"])
        need(sample.id not in shown or size > 49 * step, f"a box beside the feature finds it, in {crs}")


def _corner(geometry: dict[str, Any]) -> tuple[float, float]:
    positions = _flat(geometry["coordinates"])
    return positions[0]


def _size(geometry: dict[str, Any]) -> float:
    positions = _flat(geometry["coordinates"])
    return max(max(p[axis] for p in positions) - min(p[axis] for p in positions) for axis in (0, 1))


def _flat(node: Any) -> list[tuple[float, float]]:
    if isinstance(node[0], (int, float)):
        return [(node[0], node[1])]
    return [position for part in node for position in _flat(part)]
