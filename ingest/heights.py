"""Heights of corners: what is stored is the plan; they stay beside it as they came, with what they are measured from.

They go to `attributes` under `corner_heights`: `datum`, null where the source states none, `min` and `max`; of a line
also each corner's, in its order, as `corners`. They are never converted, only rounded to 1 mm as the plan is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from cim.db.merge import AttributeField
from cim.geometry import DECIMALS, Geometries

FIELD = AttributeField("corner_heights_", "corner_heights", is_json=True, of_geometry=True)
# Of longer lines each corner's would not fit into an entry of the log, or hardly anything beside them.
MOST_CORNERS = 1000
_LINES = (1, 2, 5)


def corner_heights(geometries: Geometries, datum: str | None) -> pa.Array:
    """Return the heights of each geometry's corners as JSON text, null where it has none.

    Parameters
    ----------
    geometries : array of shapely geometries, None for none
    datum : what heights are measured from, None where nothing says so
    """
    said: npt.NDArray[np.object_] = np.full(len(geometries), None, object)
    rows = np.flatnonzero(shapely.has_z(geometries))
    corners, owner = shapely.get_coordinates(geometries[rows], include_z=True, return_index=True)
    z = np.round(corners[:, 2], DECIMALS) + 0.0  # -0.0 + 0.0 is 0.0
    present = np.isfinite(z)
    rows = rows[np.unique(owner[present])]
    if len(rows) == 0:
        return pa.array(said, pa.string())
    starts = np.flatnonzero(np.diff(owner[present], prepend=-1))
    low, high = np.minimum.reduceat(z[present], starts), np.maximum.reduceat(z[present], starts)
    first = orjson.dumps({"datum": datum}).decode()[:-1] + ',"min":'
    parts = [pc.cast(pa.array(numbers), pa.string()) for numbers in (low, high)]
    said[rows] = pc.binary_join_element_wise(first, parts[0], ',"max":', parts[1], "}", "").to_numpy(False)
    lines = np.isin(shapely.get_type_id(geometries[rows]), _LINES) & (low < high)
    lines &= shapely.get_num_coordinates(geometries[rows]) <= MOST_CORNERS
    for row in rows[lines]:
        each = np.round(shapely.get_coordinates(geometries[row], include_z=True)[:, 2], DECIMALS) + 0.0
        listed = orjson.dumps([height if np.isfinite(height) else None for height in each.tolist()]).decode()
        said[row] = f'{said[row][:-1]},"corners":{listed}}}'
    return pa.array(said, pa.string())
