"""Draw the sample district as the picture of the README: python -m sample_data.draw docs/district.png."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from ingest.gdal import pyogrio
from sample_data import DATA

mpl.use("Agg")
CRS = 4548
DECADES = [1950, 1960, 1970, 1980, 1990, 2000, 2010, 2030]


def main() -> None:
    """Write the picture to the path given."""
    read = pyogrio().read_dataframe
    parcels = read(DATA / "district.gpkg", layer="parcel")
    green = read(DATA / "district.gpkg", layer="green_space")
    district = read(DATA / "district.gpkg", layer="renewal_district")
    new = read(DATA / "district.gpkg", layer="building")[["year_built", "geometry"]]
    old = read(DATA / "buildings_old.shp", encoding="GB18030").rename(columns={"建成年份": "year_built"})
    buildings = pd.concat([new, old[["year_built", "geometry"]].to_crs(CRS)])
    buildings = buildings[buildings.geometry.notna()]
    roads = read(DATA / "roads.fgb").to_crs(CRS)

    figure, axes = plt.subplots(figsize=(10, 8.2), dpi=90)
    parcels.to_crs(CRS).plot(ax=axes, color="#f4efe6", edgecolor="#d8cfc0", linewidth=0.5)
    green.to_crs(CRS).plot(ax=axes, color="#cfe3c0")
    roads.plot(ax=axes, color="#ffffff", linewidth=4)
    roads.plot(ax=axes, color="#c9c2b6", linewidth=0.8)
    years = pd.to_numeric(buildings["year_built"], errors="coerce")
    buildings[years.isna()].plot(ax=axes, color="#ffffff", edgecolor="#555555", hatch="////", linewidth=0.4)
    buildings.assign(year=years)[years.notna()].plot(
        ax=axes,
        column="year",
        cmap="YlOrRd_r",
        norm=mpl.colors.BoundaryNorm(DECADES, 256),
        edgecolor="#55443a",
        linewidth=0.3,
        legend=True,
        legend_kwds={"label": "year built (hatched: unknown)", "shrink": 0.6, "format": "%d"},
    )
    district.to_crs(CRS).boundary.plot(ax=axes, color="#1f4e9c", linewidth=2.2, linestyle=(0, (6, 2)))
    axes.set_axis_off()
    figure.savefig(Path(sys.argv[1]), metadata={"Software": None}, bbox_inches="tight", pad_inches=0.1)


if __name__ == "__main__":
    main()
