"""Where models go that a city helps to place, and what is said where statements disagree."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shapely
import sqlalchemy as sa
from shapely.affinity import rotate, translate

from cim import crs
from cim.db.engine import Database
from cim.errors import InvalidData
from ingest.city import KnownBuildings
from ingest.formats import ReadOptions
from ingest.formats.ifc import read
from ingest.pipeline import Options, ingest

CODE = "340123002004GB00011F00010000"
# The outline of the fixture `corner`, turned by 30 degrees, at 116.1° east in EPSG:4548.
OUTLINE = shapely.MultiPolygon([shapely.Polygon([(0, 0), (12, 0), (12, 10), (6, 10), (6, 6), (0, 6)])])
SURVEYED = translate(rotate(OUTLINE, 30, origin=(0, 0)), 422_000, 4_323_000)


@pytest.fixture
def corner(builder: Callable[..., Any]) -> Any:
    """A house whose footprint is an L; its site says 39° 3' north, 116° 6' east, some tens of metres off."""
    model = builder(unit=1.0)
    (point,) = crs.transform(
        [SURVEYED.centroid],  # type: ignore[arg-type]
        crs.parse("EPSG:4548"),
        crs.parse("EPSG:4490"),
    )
    degrees = [split(value) for value in (point.y + 0.0005, point.x)]
    storey = model.storey(model.building(model.site(RefLatitude=degrees[0], RefLongitude=degrees[1])), "EG", 0.0)
    model.box("IfcSlab", storey, (0, 0, -0.2, 12, 6, 0.2))
    model.box("IfcWall", storey, (0, 0, 0, 12, 6, 3))
    model.box("IfcWall", storey, (6, 6, 0, 6, 4, 3))
    return model


def split(degrees: float) -> tuple[int, int, int, int]:
    millionths = round(degrees * 3_600_000_000)
    seconds, rest = divmod(millionths, 1_000_000)
    return seconds // 3600, seconds // 60 % 60, seconds % 60, rest


@pytest.fixture
def surveyed(database: Database, tmp_path: Path) -> Database:
    """A city with the house, and one of another shape beside it."""
    shapes = {
        CODE: SURVEYED,
        CODE[:-5] + "20000": translate(shapely.MultiPolygon([shapely.box(0, 0, 12, 8)]), 422_030, 4_323_000),
    }
    features = [
        {"type": "Feature", "properties": {"code": code}, "geometry": shapely.geometry.mapping(shape)}
        for code, shape in shapes.items()
    ]
    path = tmp_path / "building.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    report = ingest(database, [path], Options(assume_crs=crs.parse("EPSG:4548")))
    assert report.total()["inserted"] == 2, report
    return database


def buildings(database: Database) -> list[Any]:
    with database.engine.connect() as connection:
        found = sa.text(
            "SELECT code, georeference_method AS method, georeference_accuracy AS accuracy, ST_AsBinary(geom) AS geom"
            " FROM city.building WHERE model_file IS NOT NULL"
        )
        return list(connection.execute(found).all())


def overlap(one: Any, other: Any) -> float:
    return float(one.intersection(other).area / one.union(other).area)


def test_a_hint_leads_to_the_building_the_model_fits(surveyed: Database, corner: Any, tmp_path: Path) -> None:
    report = ingest(surveyed, [corner.write(tmp_path / "m.ifc")])
    assert report.refused == [], report
    (row,) = buildings(surveyed)
    assert row.method == "building_outline"
    assert row.accuracy < 0.05
    assert overlap(shapely.from_wkb(row.geom), SURVEYED) > 0.99
    said = " ".join(report.files[0].layers[0].warnings)
    assert f"laid on building {CODE} near the site's latitude" in said


def test_buildings_lie_as_the_model_has_them_to_the_one_that_the_city_knows(
    database: Database, builder: Callable[..., Any], tmp_path: Path
) -> None:
    known = survey(database, tmp_path, CODE, shapely.box(422_000, 4_323_000, 422_012, 4_323_010))
    model = builder(unit=1.0)
    site = model.site(RefLatitude=(39, 2, 19, 0), RefLongitude=(116, 5, 58, 0))  # 180 m off
    for x, width, depth in ((0, 12, 10), (40, 30, 20)):
        model.shell(model.storey(model.building(site), "EG", 0.0), x, 0, 0, width, depth, 3)
    report = ingest(database, [model.write(tmp_path / "m.ifc")])
    assert report.total()["rejected"] == 0, report
    first, second = (shapely.from_wkb(row.geom) for row in sorted(buildings(database), key=lambda row: row.code))
    assert overlap(first, known) > 0.99
    assert overlap(second, shapely.box(422_040, 4_323_000, 422_070, 4_323_020)) > 0.99
    assert {row.method for row in buildings(database)} == {"building_outline"}


def test_buildings_that_are_placed_in_different_ways_come_in_one_system(
    builder: Callable[..., Any], tmp_path: Path
) -> None:
    # One has coordinates of the city's map, near the degrees of the site; the other is at the model's origin.
    model = builder(unit=1.0)
    site = model.site(RefLatitude=(39, 2, 19, 0), RefLongitude=(116, 5, 58, 0))
    for x, y in ((422_000, 4_323_000), (0, 0)):
        model.shell(model.storey(model.building(site), "EG", 0.0), x, y, 0, 12, 10, 3)
    layer = next(iter(read(model.write(tmp_path / "m.ifc"), ReadOptions(srid=4548))))
    assert layer.table()["georeference_method"].to_pylist() == ["local_coordinates", "site_lat_lon"]
    mapped, hinted = shapely.from_wkb(layer.table()["geom"].to_pylist())
    assert mapped.bounds == pytest.approx((422_000, 4_323_000, 422_012, 4_323_010), abs=1e-6)
    assert hinted.distance(mapped) < 200
    assert hinted.area == pytest.approx(120, rel=0.001)


def test_two_buildings_of_a_model_are_not_laid_on_one(
    database: Database, builder: Callable[..., Any], tmp_path: Path
) -> None:
    survey(database, tmp_path, CODE, shapely.box(422_000, 4_323_000, 422_012, 4_323_010))
    model = builder(unit=1.0)
    site = model.site(RefLatitude=(39, 2, 19, 0), RefLongitude=(116, 5, 58, 0))
    for x in (0, 40):
        model.shell(model.storey(model.building(site), "EG", 0.0), x, 0, 0, 12, 10, 3)
    report = ingest(database, [model.write(tmp_path / "m.ifc")])
    assert report.total()["rejected"] == 0, report
    assert [row.method for row in buildings(database)] == ["site_lat_lon"] * 2


def survey(database: Database, folder: Path, code: str, shape: Any) -> Any:
    """Take a surveyed building into the city; answer its outline."""
    path = folder / "building.geojson"
    feature = {"type": "Feature", "properties": {"code": code}, "geometry": shapely.geometry.mapping(shape)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    report = ingest(database, [path], Options(assume_crs=crs.parse("EPSG:4548")))
    assert report.total()["inserted"] == 1, report
    return shape


@pytest.mark.parametrize(
    ("site", "depths"),
    [
        ({"RefLatitude": (39, 2, 19, 0), "RefLongitude": (116, 5, 58, 0)}, (8.8, 7.9)),  # overlaps of 0.88 and 0.79
        ({}, (10.0, 9.2)),  # of 1 and 0.92
    ],
)
def test_a_model_that_fits_two_buildings_nearly_as_well_is_laid_on_neither(
    database: Database, builder: Callable[..., Any], tmp_path: Path, site: dict[str, Any], depths: tuple[float, float]
) -> None:
    model = builder(unit=1.0)
    model.shell(model.storey(model.building(model.site(**site)), "EG", 0.0), 0, 0, 0, 12, 10, 3)
    path = model.write(tmp_path / "m.ifc")
    methods = []
    for number, depth in enumerate(depths):
        shape = shapely.box(422_000, 4_323_000 + 30 * number, 422_012, 4_323_000 + 30 * number + depth)
        survey(database, tmp_path, f"{CODE[:-5]}{number + 1}0000", shape)
        building = next(iter(read(path, ReadOptions(srid=4548, buildings=KnownBuildings(database.engine)))))
        methods += building.table()["georeference_method"].to_pylist()
    assert methods == ["building_outline", "site_lat_lon" if site else None]


def test_the_operator_names_the_building(surveyed: Database, corner: Any, tmp_path: Path) -> None:
    path = corner.write(tmp_path / "m.ifc")
    ingest(surveyed, [path], Options(place=CODE))
    (row,) = buildings(surveyed)
    assert (row.code, row.method) == (CODE, "building_outline")
    assert overlap(shapely.from_wkb(row.geom), SURVEYED) > 0.99
    unknown = ingest(surveyed, [path], Options(place=CODE[:-5] + "90000"))
    assert "no building" in str(unknown.files[0].error)
    other = ingest(surveyed, [path], Options(place=CODE[:-5] + "20000"))
    assert "overlap by" in " ".join(other.files[0].layers[0].warnings) or "does not show" in str(other.files[0].error)


def test_a_placement_file_beside_the_model_is_read_and_counts(surveyed: Database, corner: Any, tmp_path: Path) -> None:
    path = corner.write(tmp_path / "m.ifc")
    beside = tmp_path / "m.place"
    for angle, bounds in (
        (0, (422_100, 4_323_100, 422_112, 4_323_110)),
        (90, (422_090, 4_323_100, 422_100, 4_323_112)),
    ):
        beside.write_text(
            f'crs = "EPSG:4548"\neastings = 422100.0\nnorthings = 4323100.0\nangle = {angle}\naccuracy = 0.05\n',
            encoding="utf-8",
        )
        ingest(surveyed, [path])
        (row,) = buildings(surveyed)
        assert shapely.from_wkb(row.geom).bounds == pytest.approx(bounds, abs=0.002)
        assert (row.method, row.accuracy) == ("operator_map", 0.05)
    # The model itself is kept under its own digest, whatever lies beside it.
    with surveyed.engine.connect() as connection:
        digest = connection.execute(
            sa.text("SELECT model_file FROM city.building WHERE model_file IS NOT NULL")
        ).scalar()
    assert (surveyed.settings.home / "files" / str(digest)[:2] / str(digest)).read_bytes() == path.read_bytes()
    beside.write_text("longitude = 116.1", encoding="utf-8")
    assert "m.place" in str(ingest(surveyed, [path]).files[0].error)


def test_a_wrong_word_of_the_operator_is_refused(house: Any, tmp_path: Path) -> None:
    path = house.write(tmp_path / "h.ifc")
    with pytest.raises(InvalidData, match=r"h\.ifc: --place: no building 42 "):
        list(read(path, ReadOptions(place="42", srid=4548)))


def test_boston_with_a_dutch_map_is_named(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder(unit=1.0)
    site = model.site(RefLatitude=(42, 21, 31, 181945), RefLongitude=(-71, -3, -24, -263305))
    model.shell(model.storey(model.building(site), "EG", 0.0), 0, 0, 0, 12, 10, 3)
    model.map_conversion("EPSG:28992", Eastings=121_000.25, Northings=487_000.5)
    building = next(iter(read(model.write(tmp_path / "m.ifc"), ReadOptions())))
    (row,) = building.table().to_pylist()
    assert (row["georeference_method"], row["georeference_accuracy"]) == ("map_conversion", 0.05)
    (said,) = (w for w in building.warnings if "the map conversion is taken" in w)
    # Amsterdam and Boston are 5,570 km apart.
    assert "42.3587" in said
    assert "5,5" in said
    assert "EPSG:28992" in said


def test_map_coordinates_of_the_city_are_known_by_the_degrees_of_the_site(
    builder: Callable[..., Any], tmp_path: Path
) -> None:
    model = builder(unit=1.0)
    # 422,000 m east and 4,323,000 m north in EPSG:4548 lie at 116.0995° east and 39.0385° north.
    site = model.site(RefLatitude=(39, 2, 19, 0), RefLongitude=(116, 5, 58, 0))
    model.shell(model.storey(model.building(site), "EG", 0.0), 422_000, 4_323_000, 0, 12, 10, 3)
    path = model.write(tmp_path / "m.ifc")
    building = next(iter(read(path, ReadOptions(srid=4548))))
    (row,) = building.table().to_pylist()
    assert (row["georeference_method"], row["georeference_level"]) == ("local_coordinates", 30)
    assert shapely.from_wkb(row["geom"]).bounds == pytest.approx((422_000, 4_323_000, 422_012, 4_323_010), abs=1e-6)
    assert next(iter(read(path, ReadOptions(srid=6677)))).table()["geom"].null_count == 1


def test_a_placement_file_in_another_encoding_refuses_its_model_only(
    surveyed: Database, house: Any, corner: Any, tmp_path: Path
) -> None:
    house.write(tmp_path / "house.ifc")
    (tmp_path / "house.place").write_text("longitude = 116.1\nlatitude = 39.05\n", encoding="utf-16")
    packed = gzip.compress(corner.write(tmp_path / "m.ifc").read_bytes())
    (tmp_path / "packed.ifc.gz").write_bytes(packed)
    (tmp_path / "packed.place").write_text("longitude = 116.3\nlatitude = 39.05\n", encoding="utf-8-sig")
    report = ingest(surveyed, [tmp_path / "house.ifc", tmp_path / "packed.ifc.gz"])
    assert "house.place: is no text in UTF-8" in str(report.files[0].error)
    (row,) = buildings(surveyed)
    assert row.method == "operator"


def test_what_a_building_holds_that_waits_for_a_decision_is_told(
    surveyed: Database, builder: Callable[..., Any], tmp_path: Path
) -> None:
    model = builder(unit=1.0)
    storey = model.storey(model.building(model.site()), "EG", 0.0)
    model.shell(storey, 0, 0, 0, 12, 12, 3)
    # On half of the surveyed house: it may be that one, or another.
    origin = 'crs = "EPSG:4548"\neastings = 421997.0\nnorthings = 4323000.0\n'
    (report,) = ingest(surveyed, [model.write(tmp_path / "m.ifc")], Options(place=origin)).files
    building, storeys, _ = report.layers
    assert (building.rejected, storeys.inserted) == (1, 1)
    assert "what holds them in the file is not taken, so they belong to nothing: 1" in storeys.warnings
