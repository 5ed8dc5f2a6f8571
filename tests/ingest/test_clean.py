from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely

from cim import crs
from cim.dictionary import GeometryKind
from cim.errors import CrsError, InvalidData
from ingest.clean import FIX, Repair, clean
from ingest.faults import Faults

XIONGAN = crs.parse(4548)
E0, N0 = 421_000.0, 4_318_000.0


def at(wkt: str | None) -> bytes | None:
    """WKB of a shape given in metres from the corner of the district."""
    if wkt is None:
        return None
    shape = shapely.from_wkt(wkt)
    moved = shapely.transform(shape, lambda c: c + ([E0, N0, 0.0][: c.shape[1]]), include_z=shape.has_z)
    return shapely.to_wkb(moved, flavor="iso")


def remarks(shapes: list[bytes | None], source: pyproj.CRS = XIONGAN) -> list[str]:
    column = pa.chunked_array([pa.array(shapes, pa.binary())])
    return clean(column, "MultiPolygon", True, source, XIONGAN, lambda given: [], Faults(len(shapes))).remarks


def cleaned(
    shapes: list[bytes | None], kind: GeometryKind = "MultiPolygon", *, required: bool = True, **options: Any
) -> tuple[list[str | None], list[bool], dict[int, str]]:
    faults = Faults(len(shapes))
    column = pa.chunked_array([pa.array(shapes, pa.binary())])
    source, target = options.get("source", XIONGAN), options.get("target", XIONGAN)
    linearise = options.get("linearise", lambda given: [None] * len(given))
    repair = options.get("repair", FIX)
    result = clean(column, kind, required, source, target, linearise, faults, repair=repair)
    local = shapely.transform(result.geometries, lambda c: np.round(c - (E0, N0), 6))
    return [None if g is None else g.wkt for g in local], result.repaired.tolist(), dict(faults)


def test_singles_become_multis_flat_on_the_grid_and_anticlockwise() -> None:
    clockwise = at("POLYGON Z ((0 0 5, 0 1.00049 5, 1 1 5, 1 0 5, 0 0 5))")
    assert cleaned([clockwise]) == (["MULTIPOLYGON (((0 0, 1 0, 1 1, 0 1, 0 0)))"], [False], {})


def test_the_same_shape_in_the_habits_of_another_format_is_the_same() -> None:
    one, _, _ = cleaned([at("POLYGON ((0 0, 0 1, 1 1, 1 0, 0 0), (.2 .2, .8 .2, .8 .8, .2 .8, .2 .2))")])
    other, _, _ = cleaned([at("MULTIPOLYGON (((0 0, 1 0, 1 1, 0 1, 0 0), (.2 .2, .2 .8, .8 .8, .8 .2, .2 .2)))")])
    # Same start, opposite direction of both rings.
    assert shapely.equals(*shapely.from_wkt([one[0], other[0]]))
    assert shapely.is_ccw(shapely.get_exterior_ring(shapely.get_parts(shapely.from_wkt([one[0]])))).all()


def test_negative_zero_is_zero() -> None:
    faults = Faults(1)
    column = pa.chunked_array([pa.array([shapely.to_wkb(shapely.Point(-0.0001, 1.0))], pa.binary())])
    system = crs.parse("+proj=tmerc +lon_0=117 +ellps=GRS80 +type=crs")
    result = clean(column, "Point", True, system, system, lambda given: [None], faults)
    assert np.signbit(shapely.get_coordinates(result.geometries)).tolist() == [[False, False]]


CROSSED = "POLYGON ((0 0, 20 0, 20 20, 0 20, 0 -0.5, 1 0, 0 0))"


