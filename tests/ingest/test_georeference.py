from __future__ import annotations

import math

import pytest
import shapely

from cim import crs
from cim.errors import CrsError
from ingest.georeference import (
    Conversion,
    Geodetic,
    apart,
    from_conversion,
    from_coordinates,
    from_geodetic,
    from_statement,
    mistaken_unit,
    reconcile_scale,
    resolution_of,
)
from ingest.statement import parse

WGS84 = crs.parse("EPSG:4326")
MILLIMETRES = Conversion("IfcMapConversion", 0.001, 1.0, "EPSG:4548", 500_000.0, 4_320_000.0, height=8.5)


@pytest.mark.parametrize(
    ("stated", "expected", "used", "warned"),
    [
        (None, 0.001, 0.001, True),  # millimetres to metres, forgotten
        (1.0, 0.001, 0.001, True),
        (None, 1.0, 1.0, False),
        (1.0, 1.0, 1.0, False),
        (0.001, 0.001, 0.001, False),
        (0.0009996, 0.001, 0.0009996, False),  # the grid scale of UTM's central meridian
        (0.3048, 0.3048, 0.3048, False),
    ],
)
def test_scale_follows_the_units(stated: float | None, expected: float, used: float, warned: bool) -> None:
    scale, warning = reconcile_scale(stated, expected)
    assert scale == used
    assert (warning is not None) == warned


@pytest.mark.parametrize(("stated", "reciprocal"), [(1000.0, True), (0.5, False), (-0.001, False)])
def test_scale_that_contradicts_the_units_is_refused(stated: float, reciprocal: bool) -> None:
    with pytest.raises(CrsError) as caught:
        reconcile_scale(stated, 0.001)
    assert ("reciprocal" in str(caught.value)) == reciprocal


def test_metres_of_the_model_are_metres_of_the_map() -> None:
    placement, warnings = from_conversion(MILLIMETRES)
    (placed,) = placement.place([shapely.box(0, 0, 12, 10)])
    assert placed.bounds == pytest.approx((500_000, 4_320_000, 500_012, 4_320_010), abs=1e-9)
    assert placement.height_of(0.5) == pytest.approx(9.0)
    assert ["0.001 is used" in warning for warning in warnings] == [True]


def test_quarter_turn_puts_east_to_north() -> None:
    turned = Conversion("IfcMapConversion", 1.0, 1.0, "EPSG:4548", 500_000.0, 4_320_000.0, angle=math.pi / 2)
    (placed,) = from_conversion(turned)[0].place([shapely.Point(10, 1)])
    assert (placed.x, placed.y) == pytest.approx((499_999, 4_320_010), abs=1e-6)


def test_map_in_feet_and_model_in_metres() -> None:
    # EPSG:2277, Texas Central, is in US survey feet: 1200/3937 m. 12 m are 39.37 feet.
    feet = Conversion("IfcMapConversion", 1.0, None, "EPSG:2277", 3_100_000.0, 10_070_000.0, scale=3937 / 1200)
    placement, warnings = from_conversion(feet)
    (placed,) = placement.place([shapely.Point(12, 0)])
    assert placed.x - 3_100_000 == pytest.approx(39.37, abs=1e-6)
    assert "MapUnit" in warnings[0]


def test_map_unit_other_than_that_of_the_crs_is_converted() -> None:
    thousandth = Conversion("IfcMapConversion", 0.001, 0.001, "EPSG:4548", 500_000_000.0, 4_320_000_000.0, scale=1.0)
    (placed,) = from_conversion(thousandth)[0].place([shapely.Point(12, 10)])
    assert (placed.x, placed.y) == pytest.approx((500_012, 4_320_010), abs=1e-6)


def test_factors_stretch_the_axes() -> None:
    scaled = Conversion(
        "IfcMapConversionScaled", 1.0, 1.0, "EPSG:4548", 500_000.0, 4_320_000.0, factors=(1.001, 0.999, 1.0)
    )
    (placed,) = from_conversion(scaled)[0].place([shapely.Point(1000, 1000)])
    assert (placed.x, placed.y) == pytest.approx((501_001, 4_320_999), abs=1e-6)


