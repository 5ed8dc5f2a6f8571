"""The outside of a building: those of its triangles that can be reached from outdoors.

Space is cut into small cubes. Those that a triangle passes through are solid; from the edge of the box around the
building all empty ones that hang together are outdoors. A triangle belongs to the shell if one of its cubes touches
outdoors. As openings are not cut, and doors and windows are there, rooms stay indoors, and so do the walls between
them.

Source
------
J. van der Vaart et al., IFC_BuildingEnvExtractor, uses a voxel grid likewise.
https://github.com/tudelft3d/IFC_BuildingEnvExtractor
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Triangles = NDArray[np.float64]

# Edge of a cube, metres, at least; of so many cubes at most.
CUBE = 0.3
MOST_CUBES = 400_000
# Points on a triangle lie at most so many cubes apart, in rows as far apart.
_DENSITY = 0.5


def shell(triangles: Triangles) -> Triangles:
    """Return the triangles that can be reached from outdoors, in their order.

    Parameters
    ----------
    triangles : float64 (n, 3, 3), metres
    """
    if not len(triangles):
        return triangles
    corners = triangles.reshape(-1, 3)
    low, high = corners.min(axis=0), corners.max(axis=0)
    edge = max(CUBE, float((np.prod(np.maximum(high - low, CUBE)) / MOST_CUBES) ** (1 / 3)))
    # Two layers of empty cubes all round.
    size = ((high - low) / edge).astype(int) + 5
    cubes, first = _cubes((triangles - low) / edge + 2, size)
    solid = np.zeros(size, bool)
    solid.ravel()[cubes] = True
    near = _grown(_outdoors(solid))
    return triangles[np.logical_or.reduceat(near.ravel()[cubes], first)]


def _cubes(triangles: Triangles, size: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return cubes that triangles pass through, as indices of a flat array, and where those of each triangle begin.

    Found at points of rows that run along the longest edge of a triangle, from the corner across.
    """
    sides = np.roll(triangles, -2, axis=1) - np.roll(triangles, -1, axis=1)  # across from each corner
    lengths = np.sqrt(np.einsum("nsx,nsx->ns", sides, sides))
    corner = lengths.argmax(axis=1)
    each = np.arange(len(triangles))
    apex, begin, along = triangles[each, corner], triangles[each, corner - 2], sides[each, corner]
    longest = lengths[each, corner]
    doubled = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    rows = np.maximum(np.ceil(doubled / np.maximum(longest, 1e-9) / _DENSITY), 1).astype(np.int64) + 1
    owner, row = _counted(rows)
    share = row / (rows - 1)[owner]
    points = np.ceil(longest[owner] * share / _DENSITY).astype(np.int64) + 1
    # How far along its row each point is; what is one number a row is repeated last.
    part = np.repeat(share / np.maximum(points - 1, 1), points) * _counted(points)[1]
    index = np.zeros(len(part), np.int64)
    for axis in range(3):
        start, out, over = (vectors[owner, axis] for vectors in (apex, begin - apex, along))
        at = np.repeat(start + share * out, points) + part * np.repeat(over, points)
        index = index * size[axis] + at.astype(np.int64)
    ends = points.cumsum()
    return index, (ends - points)[rows.cumsum() - rows]


def _counted(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return who of some counts to, and the numbers they count: (0, 0, 1), (0, 1, 0) for 2, 1."""
    who = np.repeat(np.arange(len(counts)), counts)
    return who, np.arange(len(who)) - np.repeat(counts.cumsum() - counts, counts)


def _outdoors(solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the empty cubes that hang together with the corner of the box, face by face."""
    free = ~solid
    outdoors = np.zeros_like(solid)
    outdoors[0] = outdoors[-1] = True
    # Layers across each axis, cut once, as cutting takes longer than looking at them.
    stacks = [list(zip(np.moveaxis(outdoors, axis, 0), np.moveaxis(free, axis, 0), strict=True)) for axis in range(3)]
    before = -1
    while before != (now := int(np.count_nonzero(outdoors))):
        before = now
        for stack in stacks:
            for layers in (stack, stack[::-1]):
                last = layers[0][0]
                for seen, empty in layers[1:]:
                    seen |= last & empty
                    last = seen
    return outdoors


def _grown(cubes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cubes and those that share a face with one."""
    grown = cubes.copy()
    for axis in range(3):
        moved, still = np.moveaxis(grown, axis, 0), np.moveaxis(cubes, axis, 0)
        moved[1:] |= still[:-1]
        moved[:-1] |= still[1:]
    return grown


def to_glb(triangles: Triangles, origin: NDArray[np.float64], extras: Mapping[str, Any]) -> bytes:
    """Return triangles as a binary glTF 2.0 of one mesh, y upwards, corners from `origin` on in single precision.

    Parameters
    ----------
    triangles : float64 (n, 3, 3), n at least 1, z upwards, metres
    origin : point that becomes 0, 0, 0; it belongs into `extras`, as viewers have no use for map coordinates
    extras : JSON said of the scene

    Source
    ------
    Khronos glTF 2.0, section 4.4 (GLB). https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html#binary-gltf-layout
    """
    local = np.round(triangles.reshape(-1, 3) - origin, 3).astype(np.float32)
    # glTF has y upwards: x, z, -y.
    turned = np.column_stack([local[:, 0], local[:, 2], -local[:, 1]]) + 0.0
    first, indices = weld(turned)
    corners = turned[first]
    positions, numbers = corners.astype("<f4").tobytes(), indices.astype("<u4").tobytes()
    document = {
        "asset": {"version": "2.0", "generator": "cim"},
        "scene": 0,
        "scenes": [{"nodes": [0], "extras": dict(extras)}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {
                "bufferView": 0, "componentType": 5126, "count": len(corners), "type": "VEC3",
                "min": corners.min(axis=0).tolist(), "max": corners.max(axis=0).tolist(),
            },
            {"bufferView": 1, "componentType": 5125, "count": indices.size, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(positions), "target": 34962},
            {"buffer": 0, "byteOffset": len(positions), "byteLength": len(numbers), "target": 34963},
        ],
        "buffers": [{"byteLength": len(positions) + len(numbers)}],
    }  # fmt: skip
    head = _padded(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(), b" ")
    body = _padded(positions + numbers, b"\0")
    total = 12 + 8 + len(head) + 8 + len(body)
    return b"".join(
        (struct.pack("<4sII", b"glTF", 2, total), struct.pack("<I4s", len(head), b"JSON"), head,
         struct.pack("<I4s", len(body), b"BIN\0"), body)
    )  # fmt: skip


def weld(points: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each different row of points (n, 3) is first met, and for all rows which of those they are.

    In the order of x, y, z, as `numpy.unique` does for rows, many times faster.
    """
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    new = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))
    numbers = np.empty(len(points), np.int64)
    numbers[order] = np.cumsum(new) - 1
    return order[new], numbers


def _padded(data: bytes, filler: bytes) -> bytes:
    return data + filler * (-len(data) % 4)