def test_a_ring_that_crosses_itself_a_little_is_repaired_and_reported() -> None:
    # The last side runs past the first and back: a loop of 0.25 m² below a square of 20 m, drawn the other way round.
    # So 399.75 m² are drawn and 400.25 m² covered, 0.125 % more.
    crossed = at(CROSSED)
    shapes, repaired, faults = cleaned([crossed, at("POLYGON ((0 0, 1 0, 1 1, 0 0))")])
    assert (repaired, faults) == ([True, False], {})
    assert shapely.from_wkt(shapes[0]).is_valid
    assert shapely.from_wkt(shapes[0]).area == pytest.approx(400.25)


BOW_TIE = "POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))"  # two triangles of 1 m² each, drawn in opposite directions
HOLE_OUTSIDE = (
    "POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0), (20 0, 20 5, 25 5, 25 0, 20 0))"  # 100 m² less 25, taken as a part: and 25
)
TWICE = "MULTIPOLYGON (((0 0, 10 0, 10 10, 0 10, 0 0)), ((0 0, 10 0, 10 10, 0 10, 0 0)))"  # 100 m² drawn twice


@pytest.mark.parametrize(
    ("wkt", "drawn", "mended"), [(BOW_TIE, 0, 2), (HOLE_OUTSIDE, 75, 125), (TWICE, 200, 100)], ids=str
)
def test_a_fix_that_moves_more_area_than_stated_is_a_reject(wkt: str, drawn: float, mended: float) -> None:
    shapes, repaired, faults = cleaned([at(wkt)])
    assert (shapes, repaired) == ([None], [False])
    assert f"would change its area from {drawn:.2f} to {mended:.2f} m², by more than 1.00%" in faults[0]
    shapes, repaired, faults = cleaned([at(wkt)], repair=Repair(max_area_change=1.0))
    assert (repaired, faults) == ([True], {})
    assert shapely.from_wkt(shapes[0]).area == pytest.approx(mended)


INVALID = {
    "crossed": CROSSED,
    "bow-tie": BOW_TIE,
    "hole outside": HOLE_OUTSIDE,
    "part twice": TWICE,
    "spike": "POLYGON ((0 0, 10 0, 10 10, 10 20, 10 10, 0 10, 0 0))",
    "sliver": "POLYGON ((0 0, 10 0, 10 0.0002, 0 0.0001, 0 0))",
}


@pytest.mark.parametrize("wkt", INVALID.values(), ids=INVALID.keys())
def test_invalid_geometry_is_rejected_or_refuses_the_file_where_the_operator_wants_that(wkt: str) -> None:
    good = at("POLYGON ((0 0, 1 0, 1 1, 0 0))")
    shapes, repaired, faults = cleaned([good, at(wkt)], repair=Repair("reject"))
    assert shapes == ["MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))", None]
    assert repaired == [False, False]
    assert list(faults) == [1]
    with pytest.raises(InvalidData, match="geometry is invalid, first in record 2"):
        cleaned([good, at(wkt)], repair=Repair("raise"))


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(InvalidData, match="expected fix, reject, raise, got 'ignore'"):
        Repair("ignore")  # type: ignore[arg-type]
    with pytest.raises(InvalidData, match="expected 0 to 1, got 5"):
        Repair(max_area_change=5)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_a_coordinate_that_is_no_number_is_a_fault_of_its_record_alone(number: float, place: int) -> None:
    corners = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 0.0]]) + np.array([E0, N0])
    corners[1, place] = number
    bad = struct.pack("<BIII", 1, 3, 1, 4) + corners.astype("<f8").tobytes()
    good = at("POLYGON ((0 0, 1 0, 1 1, 0 0))")
    shapes, _, faults = cleaned([good, bad, good])
    assert [s is None for s in shapes] == [False, True, False]
    assert faults == {1: "geom: has a coordinate that is not a number or infinite"}


