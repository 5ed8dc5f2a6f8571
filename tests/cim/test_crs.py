from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely

from cim import crs
from cim.errors import CrsError, OutsideArea

WGS84 = crs.parse(4326)
CGCS2000 = crs.parse("EPSG:4490")
XIONGAN = crs.parse(4548)
BEIJING54_WITH_PARAMETERS = crs.parse("+proj=longlat +ellps=krass +towgs84=12,-113,-41,0,0,0,0 +type=crs")


def points(*pairs: tuple[float, float]) -> np.ndarray:
    return shapely.points(np.array(pairs))


@pytest.mark.parametrize("text", [4548, "4548", "EPSG:4548", "urn:ogc:def:crs:EPSG::4548", XIONGAN, XIONGAN.to_wkt()])
def test_parse_takes_what_people_write(text: str | int | pyproj.CRS) -> None:
    assert crs.parse(text).to_epsg() == 4548


@pytest.mark.parametrize("text", ["EPSG:12invalid", "999999", "", "MGA2020 / Zone 56"])
def test_parse_refuses_what_proj_does_not_know(text: str) -> None:
    with pytest.raises(CrsError, match="EPSG code"):
        crs.parse(text)


def test_projection_on_one_datum_gives_the_published_values() -> None:
    # Guangzhou, 113.2644 E 23.1291 N: STANDARDS of the field give E 424654.893 N 2559024.739 on 114 E, zone 38.
    given = points((113.2644, 23.1291))
    plain = crs.transform(given, CGCS2000, crs.parse(4547))
    zoned = crs.transform(given, CGCS2000, crs.parse(4526))
    assert shapely.get_coordinates(plain) == pytest.approx(np.array([[424654.893, 2559024.739]]), abs=0.001)
    assert shapely.get_coordinates(zoned) == pytest.approx(np.array([[38424654.893, 2559024.739]]), abs=0.001)
    assert shapely.get_coordinates(given).tolist() == [[113.2644, 23.1291]]


@pytest.mark.parametrize(("source", "target"), [(4326, 4548), (4326, 4490), (4548, 4326)])
def test_a_datum_change_nobody_knows_is_refused_with_the_way_out(source: int, target: int) -> None:
    place = points((116.1, 39.0)) if source == 4326 else points((421000.0, 4318000.0))
    with pytest.raises(CrsError, match="--assume-crs EPSG:4") as caught:
        crs.transform(place, crs.parse(source), crs.parse(target))
    assert f"EPSG:{source}" in str(caught.value)
    assert f"EPSG:{target}" in str(caught.value)


@pytest.mark.parametrize("closed", [4214, 4610, 2412, 2327])
@pytest.mark.parametrize("other", [4326, 4490])
def test_beijing54_and_xian80_are_refused_both_ways(closed: int, other: int) -> None:
    place = points((116.4, 39.9))
    for source, target in ((closed, other), (other, closed)):
        with pytest.raises(CrsError, match="no published parameters"):
            crs.transform(place, crs.parse(source), crs.parse(target))


def test_a_projection_within_xian80_is_no_datum_change() -> None:
    moved = crs.transform(points((117.0, 0.0)), crs.parse(4610), crs.parse(2384))  # central meridian, equator
    assert shapely.get_coordinates(moved) == pytest.approx(np.array([[500000.0, 0.0]]), abs=1e-6)


def test_the_operators_own_parameters_are_taken() -> None:
    moved = crs.transform(points((116.4, 39.9)), BEIJING54_WITH_PARAMETERS, WGS84)
    shift = shapely.get_coordinates(moved)[0] - (116.4, 39.9)
    assert 0 < np.hypot(*shift) < 0.002


XIAN80 = crs.parse(2382)  # 3 degrees, meridian 111 E


def test_parameters_of_the_survey_office_open_a_closed_datum() -> None:
    # Translations alone, on the equator at 111 E: y is north there, and z of the earth's axes too, so that 30 m along z
    # are 30 m north; 100 m along x are -100 sin 111 m east, and 20 m along y are 20 cos 111 m.
    bound = crs.with_parameters(XIAN80, (100.0, 20.0, 30.0), XIONGAN)
    ours = crs.parse(4546)  # CGCS2000, 3 degrees, meridian 111 E
    moved = crs.transform(points((500_000.0, 0.0)), bound, ours)
    east = -100 * np.sin(np.radians(111)) + 20 * np.cos(np.radians(111))
    assert shapely.get_coordinates(moved) == pytest.approx(np.array([[500_000 + east, 30.0]]), abs=0.05)


def test_rotations_are_position_vectors_and_the_scale_in_ppm() -> None:
    # On the equator at 111 E, R = 6 378 140 m: a turn of 1" about z moves a vector by R · 1" = 30.922 m east. A scale
    # moves it along itself, which is up.
    bound = crs.with_parameters(XIAN80, (0, 0, 0, 0, 0, 1.0, 5.0), XIONGAN)
    moved = crs.transform(points((500_000.0, 0.0)), bound, crs.parse(4546))
    assert shapely.get_coordinates(moved) == pytest.approx(np.array([[500_030.922, 0.0]]), abs=0.01)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ((1.0, 2.0), "are 3 or 7 numbers, got 2"),
        ((1.0, 2.0, float("nan")), "are 3 or 7 numbers"),
        ((6_378_140.0, 0.0, 0.0), "move further than any datum change"),
        ((1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1_000_003.0), "move further than any datum change"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters: tuple[float, ...], reason: str) -> None:
    with pytest.raises(CrsError, match=reason):
        crs.with_parameters(XIAN80, parameters, XIONGAN)
    with pytest.raises(CrsError, match="parameters of its own"):
        crs.with_parameters(BEIJING54_WITH_PARAMETERS, (1.0, 2.0, 3.0), XIONGAN)


