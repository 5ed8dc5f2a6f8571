"""FlatGeobuf as others write it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from ingest.formats import ReadOptions, format_of


@pytest.mark.parametrize("index", ["YES", "NO"])
def test_instants_of_flatgeobuf_keep_their_time_zone(tmp_path: Path, index: str) -> None:
    """Read as instants, those of Tokyo came nine hours late, as if they were universal time."""
    instants = pd.Series(["2020-01-01T00:00:00+09:00", None], dtype="datetime64[ms, Asia/Tokyo]")
    plain = pd.Series(["1999-12-31T23:59:59", None], dtype="datetime64[ms]")
    frame = gpd.GeoDataFrame(
        {"name": ["a", "b"], "seen": instants}, geometry=[shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)], crs=4490
    )
    for values, expected in ((instants, "2020-01-01T00:00:00+09:00"), (plain, datetime(1999, 12, 31, 23, 59, 59))):
        path = tmp_path / "a.fgb"
        pyogrio.write_dataframe(frame.assign(seen=values), path, SPATIAL_INDEX=index)
        (layer,) = format_of(path).read(path, ReadOptions())
        found = {record["name"]: record["seen"] for record in layer.table().to_pylist()}
        assert found == {"a": expected, "b": None}