def test_conversion_starts_from_the_world_coordinate_system() -> None:
    moved = Conversion(
        "IfcMapConversion", 1.0, 1.0, "EPSG:4548", 500_000.0, 4_320_000.0, world=(100.0, 50.0, 2.0, 0.0), height=8.5
    )
    placement, warnings = from_conversion(moved)
    (placed,) = placement.place([shapely.Point(100, 50)])
    assert (placed.x, placed.y) == pytest.approx((500_000, 4_320_000), abs=1e-9)
    assert placement.height_of(2.0) == pytest.approx(8.5)
    assert any("world coordinate system" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("name", "code"), [("MGA2020 / Zone 56", 7856), ("MGA94 / MGA zone 55", 28355), ("EPSG:4548", 4548), ("4548", 4548)]
)
def test_names_of_authoring_tools_are_understood(name: str, code: int) -> None:
    placement, _ = from_conversion(Conversion("IfcMapConversion", 1.0, 1.0, name, 0.0, 0.0))
    assert placement.crs.to_epsg() == code


@pytest.mark.parametrize("name", ["EPSG:12invalid", "our own grid", None, "EPSG:4490"])
def test_unknown_or_geographic_crs_is_refused(name: str | None) -> None:
    with pytest.raises(CrsError):
        from_conversion(Conversion("IfcMapConversion", 1.0, 1.0, name, 0.0, 0.0))


def test_operator_corrects_the_crs() -> None:
    wrong = Conversion("IfcMapConversion", 1.0, 1.0, "EPSG:12invalid", 500_000.0, 4_320_000.0)
    assert from_conversion(wrong, crs.parse("EPSG:4548"))[0].crs.to_epsg() == 4548


def test_place_outside_the_area_of_the_crs_is_refused_and_the_unit_named() -> None:
    wrong = Conversion("IfcMapConversion", 0.001, 1.0, "EPSG:4548", 500_000_000.0, 4_320_000_000.0)
    placement, _ = from_conversion(wrong)
    with pytest.raises(CrsError):
        placement.place([shapely.box(0, 0, 1, 1)])
    assert mistaken_unit(wrong, placement.crs) == "millimetres"
    assert mistaken_unit(Conversion("IfcMapConversion", 1.0, 1.0, "EPSG:4548", 9e9, 9e9), placement.crs) is None


def test_latitude_and_longitude_with_true_north() -> None:
    # North of the model is its -x axis, so 100 m along -x lie 100 m north of the point.
    point = Geodetic(116.0, 39.0, 20.0, origin=(5.0, 7.0, 1.0))
    placement = from_geodetic(point, (-1.0, 0.0), WGS84, "site_lat_lon", 20, 50.0)
    origin, north = placement.place([shapely.Point(5, 7), shapely.Point(-95, 7)])
    assert (origin.x, origin.y) == pytest.approx((116.0, 39.0), abs=1e-12)
    # One degree of latitude there: π/180 · a(1 - e²)/(1 - e² sin² 39°)^1.5 = 111,015.5 m.
    assert (north.x, north.y - 39.0) == pytest.approx((116.0, 100 / 111_015.5), abs=1e-9)
    assert placement.height_of(1.0) == pytest.approx(20.0)


def test_a_model_turned_by_any_angle_about_any_point() -> None:
    # North is 3 right and 4 up on the sheet, so east is 4 right and 3 down; both are 5 long.
    point = Geodetic(116.0, 39.0, None, origin=(5.0, 7.0, 0.0))
    placement = from_geodetic(point, (0.6, 0.8), WGS84, "site_lat_lon", 20, 50.0)
    origin, north, east = placement.place([shapely.Point(5, 7), shapely.Point(65, 87), shapely.Point(85, -53)])
    assert (origin.x, origin.y) == pytest.approx((116.0, 39.0), abs=1e-12)
    assert (north.x, north.y - 39.0) == pytest.approx((116.0, 100 / 111_015.5), abs=1e-9)
    assert (east.x - 116, east.y) == pytest.approx((100 / 86_626.4, 39.0), abs=1e-8)


