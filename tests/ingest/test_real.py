"""Every vector file of the shared folder: what its catalogue counts, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from cim import crs
from cim.db.engine import Database
from ingest import FileReport, Options, ingest
from ingest.formats import formats

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Case:
    """A layer, the storage CRS it belongs in, what the operator says, and what must come of it.

    `read` and `repaired` (invalid rings; snapping to 1 mm may add some) are the catalogue's, `rejected` its null or
    unfit geometries. `refused` is a part of the message instead.
    """

    file: str
    srid: int
    type: str
    read: int = 0
    rejected: int = 0
    repaired: int = 0
    refused: str | None = None
    layer: str | None = None
    assume: int | None = None
    stated: int | None = None

    def __str__(self) -> str:
        said = [self.layer, self.assume and f"assume {self.assume}", self.stated and f"crs {self.stated}"]
        return " ".join([self.file, *(str(s) for s in said if s)])


ZURICH = "gis/cea_zurich"
CASES = [
    Case("gis/tokyo23ku_east_buildings.fgb", 6677, "building", 112354, repaired=7),
    Case("gis/DERIVED_nanshan_gbk_4547/南山建筑.shp", 4547, "building", 5438, repaired=3),
    Case("gis/nanshan-building.geojson", 4547, "building", 10, repaired=2, assume=4490),
    Case("gis/nanshan-building.geojson", 4547, "building", refused="no transformation from EPSG:4326"),
    Case("gis/nanshan-road1.geojson", 4547, "road", 4, assume=4490),
    Case("gis/huizhou/land.shp", 4547, "planning_zone", refused="are no degrees, though the source states EPSG:4326"),
    Case("gis/huizhou/line.shp", 4547, "road", refused="are no degrees, though the source states EPSG:4326"),
    Case("gis/huizhou/land.shp", 4547, "planning_zone", 79, assume=4547),
    Case("gis/huizhou/line.shp", 4547, "road", 79, assume=4547),
    Case("gis/beijing_hlg_plan.geojson", 4548, "parcel", refused="are no degrees"),
    Case("gis/nyc_osm_tile_254.json", 32618, "building", refused="is not GeoJSON: it begins with b'[{"),
    Case("gis/briges.geojson", 4549, "facility", 82, rejected=12, assume=4490),
    Case("gis/bubenec.gpkg", 32633, "building", 144, layer="buildings"),
    Case("gis/bubenec.gpkg", 32633, "planning_zone", 407, layer="plots"),
    Case("gis/bubenec.gpkg", 32633, "planning_zone", 144, layer="tessellation"),
    Case("gis/bubenec.gpkg", 32633, "road", 35, layer="streets"),
    Case(f"{ZURICH}/building-geometry/site.shp", 32632, "renewal_district", 1),
    # A southern zone for the northern hemisphere: right in its way, but nobody may guess that.
    Case(f"{ZURICH}/building-geometry/zone.shp", 32632, "building", refused="outside the area of EPSG:32732"),
    Case(f"{ZURICH}/building-geometry/zone.shp", 32632, "building", 15, assume=32732),
    Case(f"{ZURICH}/building-geometry/surroundings.shp", 32632, "building", 184, assume=32732),
    Case(f"{ZURICH}/networks/streets.shp", 32632, "road", 1001, assume=32732),
    Case("gis/libpysal_chicago/Chicago77.shp", 26916, "planning_zone", refused="states no CRS; say which with --crs"),
    Case("gis/libpysal_chicago/Chicago77.shp", 26916, "planning_zone", 77, stated=3435),
    Case("gis/libpysal_geodanet/crimes.shp", 26912, "facility", 287),
    Case("gis/libpysal_geodanet/schools.shp", 26912, "facility", 8),
    Case("gis/libpysal_geodanet/streets.shp", 26912, "road", 293),
    Case("gis/quadrangles_100k.fgb", 5070, "planning_zone", 1809),
    Case("gis/somebuildings.gpkg", 28992, "building", 160),
    Case("autotest/mapshaper_mixed_crs.gpkg", 26910, "planning_zone", 1, layer="oregon_2269"),
    Case("autotest/mapshaper_mixed_crs.gpkg", 26910, "planning_zone", 1, layer="oregon_4326"),
    Case("autotest/mapshaper_poly00.fgb", 27700, "planning_zone", refused="outside the area of EPSG:27700"),
    Case("autotest/geopandas_null_geom.geojson", 8857, "road", 2, rejected=1),
    Case("autotest/mapshaper_ex10_bowtie.json", 8857, "planning_zone", 1, rejected=1),
    Case("autotest/mapshaper_empty.fgb", 8857, "planning_zone", 0),
    Case("autotest/mapshaper_openring.json", 8857, "planning_zone", 1, repaired=1),
    Case("autotest/mapshaper_six_counties_three_null.json", 8857, "planning_zone", 6, rejected=3, repaired=1),
    Case("autotest/pyogrio_curve.gpkg", 8857, "road", 1),
    Case("autotest/pyogrio_test_gpkg_nulls.gpkg", 8857, "facility", 4),
    Case("autotest/mapshaper_chinese/chinese.shp", 8857, "facility", refused="are no degrees"),
    Case("autotest/mapshaper_big5/big5.shp", 8857, "facility", refused="states no CRS"),
    # Its LDID says no more than "ANSI", which is another code page everywhere.
    Case("autotest/mapshaper_latin1-property/latin1-property.shp", 8857, "facility", refused="name its encoding"),
    Case("autotest/mapshaper_latin1-property/latin1-property.json", 8857, "facility", 1),
    Case("autotest/mapshaper_gauss_kruger/gauss_kruger.shp", 8857, "road", refused="its .shx and .dbf is missing"),
    Case("autotest/fiona_coutwildrnp.zip", 5070, "planning_zone", 67),
    Case("autotest/geopandas_nybb_16a.zip", 26918, "planning_zone", 5),
    Case("autotest/mapshaper_Albania.kmz", 8857, "facility", 63),
    Case("autotest/fiona_curves_line.csv", 8857, "road", refused="states no CRS"),
    Case("autotest/mapshaper_wkt.csv", 8857, "facility", refused="states no CRS"),
    Case("autotest/mapshaper_utf8_bom.csv", 8857, "planning_zone", 1, rejected=1),
    Case("autotest/mapshaper_nyc_boros.parquet", 26918, "planning_zone", 1),
    Case("gis/natural-earth_countries_geo.parquet", 8857, "planning_zone", 177, repaired=2),  # Sudan, Mozambique
    Case("autotest/mapshaper_sample.json", 8857, "facility", refused="Failed to read GeoJSON data; At line 3"),
]


@pytest.fixture(scope="module")
def deployments(database_in: Callable[[int], Database]) -> Callable[[int], Database]:
    made: dict[int, Database] = {}

    def get(srid: int) -> Database:
        if srid not in made:
            made[srid] = database_in(srid)
        return made[srid]

    return get


def take(case: Case, database: Database, shared: Path, *, force: bool = False) -> FileReport:
    options = Options(
        type=case.type,
        layer=case.layer,
        assume_crs=None if case.assume is None else crs.parse(case.assume),
        crs=None if case.stated is None else crs.parse(case.stated),
        force=force,
    )
    (file,) = ingest(database, [shared / "data" / case.file], options).files
    return file


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_catalogue_is_right_about_it(case: Case, deployments: Callable[[int], Database], shared: Path) -> None:
    database = deployments(case.srid)
    file = take(case, database, shared)
    if case.refused is not None:
        assert file.status == "refused"
        assert case.refused in str(file.error)
        return
    assert file.error is None
    (layer,) = file.layers
    assert (layer.read, layer.rejected) == (case.read, case.rejected)
    assert case.repaired <= layer.repaired <= case.repaired + 0.01 * case.read
    again = take(case, database, shared, force=True)
    assert (again.layers[0].inserted, again.layers[0].updated) == (0, 0)
    table = database.table(case.type)
    with database.engine.connect() as connection:
        invalid = connection.execute(sa.select(sa.func.count()).where(~sa.func.ST_IsValid(table.c.geom))).scalar_one()
    assert invalid == 0


def test_every_file_of_the_folders_is_among_the_cases_or_of_a_format_to_come(shared: Path) -> None:
    others = ("ifc", "cityjson", "cityjsonseq", "citygml", "osm")  # these have tests of their own
    suffixes = {s for f in formats().values() if f.name not in others for s in f.suffixes} - {".xml"}  # metadata here
    data = shared / "data"
    files = [p for folder in ("gis", "autotest") for p in (data / folder).rglob("*")]
    found = {str(p.relative_to(data)) for p in files if p.suffix in suffixes}
    assert found == {case.file for case in CASES}
