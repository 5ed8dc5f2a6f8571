"""Points as two columns of a table: what such columns are called, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Letter case aside; east before north. Chinese surveying calls north X: a pair named by axes alone is taken as the
# rest of the world means it, and lies outside the city where that is wrong.
_PAIRS = (
    ("longitude", "latitude"),
    ("lon", "lat"),
    ("lng", "lat"),
    ("long", "lat"),
    ("经度", "纬度"),
    ("easting", "northing"),
    ("东坐标", "北坐标"),
    ("x", "y"),
    ("x坐标", "y坐标"),
    ("point_x", "point_y"),
)


def pair_of(names: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of the columns that hold coordinates, east before north; None where there are none."""
    lower = [name.lower() for name in names]
    return next(((lower.index(x), lower.index(y)) for x, y in _PAIRS if x in lower and y in lower), None)


def points(numbers: tuple[pa.Array, pa.Array], texts: tuple[pa.Array, pa.Array]) -> pa.Array:
    """Return ISO WKB of points, none where both coordinates are missing.

    What is no pair of numbers comes as the bytes of its texts: a fault of its record.
    """
    import shapely

    east, north = (column.to_numpy(zero_copy_only=False) for column in numbers)
    shapes = shapely.points(east, north)
    shapes[np.isnan(east) | np.isnan(north)] = None
    said = pc.binary_join_element_wise(*texts, " ", null_handling="replace", null_replacement="?")
    missing = pc.and_(texts[0].is_null(), texts[1].is_null())
    return binary(shapes, pc.if_else(missing, None, said).to_numpy(zero_copy_only=False))


def binary(shapes: Any, texts: Any) -> pa.Array:
    """Return ISO WKB, where there is no shape the bytes of its text, null where that is missing too."""
    import shapely

    column = shapely.to_wkb(shapes, flavor="iso", byte_order=1)
    for row in np.flatnonzero(shapely.is_missing(shapes)):
        column[row] = None if texts[row] is None else texts[row].encode().ljust(5)
    return pa.array(column, pa.binary())
