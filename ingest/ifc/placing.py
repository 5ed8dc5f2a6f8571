"""Which statement of its place a model is given, building by building, and what has to be said about it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyproj
import shapely

from cim import crs
from cim.errors import CrsError, InvalidData
from ingest import georeference
from ingest.city import Buildings
from ingest.fit import Fit, fit
from ingest.georeference import Placement
from ingest.stated import Conversion, Geodetic
from ingest.statement import Statement

# A model's footprint is a building's when they overlap so much (intersection over union, design) and no other nearly
# so much: near a hint, and anywhere in the city.
OVERLAP_NEAR, OVERLAP_ANYWHERE, LEAD = 0.85, 0.95, 0.1
# Overlap under which a building named by the operator is not the one the model shows (design).
OVERLAP_NAMED = 0.5
# Buildings are looked for so many times the accuracy of a hint away.
_REACH = 4.0
# Statements of one place that are farther apart contradict each other: farther than sites are large and datums
# apart, metres (design).
_CONTRADICTION = 5_000.0
_UNPLACED = (
    "not georeferenced: read without outline; give its place with --place longitude,latitude[,angle], with the code of"
    " a building, or in a file of that name ending in .place"
)
_HINTED = (
    "placed by latitude and longitude of the site: a hint, often a default of the authoring tool; confirm it or give"
    " --place"
)
_FAR_UNPLACED = (
    "coordinates more than 100 km from the origin are those of a map that the model does not name: read"
    " without outline; say which CRS it is with --assume-crs"
)
Direction = tuple[float, float]
# Kinds of records that are no part of a building.
LINES = ("roads", "pipes", "components")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What placing needs beside the model.

    Attributes
    ----------
    said : the operator's word, or the placement file's
    assumed : CRS to take for the one the model names
    storage : CRS of the city, None outside of one
    city : its buildings, None outside of one
    """

    said: Statement | None
    assumed: pyproj.CRS | None
    storage: pyproj.CRS | None
    city: Buildings | None


@dataclass(slots=True)
class Placed:
    """A placement for each building (None: unknown), the code of the one it was laid on, and warnings."""

    placements: list[Placement | None]
    codes: list[str | None]
    warnings: list[str]


def place(answer: Mapping[str, Any], around: Circumstances) -> Placed:
    """Decide on the place of every building of a model.

    Parameters
    ----------
    answer : what `process.run` gives

    Raises
    ------
    CrsError : the model states a place that cannot be right.
    InvalidData : the operator's word does not fit the model.
    """
    buildings = answer["buildings"]
    north = (answer["true_north"][0], answer["true_north"][1])
    nothing: list[str | None] = [None] * len(buildings)
    if around.said is not None:
        if around.said.building is not None:
            return _on_named(buildings, around.said, north, around)
        placed = georeference.from_statement(around.said, north, _system_of_degrees(around))
        return Placed([placed] * len(buildings), nothing, [])
    far = [_is_far(record) for record in buildings]
    if answer["conversion"] is not None:
        placement, warnings = _converted(answer, far, around)
        return Placed([placement] * len(buildings), nothing, warnings)
    if around.assumed is not None and any(far):
        return Placed([georeference.from_coordinates(around.assumed)] * len(buildings), nothing, [])
    return _hinted(answer, far, north, around)


def place_lines(
    answer: Mapping[str, Any], buildings: Placed, around: Circumstances
) -> tuple[Placement | None, list[str]]:
    """Decide on the place of the roads, pipes and components of a model, and say what has to be said about it.

    They lie where its buildings do; without any, the statements of the model and of the operator hold, but there is
    no footprint to be laid on a building of the city.

    Parameters
    ----------
    answer : what `process.run` gives
    buildings : what `place` gives for it

    Raises
    ------
    CrsError : the model states a place that cannot be right.
    InvalidData : the operator's word does not fit the model.
    """
    known = next((placement for placement in buildings.placements if placement is not None), None)
    shapes = [shapely.from_wkb(r["outline"]) for kind in LINES for r in answer[kind] if r["outline"]]
    if known is not None or not shapes:
        return known, []
    whole = {"outline": shapely.to_wkb(shapely.GeometryCollection(shapes))}
    placed = place(dict(answer) | {"buildings": [whole], "sites": [answer["own_site"]]}, replace(around, city=None))
    return placed.placements[0], placed.warnings


def _system_of_degrees(around: Circumstances) -> pyproj.CRS:
    """Return the system of the operator's degrees: the one named, else that of the storage CRS, else WGS 84."""
    return around.assumed or around.storage or crs.parse("EPSG:4326")


