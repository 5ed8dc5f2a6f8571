"""Every format is read back by other people's software and compared with what the database holds."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import geopandas as gpd
import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
import sqlalchemy as sa

from api import formats
from api.formats import BulkFormat, Layer
from api.reference import references
from api.site import Site, State
from cim.city import City
from cim.db.features import Selection, select_columns, select_features
from cim.db.stream import Stream
from cim.errors import DatabaseError
from cim.settings import Settings

ITEMS = "/collections/building/items"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
STORAGE = "http://www.opengis.net/def/crs/EPSG/0/4548"
BULK = [name for name, one in formats.formats().items() if isinstance(one, BulkFormat)]

Reader = Callable[[bytes, Path], gpd.GeoDataFrame]


def _parquet(content: bytes, _folder: Path) -> gpd.GeoDataFrame:
    return gpd.read_parquet(io.BytesIO(content))


def _arrow(content: bytes, _folder: Path) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame.from_arrow(pa.ipc.open_stream(content).read_all())


def _with_gdal(name: str) -> Reader:
    def read(content: bytes, folder: Path) -> gpd.GeoDataFrame:
        path = folder / name
        path.write_bytes(content)
        return pyogrio.read_dataframe(path)

    return read


def _csv(content: bytes, _folder: Path) -> gpd.GeoDataFrame:
    frame = pd.read_csv(io.BytesIO(content), dtype={"code": str})
    shapes = [None if pd.isna(text) else shapely.from_wkt(text) for text in frame.pop("geom")]
    return gpd.GeoDataFrame(frame, geometry=shapes)


READERS: dict[str, Reader] = {
    "parquet": _parquet,
    "arrow": _arrow,
    "fgb": _with_gdal("read.fgb"),
    "geojsonseq": _with_gdal("read.geojsons"),
    "csv": _csv,
    "jsonfg": _with_gdal("read.jsonfg.json"),
    "json": _with_gdal("read.geojson"),
}


def stored(city: City, srid: int, condition: str = "true") -> pd.DataFrame:
    """What the database holds, by SQL of this test's own: code, name, height, year and WKT with a micrometre."""
    text = f"""
        SELECT code, name, height, year_built, ST_AsBinary(ST_Transform(geom, {srid})) AS shape
        FROM city.building WHERE {condition} ORDER BY code COLLATE "C"
    """
    with city.database.engine.connect() as connection:
        return pd.DataFrame(connection.execute(sa.text(text)).mappings().all())


def compare(found: gpd.GeoDataFrame, expected: pd.DataFrame, tolerance: float) -> None:
    assert found["code"].tolist() == expected["code"].tolist()
    for name in ("name", "height", "year_built"):
        assert found[name].tolist() == expected[name].tolist()
    shapes = found.geometry.to_numpy()
    wanted = shapely.from_wkb(expected["shape"].to_numpy())
    assert (shapely.is_missing(shapes) == shapely.is_missing(wanted)).all()
    there = ~shapely.is_missing(wanted)
    assert there.any()
    found_xy, wanted_xy = shapely.get_coordinates(shapes[there]), shapely.get_coordinates(wanted[there])
    assert np.abs(found_xy - wanted_xy).max() <= tolerance


@pytest.mark.parametrize("name", list(READERS))
def test_a_format_holds_what_the_database_holds(name: str, http: httpx.Client, city: City, tmp_path: Path) -> None:
    expected = stored(city, 4326)
    response = http.get(ITEMS, params={"f": name, **({"limit": 5000} if name in ("json", "jsonfg") else {})})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == formats.formats()[name].media_type
    assert response.headers["content-crs"] == f"<{CRS84}>"
    assert response.headers["cim-tree-size"] == str(city.tree_head().size)
    found = READERS[name](response.content, tmp_path)
    compare(found, expected, 1e-9)
    if found.crs is not None:
        assert found.crs.to_epsg() == 4326 or found.crs.to_authority() == ("OGC", "CRS84")


@pytest.mark.parametrize("srid", [4326, 4490, 4548, 3857])
@pytest.mark.parametrize("name", list(READERS))
def test_a_format_honours_selection_and_crs(
    name: str, srid: int, http: httpx.Client, city: City, tmp_path: Path
) -> None:
    asked = {"f": name, "bbox": "117.0,38.9954,117.0011,38.9957", "filter": "height > 0.25", "year_built": "1953"}
    expected = stored(city, srid, "code = 'building-00003' OR (geom IS NULL AND height > 0.25 AND year_built = 1953)")
    crs = STORAGE.replace("4548", str(srid))
    response = http.get(ITEMS, params={**asked, "crs": crs, "limit": 5000})
    assert response.headers["content-crs"] == f"<{crs}>"
    found = READERS[name](response.content, tmp_path)
    # Text has the axis order of the URI: north before east, but for web maps.
    if name in ("json", "geojsonseq", "csv") and srid != 3857:
        found.geometry = shapely.transform(found.geometry.to_numpy(), lambda xy: xy[:, ::-1])
    elif name in ("parquet", "arrow", "fgb"):
        assert found.crs.to_epsg() == srid
    compare(found, expected, 1e-9 if srid in (4326, 4490) else 1e-3)