def test_what_an_operator_types_is_as_good_as_its_decimals() -> None:
    """Half a hundredth of a degree of a great circle, and what a file says itself."""
    assert from_statement(parse("116.12,39.04", "--place"), (0.0, 1.0), WGS84).accuracy == pytest.approx(556, abs=0.1)
    stated = parse("longitude = 116.12\nlatitude = 39.04\naccuracy = 2.5", "a.place")
    assert from_statement(stated, (0.0, 1.0), WGS84).accuracy == 2.5


def test_operator_places_the_origin_and_turns_the_model() -> None:
    (east,) = from_statement(parse("116,39", "--place"), (0.0, 1.0), WGS84).place([shapely.Point(100, 0)])
    (north,) = from_statement(parse("116,39,90", "--place"), (0.0, 1.0), WGS84).place([shapely.Point(100, 0)])
    # One degree of longitude there: π/180 · a cos 39° / (1 - e² sin² 39°)^0.5 = 86,626.4 m.
    assert (east.x - 116, east.y) == pytest.approx((100 / 86_626.4, 39.0), abs=1e-8)
    assert (north.x, north.y - 39) == pytest.approx((116.0, 100 / 111_015.5), abs=1e-9)


def test_map_coordinates_and_control_points_of_a_placement_file() -> None:
    turned = parse(
        'crs = "EPSG:4548"\neastings = 500000.0\nnorthings = 4320000.25\nangle = 90\nheight = 8.5', "a.place"
    )
    placement = from_statement(turned, (0.0, 1.0), WGS84)
    (point,) = placement.place([shapely.Point(10, 1)])
    assert (point.x, point.y) == pytest.approx((499_999, 4_320_010.25), abs=1e-6)
    assert placement.height_of(2.0) == pytest.approx(10.5)
    assert (placement.method, placement.accuracy) == ("operator_map", 0.5)
    # The second point lies 0.2 m farther out on the map than in the model: each misses by half of that.
    points = parse(
        'crs = "EPSG:4548"\npoints = [{model = [0, 0], map = [500000, 4320000]},'
        " {model = [10, 0], map = [500000, 4320010.2]}]",
        "a.place",
    )
    placement = from_statement(points, (0.0, 1.0), WGS84)
    (point,) = placement.place([shapely.Point(5, 0)])
    assert (point.x, point.y) == pytest.approx((500_000, 4_320_005.1), abs=1e-6)
    assert placement.accuracy == pytest.approx(0.1)


@pytest.mark.parametrize(("number", "half"), [(316131.64, 0.005), (500_000.0, 0.5), (0.0, 0.5), (1.5, 0.05)])
def test_what_a_written_number_resolves(number: float, half: float) -> None:
    assert resolution_of(number) == pytest.approx(half)


def test_distance_on_the_earth() -> None:
    # A quarter of the meridian of a sphere of 6371 km: 10,007.5 km.
    assert apart((0.0, 0.0), (120.0, 90.0)) == pytest.approx(10_007_543, abs=1_000)


def test_coordinates_of_a_map_are_taken_as_they_are() -> None:
    placement = from_coordinates(crs.parse("EPSG:5514"))
    (placed,) = placement.place([shapely.Point(-737_905.786, -1_043_720.485)])
    assert (placed.x, placed.y) == (-737_905.786, -1_043_720.485)
    assert placement.place([None]) == [None]


def test_degrees_are_on_the_datum_of_the_system_given() -> None:
    placement = from_statement(parse("116,39", "--place"), (0.0, 1.0), crs.parse("EPSG:4548"))
    assert placement.crs.to_epsg() == 4490
    (placed,) = crs.transform(placement.place([shapely.Point(0, 0)]), placement.crs, crs.parse("EPSG:4548"))
    # Gauss-Krüger series, one degree west of 117°: A = cos 39° · π/180, T = tan² 39°, C = e'² cos² 39°;
    # N (A + (1 - T + C) A³/6) = 86,626.4 + 0.93 m.
    assert placed.x == pytest.approx(500_000 - 86_627.33, abs=0.01)
