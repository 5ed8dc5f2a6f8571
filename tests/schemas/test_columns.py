"""The names that ingest, scenarios, API and everyone's queries rely on; changing one is a new version."""

from __future__ import annotations

from pathlib import Path

import pytest

import schemas
from cim.dictionary import load_dictionary

DICTIONARY = load_dictionary()
COLUMNS = {
    "division": "name level parent_code population valid_from valid_to",
    "parcel": "division_code name land_use land_right area tenure address valid_from valid_to",
    "building": """parcel_code division_code name address usage structure status local_status year_built
        year_renovated year_demolished storeys_above storeys_below height eaves_height ridge_height
        ground_elevation footprint_area gross_floor_area gross_floor_area_below dwellings households danger_grade
        danger_certificate heritage has_lift has_gas energy_class seismic_intensity georeference_method
        georeference_level georeference_accuracy source_global_id model_file body_file valid_from valid_to""",
    "unit": """building_code parcel_code name storey_number room_number usage floor_area tenure households
        occupied owner_name owner_id right_certificate valid_from valid_to""",
    "storey": "building_code name number elevation height usage gross_floor_area source_global_id model_file",
    "space": """building_code storey_code name number usage net_floor_area gross_floor_area height
        source_global_id model_file""",
    "component": """class_code class_scheme name status supervisor owner_department maintainer grid_cell
        installed_on changed_on""",
    "road": "name road_class width lanes speed_limit surface status",
    "pipe": "network material diameter depth year_laid capacity flow_from flow_to",
    "facility": "name kind capacity building_code address",
    "green_space": "name kind area counts_as_green",
    "planning_zone": """name zone_kind land_use far_cap density_cap green_ratio_min height_cap effective_from
        source""",
    "renewal_district": "name renewal_kind stage responsible designated_on",
    "proposal": "name proposal_status scope author base_tree_size base_root permit effective_on",
    "intervention": """proposal_code name target action phase usage structure storeys_above storeys_below height
        gross_floor_area gross_floor_area_below added_floor_area dwellings added_dwellings households
        displaced_households rehoused_households exemption certificate parking_spaces danger_grade energy_class
        seismic_intensity has_lift has_gas year_built kind capacity counts_as_green width road_class""",
}
GEOMETRIES = {
    **dict.fromkeys(COLUMNS, "MultiPolygon"),
    **dict.fromkeys(("unit", "component", "facility"), "Point"),
    **dict.fromkeys(("road", "pipe"), "MultiLineString"),
    "intervention": "Geometry",
}
WITHOUT_PLACE = {"building", "unit", "storey", "space", "proposal", "intervention"}
PARENTS = {
    "parcel": "division",
    "building": "parcel",
    "unit": "building",
    "storey": "building",
    "space": "storey",
    "intervention": "proposal",
}
SCHEMES = {
    **dict.fromkeys(COLUMNS, ("provisional", None)),
    "division": ("cn-div12", None),
    "parcel": ("cn-bdcdyh", "parcel"),
    "building": ("cn-bdcdyh", "building"),
    "unit": ("cn-bdcdyh", "unit"),
    "component": ("cn-component16", None),
}
EXPECTED_UNITS = {
    "gross_floor_area": "m2",
    "height": "m",
    "diameter": "mm",
    "speed_limit": "km/h",
    "far_cap": "1",
    "floor_area": "m2",
}


def test_there_are_fifteen_types() -> None:
    assert set(DICTIONARY.types) == set(COLUMNS)
    assert len(COLUMNS) == 15


@pytest.mark.parametrize("name", list(COLUMNS))
def test_columns_keep_their_names(name: str) -> None:
    assert [prop.name for prop in DICTIONARY.type(name).properties] == COLUMNS[name].split()


@pytest.mark.parametrize("name", list(COLUMNS))
def test_geometry_key_and_parent(name: str) -> None:
    feature_type = DICTIONARY.type(name)
    assert feature_type.geometry == GEOMETRIES[name]
    assert feature_type.geometry_required == (name not in WITHOUT_PLACE)
    assert feature_type.parent == PARENTS.get(name)
    assert (feature_type.code_scheme, feature_type.code_level) == SCHEMES[name]


def test_units_of_measures() -> None:
    units = {
        prop.name: prop.unit
        for feature_type in DICTIONARY.types.values()
        for prop in feature_type.properties
        if prop.name in EXPECTED_UNITS
    }
    assert units == EXPECTED_UNITS


def test_only_the_owner_is_private() -> None:
    private = {(t.name, p.name) for t in DICTIONARY.types.values() for p in t.private_properties}
    assert private == {("unit", "owner_name"), ("unit", "owner_id")}


@pytest.mark.parametrize("name", list(COLUMNS))
def test_columns_named_after_a_type_refer_to_it(name: str) -> None:
    for prop in DICTIONARY.type(name).properties:
        named = prop.name.removesuffix("_code")
        wanted = "division" if prop.name == "parent_code" else named if named in COLUMNS else None
        assert prop.references == wanted


def test_the_readme_tells_every_type_and_keyword() -> None:
    readme = (Path(schemas.__file__).parent / "README.md").read_text(encoding="utf-8")
    for name, feature_type in DICTIONARY.types.items():
        assert f"| `{name}` {feature_type.title_zh} | `{feature_type.code_scheme}`" in readme
    for keyword in ("x-ogc-role", "x-ogc-unit", "x-cim-code-level", "x-cim-codelist", "x-cim-private"):
        assert f"`{keyword}`" in readme
