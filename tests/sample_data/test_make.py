"""The sample is what its README says: the same bytes each time, and the faults it counts, no more."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import ifcopenshell
import networkx
import numpy as np
import pyproj
import pytest
import shapely

import sample_data
from cim import codes
from cim.dictionary import Dictionary, load_dictionary
from ingest import mapping
from ingest.gdal import pyogrio
from sample_data import DATA, FORMATS, MAPPINGS, _city3d, _interchange, _osm
from sample_data.make import make

Record = dict[str, Any]

# File, layer -> records, as counted from the README's table.
COUNTS = {
    ("district.gpkg", "division"): 5,
    ("district.gpkg", "parcel"): 197,
    ("district.gpkg", "building"): 101,
    ("district.gpkg", "unit"): 2015,
    ("district.gpkg", "green_space"): 29,
    ("district.gpkg", "planning_zone"): 26,
    ("district.gpkg", "renewal_district"): 1,
    ("buildings_old.shp", "buildings_old"): 360,
    ("roads.fgb", "roads"): 133,
    ("pipes.gpkg", "pipe_survey"): 452,
    ("facilities.geojson", "facilities"): 41,
    ("components.geojson", "components"): 1905,
}
GEOGRAPHIC = {"pipes.gpkg", "facilities.geojson", "components.geojson"}
CODE = {"parcel": "code", "building": "code", "unit": "code", "buildings_old": "建筑编码", "components": "ObjID"}


@cache
def records(file: str, layer: str) -> tuple[Record, ...]:
    encoding = {"encoding": "GB18030"} if file.endswith(".shp") else {}
    meta, table = pyogrio().read_arrow(DATA / file, layer=layer, **encoding)
    column = meta["geometry_name"] or "wkb_geometry"
    rows = table.to_pylist()
    for row in rows:
        row["geom"] = shapely.from_wkb(row.pop(column)) if row.get(column) is not None else None
    return tuple(rows)


def district(layer: str) -> tuple[Record, ...]:
    return records("district.gpkg", layer)


def old_buildings() -> tuple[Record, ...]:
    return records("buildings_old.shp", "buildings_old")


def footprints() -> list[Any]:
    found = [r["geom"] for r in (*district("building"), *old_buildings()) if r["geom"] is not None]
    return [shape for shape in found if shape.is_valid]


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return load_dictionary()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_making_it_again_gives_the_committed_bytes(tmp_path: Path) -> None:
    make(tmp_path / "here")
    assert contents(tmp_path / "here") == contents(DATA)


def test_another_process_with_another_hash_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    root = Path(sample_data.__file__).parents[1]
    command = [sys.executable, "-m", "sample_data.make", str(tmp_path / "there")]
    subprocess.run(command, check=True, cwd=root, env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})
    assert contents(tmp_path / "there") == contents(DATA)


def test_everything_together_is_under_five_megabytes() -> None:
    assert sum(len(content) for content in contents(DATA).values()) < 5_000_000


@pytest.mark.parametrize(("file", "layer"), COUNTS)
def test_a_layer_has_as_many_records_as_the_readme_says(file: str, layer: str) -> None:
    assert len(records(file, layer)) == COUNTS[file, layer]


def test_no_layer_is_left_out_of_the_counts() -> None:
    files = [p for p in DATA.iterdir() if p.suffix in (".gpkg", ".shp", ".fgb", ".geojson")]
    layers = {(p.name, str(name)) for p in files for name, _ in pyogrio().list_layers(p)}
    assert layers == set(COUNTS)


def test_the_readme_names_every_file_and_counts_every_layer() -> None:
    text = (sample_data.ROOT / "README.md").read_text(encoding="utf-8")
    for name in contents(DATA):
        assert Path(name).name in text or Path(name).suffix in (".dbf", ".shx", ".prj"), name
    for (_, layer), count in COUNTS.items():
        assert re.search(rf"\| `{layer}` .*\| {count:,} ".replace(",", ",?"), text), layer


@pytest.mark.parametrize(("file", "layer"), [key for key in COUNTS if key[1] != "unit"])
def test_coordinates_lie_where_the_crs_is_used(file: str, layer: str) -> None:
    area = pyproj.CRS("EPSG:4548").area_of_use
    assert area is not None
    bounds = shapely.total_bounds([r["geom"] for r in records(file, layer) if r["geom"] is not None])
    if file not in GEOGRAPHIC:
        back = pyproj.Transformer.from_crs("EPSG:4548", "EPSG:4490", always_xy=True)
        bounds = np.array(back.transform(bounds[[0, 2]], bounds[[1, 3]])).T.ravel()
    west, south, east, north = bounds
    assert area.west < 116.09 < west < east < 116.13 < area.east
    assert area.south < 38.98 < south < north < 39.01 < area.north


# --- what is right ------------------------------------------------------------------------------------------


def test_codes_are_valid_but_for_the_four_that_are_not() -> None:
    wrong = []
    for layer, column in CODE.items():
        scheme = codes.scheme("cn-component16" if layer == "components" else "cn-bdcdyh")
        rows = next(records(file, name) for file, name in COUNTS if name == layer)
        for row in rows:
            if row[column] is not None:
                problems = scheme.validate(scheme.normalise(row[column]))
                wrong += [(layer, len(row[column])) for p in problems[:1] if p.kind != "warning"]
    # 27 places of 28; a class that does not exist; 14 places of 16.
    assert sorted(wrong) == [("buildings_old", 27), ("components", 14), ("components", 16)]


def test_every_unit_belongs_to_a_building_and_parcel_that_is_delivered() -> None:
    buildings = {r["code"] for r in district("building")} | {r["建筑编码"] for r in old_buildings()}
    parcels = {r["code"] for r in district("parcel")}
    for unit in district("unit"):
        assert unit["building_code"] in buildings
        assert unit["parcel_code"] in parcels
        assert unit["code"] is None or unit["code"][:24] == unit["building_code"][:24]


def test_areas_and_heights_follow_the_stated_rules() -> None:
    for row in district("building"):
        assert row["footprint_area"] == round(row["geom"].area, 2)
        assert row["gross_floor_area"] == round(row["footprint_area"] * row["storeys_above"], 2)
        assert 2.7 < row["height"] / row["storeys_above"] < 14
    for row in old_buildings():
        assert row["建筑面积"] == round(row["基底面积"] * row["层数"], 2)


def test_units_add_up_to_their_building() -> None:
    area: Counter[str] = Counter()
    homes: Counter[str] = Counter()
    people: Counter[str] = Counter()
    for unit in district("unit"):
        area[unit["building_code"]] += round(unit["floor_area"] * 100)
        if unit["usage"] == "residential":
            homes[unit["building_code"]] += 1
            people[unit["building_code"]] += unit["households"]
    surveyed = [row for row in old_buildings() if row["建筑编码"] in area]
    assert len(surveyed) > 100
    for row in surveyed:
        assert area[row["建筑编码"]] == round(row["建筑面积"] * 100)
        assert homes[row["建筑编码"]] == row["套数"]
        assert people[row["建筑编码"]] == row["户数"]


def test_owners_are_named_only_where_the_unit_is_private() -> None:
    for unit in district("unit"):
        assert (unit["owner_name"] is not None) == unit["tenure"].startswith("private")
        assert unit["owner_id"] is None or unit["owner_id"].startswith("虚构")


def test_buildings_do_not_overlap_and_stand_on_their_parcel() -> None:
    shapes = footprints()
    pairs = shapely.STRtree(shapes).query(shapes, predicate="overlaps")
    # Two deliveries of one building are equal, which is not "overlaps".
    assert pairs.shape[1] == 0
    parcels = {r["code"]: shapely.make_valid(r["geom"]) for r in district("parcel")}
    for row in district("building"):
        assert parcels[row["parcel_code"]].buffer(0.01).contains(row["geom"])


def test_footprints_are_not_all_boxes() -> None:
    corners = [shapely.get_num_coordinates(shape) - 1 for shape in footprints()]
    assert 4 == min(corners) < 50 < max(corners) <= 60
    assert sum(1 for shape in footprints() if shape.interiors) > 20


def test_years_span_seventy_years_and_some_are_unknown() -> None:
    years = [r["建成年份"] for r in old_buildings()] + [r["year_built"] for r in district("building")]
    known = [year for year in years if year is not None and year < 10_000]
    assert (min(known), max(known)) == (1955, 2025)
    assert years.count(None) == 9


def test_the_boundary_of_the_renewal_district_cuts_buildings_and_parcels() -> None:
    edge = district("renewal_district")[0]["geom"].boundary
    assert sum(edge.intersects(shape) for shape in footprints()) >= 10
    assert sum(edge.intersects(r["geom"]) for r in district("parcel")) >= 10


def test_roads_make_one_connected_graph() -> None:
    graph = networkx.Graph()
    for row in records("roads.fgb", "roads"):
        graph.add_edge(row["geom"].coords[0], row["geom"].coords[-1])
    assert networkx.is_connected(graph)
    assert max(degree for _, degree in graph.degree) == 4


def test_pipes_meet_at_the_nodes_they_name() -> None:
    places: dict[str, tuple[float, ...]] = {}
    for row in records("pipes.gpkg", "pipe_survey"):
        for node, place in ((row["flow_from"], row["geom"].coords[0]), (row["flow_to"], row["geom"].coords[-1])):
            assert places.setdefault(node, place) == place


def test_sewage_flows_without_circles() -> None:
    graph = networkx.DiGraph()
    for row in records("pipes.gpkg", "pipe_survey"):
        if row["network"] == "sewage":
            graph.add_edge(row["flow_from"], row["flow_to"])
    assert networkx.is_directed_acyclic_graph(graph)


# --- what is wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "layer"), [key for key in COUNTS if key[1] != "unit"])
def test_rings_are_crossed_where_the_readme_says(file: str, layer: str) -> None:
    crossed = [r for r in records(file, layer) if r["geom"] is not None and not r["geom"].is_valid]
    assert len(crossed) == {"buildings_old": 3, "parcel": 2}.get(layer, 0)
    for row in crossed:
        assert shapely.make_valid(row["geom"]).area > 0


@pytest.mark.parametrize(("file", "layer"), [key for key in COUNTS if key[1] != "unit"])
def test_geometry_is_missing_where_the_readme_says(file: str, layer: str) -> None:
    missing = sum(r["geom"] is None for r in records(file, layer))
    assert missing == {"buildings_old": 1, "facilities": 1, "components": 1}.get(layer, 0)


@pytest.mark.parametrize(
    ("file", "layer", "column", "missing", "twice"),
    [
        ("buildings_old.shp", "buildings_old", "建筑编码", 2, 2),
        ("district.gpkg", "building", "code", 0, 0),
        ("district.gpkg", "parcel", "code", 0, 0),
        ("district.gpkg", "unit", "code", 2, 0),
        ("components.geojson", "components", "ObjID", 0, 1),
        ("roads.fgb", "roads", "road_id", 0, 1),
        ("pipes.gpkg", "pipe_survey", "pipe_id", 0, 0),
        ("facilities.geojson", "facilities", "id", 0, 0),
    ],
)
def test_identifiers_are_missing_or_repeated_where_the_readme_says(
    file: str, layer: str, column: str, missing: int, twice: int
) -> None:
    counted = Counter(row[column] for row in records(file, layer))
    assert counted.pop(None, 0) == missing
    assert sum(count - 1 for count in counted.values()) == twice


def test_one_old_building_comes_twice_alike_and_one_with_another_year() -> None:
    counted = Counter(row["建筑编码"] for row in old_buildings() if row["建筑编码"])
    differences = []
    for code in (code for code, count in counted.items() if count == 2):
        first, second = (row for row in old_buildings() if row["建筑编码"] == code)
        differences.append({key for key in first if first[key] != second[key]})
    assert sorted(differences, key=len) == [set(), {"顺序号", "建成年份"}]


def test_two_codes_are_spelt_strangely_and_mean_what_they_should() -> None:
    scheme = codes.scheme("cn-bdcdyh")
    strange = [
        r["建筑编码"] for r in old_buildings() if r["建筑编码"] and scheme.normalise(r["建筑编码"]) != r["建筑编码"]
    ]
    assert len(strange) == 2
    for code in strange:
        assert not scheme.validate(scheme.normalise(code))


def test_words_no_mapping_knows_are_where_the_readme_says(dictionary: Dictionary) -> None:
    unknown: Counter[tuple[str, str]] = Counter()
    for layer, column, field in (
        ("buildings_old", "usage", "用途"),
        ("buildings_old", "structure", "结构"),
        ("buildings_old", "status", "现状"),
        ("components", "status", "ObjState"),
        ("facilities", "kind", "kind"),
    ):
        found = next(m for m in mapping.load([MAPPINGS / f"{layer}.json"], dictionary))
        words = found.columns[column].values or dictionary.codelists["facility_kind"].values
        rows = next(records(file, name) for file, name in COUNTS if name == layer)
        unknown[layer, column] += sum(row[field] is not None and row[field] not in words for row in rows)
    assert unknown == {
        ("buildings_old", "usage"): 1,
        ("buildings_old", "structure"): 2,
        ("buildings_old", "status"): 0,
        ("components", "status"): 2,
        ("facilities", "kind"): 1,
    }


def test_one_year_of_construction_is_impossible() -> None:
    assert [r["year_built"] for r in district("building") if (r["year_built"] or 0) > 2025] == [20019]


def test_the_survey_says_nothing_about_its_encoding() -> None:
    assert not (DATA / "buildings_old.cpg").exists()
    table = (DATA / "buildings_old.dbf").read_bytes()
    assert table[29] == 0
    assert "建筑编码".encode("gbk") in table
    with pytest.raises(UnicodeDecodeError):
        table[:600].decode("utf-8")


# --- mapping files ------------------------------------------------------------------------------------------


def test_every_mapping_finds_its_layer_and_all_its_fields(dictionary: Dictionary) -> None:
    for found in mapping.load([MAPPINGS], dictionary):
        keys = [(f, n) for f, n in COUNTS if found.matches_file(Path(f)) and found.layer in (None, n)]
        assert len(keys) == 1, found.origin
        fields = set(records(*keys[0])[0])
        named = {c.field for c in found.columns.values() if c.field} | {found.source_id, found.code} - {None}
        assert named <= fields, found.origin


def test_layers_without_a_mapping_carry_the_columns_of_their_type(dictionary: Dictionary) -> None:
    mapped = mapping.load([MAPPINGS], dictionary)
    plain = [(f, n) for f, n in COUNTS if not any(m.matches_file(Path(f)) and m.layer in (None, n) for m in mapped)]
    assert {name for _, name in plain} == {"division", "parcel", "building", "unit"}
    for file, name in plain:
        known = {p.name for p in dictionary.type(name).properties} | {"code", "geom", "survey_team"}
        assert set(records(file, name)[0]) <= known


# --- models -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["red_flag_slab_mm.ifc", "primary_school_m.ifc"])
def model(request: pytest.FixtureRequest) -> Any:
    return ifcopenshell.open(DATA / "models" / request.param)


def building_of(model: Any) -> tuple[str, float, Any]:
    """Return code, gross floor area and footprint of the building in the layers that a model names."""
    code = next(
        p.NominalValue.wrappedValue for p in model.by_type("IfcPropertySingleValue") if p.Name == "BuildingCode"
    )
    rows = [(r["code"], r["gross_floor_area"], r["geom"]) for r in district("building")]
    rows += [(r["建筑编码"], r["建筑面积"], r["geom"]) for r in old_buildings()]
    return next(row for row in rows if row[0] == code)


def test_scale_of_a_model_is_metres_per_unit_of_length(model: Any) -> None:
    length = next(u for u in model.by_type("IfcSIUnit") if u.UnitType == "LENGTHUNIT")
    (conversion,) = model.by_type("IfcMapConversion")
    assert conversion.Scale == {"MILLI": 0.001, None: 1.0}[length.Prefix]
    assert conversion.TargetCRS.Name == "EPSG:4548"
    assert math.hypot(conversion.XAxisAbscissa, conversion.XAxisOrdinate) == pytest.approx(1, abs=1e-9)


def test_one_model_is_in_millimetres_and_one_in_metres() -> None:
    models = [ifcopenshell.open(path) for path in sorted((DATA / "models").glob("*.ifc"))]
    assert sorted(m.by_type("IfcMapConversion")[0].Scale for m in models) == [0.001, 1.0]


def test_floors_of_a_model_lie_on_the_footprint_of_its_building(model: Any) -> None:
    _, _, footprint = building_of(model)
    (conversion,) = model.by_type("IfcMapConversion")
    a, b, scale = conversion.XAxisAbscissa, conversion.XAxisOrdinate, conversion.Scale
    for slab in model.by_type("IfcSlab"):
        profile = slab.Representation.Representations[0].Items[0].SweptArea
        local = np.array([p.Coordinates for p in profile.OuterCurve.Points]) * scale
        placed = local @ np.array([[a, b], [-b, a]]) + (conversion.Eastings, conversion.Northings)
        assert shapely.Polygon(placed).hausdorff_distance(footprint) < 0.001


def test_storeys_and_quantities_of_a_model_agree_with_its_building(model: Any) -> None:
    _, gross_floor_area, footprint = building_of(model)
    storeys = model.by_type("IfcBuildingStorey")
    assert 3 <= len(storeys) <= 6
    assert gross_floor_area == pytest.approx(len(storeys) * round(footprint.area, 2), abs=0.005)
    areas = {q.AreaValue for q in model.by_type("IfcQuantityArea") if q.Name == "GrossFloorArea"}
    assert gross_floor_area in areas


def test_every_space_has_its_areas_and_fits_in_the_footprint(model: Any) -> None:
    _, _, footprint = building_of(model)
    spaces = model.by_type("IfcSpace")
    net = []
    for space in spaces:
        (relation,) = space.IsDefinedBy
        quantities = {q.Name: q[3] for q in relation.RelatingPropertyDefinition.Quantities}
        assert set(quantities) == {"Height", "NetFloorArea", "GrossFloorArea"}
        assert 8 < quantities["NetFloorArea"] < quantities["GrossFloorArea"]
        net.append(quantities["NetFloorArea"])
    storeys = len(model.by_type("IfcBuildingStorey"))
    assert 0.75 < sum(net) / (storeys * footprint.area) < 1


def test_rooms_of_the_slab_carry_the_numbers_of_its_units() -> None:
    slab = ifcopenshell.open(DATA / "models" / "red_flag_slab_mm.ifc")
    code, _, _ = building_of(slab)
    rooms = {unit["room_number"] for unit in district("unit") if unit["building_code"] == code}
    assert {space.Name for space in slab.by_type("IfcSpace")} == rooms


def test_identifiers_in_a_model_are_unique(model: Any) -> None:
    identifiers = [thing.GlobalId for thing in model.by_type("IfcRoot")]
    assert len(identifiers) == len(set(identifiers))


def test_the_files_of_other_formats_are_what_their_recipe_writes(tmp_path: Path) -> None:
    _city3d.write(tmp_path)
    _osm.write(tmp_path)
    _interchange.write(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (FORMATS / path.name).read_bytes()
