"""OpenStreetMap extracts: the sample street by hand, and what Helsinki's centre holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shapely

from cim import crs
from cim.db.engine import Database
from cim.errors import InvalidData
from ingest import Options, ingest
from ingest.formats import Layer, ReadOptions, format_of
from sample_data import FORMATS

STREET = FORMATS / "street.osm.pbf"


def layers_of(path: Path) -> dict[str, Layer]:
    return {layer.name: layer for layer in format_of(path).read(path, ReadOptions())}


def records_of(layer: Layer) -> dict[str, dict[str, Any]]:
    found = {record["osm_id"]: record for record in layer.table().to_pylist()}
    for record in found.values():
        record["geom"] = shapely.from_wkb(record["geom"], on_invalid="ignore")
    return found


def test_the_street_is_read_as_it_was_drawn() -> None:
    layers = layers_of(STREET)
    roads, facilities, buildings = (records_of(layers[name]) for name in ("roads", "facilities", "buildings"))
    assert layers["roads"].crs == crs.parse(4326)
    street = roads["way/101"]
    assert street["geom"].equals(shapely.LineString([(116.1, 38.99), (116.105, 38.99), (116.109, 38.99)]))
    assert (street["name"], street["lanes"], street["width"], street["speed_limit"]) == ("建设街", 2, 7.0, 30.0)
    assert roads["way/102"]["speed_limit"] == 16.093  # 10 mph
    assert set(facilities) == {"node/18", "node/20", "way/103"}  # no bench
    kindergarten = facilities["way/103"]
    assert shapely.box(116.101, 38.991, 116.103, 38.993).contains(kindergarten["geom"])
    assert (kindergarten["feature"], kindergarten["capacity"]) == ("amenity=kindergarten", 180)
    (building,) = buildings.values()
    court = shapely.box(116.107, 38.992, 116.108, 38.993)
    assert building["geom"].equals(shapely.box(116.106, 38.991, 116.109, 38.994) - court)
    assert (building["storeys_above"], building["year_built"], building["building"]) == (6, 1988, "apartments")
    assert json.loads(building["tags"])["building:levels"] == "6"


def test_what_the_extract_cuts_off_is_rejected_and_counted() -> None:
    roads = layers_of(STREET)["roads"]
    assert records_of(roads)["way/106"]["geom"] is None
    assert roads.warnings == ["1 of which the file does not hold all points, as at the edge of an extract: rejected"]


def test_what_is_left_out_is_counted() -> None:
    facilities = layers_of(STREET)["facilities"]
    facilities.table()
    (said,) = facilities.warnings
    assert said.startswith("1 with the keys of public services, left out")  # the bench


def test_it_goes_into_the_database_by_its_tags(
    database: Database, rows: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    report = ingest(database, [STREET], Options(assume_crs=crs.parse(4490)))
    assert {x.name: (x.type, x.read, x.inserted, x.rejected) for x in report.files[0].layers} == {
        "buildings": ("building", 1, 1, 0),
        "roads": ("road", 3, 2, 1),
        "facilities": ("facility", 3, 3, 0),
    }
    assert sorted(row["road_class"] for row in rows("road", "road_class")) == ["footway", "lane"]
    assert sorted(row["kind"] for row in rows("facility", "kind")) == ["bus_stop", "kindergarten", "shop"]
    assert [(row["usage"], row["storeys_above"]) for row in rows("building", "usage", "storeys_above")] == [
        ("residential", 6)
    ]


@pytest.mark.parametrize("tail", [b"", b"\0" * 64, b"\n\tOSMHeader"])
def test_what_is_no_extract_is_refused(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "wrong.osm.pbf"
    path.write_bytes(b"\0\0\0\x0e" + tail)
    with pytest.raises(InvalidData, match=r"wrong\.osm\.pbf"):
        [layer.table() for layer in layers_of(path).values()]


@pytest.mark.real
def test_helsinki_s_centre(shared: Path, database_in: Callable[[int], Database]) -> None:
    """Counts counted over the raw objects: 2,650 ways with highway, less 54 areas, 55 platforms and 2 lifts."""
    path = shared / "data" / "gis" / "Helsinki.osm.pbf"
    report = ingest(database_in(3879), [path], Options())
    assert report.files[0].error is None
    taken = {layer.name: (layer.read, layer.inserted, layer.rejected) for layer in report.files[0].layers}
    assert taken == {"roads": (2539, 2368, 171), "facilities": (1475, 1460, 15), "buildings": (499, 445, 54)}
    (roads,) = (layer for layer in report.files[0].layers if layer.name == "roads")
    assert any(said.startswith("111 with the key highway, left out") for said in roads.warnings)
    kinds = Counter(record["feature"] for record in records_of(layers_of(path)["facilities"]).values())
    assert (kinds["amenity=restaurant"], kinds["amenity=library"], kinds["railway=tram_stop"]) == (214, 7, 40)


@pytest.mark.real
def test_an_extract_out_of_order_is_refused_with_the_reason(shared: Path) -> None:
    path = shared / "data" / "autotest" / "pyogrio_sample.osm.pbf"
    with pytest.raises(
        InvalidData, match=r"pyogrio_sample\.osm\.pbf: cannot be read.*Way IDs out of order: 53588781; sort it"
    ):
        [layer.table() for layer in layers_of(path).values()]