def test_data_with_parameters_must_lie_in_the_area_of_their_system() -> None:
    bound = crs.with_parameters(XIAN80, (1.0, 2.0, 3.0), XIONGAN)
    crs.check_envelope((430_000.0, 2_559_000.0, 500_000.0, 2_600_000.0), bound)
    with pytest.raises(OutsideArea, match="outside the area of Xian 1980"):
        crs.check_envelope((3_430_000.0, 2_559_000.0, 3_500_000.0, 2_600_000.0), bound)


def test_same_system_returns_the_same_array() -> None:
    given = points((1.0, 2.0))
    assert crs.transform(given, XIONGAN, crs.parse("EPSG:4548")) is given
    assert crs.transform(given, crs.parse("OGC:CRS84"), WGS84) is given


@pytest.mark.parametrize("given", [[], [None], [shapely.Point()], [None, shapely.Polygon()]])
def test_nothing_to_transform_stays_nothing(given: list[shapely.Geometry | None]) -> None:
    array = np.array(given, dtype=object)
    moved = crs.transform(array, CGCS2000, XIONGAN)
    assert [g is None or g.is_empty for g in moved] == [True] * len(given)


def test_height_stays_and_only_the_horizontal_part_of_a_compound_system_counts() -> None:
    given = np.array([shapely.Point(117.0, 39.0, 12.5)], dtype=object)
    moved = crs.transform(given, crs.parse("EPSG:4490+5737"), XIONGAN)
    assert shapely.get_coordinates(moved, include_z=True)[0, 0] == pytest.approx(500000.0)


def test_degrees_beyond_the_globe_are_a_wrong_statement() -> None:
    with pytest.raises(CrsError, match="are no degrees"):
        crs.check_envelope((502132.0, 2551234.0, 503000.0, 2552000.0), WGS84)


def test_a_place_outside_the_area_of_a_zone_is_refused() -> None:
    # 75 E on 114 E projects without any error to E -2 916 186.
    with pytest.raises(CrsError, match="outside the area of EPSG:4547"):
        crs.check_envelope((-2916186.0, 2559000.0, -2916185.0, 2559001.0), crs.parse(4547))


def test_half_a_zone_beyond_the_zone_is_still_inside() -> None:
    # EPSG:4548 is made for 115.5 E to 118.5 E.
    crs.check_envelope((114.1, 39.0, 119.9, 39.1), CGCS2000)
    boxes = np.array([[114.1, 39.0, 114.1, 39.0], [113.9, 39.0, 113.9, 39.0], [np.nan] * 4])
    x, y = pyproj.Transformer.from_crs(4490, 4548, always_xy=True).transform(boxes[:2, 0], boxes[:2, 1])
    planar = np.vstack([np.column_stack([x, y, x, y]), boxes[2:]])
    assert crs.inside(planar, XIONGAN).tolist() == [True, False, True]


def test_accuracy_tells_a_datum_change_from_none() -> None:
    tokyo = (139.6, 35.5, 139.9, 35.8)
    assert crs.accuracy(crs.parse(6668), crs.parse(6677), tokyo) == 0.0
    assert crs.accuracy(WGS84, crs.parse(6677), tokyo) == 1.0  # EPSG:9690, JGD2011 to WGS 84 (1): 1 m


def test_the_one_way_between_two_descriptions_of_a_system_is_told() -> None:
    """Software writes systems without their code, and PROJ then has one operation, which does nothing."""
    plain = crs.parse(4548).to_wkt(pyproj.enums.WktVersion.WKT1_GDAL).replace(',AUTHORITY["EPSG","4548"]', "")
    assert "noop" in crs.way(crs.parse(plain), crs.parse(4548))
    assert crs.accuracy(crs.parse(plain), crs.parse(4548), (117.0, 39.0, 117.1, 39.1)) in (0.0, None)


def test_same_datum() -> None:
    assert crs.same_datum(CGCS2000, XIONGAN)
    assert crs.same_datum(WGS84, crs.parse(3857))
    assert not crs.same_datum(WGS84, XIONGAN)
    assert not crs.same_datum(BEIJING54_WITH_PARAMETERS, BEIJING54_WITH_PARAMETERS)


# Degrees, US feet, a third axis, with heights, of web maps, and none that is projected.
@pytest.mark.parametrize("system", [4326, 4490, 2263, 4978, 5555, 3857, "EPSG:5703"])
def test_a_city_is_kept_in_planar_metres(system: int | str) -> None:
    with pytest.raises(CrsError, match="cannot be the storage CRS"):
        crs.check_storage(crs.parse(system))


@pytest.mark.parametrize("system", [4548, 4526, 28992, 2056, 6677, 25832])
def test_projected_metres_keep_a_city(system: int) -> None:
    crs.check_storage(crs.parse(system))


@pytest.mark.parametrize("system", [WGS84, XIONGAN, CGCS2000])
def test_the_local_plane_is_azimuthal_equidistant_about_its_point(system: pyproj.CRS) -> None:
    plane = crs.local_plane(system, 115.9, 39.05)
    again = crs.local_plane(system, 8.4, 49.1)
    assert again.equals(crs.local_plane(system, 8.4, 49.1))
    assert not again.equals(plane)
    assert crs.same_datum(plane, system)
    # 3 km to the north-east by geodesic, which an azimuthal equidistant plane keeps in length and direction.
    geographic = crs.geographic_of(system)
    east, north, _ = pyproj.Geod(ellps="GRS80").fwd(115.9, 39.05, 45.0, 3000.0)
    ((x, y),) = crs.transform_coordinates(np.array([[east, north]]), geographic, plane)
    assert (x, y) == pytest.approx((3000 / 2**0.5, 3000 / 2**0.5), abs=1e-3)