def _system_of_hint(point: Geodetic, around: Circumstances) -> pyproj.CRS:
    """Return the system of a site's degrees: WGS 84, or the storage CRS where there is no way from one to the other.

    Then both datums are realisations of one earth-fixed system, less apart than the hint is worth.
    """
    stated = crs.parse("EPSG:4326")
    if around.storage is not None:
        try:
            crs.accuracy(stated, around.storage, (point.longitude, point.latitude) * 2)
        except CrsError:
            return around.storage
    return stated


def _converted(answer: Mapping[str, Any], far: Sequence[bool], around: Circumstances) -> tuple[Placement, list[str]]:
    facts = answer["conversion"]
    conversion = Conversion(**(facts | {"factors": tuple(facts["factors"]), "world": tuple(facts["world"])}))
    placement, warnings = georeference.from_conversion(conversion, around.assumed)
    if any(far) and (conversion.eastings or conversion.northings):
        raise CrsError(
            "georeferenced twice: its coordinates lie more than 100 km from the origin and a map"
            " conversion moves them on; correct the model, or give its place with --place"
        )
    shapes = [shapely.from_wkb(record["outline"]) for record in answer["buildings"] if record["outline"]]
    try:
        placed = placement.place(shapes)
    except CrsError as error:
        unit = georeference.mistaken_unit(conversion, placement.crs)
        if unit is None:
            raise
        raise CrsError(
            f"{error}. Eastings and northings would fit if they were in {unit}; correct the model"
        ) from error
    return placement, warnings + _contradictions(answer["sites"], placed, placement.crs)


def _contradictions(sites: Sequence[Any], placed: Sequence[Any], system: pyproj.CRS) -> list[str]:
    """Say where the degrees of a site and the map conversion disagree about the place."""
    if not placed:
        return []
    west, south, east, north = crs.geographic_bounds(tuple(map(float, shapely.total_bounds(placed))), system)  # type: ignore[arg-type] # four numbers
    there = ((west + east) / 2, (south + north) / 2)
    for site in sites:
        if site is None:
            continue
        away = georeference.apart((site["longitude"], site["latitude"]), there)
        if away > _CONTRADICTION:
            return [
                f"latitude {site['latitude']:.4f} and longitude {site['longitude']:.4f} of the site lie"
                f" {away / 1000:,.0f} km from where the map conversion in {crs.name(system)} puts the model"
                f" ({there[1]:.4f}, {there[0]:.4f}); the map conversion is taken"
            ]
    return []


def _hinted(answer: Mapping[str, Any], far: Sequence[bool], north: Direction, around: Circumstances) -> Placed:
    """Place buildings by the degrees of their sites, and by buildings of the city that they fit."""
    outside: list[Geodetic] = []
    asked: list[partial[tuple[Placement | None, str | None, str]]] = []
    for record, site, is_far in zip(answer["buildings"], answer["sites"], far, strict=True):
        point = None if site is None else Geodetic(**(site | {"origin": tuple(site["origin"])}))
        if point is not None and around.storage and not crs.covers(around.storage, point.longitude, point.latitude):
            outside.append(point)
            point = None
        asked.append(partial(_place_one, record, point, north, is_far=is_far))
    found = [place_one(around) for place_one in asked]
    # No two buildings are one: which of them it is that fits, nobody can tell.
    laid_on = Counter(code for _, code, _ in found)
    found = [
        one if one[1] is None or laid_on[one[1]] == 1 else place_one(replace(around, city=None))
        for one, place_one in zip(found, asked, strict=True)
    ]
    fitted = [(placement.accuracy or 0.0, code, placement) for placement, code, _ in found if placement and code]
    if fitted:
        # The model says where the others are to it, and better than a hint does.
        _, code, best = min(fitted, key=lambda one: one[:2])
        beside = best, None, f"placed as the model has them to the one laid on building {code}; confirm it"
        found = [one if one[1] or is_far else beside for one, is_far in zip(found, far, strict=True)]
    said = [warning for _, _, warning in found]
    if outside and around.storage:
        more = f", and those of {len(outside) - 1} more buildings," if len(outside) > 1 else ""
        said.insert(
            0,
            f"the site's longitude {outside[0].longitude:.4f} and latitude {outside[0].latitude:.4f}{more} lie outside"
            f" the area of {crs.name(around.storage)} and are not used",
        )
    warnings = list(dict.fromkeys(warning for warning in said if warning))
    return Placed([placement for placement, _, _ in found], [code for _, code, _ in found], warnings)


def _place_one(
    record: Mapping[str, Any], point: Geodetic | None, north: Direction, around: Circumstances, *, is_far: bool
) -> tuple[Placement | None, str | None, str]:
    if is_far:
        if point is not None and around.storage is not None and _lies_at(record, point, around.storage):
            said = f"coordinates are those of {crs.name(around.storage)}, where latitude and longitude of the site are"
            return georeference.from_coordinates(around.storage), None, said
        return None, None, _FAR_UNPLACED
    hint = None
    if point is not None:
        accuracy = georeference.hint_accuracy(point)
        hint = georeference.from_geodetic(point, north, _system_of_hint(point, around), "site_lat_lon", 20, accuracy)
    found = _matched(record, hint, north, around)
    if found is not None:
        return found
    return hint, None, _UNPLACED if hint is None else _HINTED