@pytest.mark.parametrize("name", BULK)
def test_a_bulk_format_stays_at_its_state(name: str, own: tuple[City, httpx.Client]) -> None:
    city, http = own
    size = city.tree_head().size
    asked = {"f": name, "as-of": size}
    before = http.get(ITEMS, params=asked)
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        connection.execute(sa.delete(table).where(table.c.code < "building-00020"))
    city.sequence()
    after = http.get(ITEMS, params=asked)
    assert (before.status_code, after.status_code) == (200, 200), after.text
    assert after.content == before.content
    assert "immutable" in after.headers["cache-control"]
    live = http.get(ITEMS, params={"f": name})
    assert len(live.content) < len(before.content)
    assert live.headers["cim-tree-size"] == str(city.tree_head().size)


@pytest.mark.parametrize("name", BULK)
def test_a_bulk_format_of_nothing_is_a_document_of_nothing(name: str, http: httpx.Client, tmp_path: Path) -> None:
    response = http.get(ITEMS, params={"f": name, "filter": "code = 'nosuch'"})
    assert response.status_code == 200
    if name in READERS and name != "geojsonseq":
        assert len(READERS[name](response.content, tmp_path)) == 0
    if name == "geojsonseq":
        assert response.content == b""


def test_parts_of_a_bulk_format_are_the_whole(http: httpx.Client, city: City) -> None:
    asked = {"f": "parquet", "as-of": city.tree_head().size}
    whole = pq.read_table(io.BytesIO(http.get(ITEMS, params=asked).content))
    parts, beyond = [], ""
    while not parts or len(parts[-1]) == 1000:
        more = {"limit": 1000, "filter": f"code > '{beyond}'"}
        parts.append(pq.read_table(io.BytesIO(http.get(ITEMS, params={**asked, **more}).content)))
        beyond = parts[-1]["code"][-1].as_py()
    assert [len(part) for part in parts] == [1000, 1000, 603]
    assert pa.concat_tables(parts).to_pylist() == whole.to_pylist()


class Counted:
    """A stream that tells how many of its batches were taken."""

    def __init__(self, stream: Stream) -> None:
        self.schema, self._stream, self.taken = stream.schema, stream, 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._stream:
            self.taken += 1
            yield batch


