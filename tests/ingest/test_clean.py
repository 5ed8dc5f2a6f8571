from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely

from cim import crs
from cim.dictionary import GeometryKind
from cim.errors import CrsError
from ingest.clean import clean
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


def cleaned(
    shapes: list[bytes | None], kind: GeometryKind = "MultiPolygon", *, required: bool = True, **options: Any
) -> tuple[list[str | None], list[bool], dict[int, str]]:
    faults = Faults(len(shapes))
    column = pa.chunked_array([pa.array(shapes, pa.binary())])
    source, target = options.get("source", XIONGAN), options.get("target", XIONGAN)
    linearise = options.get("linearise", lambda given: [None] * len(given))
    result = clean(column, kind, required, source, target, linearise, faults)
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


def test_a_bow_tie_is_repaired_and_reported() -> None:
    # Two triangles of 1 m² each.
    bow_tie, triangle = at("POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))"), at("POLYGON ((0 0, 1 0, 1 1, 0 0))")
    shapes, repaired, faults = cleaned([bow_tie, triangle])
    assert repaired == [True, False]
    assert faults == {}
    assert shapely.from_wkt(shapes[0]).area == pytest.approx(2.0)
    assert shapely.from_wkt(shapes[0]).is_valid


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
