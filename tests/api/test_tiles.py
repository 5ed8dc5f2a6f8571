"""Vector tiles, decoded by other people's software; where things lie is computed here from the standard's formulas."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import httpx
import mapbox_vector_tile
import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg

from cim.city import City
from cim.db.features import Selection
from cim.db.tiles import Tile, select_tile, values_of

TILES = "/collections/building/tiles/WebMercatorQuad"
REL = "http://www.opengis.net/def/rel/ogc/1.0/"
MVT = "application/vnd.mapbox-vector-tile"
CIRCUMFERENCE = 2 * math.pi * 6_378_137


def tile_of(zoom: int, longitude: float, latitude: float) -> tuple[int, int, int]:
    """Zoom, row, column of the tile a place lies in: the formula of the standard, spelt out."""
    count = 2**zoom
    column = int((longitude + 180) / 360 * count)
    row = int((1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * count)
    return zoom, row, column


def get(http: httpx.Client, zoom: int, row: int, column: int, **asked: Any) -> Any:
    response = http.get(f"{TILES}/{zoom}/{row}/{column}", params=asked)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == MVT
    return mapbox_vector_tile.decode(response.content)["building"]


def test_a_tile_holds_what_lies_in_it(http: httpx.Client, city: City) -> None:
    zoom, row, column = tile_of(16, 117.004, 38.997)
    layer = get(http, zoom, row, column)
    assert layer["extent"] == 4096
    side = CIRCUMFERENCE / 2**zoom
    west, north = column * side - CIRCUMFERENCE / 2, CIRCUMFERENCE / 2 - row * side
    more = side * 64 / 4096
    box = (west - more, north - side - more, west + side + more, north + more)
    text = sa.text("""
        SELECT code, name, year_built, ST_X(ST_Centroid(ST_Transform(geom, 3857))) AS x,
               ST_Y(ST_Centroid(ST_Transform(geom, 3857))) AS y
        FROM city.building WHERE ST_Intersects(ST_Transform(geom, 3857), ST_MakeEnvelope(:a, :b, :c, :d, 3857))
    """)
    with city.database.engine.connect() as connection:
        stored = {row.code: row for row in connection.execute(text, dict(zip("abcd", box, strict=True)))}
    found = {feature["properties"]["code"]: feature for feature in layer["features"]}
    assert len(found) == len(layer["features"]) > 100
    assert set(found) == set(stored)
    for code, feature in found.items():
        assert feature["properties"]["name"] == stored[code].name
        assert feature["properties"]["year_built"] == stored[code].year_built
        ring = feature["geometry"]["coordinates"][0]
        if all(0 < x < 4096 and 0 < y < 4096 for x, y in ring):  # not cut at the edge: its middle is where it was
            x, y = (sum(corner[axis] for corner in ring[:-1]) / (len(ring) - 1) for axis in (0, 1))
            assert x == pytest.approx((stored[code].x - west) / side * 4096, abs=2)
            assert y == pytest.approx((stored[code].y - (north - side)) / side * 4096, abs=2)


@pytest.mark.parametrize("zoom", [12, 14, 16])
def test_corners_lie_where_the_projection_has_them(http: httpx.Client, city: City, zoom: int) -> None:
    """To half a step of the grid, by rounding; within one tile, from 14 on, to a step: what two show must meet."""
    zoom, row, column = tile_of(zoom, 117.004, 38.997)
    side = CIRCUMFERENCE / 2**zoom
    west, south = column * side - CIRCUMFERENCE / 2, CIRCUMFERENCE / 2 - (row + 1) * side
    to_mercator = pyproj.Transformer.from_crs(4548, 3857, always_xy=True)
    with city.database.engine.connect() as connection:
        text = sa.text("SELECT code, ST_AsBinary(geom) FROM city.building WHERE geom IS NOT NULL")
        stored = {code: shapely.get_coordinates(shapely.from_wkb(geom)) for code, geom in connection.execute(text)}
    compared = {True: 0, False: 0}
    layer = get(http, zoom, row, column)
    steps = layer["extent"]
    assert steps == (4096 if zoom > 14 else 1024)  # a sixteenth of a pixel, a quarter
    for feature in layer["features"]:
        x, y = to_mercator.transform(*stored[feature["properties"]["code"]].T)
        corners = np.column_stack([x - west, y - south]) / side * steps
        exact = zoom < 14 or bool((corners < 0).any() or (corners > steps).any())
        for corner in feature["geometry"]["coordinates"][0]:
            if min(corner) > -steps / 64 and max(corner) < steps * 65 / 64:  # else it is cut there
                assert abs(corners - corner).max(1).min() < (0.51 if exact else 1.0)
                compared[exact] += 1
    assert compared[True] > 10
    assert zoom < 14 or compared[False] > 1000


@pytest.mark.parametrize("zoom", [14, 16])
def test_areas_are_valid_and_wind_as_the_specification_has_it(zoom: int, own: tuple[City, httpx.Client]) -> None:
    """Of any corners and size: what is sure to be valid is drawn as it is, and all else made so by PostGIS."""
    city, http = own
    chosen = random.Random(3)
    shapes = []
    for number in range(400):
        x, y, size = 500_000 + number % 20 * 40, 4_318_000 + number // 20 * 40, chosen.uniform(3, 30)
        turns = sorted(chosen.uniform(0, 2 * math.pi) for _ in range(chosen.randint(3, 12)))
        ring = [(x + size * chosen.uniform(0.1, 0.6) * math.cos(turn), y + size * math.sin(turn)) for turn in turns]
        shape = shapely.MultiPolygon([shapely.Polygon(ring[:: chosen.choice([1, -1])])])
        if shape.is_valid:
            shapes.append({"code": f"shape-{number}", "geom": f"SRID=4548;{shape.wkt}"})
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("building")), shapes)
    city.sequence()
    column = {14: 1, 16: 2}[zoom]
    drawn = 0
    for down, right in itertools.product(range(column + 1), repeat=2):
        level, row, at = tile_of(zoom, 117.0005 + 0.0055 * right, 38.999 - 0.0043 * down)
        answer = http.get(f"{TILES}/{level}/{row}/{at}")
        if answer.status_code != 200:  # nothing lies there
            continue
        options = {"y_coord_down": True}
        for feature in mapbox_vector_tile.decode(answer.content, default_options=options)["building"]["features"]:
            area = shapely.geometry.shape(feature["geometry"])
            for part in shapely.get_parts(area):
                assert part.is_valid
                assert part.exterior.is_ccw  # a positive area by the surveyor's formula
                assert not any(hole.is_ccw for hole in part.interiors)
            drawn += 1
    assert drawn > 300


def test_what_is_surely_simple_is_simple(city: City) -> None:
    """Against GEOS, of thousands of rings of whole numbers; and what buildings look like is found to be so."""
    chosen = random.Random(4)
    rings = []
    for _ in range(6_000):
        turns, size = sorted(chosen.uniform(0, 2 * math.pi) for _ in range(chosen.randint(3, 9))), chosen.uniform(1, 12)
        away = [size * chosen.uniform(0.5, 1) for _ in turns]
        corners = [(round(r * math.cos(t)), round(r * math.sin(t))) for r, t in zip(away, turns, strict=True)]
        if chosen.random() < 0.3:
            chosen.shuffle(corners)
        rings.append([one for one, before in zip(corners, [corners[-1], *corners], strict=False) if one != before])
    plain = {
        "square": [(0, 0), (9, 0), (9, 9), (0, 9)],
        "house": [(0, 0), (12, 5), (8, 15), (-4, 10)],
        "round": [(0, 4), (4, 0), (10, 0), (14, 4), (14, 10), (10, 14), (4, 14), (0, 10)],
    }
    wrong = {
        "bow": [(0, 0), (9, 9), (9, 0), (0, 9)],
        "spike": [(0, 0), (9, 0), (9, 9), (9, 12), (9, 9), (0, 9)],
        "touching": [(0, 0), (10, 0), (10, 10), (5, 0), (0, 10)],
        "none": [(0, 0), (5, 0), (9, 0)],
    }
    shapes = [shapely.Polygon(ring) for ring in [*plain.values(), *wrong.values(), *rings] if len(ring) > 2]
    holed = shapely.box(0, 0, 9, 9).difference(shapely.box(3, 3, 4, 4))
    many = shapely.MultiPolygon([shapely.box(0, 0, 9, 9), shapely.box(20, 0, 21, 1)])
    text = sa.text("SELECT cim.surely_simple(g) FROM unnest(CAST(:wkb AS bytea[])) WITH ORDINALITY AS w (b, n), "
                   "ST_GeomFromWKB(w.b) g ORDER BY w.n")  # fmt: skip
    with city.database.engine.connect() as connection:
        told = connection.execute(text, {"wkb": list(shapely.to_wkb([*shapes, holed, many]))}).scalars().all()
    assert told[: len(plain)] == [True] * len(plain)
    assert told[-2:] == [False, False]
    valid = shapely.is_valid(shapes)
    assert not any(one and not true for one, true in zip(told, valid, strict=False))
    assert sum(valid) > 1000 < sum(~valid)
    assert sum(told) > 500


def test_what_each_object_has_of_its_own_comes_from_level_15_on(http: httpx.Client) -> None:
    levels: dict[int, set[str]] = {}
    for level in (13, 14, 15):
        features = get(http, *tile_of(level, 117.0005, 38.997))["features"]
        levels[level] = {name for feature in features for name in feature["properties"]}
    assert "year_built" in levels[14] - levels[13]
    assert {"name", "height"} <= levels[15] - levels[14]
    asked = get(http, *tile_of(14, 117.004, 38.997), properties="height")["features"]
    assert {name for feature in asked for name in feature["properties"]} == {"code", "height"}


def test_a_plan_kept_for_any_tile_makes_the_box_once(city: City) -> None:
    tile = Tile(16, *tile_of(16, 117.004, 38.997)[1:])
    values = values_of(city.database, tile)
    statement = select_tile(city.database, "building", Selection(), values, ("code",))
    compiled: Any = statement.compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]
    given = ", ".join(f"'{compiled.params[name]}'" for name in compiled.positiontup)
    with city.database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute(f"PREPARE a_tile AS {compiled}")
        raw.execute("SET plan_cache_mode = force_generic_plan")
        plan = [line for (line,) in raw.execute(f"EXPLAIN (VERBOSE) EXECUTE a_tile({given})")]
        raw.execute("DEALLOCATE a_tile; RESET plan_cache_mode")
    (drawn,) = [line for line in plan if "st_asmvtgeom" in line]
    assert "tileenvelope" not in drawn.lower(), plan
    assert "$3" in "".join(plan)  # the plan is of any tile


def test_gdal_reads_a_tile(http: httpx.Client, tmp_path: Any) -> None:
    zoom, row, column = tile_of(16, 117.004, 38.997)
    path = tmp_path / "tile.mvt"
    path.write_bytes(http.get(f"{TILES}/{zoom}/{row}/{column}").content)
    frame = pyogrio.read_dataframe(f"MVT:{path}")
    assert len(frame) == len(get(http, zoom, row, column)["features"])


def test_far_away_the_largest_stay(own: tuple[City, httpx.Client]) -> None:
    """At zoom level 13 columns go; points stand four pixels (61 m) apart at least."""
    city, http = own
    zoom, row, column = tile_of(13, 117.0005, 38.9955)
    layer = get(http, zoom, row, column)
    assert len(layer["features"]) == 22  # of 25, of which three have no geometry
    assert {name for feature in layer["features"] for name in feature["properties"]} <= {"code", "usage", "structure"}
    with city.database.engine.begin() as connection:
        points = [
            {"code": f"p{number}", "class_code": "0101", "geom": f"SRID=4548;POINT({500_000 + 10 * number} 4318000)"}
            for number in range(100)
        ]
        connection.execute(sa.insert(city.database.table("component")), points)
    city.sequence()

    def codes(level: int) -> set[str]:
        found = set()
        for tile in {tile_of(level, 117 + step / 1000, 38.9955) for step in range(13)}:
            address = "/".join(["/collections/component/tiles/WebMercatorQuad", *map(str, tile)])
            content = http.get(address).content
            layers = mapbox_vector_tile.decode(content) if content else {}
            found |= {f["properties"]["code"] for layer in layers.values() for f in layer["features"]}
        return found

    assert len(codes(14)) == 100
    assert len(codes(13)) == 18  # 990 m by cells of 59.4 m: 16.7, and the first and the last are cut


def test_a_tile_is_kept_by_the_tree_size(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    address = "/".join([TILES, *map(str, tile_of(16, 117.0005, 38.9955))])
    first = http.get(address)
    size = city.tree_head().size
    assert first.headers["etag"].startswith(f'"t{size}-')
    again = http.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    pinned = http.get(address, params={"as-of": size})
    assert pinned.content == first.content
    assert "immutable" in pinned.headers["cache-control"]
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        connection.execute(sa.update(table).where(table.c.code == "building-00001").values(name="renamed"))
    city.sequence()
    changed = http.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    names = {f["properties"].get("name") for f in mapbox_vector_tile.decode(changed.content)["building"]["features"]}
    assert "renamed" in names
    assert http.get(address, params={"as-of": size}).content == first.content


def test_a_tile_of_a_filter(http: httpx.Client) -> None:
    tile = tile_of(16, 117.0005, 38.9955)
    layer = get(http, *tile, filter="year_built = 1953", properties="height")
    assert layer["features"]
    assert all(feature["properties"].keys() == {"code", "height"} for feature in layer["features"])
    assert len(layer["features"]) == len(get(http, *tile, year_built=1953)["features"])
    assert len(layer["features"]) < len(get(http, *tile)["features"])


def test_compressed_only_for_those_who_take_it(http: httpx.Client) -> None:
    address = "/".join([TILES, *map(str, tile_of(16, 117.004, 38.997))])
    packed = http.get(address, headers={"Accept-Encoding": "gzip"})
    plain = http.get(address, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 2


def test_tilesets(http: httpx.Client) -> None:
    collection = http.get("/collections/building").json()
    (tilesets,) = [one["href"] for one in collection["links"] if one["rel"] == REL + "tilesets-vector"]
    (listed,) = http.get(tilesets).json()["tilesets"]
    (own,) = [one["href"] for one in listed["links"] if one["rel"] == "self"]
    tileset = http.get(own).json()
    assert tileset == listed
    assert (tileset["dataType"], tileset["tileMatrixSetId"]) == ("vector", "WebMercatorQuad")
    (scheme,) = [one["href"] for one in tileset["links"] if one["rel"] == REL + "tiling-scheme"]
    matrices = http.get(scheme).json()["tileMatrices"]
    # OGC 17-083r4, table D.1: level 1 and level 18.
    assert matrices[1]["scaleDenominator"] == pytest.approx(279_541_132.014_358_76, rel=1e-12)
    assert matrices[18]["cellSize"] == pytest.approx(0.597_164_283_559_817, rel=1e-9)
    assert matrices[3]["matrixWidth"] == 8
    (template,) = [one for one in tileset["links"] if one["rel"] == "item"]
    assert (template["type"], template["templated"]) == (MVT, True)
    places = {one["tileMatrix"]: one for one in tileset["tileMatrixSetLimits"]}["15"]
    inside = {"tileMatrix": "15", "tileRow": places["minTileRow"], "tileCol": places["maxTileCol"]}

    def filled(**changes: Any) -> str:
        address = template["href"]
        for name, value in {**inside, **changes}.items():
            address = address.replace(f"{{{name}}}", str(value))
        return str(address)

    assert http.get(filled()).status_code in (200, 204)
    assert http.get(filled(tileRow=places["maxTileRow"] + 1)).status_code == 404
    assert http.get(filled(tileCol=places["minTileCol"] - 1)).status_code == 404
    for wrong in ({"tileRow": 2**15}, {"tileMatrix": 23}, {"tileMatrix": "x"}, {"tileRow": 2**80}):
        assert http.get(filled(**wrong)).status_code == 404
    assert http.get("/collections/building/tiles/WorldCRS84Quad").status_code == 404


def test_tilejson(http: httpx.Client) -> None:
    document = http.get(TILES, params={"f": "tilejson", "as-of": "5"}).json()
    assert document["tilejson"] == "3.0.0"
    assert document["tiles"][0].endswith("/{z}/{y}/{x}?as-of=5")
    (layer,) = document["vector_layers"]
    assert layer["id"] == "building"
    assert layer["fields"]["height"] == "Number"
    west, south, east, north = document["bounds"]
    assert 116.99 < west < east < 117.1
    assert 38.99 < south < north < 39.01


def test_an_empty_tile_inside_the_limits(http: httpx.Client) -> None:
    tile = "/".join(map(str, tile_of(16, 117.004, 38.997)))
    response = http.get(f"{TILES}/{tile}", params={"filter": "code = 'nosuch'"})
    assert (response.status_code, response.content) == (204, b"")


def test_tiles_know_no_private_column(http: httpx.Client) -> None:
    for wrong in ({"properties": "owner_name"}, {"filter": "THIS IS NOT A FILTER"}, {"nosuch": "1"}, {"as-of": "x"}):
        assert http.get(f"{TILES}/14/0/0", params=wrong).status_code == 400