# The index of FlatGeobuf stands before all features: they wait in a file.
@pytest.mark.parametrize("name", [name for name in BULK if name != "fgb"])
def test_a_bulk_format_leaves_while_it_is_read(name: str, city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cim.db.stream.BATCH_BYTES", 30_000)
    chosen, reference = formats.formats()[name], references(4548)[STORAGE]
    assert isinstance(chosen, BulkFormat)
    select = select_features if chosen.rows == "features" else select_columns
    statement = select(city.database, "building", Selection(), reference.output, None, None)
    with Stream(city.database, statement) as stream:
        counted: Any = Counted(stream)
        site, feature_type = Site(city), city.database.dictionary.type("building")
        layer = Layer(site, feature_type, reference, State.live(stream.live), counted)
        taken = [counted.taken for piece in chosen.write(layer) if piece]
    assert counted.taken > 10
    assert max(after - before for before, after in pairwise([0, *taken])) == 1  # none is held back


@pytest.mark.parametrize("name", BULK)
def test_what_only_its_rows_show_to_be_wrong_is_told_of_a_bulk_format_too(name: str, http: httpx.Client) -> None:
    asked = {"f": name, "crs": STORAGE, "filter": "year_built ^ 300 > 1"}
    answer = http.get(ITEMS, params=asked)
    assert (answer.status_code, answer.json()["detail"]) == (400, "a value is out of range")


def test_the_server_may_not_work_on_a_part_for_long_and_a_client_may(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cim.db.stream.BATCH_BYTES", 100_000)
    monkeypatch.setattr("cim.db.stream.BATCH_TIMEOUT", 4.0)
    statement = select_columns(city.database, "building", Selection(), references(4548)[STORAGE].output, None, None)
    began, read = time.monotonic(), 0
    with Stream(city.database, statement) as stream:
        for batch in stream:
            read += batch.num_rows
            if time.monotonic() < began + 5:
                time.sleep(1)
    with city.database.engine.connect() as connection:
        assert read == connection.execute(sa.text("SELECT count(*) FROM city.building")).scalar_one()
    endless = sa.select(sa.literal(1)).where(sa.func.pg_sleep(60).is_not(None))
    with pytest.raises(DatabaseError, match="longer than 600 s, or 4 s for a part; ask for less"):
        Stream(city.database, endless)


def _box(content: bytes) -> list[float]:
    geo = json.loads(pq.read_metadata(io.BytesIO(content)).metadata[b"geo"])
    return list(geo["columns"]["geom"]["bbox"])


def test_a_geoparquet_file_says_where_it_lies(http: httpx.Client, city: City) -> None:
    for name, feature_type in city.database.dictionary.types.items():
        if feature_type.geometry is not None:
            content = http.get(f"/collections/{name}/items", params={"f": "parquet"}).content
            assert _box(content) == gpd.read_parquet(io.BytesIO(content)).total_bounds.tolist()


def test_parts_and_holes_count_where_a_geoparquet_file_lies(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    shapes = {
        "parts": "MULTIPOLYGON(((499000 4318000,499009 4318000,499009 4318009,499000 4318000)),"
        "((500100 4325000,500109 4325000,500109 4325009,500100 4325000)))",
        "hole": "MULTIPOLYGON(((503000 4311000,503090 4311000,503090 4311090,503000 4311000),"
        "(503050 4311010,503080 4311040,503080 4311010,503050 4311010)))",
    }
    with city.database.engine.begin() as connection:
        rows = [{"code": code, "geom": f"SRID=4548;{text}"} for code, text in shapes.items()]
        connection.execute(sa.insert(city.database.table("building")), rows)
    content = http.get(ITEMS, params={"f": "parquet", "crs": STORAGE}).content
    assert _box(content) == [499000.0, 4311000.0, 503090.0, 4325009.0]


def test_private_columns_stay(http: httpx.Client) -> None:
    items = "/collections/unit/items"
    table = pq.read_table(io.BytesIO(http.get(items, params={"f": "parquet"}).content))
    assert table.num_rows == 23
    assert "owner_name" not in table.column_names
    assert b"cim:tree_root" in table.schema.metadata
    rows = list(csv.DictReader(io.StringIO(http.get(items, params={"f": "csv"}).text)))
    assert [row["code"] for row in rows] == [f"unit-{number:05d}" for number in range(23)]
    for name in BULK:
        assert b"Han Meimei" not in http.get(items, params={"f": name}).content
        assert http.get(items, params={"f": name, "properties": "owner_name"}).status_code == 400


PERMIT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Permit",
    "x-cim-title-zh": "许可",
    "description": "A type of a city's own, without geometry.",
    "x-cim-code-scheme": "provisional",
    "type": "object",
    "properties": {
        "code": {"type": "string", "x-ogc-role": "id"},
        "fee": {"type": "number", "title": "Fee", "x-cim-title-zh": "费用"},
        "attributes": {"type": "object"},
    },
    "required": ["code"],
    "additionalProperties": False,
}


def test_a_type_without_geometry(settings: Settings, tmp_path: Path, serving: Any) -> None:
    (tmp_path / "own" / "codelists").mkdir(parents=True)
    (tmp_path / "own" / "permit.schema.json").write_text(json.dumps(PERMIT), encoding="utf-8")
    own = replace(settings, dictionary=tmp_path / "own")
    with City(own) as city, serving(own, city) as address, httpx.Client(base_url=address) as http:
        with city.database.engine.begin() as connection:
            nothing = {"fee": None, "attributes": None}
            rows = [{"code": "p1", "fee": 1.5, "attributes": {"zone": 3}}, {"code": "p2", **nothing}]
            connection.execute(sa.insert(city.database.table("permit")), rows)
        city.sequence()

        def get(name: str) -> bytes:
            response = http.get("/collections/permit/items", params={"f": name})
            assert response.status_code == 200, response.text
            return response.content

        for content in (pq.read_table(io.BytesIO(get("parquet"))), pa.ipc.open_stream(get("arrow")).read_all()):
            assert content.to_pylist() == [
                {"code": "p1", "fee": 1.5, "attributes": '{"zone": 3}'},
                {"code": "p2", "fee": None, "attributes": None},
            ]
        assert get("csv").decode().splitlines() == [
            '"code","fee","attributes"', '"p1",1.5,"{""zone"": 3}"', '"p2",,',
        ]  # fmt: skip
        (tmp_path / "permit.fgb").write_bytes(get("fgb"))
        assert pyogrio.read_dataframe(tmp_path / "permit.fgb")["code"].tolist() == ["p1", "p2"]
        assert [json.loads(line[1:])["geometry"] for line in get("geojsonseq").splitlines()] == [None, None]
        assert [feature["place"] for feature in json.loads(get("jsonfg"))["features"]] == [None, None]
        assert http.get("/collections/permit/tiles").status_code == 404


def test_a_spatial_index_where_every_object_has_a_place(http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "part.fgb").write_bytes(http.get("/collections/component/items", params={"f": "fgb"}).content)
    assert pyogrio.read_info(tmp_path / "part.fgb")["capabilities"]["fast_spatial_filter"]


def test_accept_chooses(http: httpx.Client) -> None:
    expected = {
        "": "application/geo+json",
        "*/*": "application/geo+json",
        "application/json": "application/geo+json",
        "text/turtle": "application/geo+json",
        "text/csv": "text/csv; charset=utf-8; header=present",
        "application/vnd.apache.parquet, application/geo+json;q=0.5": "application/vnd.apache.parquet",
        "application/geo+json;q=0.2, application/flatgeobuf;q=0.7": "application/flatgeobuf",
        "application/vnd.ogc.fg+json": "application/vnd.ogc.fg+json",
    }
    for accept, media_type in expected.items():
        response = http.get(ITEMS, headers={"Accept": accept}, params={"limit": 1})
        assert response.headers["content-type"] == media_type, accept
        assert "Accept" in response.headers["vary"].split(", ")
    assert http.get(ITEMS, params={"f": "shp"}).status_code == 400
    for alias, name in formats.ALIASES.items():
        response = http.get(ITEMS, params={"f": alias, "limit": 1})
        assert response.headers["content-type"] == formats.formats()[name].media_type


def test_alternates_lead_to_every_format(http: httpx.Client) -> None:
    page = http.get(ITEMS, params={"limit": 1, "filter": "name = 'House 1'"}).json()
    alternates = {one["type"]: one["href"] for one in page["links"] if one["rel"] == "alternate"}
    assert set(alternates) == {one.media_type for one in formats.formats().values()} - {"application/geo+json"}
    for media_type, address in alternates.items():
        response = http.get(address)
        assert response.status_code == 200
        assert response.headers["content-type"].removesuffix("; charset=utf-8") == media_type


def test_properties_geometry_and_zoom_level(http: httpx.Client, city: City) -> None:
    page = http.get(ITEMS, params={"properties": "height,name", "limit": 2}).json()
    assert [feature["properties"] for feature in page["features"]] == [
        {"name": "House 0", "height": 0}, {"name": "House 1", "height": 0.1},
    ]  # fmt: skip
    following = next(one["href"] for one in page["links"] if one["rel"] == "next")
    assert list(http.get(following).json()["features"][0]["properties"]) == ["name", "height"]
    item = http.get(f"{ITEMS}/building-00001", params={"properties": "name", "skipGeometry": "true"})
    assert item.json()["properties"] == {"name": "House 1"}
    assert item.json()["geometry"] is None
    assert item.headers["etag"] != http.get(f"{ITEMS}/building-00001").headers["etag"]
    table = http.get(ITEMS, params={"properties": "height", "f": "csv", "skipGeometry": "true", "limit": 1}).text
    assert table.splitlines() == ['"code","height"', '"building-00000",0']
    for wrong in ({"properties": "nosuch"}, {"properties": ""}, {"zoom-level": "25"}, {"skipGeometry": "1"}):
        assert http.get(ITEMS, params=wrong).status_code == 400


def test_zoom_level_leaves_out_what_a_map_cannot_show(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    bulge = "MULTIPOLYGON(((0 0, 50 0.5, 100 0, 100 100, 0 100, 0 0)))"  # half a metre in on one side
    with city.database.engine.begin() as connection:
        shape = sa.func.ST_Translate(sa.func.ST_GeomFromText(bulge, 4548), 500_000, 4_318_000)
        table = city.database.table("building")
        connection.execute(sa.update(table).where(table.c.code == "building-00001").values(geom=shape))

    def corners(**asked: Any) -> int:
        geometry = http.get(f"{ITEMS}/building-00001", params=asked).json()["geometry"]
        return len(geometry["coordinates"][0][0])

    # A pixel of zoom level 17 is 1.19 m, of 20 0.15 m.
    assert [corners(), corners(**{"zoom-level": 20}), corners(**{"zoom-level": 17})] == [6, 6, 5]


def test_head_and_hits(http: httpx.Client) -> None:
    head = http.head(ITEMS, params={"f": "parquet"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-disposition"] == 'attachment; filename="building.parquet"'
    hits = http.get(ITEMS, params={"f": "parquet", "resultType": "hits"})
    assert json.loads(hits.content)["numberMatched"] == 2603