def _lies_at(record: Mapping[str, Any], point: Geodetic, system: pyproj.CRS) -> bool:
    """Tell whether the outline, taken for coordinates of a CRS, lies where the degrees of the site are."""
    placement = georeference.from_coordinates(system)
    try:
        (placed,) = placement.place([shapely.from_wkb(record["outline"])])
        west, south, east, north = crs.geographic_bounds(placed.bounds, system)
    except CrsError:
        return False
    middle = ((west + east) / 2, (south + north) / 2)
    return georeference.apart(middle, (point.longitude, point.latitude)) <= _CONTRADICTION


def _matched(
    record: Mapping[str, Any], hint: Placement | None, north: Direction, around: Circumstances
) -> tuple[Placement, str, str] | None:
    """Lay the footprint on the one building of the city that it fits; None where there is none, or several."""
    if around.city is None or around.storage is None or not record["outline"]:
        return None
    outline = shapely.from_wkb(record["outline"])
    if hint is not None and hint.accuracy is not None:
        (middle,) = crs.transform(hint.place([outline.centroid]), hint.crs, around.storage)  # type: ignore[arg-type] # any sequence
        candidates = around.city.near(middle.x, middle.y, _REACH * hint.accuracy)
        wanted, where = OVERLAP_NEAR, "near the site's latitude and longitude"
    else:
        wanted, where = OVERLAP_ANYWHERE, "of the city"
        candidates = around.city.like(outline.area, outline.length, wanted - LEAD)
    angle = _angle_of(north)
    # Areas alone bound the overlap from above, and what overlaps less than that says nothing against the best.
    alike = (code for code, shape in candidates.items() if _share(outline.area, shape.area) >= wanted - LEAD)
    fits = {code: fit(outline, candidates[code], angle) for code in alike}
    ranked = sorted(fits, key=lambda code: -fits[code].overlap)
    if not ranked or fits[ranked[0]].overlap < wanted:
        return None
    if len(ranked) > 1 and fits[ranked[1]].overlap > fits[ranked[0]].overlap - LEAD:
        return None
    best = fits[ranked[0]]
    placement = georeference.from_matrix(best.matrix, around.storage, "building_outline", None, best.residual)
    return placement, ranked[0], f"laid on building {ranked[0]} {where}: {_quality(best)}; confirm it"


def _on_named(buildings: Sequence[Any], said: Statement, north: Direction, around: Circumstances) -> Placed:
    """Lay the one building of a model on the one that the operator names."""
    code = said.building or ""
    target = None if around.city is None else around.city.of(code)
    if target is None or around.storage is None:
        raise InvalidData(f"{said.origin}: no building {code} with a footprint is known; take it in first")
    shown = [index for index, record in enumerate(buildings) if record["outline"]]
    if len(shown) != 1:
        raise InvalidData(
            f"{said.origin}: {code} is one building, the model shows {len(shown)}; give longitude,latitude instead"
        )
    angle = _angle_of(north) if said.angle is None else _angle_of(georeference.north_of(said.angle))
    found = fit(shapely.from_wkb(buildings[shown[0]]["outline"]), target, angle)
    if found.overlap < OVERLAP_NAMED:
        raise InvalidData(
            f"{said.origin}: the model does not show building {code}: {_quality(found)}; name another, or the place"
        )
    accuracy = found.residual if said.accuracy is None else said.accuracy
    placement = georeference.from_matrix(found.matrix, around.storage, "building_outline", said.height, accuracy)
    codes = [code if index == shown[0] else None for index in range(len(buildings))]
    return Placed([placement] * len(buildings), codes, [f"laid on building {code}: {_quality(found)}"])


def _quality(found: Fit) -> str:
    turned = "; it would fit as well turned otherwise, north decided" if found.ambiguous else ""
    return f"footprints overlap by {found.overlap:.0%}, outlines are {found.residual:.2f} m apart{turned}"


def _angle_of(north: Direction) -> float:
    return math.atan2(north[0], north[1])


def _share(one: float, other: float) -> float:
    """Return how much the smaller of two areas is of the larger."""
    return min(one, other) / max(one, other)


def _is_far(record: Mapping[str, Any]) -> bool:
    if record["outline"] is None:
        return False
    bounds = shapely.from_wkb(record["outline"]).bounds
    return bool(max(abs(value) for value in bounds) > georeference.FAR)