def test_a_shape_too_large_to_be_served_is_a_fault() -> None:
    # 5 000 000 corners of 16 bytes each.
    angle = np.linspace(0, 2 * np.pi, 5_000_000, endpoint=False)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]) * 1e4 + (E0, N0)
    closed = np.vstack([ring, ring[:1]])
    huge = struct.pack("<BIII", 1, 3, 1, len(closed)) + closed.astype("<f8").tobytes()
    _, _, faults = cleaned([at("POLYGON ((0 0, 1 0, 1 1, 0 0))"), huge])
    assert faults == {1: "geom: takes 80,000,029 bytes, at most 67,108,864 are stored; divide it"}


def test_a_record_with_one_corner_elsewhere_is_found() -> None:
    good = at("POLYGON ((0 0, 1 0, 1 1, 0 0))")
    torn = shapely.to_wkb(shapely.Polygon([(E0, N0), (E0 + 10, N0), (0.0, 0.0)]))
    _, _, faults = cleaned([good, good, torn])
    assert faults == {2: "geom: lies at 0, 0, outside the area of EPSG:4548 (CGCS2000 / 3-degree Gauss-Kruger CM 117E)"}


def test_across_the_180th_meridian_a_polygon_stays_in_one_piece() -> None:
    # 0.2 by 0.1 degrees at 17.05 S, where a degree is 106 457 m of longitude and 110 670 m of latitude (WGS 72).
    fiji, degrees = crs.parse(3460), crs.parse(4720)
    given = shapely.to_wkb(shapely.Polygon([(179.9, -17.1), (-179.9, -17.1), (-179.9, -17.0), (179.9, -17.0)]))
    faults = Faults(1)
    column = pa.chunked_array([pa.array([given], pa.binary())])
    result = clean(column, "MultiPolygon", True, degrees, fiji, lambda shapes: [None], faults)
    assert dict(faults) == {}
    assert result.geometries[0].area == pytest.approx(0.2 * 106_457 * 0.1 * 110_670, rel=0.001)


KEPT = (
    "heights of corners are kept untouched as corner_heights in attributes: lowest and highest, and each corner's of"
    " lines of up to 1,000 corners; the source states"
)


def test_heights_stay_beside_the_plan_and_the_report_says_of_which_datum_they_are() -> None:
    solid = at("POLYGON Z ((0 0 5, 1 0 5, 1 1 7, 0 0 5))")
    assert remarks([solid]) == [f"{KEPT} no datum for heights"]
    compound = crs.parse("EPSG:4548+5737")
    assert remarks([solid], source=compound) == [f"{KEPT} EPSG:5737 (Yellow Sea 1985 height) for heights"]
    assert remarks([at("POLYGON ((0 0, 1 0, 1 1, 0 0))")]) == []


TRIANGLE = "POLYGON ((0 0, 10 0, 10 10, 0 0))"


def moved(wkt: str, metres: float) -> bytes:
    return shapely.to_wkb(shapely.transform(shapely.from_wkb(at(wkt)), lambda c: c + np.array([metres, 0])))


@pytest.mark.parametrize(
    ("delivered", "source", "said"),
    [
        (39_000_000, 4548, "the zone number 39, as EPSG:4527 (CGCS2000 / 3-degree Gauss-Kruger zone 39) has it"),
        (20_000_000, 4509, "the zone number 20, as EPSG:4498 (CGCS2000 / Gauss-Kruger zone 20) has it"),
        (0, 4527, "eastings lack the zone number that EPSG:4527"),
        (0, 4498, "eastings lack the zone number that EPSG:4498"),
    ],
)
def test_a_zone_number_is_taken_off_or_put_on_as_the_system_has_it(delivered: float, source: int, said: str) -> None:
    shapes = [moved(TRIANGLE, delivered)]
    assert cleaned(shapes, source=crs.parse(source)) == (["MULTIPOLYGON (((0 0, 10 0, 10 10, 0 0)))"], [False], {})
    (remark,) = remarks(shapes, source=crs.parse(source))
    assert said in remark


def test_records_with_and_without_the_zone_number_in_one_layer_meet() -> None:
    shapes, _, faults = cleaned([at(TRIANGLE), moved(TRIANGLE, 39_000_000)])
    assert faults == {}
    assert shapes[0] == shapes[1]


