"""Every model of the shared folder: counts of its catalogue, or a refusal that names the reason."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import shapely

from cim import crs
from cim.errors import CimError, CrsError, UnknownFormat
from ingest.formats import Layer, ReadOptions
from ingest.formats.ifc import read

pytestmark = pytest.mark.real

# File → buildings, storeys, spaces as the catalogue counts them, and how the place was found.
READABLE: dict[str, tuple[int, int, int, set[str | None]]] = {
    "4walls1floorSite.ifczip": (1, 1, 0, {"site_lat_lon"}),
    "AC20-FZK-Haus.ifc": (1, 2, 7, {"site_lat_lon"}),
    "CYAA0BF3.gml.ifc": (32, 32, 0, {None}),
    "DERIVED_schependomlaan_root_federated.ifc": (12, 42, 0, {"site_lat_lon"}),
    "Duplex_A_20110907.ifc": (1, 4, 21, {"site_lat_lon"}),
    "Duplex_A_20110907_georeferenced.ifc": (1, 4, 21, {"property_set_map_conversion"}),
    "IfcOpenHouse_IFC4.ifc": (1, 1, 0, {None}),
    "LargeBuilding.ifc": (1, 2, 8, {"site_lat_lon"}),
    "SampleHouse4.ifc": (1, 2, 4, {"site_lat_lon"}),
    "Schependomlaan IFC-houten kozijnen.ifc": (1, 4, 0, {"site_lat_lon"}),
    "Schependomlaan_ROOT-houten_kozijnen.ifczip": (1, 4, 0, {"site_lat_lon"}),
    "SimpleWall.ifc": (1, 1, 0, {"site_lat_lon"}),
    "TallBuilding.ifc": (1, 5, 3, {"site_lat_lon"}),
    "fail-pjs003-invalid_length_ifcsite.ifc": (0, 0, 0, set()),
    "na-grf000-no_georeferencing.ifc": (0, 0, 0, set()),
    "na-grf003-railway_with_georeferencing.ifc": (0, 0, 0, set()),
    "nasty/Badly formed Ifc file.ifc": (0, 0, 0, set()),
    "nasty/NewlinesInStrings.ifc": (0, 0, 0, set()),
    "nasty/Wrongly1251Encoded.ifc": (0, 0, 0, set()),
    "pass-cls000-classification_present.ifc": (0, 0, 0, set()),
    "pass-grf000-correct_georeferencing.ifc": (1, 1, 0, {"map_conversion"}),
    "pass-grf001-ifcmapconversionscaled_ifcmapconversionscaled.ifc": (0, 0, 0, set()),
    "pass-grf005-unit_conversion_factor.ifc": (0, 0, 0, set()),
    "pass-grf006-valid_wkt_specification.ifc": (0, 0, 0, set()),
    "pass-ifc105-pgsuper_materialproperties.ifc": (0, 0, 0, set()),
    "pass-sps002-correct_spatial_breakdown.ifc": (0, 0, 0, set()),
    "pass-sps002-road_facilitypart.ifc": (1, 0, 0, {None}),
    "tested_sample_project.ifc": (1, 2, 0, {"site_lat_lon"}),
}
# Models of roads and railways that do not say where they are.
UNPLACED_LINES = {
    "na-grf000-no_georeferencing.ifc",
    "pass-cls000-classification_present.ifc",
    "pass-sps002-correct_spatial_breakdown.ifc",
}
REFUSED: dict[str, tuple[type[CimError], str]] = {
    "4walls1floorSite.ifcxml": (UnknownFormat, "ifcXML"),
    "DrainageSystem-1-2.ifc": (UnknownFormat, "IFC4X3_RC3"),
    "Georeferencing-Earthworks-12d-1.ifc": (UnknownFormat, "IFC4X3_RC3"),
    "Georeferencing-Tin-12d-1.ifc": (UnknownFormat, "IFC4X3_RC3"),
    "KIT-Simple-Road-Test-Web-IFC4x3_RC2.ifc": (UnknownFormat, "IFC4X3_RC2"),
    "RumbleStrip-INDOT.ifc": (UnknownFormat, "IFC4X3_RC3"),
    "SpatialStructure-4.ifc": (UnknownFormat, "IFC4X3_RC3"),
    "UT_GeoRef_1.ifc": (UnknownFormat, "IFC4X3_RC2"),
    "fail-grf004-invalid_epsg_code_non_numerical.ifc": (CrsError, "EPSG:12invalid"),
    "nasty/git-lfs-pointer_Clinic_Architectural.ifc": (UnknownFormat, "Git LFS pointer"),
    "pass-grf005-scaled_foot_to_metre.ifc": (CrsError, "reciprocal"),
}


@cache
def layers(shared: Path, name: str, **options: Any) -> tuple[Layer, Layer, Layer]:
    building, storey, space, *_ = read(shared / "data/ifc" / name, ReadOptions(**options))
    return building, storey, space


def test_every_file_has_an_expected_outcome(shared: Path) -> None:
    folder = shared / "data/ifc"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == READABLE.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", READABLE)
def test_counts_of_the_catalogue(shared: Path, name: str) -> None:
    building, storey, space = layers(shared, name)
    *counts, methods = READABLE[name]
    assert [layer.table().num_rows for layer in (building, storey, space)] == counts
    assert set(building.table()["georeference_method"].to_pylist()) == methods
    for layer in (building, storey, space):
        assert len(set(layer.table()["_source_id"].to_pylist())) == layer.table().num_rows
        shapes = shapely.from_wkb(layer.table()["geom"].to_pylist())
        assert all(shape is None or shape.is_valid for shape in shapes)
    assert (counts[0] == 0) == any("no IfcBuilding" in warning for warning in building.warnings)
    assert (None in methods or name in UNPLACED_LINES) == any(
        "read without outline" in warning for warning in building.warnings
    )


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_file_and_reason(shared: Path, name: str) -> None:
    error, reason = REFUSED[name]
    with pytest.raises(error) as caught:
        layers(shared, name)
    assert reason in str(caught.value)
    assert Path(name).name in str(caught.value)


def test_fzk_house(shared: Path) -> None:
    building, storey, _ = layers(shared, "AC20-FZK-Haus.ifc")
    (row,) = building.table().to_pylist()
    # The house measures 12 × 10 m; the roof over it 143 m². Ridge at 6.32 m over the ground floor.
    assert row["footprint_area"] == pytest.approx(120.0, rel=0.0032)
    assert (row["name"], row["year_built"], row["usage"]) == ("FZK-Haus", 2008, "residential")
    assert (row["storeys_above"], row["storeys_below"]) == (2, 0)
    assert row["height"] == pytest.approx(6.32, abs=0.01)
    # Its own quantities: 119.824 + 121.674 m².
    assert row["gross_floor_area"] == pytest.approx(241.498, abs=0.001)
    # Site at 49°06'01.566" N, 8°26'11.5404" E, 110 m.
    assert (
        shapely.from_wkb(row["geom"]).distance(shapely.Point(8 + 26 / 60 + 11.5404 / 3600, 49 + 6 / 60 + 1.566 / 3600))
        < 1e-9
    )
    assert row["ground_elevation"] == 110.0
    assert storey.table()["name"].to_pylist() == ["Erdgeschoss", "Dachgeschoss"]
    # The roof hangs 0.5 m over both gables, where cuts through the attic meet it.
    ground, attic = shapely.from_wkb(storey.table()["geom"].to_pylist())
    assert attic.equals(ground)


def test_minimal_georeferencing_is_not_taken_a_thousand_times_too_far(shared: Path) -> None:
    (row,) = layers(shared, "pass-grf000-correct_georeferencing.ifc")[0].table().to_pylist()
    centre = shapely.from_wkb(row["geom"]).centroid
    # Eastings 3458715.92, Northings 5439966.65; the product stands on the origin.
    assert (centre.x, centre.y) == pytest.approx((3_458_715.92, 5_439_966.65), abs=0.01)
    assert row["ground_elevation"] == pytest.approx(113.7)


def test_levels_that_are_no_storeys_do_not_count(shared: Path) -> None:
    # Duplex: two floors, a foundation level and a roof level. Its own property says 4.
    (row,) = layers(shared, "Duplex_A_20110907_georeferenced.ifc")[0].table().to_pylist()
    assert (row["storeys_above"], row["storeys_below"]) == (2, 0)


def test_map_coordinates_of_prague_with_the_operators_word(shared: Path) -> None:
    building = layers(shared, "CYAA0BF3.gml.ifc", assume_crs=crs.parse("EPSG:5514"))[0]
    shapes = shapely.from_wkb(building.table()["geom"].to_pylist())
    placed = crs.transform(shapes, crs.parse("EPSG:5514"), crs.parse("EPSG:4156"))
    # The sites say 50°05' N, 14°29' E, each for itself.
    west, south, east, north = shapely.total_bounds(placed)
    assert (west, south, east, north) == pytest.approx((14.487, 50.085, 14.494, 50.091), abs=0.004)


def test_federation_tells_repeated_ids_apart(shared: Path) -> None:
    building, storey, _ = layers(shared, "DERIVED_schependomlaan_root_federated.ifc")
    assert any("with the GlobalId of another" in warning for warning in building.warnings)
    parents = {row["_parent_source_id"] for row in storey.table().to_pylist()}
    assert parents <= set(building.table()["_source_id"].to_pylist())


def test_models_of_one_template_are_different_buildings(shared: Path) -> None:
    tables = [layers(shared, name)[0].table() for name in ("SimpleWall.ifc", "LargeBuilding.ifc", "TallBuilding.ifc")]
    assert len({table["source_global_id"][0].as_py() for table in tables}) == 1
    assert len({table["_source_id"][0].as_py() for table in tables}) == 3


# The georeferencing rules of buildingSMART's validation service, files by the outcome in their names. One is an
# exception: the Scale of `pass-grf005-scaled_foot_to_metre` is feet to metres where the CRS is in feet and the model in
# metres, the reciprocal of what IfcMapConversion asks for, and would put the model in another place.
GRF_EXCEPTION = "pass-grf005-scaled_foot_to_metre.ifc"


def test_georeferencing_files_come_out_as_their_names_say(shared: Path) -> None:
    names = sorted(path.name for path in (shared / "data/ifc").glob("*-grf*.ifc"))
    assert len(names) == 8
    for name in names:
        refused = False
        try:
            building = layers(shared, name)[0]
        except CrsError:
            refused = True
        assert refused == (name.startswith("fail") or name == GRF_EXCEPTION), name
        if name.startswith("pass") and not refused:
            for row in building.table().to_pylist():
                assert row["georeference_level"] == 50


def test_a_map_in_luxembourg_and_a_site_in_chicago(shared: Path) -> None:
    building = layers(shared, "Duplex_A_20110907_georeferenced.ifc")[0]
    (said,) = (w for w in building.warnings if "the map conversion is taken" in w)
    assert "41.8744" in said
    assert "EPSG:2169" in said
