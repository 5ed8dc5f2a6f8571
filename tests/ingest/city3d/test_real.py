"""Every file of city objects in the shared folder: what its catalogue counts, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shapely
import sqlalchemy as sa

from cim import crs
from cim.db.engine import Database
from cim.errors import InvalidData
from ingest import Options, ingest
from ingest.formats import Layer, ReadOptions, format_of

pytestmark = pytest.mark.real

# File -> records by type of object, as its catalogue counts what is part of nothing else.
COUNTS: dict[str, dict[str, int]] = {
    "DERIVED_tokyo_lod1_small.city.jsonl": {"Building": 7035},
    "DH_01_subs.city.json": {"Building": 4},
    "cityjson_fake_complete.city.json": {"+NoiseBuilding": 1, "SolitaryVegetationObject": 1, "CityObjectGroup": 1},
    "delft.json": {
        "Building": 160, "Road": 143, "PlantCover": 126, "LandUse": 81, "GenericCityObject": 54, "Bridge": 3,
        "WaterBody": 3,
    },
    "delft_subset.city.jsonl": {"Building": 10},
    "hierarchy.city.json": {"Building": 1},
    "minimal.json": {},
    "multi_lod.json": {"Building": 10},
    "rotterdam_subset.json": {"Building": 16},
    "tile_901_trimmed.jsonl": {"Building": 52},
    "vienna.jsonl": {"Building": 149},
    "zurich_subset_lod2.json": {"Building": 49},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data" / "city3d"


def layers(path: Path, srid: int | None = None) -> Iterator[Layer]:
    options = ReadOptions(crs=None if srid is None else crs.parse(srid))
    return format_of(path).read(path, options)


@pytest.mark.parametrize("name", COUNTS)
def test_the_objects_of_the_catalogue_are_read(name: str, folder: Path) -> None:
    assert {layer.name: layer.table().num_rows for layer in layers(folder / name)} == COUNTS[name]


def test_an_early_version_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidData, match=r"DenHaag_01\.json: is CityJSON 0\.8; read are 1\.0, 1\.1, 2\.0"):
        list(layers(folder / "DenHaag_01.json"))


def test_vienna_has_all_of_its_ground(folder: Path) -> None:
    """66,188.73 m²: the sum of its GroundSurfaces with their 35 holes, counted from the file by another program.

    Parts of one building overlap by slivers: what their union covers is 0.12 m² less, and up to the millimetres in
    which the gaps between them close, so is the sum of the footprints.
    """
    (layer,) = layers(folder / "vienna.jsonl", 31256)
    assert round(sum(layer.table()["footprint_area"].to_pylist()), 2) == 66188.73
    shapes = shapely.from_wkb(layer.table()["geom"].to_pylist())
    assert shapely.is_valid(shapes).all()
    assert sum(shapely.area(shapes)) == pytest.approx(66188.73, abs=0.13)
    assert sum(shapely.get_num_interior_rings(shapely.get_parts(shapes))) >= 35


def test_the_dutch_footprints_agree_with_what_their_register_states(folder: Path) -> None:
    """3DBAG states the area of the ground in `b3_opp_grond`."""
    (layer,) = layers(folder / "delft_subset.city.jsonl")
    assert layer.crs == crs.parse(28992)
    for shape, stated in zip(layer.table()["geom"].to_pylist(), layer.table()["b3_opp_grond"].to_pylist(), strict=True):
        assert shapely.from_wkb(shape).area == pytest.approx(stated, rel=0.03)


def test_blocks_without_meaning_stand_on_their_floor(folder: Path) -> None:
    """Delft's 160 blocks have no floor: 8,654.03 m² are the faces of their roofs; a cut closes gaps of 0.3 m."""
    buildings = next(layers(folder / "delft.json"))
    assert sum(shapely.area(shapely.from_wkb(buildings.table()["geom"].to_pylist()))) == pytest.approx(8654.03, abs=0.2)
    assert buildings.warnings[1] == "160 without semantics: footprint is the floor, or from a cut through the walls"


def test_heights_follow_the_source(folder: Path) -> None:
    (tokyo,) = layers(folder / "DERIVED_tokyo_lod1_small.city.jsonl")
    assert tokyo.table()["height"].to_pylist()[0] == 9.8
    assert tokyo.table()["height"].equals(tokyo.table()["measuredHeight"])
    (hague,) = layers(folder / "DH_01_subs.city.json", 28992)
    assert hague.table()["roof_elevation"].to_pylist()[0] == pytest.approx(14.739, abs=0.001)  # AbsoluteRidgeHeight
    assert hague.table()["eaves_elevation"].to_pylist()[0] == pytest.approx(11.38, abs=0.001)  # AbsoluteEavesHeight


def test_the_register_s_codes_years_and_heights_arrive_whichever_release_brings_them(
    folder: Path, database_in: Callable[[int], Database]
) -> None:
    """The published mappings are chosen by their fields; layers nobody maps are named and left out."""
    database = database_in(28992)
    files = ["tile_901_trimmed.jsonl", "delft_subset.city.jsonl", "delft.json"]
    report = ingest(database, [folder / name for name in files], Options())
    assert [file.error for file in report.files] == [None] * 3
    taken = {
        f.path.rpartition("/")[2]: [(x.name, x.read, x.inserted) for x in f.layers if x.type] for f in report.files
    }
    assert taken == {
        "tile_901_trimmed.jsonl": [("Building", 52, 52)],
        "delft_subset.city.jsonl": [("Building", 10, 10)],
        "delft.json": [("Building", 160, 160), ("Road", 143, 0)],  # areas, where a road is a line: rejected
    }
    table = database.table("building")
    wanted = sa.select(table.c.year_built, table.c.height, table.c.status, table.c.ground_elevation, table.c.attributes)
    with database.engine.connect() as connection:
        first = connection.execute(
            wanted.where(table.c.attributes["identificatie"].astext == "NL.IMBAG.Pand.0503100000000334")
        ).one()
    assert (first.year_built, first.status) == (1980, "in_use")
    assert first.height == pytest.approx(4.981 + 1.306, abs=0.001)  # h_dak_max - h_maaiveld