def test_eastings_right_as_they_are_stay() -> None:
    assert remarks([at(TRIANGLE)]) == []
    assert remarks([moved(TRIANGLE, 39_000_000)], source=crs.parse(4527)) == []


@pytest.mark.parametrize(
    ("shape", "source", "way_out"),
    [
        # 38 is the zone of 114 E: not a habit, another system.
        (shapely.Point(38_421_000, 4_318_000), 4548, "EPSG:4526 (CGCS2000 / 3-degree Gauss-Kruger zone 38): "
         "--assume-crs EPSG:4526"),
        (shapely.Point(39_421_000, 4_318_000), 4326, "--assume-crs EPSG:4527"),
        (shapely.Point(421_000, 4_318_000), 4326, "as metres of EPSG:4548 (CGCS2000 / 3-degree Gauss-Kruger CM 117E);"
         " if so, --assume-crs EPSG:4548"),
        (shapely.Point(116.1, 39.0), 4548, "look like degrees; if they are, say which: --assume-crs EPSG:4490"),
        (shapely.Point(39.0, 116.1), 4490, "x and y look exchanged"),
        (shapely.Point(39.0, 116.1), 4548, "x and y look exchanged"),
        (shapely.Point(4_318_000, 421_000), 4548, "x and y look exchanged"),
    ],
)  # fmt: skip
def test_a_system_that_cannot_be_right_is_refused_with_what_it_looks_like(
    shape: shapely.Point, source: int, way_out: str
) -> None:
    with pytest.raises(CrsError) as caught:
        cleaned([shapely.to_wkb(shape)] * 3, "Point", source=crs.parse(source))
    assert way_out in str(caught.value)


def test_a_polygon_without_area_is_rejected_not_turned_into_a_line() -> None:
    shapes, repaired, faults = cleaned([at("POLYGON ((0 0, 5 5, 0 0, 0 0))")])
    assert (shapes, repaired) == ([None], [False])
    assert "no MultiPolygon is left on mending" in faults[0]


def test_snapping_may_break_a_sliver_and_then_it_is_mended_or_rejected() -> None:
    shapes, _, faults = cleaned([at("POLYGON ((0 0, 10 0, 10 0.0002, 0 0.0001, 0 0))")])
    assert shapes == [None]
    assert list(faults) == [0]


@pytest.mark.parametrize(
    ("kind", "wkt", "expected"),
    [
        ("Point", "MULTIPOINT ((1 2))", "POINT (1 2)"),
        ("MultiLineString", "LINESTRING (3 0, 0 0)", "MULTILINESTRING ((3 0, 0 0))"),
        (
            "MultiPolygon",
            "GEOMETRYCOLLECTION (POLYGON ((0 0, 1 0, 1 1, 0 0)))",
            "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))",
        ),
        ("Geometry", "LINESTRING (0 0, 1 1)", "LINESTRING (0 0, 1 1)"),
    ],
)
def test_what_can_be_the_wanted_kind_becomes_it(kind: GeometryKind, wkt: str, expected: str) -> None:
    assert cleaned([at(wkt)], kind)[0] == [expected]


@pytest.mark.parametrize(
    ("kind", "wkt", "reason"),
    [
        ("MultiPolygon", "POINT (1 1)", "geom: is a Point, expected MultiPolygon"),
        ("MultiPolygon", "GEOMETRYCOLLECTION (POINT (1 1))", "geom: is a GeometryCollection, expected MultiPolygon"),
        ("Point", "MULTIPOINT ((1 2), (3 4))", "geom: has several parts, expected one Point"),
        ("MultiPolygon", None, "geom: has no geometry, expected MultiPolygon"),
        ("MultiPolygon", "POLYGON EMPTY", "geom: has no geometry, expected MultiPolygon"),
        ("Point", "POINT EMPTY", "geom: has no geometry, expected Point"),
    ],
)
def test_what_cannot_is_a_fault(kind: GeometryKind, wkt: str | None, reason: str) -> None:
    good = at("POINT (0 0)") if kind == "Point" else at("POLYGON ((0 0, 1 0, 1 1, 0 0))")
    shapes, _, faults = cleaned([good, at(wkt)], kind)
    assert shapes[1] is None
    assert faults == {1: reason}


