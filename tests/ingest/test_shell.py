from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from ingest.shell import shell, to_glb, weld
from tests.ingest.test_footprint import box, ring

HOUSE = np.concatenate([ring(0, 0, 12, 10, 3), box(0, 0, -0.3, 12, 10, 0.3), box(0, 0, 3, 12, 10, 0.3)])
INSIDE = np.concatenate([box(4, 0.3, 0, 0.2, 9.4, 3), box(7, 4, 0, 1, 1, 1)])


def test_what_stands_indoors_is_left_out_and_what_bounds_it_stays() -> None:
    found = shell(np.concatenate([HOUSE, INSIDE]))
    # Nothing is left of the furniture, nor of the partition where it is away from the walls.
    within = (found.min(axis=1) > (3.5, 0.9, 0.1)).all(axis=1) & (found.max(axis=1) < (8.5, 9.1, 2.9)).all(axis=1)
    assert not within.any()
    # The box around it is whole, and every outer face is there: 12 triangles of walls and slabs a side.
    assert (found.reshape(-1, 3).min(axis=0), found.reshape(-1, 3).max(axis=0)) == (
        pytest.approx((0, 0, -0.3)),
        pytest.approx((12, 10, 3.3)),
    )
    roof = found[(found[:, :, 2] == 3.3).all(axis=1)]
    assert np.abs(np.cross(roof[:, 1] - roof[:, 0], roof[:, 2] - roof[:, 0])[:, 2]).sum() / 2 == pytest.approx(120)


def test_a_room_with_a_hole_is_outdoors() -> None:
    # Without the roof everything inside can be reached.
    open_top = np.concatenate([ring(0, 0, 12, 10, 3), INSIDE])
    assert len(shell(open_top)) == len(open_top)


def test_no_triangles_have_no_shell() -> None:
    assert len(shell(np.empty((0, 3, 3)))) == 0


def test_binary_gltf_holds_the_corners_with_y_upwards() -> None:
    data = to_glb(box(500_000, 4_320_000, 5, 2, 3, 4), np.array([500_000.0, 4_320_000.0, 5.0]), {"crs": "EPSG:4548"})
    magic, number, length = struct.unpack("<4sII", data[:12])
    assert (magic, number, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack("<I4s", data[12:20])
    assert kind == b"JSON"
    document = json.loads(data[20 : 20 + size])
    assert document["scenes"][0]["extras"] == {"crs": "EPSG:4548"}
    corners, indices = document["accessors"]
    # 2 m east, 3 m north, 4 m up: north is -z.
    assert (corners["min"], corners["max"], corners["count"]) == ([0.0, 0.0, -3.0], [2.0, 4.0, 0.0], 8)
    assert indices["count"] == 36
    body = data[20 + size :]
    assert struct.unpack("<I4s", body[:8]) == (document["buffers"][0]["byteLength"], b"BIN\0")
    positions = np.frombuffer(body, "<f4", 24, 8).reshape(8, 3)
    assert {tuple(p) for p in positions} == {(x, y, z) for x in (0, 2) for y in (0, 4) for z in (0, -3)}


@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_welding_is_what_unique_rows_are(kind: type) -> None:
    points = np.random.default_rng(5).integers(-3, 3, (400, 3)).astype(kind)
    first, numbers = weld(points)
    _, expected_first, expected_numbers = np.unique(points, axis=0, return_index=True, return_inverse=True)
    assert np.array_equal(first, expected_first)
    assert np.array_equal(numbers, expected_numbers)
