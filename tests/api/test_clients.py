"""Other people's clients on a city of 5,003 buildings: what they read, and what they ask of the server for it."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import sqlalchemy as sa
from owslib.ogcapi.features import Features
from owslib.ogcapi.processes import Processes

from api.logs import REQUESTS
from cim.city import City
from cim.settings import Settings

BUILDINGS = 5_003
# On a grid of 20 m, a hundred to a row; building n is n / 10 m high.
SEED = """
INSERT INTO city.building (code, name, height, geom)
SELECT 'b-' || lpad(n::text, 5, '0'), 'House ' || n, n / 10.0,
       ST_Multi(ST_MakeEnvelope(500000 + n % 100 * 20, 4318000 + n / 100 * 20,
                                500010 + n % 100 * 20, 4318010 + n / 100 * 20, 4548))
FROM generate_series(0, 5002) n
"""


@pytest.fixture(scope="module")
def large(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any) -> Iterator[str]:
    """Address of the city."""
    settings = Settings(home=tmp_path_factory.mktemp("clients"), database_url=clone(), api_write="yes")
    with City(settings) as city:
        with city.database.engine.begin() as connection:
            connection.execute(sa.text(SEED))
        city.sequence()
        with serving(settings, city) as address:
            yield address


@contextmanager
def requests() -> Iterator[list[dict[str, Any]]]:
    """Collect what the server's own log says of the requests within."""
    found: list[dict[str, Any]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.__dict__["fields"])

    log, handler = logging.getLogger(REQUESTS), Collect()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield found
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


def items(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The queries of the requests for features."""
    paths = [one for one in found if one["path"] == "/collections/building/items"]
    return [{name: values[0] for name, values in parse_qs(one["query"]).items()} for one in paths]


READ = """
import ast, json, sys
import pyogrio
address, asked = ast.literal_eval(sys.argv[1])
print(json.dumps(sorted(pyogrio.read_dataframe(address, layer="building", **asked)["code"])))
"""


def wheel(base: str, **asked: Any) -> list[str]:
    """Read with the GDAL of the pyogrio wheel, which holds the interpreter while it waits: in a process of its own."""
    command = [sys.executable, "-c", READ, repr((f"OAPIF:{base}", asked))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_gdal_of_the_wheel_reads_all_and_asks_with_its_filters(large: str) -> None:
    with requests() as found:
        assert len(set(wheel(large))) == BUILDINGS
    assert len([query for query in items(found) if query.get("resultType") != "hits"]) <= 8
    with requests() as found:
        codes = wheel(large, where="height > 499.95", bbox=(500_000, 4_318_900, 501_000, 4_319_100))
    assert codes == ["b-05000", "b-05001", "b-05002"]
    (query,) = [query for query in items(found) if "filter" in query]
    assert query["filter-lang"] == "cql-text"
    assert "height" in query["filter"]
    assert {"bbox", "bbox-crs"} <= query.keys()
    with requests() as found:
        assert wheel(large, where="name = 'House 17'") == ["b-00017"]
    # Older ones as the property's own parameter, newer ones as a filter.
    assert [query for query in items(found) if "House 17" in (query.get("name") or query.get("filter", ""))]


def test_gdal_of_debian_reads_all_and_asks_with_its_box(
    large: str, tmp_path: Path, absent: Callable[[str], None]
) -> None:
    ogr2ogr = shutil.which("ogr2ogr")
    if ogr2ogr is None:
        absent("gdal-bin")

    def read(name: str, *options: str) -> list[str]:
        target = tmp_path / name
        command = [ogr2ogr, "-f", "GeoJSON", str(target), f"OAPIF:{large}", "building", "-oo", "PAGE_SIZE=1000"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stderr.strip()) == (0, "")
        return [feature["properties"]["code"] for feature in json.loads(target.read_text())["features"]]

    assert len(set(read("all.json"))) == BUILDINGS
    with requests() as found:
        few = read("few.json", "-spat", "117.0", "38.99", "117.0005", "38.9916", "-where", "name = 'House 2'")
    assert few in ([], ["b-00002"])
    asked = items(found)
    asked = [query for query in asked if "bbox" in query]
    assert [query for query in asked if "House 2" in (query.get("name") or query.get("filter", ""))], asked


def test_owslib_reads_features(large: str) -> None:
    client = Features(large)
    assert "building" in client.feature_collections()
    assert client.conformance()["conformsTo"]
    assert client.api()["openapi"].startswith("3.0")
    page = client.collection_items("building", limit=1000)
    assert len(page["features"]) == page["numberReturned"] == 1000
    boxed = client.collection_items("building", bbox=[117.0, 38.9, 117.0001, 39.1], limit=1000)
    assert 0 < boxed["numberReturned"] <= 51
    tall = client.collection_items("building", filter="height > 500.05", limit=10)
    assert [feature["id"] for feature in tall["features"]] == ["b-05001", "b-05002"]
    assert client.collection_item("building", "b-00017")["properties"]["name"] == "House 17"
    assert client.collection_queryables("building")["properties"]["height"]["type"] == "number"
    assert client.collection_schema("building")["properties"]["code"]["x-ogc-role"] == "id"


def test_owslib_writes_features(large: str) -> None:
    client = Features(large)
    feature = client.collection_item("building", "b-00018")
    feature["properties"]["name"] = "Hall"
    del feature["links"]
    assert client.collection_item_update("building", "b-00018", json.dumps(feature))
    assert client.collection_item("building", "b-00018")["properties"]["name"] == "Hall"


def test_owslib_runs_processes(large: str) -> None:
    client = Processes(large)
    assert "district-inventory" in [process["id"] for process in client.processes()]
    described = client.process("district-inventory")
    assert "scope" in described["inputs"]


# Every kind of operation by the limits, types and media types that its description gives, and beyond them. What is the
# same for all collections is tried on three: with polygons, with lines, and without geometry but with private fields.
SCHEMATHESIS = (
    "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
    "--phases", "coverage",
    "--exclude-path-regex", "^/collections/(?!building|road|unit)[a-z_]+/.+",
    "--generation-deterministic",
    "--no-shrink",
    "--max-time", "120",
    "--request-timeout", "100",
    "--suppress-health-check", "all",
    "--warnings", "off",
    "--no-color",
)  # fmt: skip


@pytest.mark.slow
def test_schemathesis_finds_no_answer_that_is_not_described(large: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [program, "run", f"{large}/api", "--url", large, *SCHEMATHESIS],
        capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    counted = re.search(r"Selected: (\d+)/\d+\s+Tested: (\d+)", done.stdout)
    assert counted is not None, done.stdout[-2000:]
    assert counted[1] == counted[2]
    assert int(counted[1]) > 80