def test_no_geometry_is_fine_where_none_is_required() -> None:
    assert cleaned([None], "Point", required=False) == ([None], [False], {})


def test_damaged_bytes_are_a_fault_of_their_record_alone() -> None:
    good = at("POINT (1 1)")
    shapes, _, faults = cleaned([good, b"\x01\x01\x00\x00\x00\x00", good], "Point")
    assert [s is None for s in shapes] == [False, True, False]
    assert "damaged" in faults[1]


def test_curves_are_handed_over_to_be_straightened() -> None:
    curve = bytes.fromhex("010800000000000000")  # CIRCULARSTRING EMPTY in ISO WKB
    seen: list[bytes] = []

    def linearise(given: list[bytes]) -> list[bytes | None]:
        seen.extend(given)
        return [at("LINESTRING (0 0, 1 1)")]

    line = at("LINESTRING (0 0, 2 2)")
    assert cleaned([line, curve], "MultiLineString", linearise=linearise)[0] == [
        "MULTILINESTRING ((0 0, 2 2))",
        "MULTILINESTRING ((0 0, 1 1))",
    ]
    assert seen == [curve]


def test_a_curve_inside_a_collection_is_rejected() -> None:
    hidden = bytes.fromhex("0107000000010000000108000000020000000000000000000000") + b"\0" * 24
    shapes, _, faults = cleaned([at("POINT (0 0)"), hidden], "Point")
    assert shapes[1] is None
    assert list(faults) == [1]


def test_a_layer_elsewhere_has_a_wrong_crs_but_a_record_elsewhere_has_wrong_coordinates() -> None:
    here, there = at("POINT (0 0)"), shapely.to_wkb(shapely.Point(0.0, 0.0))
    _, _, faults = cleaned([here, here, here, there], "Point")
    assert faults == {3: "geom: lies at 0, 0, outside the area of EPSG:4548 (CGCS2000 / 3-degree Gauss-Kruger CM 117E)"}
    with pytest.raises(CrsError, match="outside the area of EPSG:4548"):
        cleaned([here, there, there], "Point")


def test_an_open_ring_is_closed_and_counts_as_repaired() -> None:
    corners = np.array([[0, 0], [1, 0], [1, 1]]) + np.array([E0, N0])
    open_ring = struct.pack("<BIII", 1, 3, 1, 3) + corners.astype("<f8").tobytes()
    assert cleaned([open_ring]) == (["MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))"], [True], {})


def test_the_operator_may_vouch_for_a_system_used_outside_its_area() -> None:
    # A southern UTM zone north of the equator: the false northing of 10 000 000 m comes off, no more.
    point = shapely.to_wkb(shapely.Point(463_000.0, 15_224_600.0))
    options = {"source": crs.parse(32732), "target": crs.parse(32632)}
    with pytest.raises(CrsError, match="outside the area of EPSG:32732"):
        cleaned([point], "Point", **options)
    faults = Faults(1)
    column = pa.chunked_array([pa.array([point], pa.binary())])
    result = clean(column, "Point", True, *options.values(), lambda given: [None], faults, vouched=True)
    assert [g.wkt for g in result.geometries] == ["POINT (463000 5224600)"]


def test_metres_stated_as_degrees_are_refused() -> None:
    with pytest.raises(CrsError, match="are no degrees"):
        cleaned([at("POINT (0 0)")], "Point", source=crs.parse(4326), target=crs.parse(6677))
