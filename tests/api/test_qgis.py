"""QGIS without a window opens a collection, asks for a box, filters by an expression, and edits where it can."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from cim.city import City
from cim.codes.provisional import mint_many
from cim.settings import Settings

PYTHON = "/usr/bin/python3"  # QGIS belongs to Debian's own
READ = """
import json, sys
from qgis.core import QgsApplication, QgsFeatureRequest, QgsRectangle, QgsVectorLayer
QgsApplication.setPrefixPath("/usr", True)
application = QgsApplication([], False)
application.initQgis()
source = f"url='{sys.argv[1]}' typename='building' restrictToRequestBBOX='1' pageSize='1000' pagingEnabled='true'"
layer = QgsVectorLayer(source, "building", "OAPIF")
box = QgsFeatureRequest(QgsRectangle(*json.loads(sys.argv[2])))
tall = QgsFeatureRequest().setFilterExpression("\\"height\\" > 260")
read = lambda request: sorted(feature["code"] for feature in layer.getFeatures(request))
print(json.dumps({
    "valid": layer.isValid(), "error": layer.error().message(),
    "fields": {field.name(): field.typeName() for field in layer.fields()},
    "box": read(box), "tall": read(tall), "all": len({feature["code"] for feature in layer.getFeatures()}),
}))
"""


EDIT = """
import json, sys
from qgis.core import Qgis, QgsApplication, QgsVectorLayer
QgsApplication.setPrefixPath("/usr", True)
application = QgsApplication([], False)
application.initQgis()
layer = QgsVectorLayer(f"url='{sys.argv[1]}' typename='building'", "building", "OAPIF")
can = layer.startEditing()
if can:
    feature = next(layer.getFeatures())
    layer.changeAttributeValue(feature.id(), layer.fields().indexOf("name"), "Renamed")
print(json.dumps({"version": Qgis.QGIS_VERSION_INT, "can": can, "done": can and layer.commitChanges()}))
"""
# QGIS writes by OGC API Features from 3.32 on (https://github.com/qgis/QGIS/pull/52504).
WRITES = 33200


@pytest.fixture(scope="module")
def qgis(tmp_path_factory: pytest.TempPathFactory, absent: Callable[[str], None]) -> Callable[..., dict[str, Any]]:
    """Run a program by QGIS's Python, and answer with the JSON it prints last."""
    there = (
        Path(PYTHON).exists()
        and not subprocess.run([PYTHON, "-c", "import qgis.core"], capture_output=True, check=False).returncode
    )
    if not there:
        absent("python3-qgis")
    home = tmp_path_factory.mktemp("qgis")
    environment = {"PATH": os.defpath, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "QT_QPA_PLATFORM": "offscreen"}

    def run(program: str, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [PYTHON, "-c", program, *arguments],
            env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found

    return run


@pytest.fixture(scope="module")
def opened(base: str, http: httpx.Client, qgis: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What QGIS says of the buildings."""
    # Building 3 is at 500,060 E, 4,318,000 N; its neighbours are 20 m away.
    ring = http.get("/collections/building/items/building-00003").json()["geometry"]["coordinates"][0][0]
    west, south = (min(point[axis] for point in ring) for axis in (0, 1))
    east, north = (max(point[axis] for point in ring) for axis in (0, 1))
    return qgis(READ, base, json.dumps([west, south, east, north]))


def test_it_is_a_valid_layer(opened: dict[str, Any]) -> None:
    assert (opened["valid"], opened["error"]) == (True, "")
    assert {"code", "name", "height", "year_built"} <= opened["fields"].keys()
    assert opened["all"] == 2603


def test_a_box_and_an_expression(opened: dict[str, Any]) -> None:
    # What has no geometry meets every box: every tenth building, which QGIS then leaves out of its own box.
    assert [code for code in opened["box"] if int(code[-5:]) % 10] == ["building-00003"]
    assert opened["tall"] == ["building-02601", "building-02602"]


@pytest.fixture(scope="module")
def writable(
    clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any
) -> Iterator[httpx.Client]:
    """A city of one building that takes writes."""
    settings = Settings(home=tmp_path_factory.mktemp("writable"), database_url=clone(), api_write="yes")
    with City(settings) as city:
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("building")), [{"code": FIRST, "name": "As it was"}])
        city.sequence()
        with serving(settings, city) as address, httpx.Client(base_url=address, timeout=300) as client:
            yield client


ITEMS = "/collections/building/items"
FIRST, SECOND = mint_many("building", "qgis", ["1", "2"])


def test_it_edits_where_its_version_can(writable: httpx.Client, qgis: Callable[..., dict[str, Any]]) -> None:
    edited = qgis(EDIT, str(writable.base_url).rstrip("/"))
    assert edited["can"] is edited["done"] is (edited["version"] >= WRITES)
    name = writable.get(f"{ITEMS}/{FIRST}").json()["properties"]["name"]
    assert name == ("Renamed" if edited["can"] else "As it was")


def test_what_a_newer_one_sends_to_edit_is_taken(writable: httpx.Client) -> None:
    """Request by request as QgsOapifProvider has it: no id in what it creates, no If-Match, the storage CRS."""
    crs = {"Content-Crs": "<http://www.opengis.net/def/crs/EPSG/0/4548>"}
    whole, part = {"Content-Type": "application/geo+json", **crs}, {"Content-Type": "application/merge-patch+json"}
    corners = [[4318000, 500000], [4318000, 500010], [4318010, 500010], [4318000, 500000]]
    shape = {"type": "MultiPolygon", "coordinates": [[corners]]}
    item, properties = f"{ITEMS}/{SECOND}", {"code": SECOND, "name": "Drawn", "height": None, "year_built": 1978}
    feature = {"type": "Feature", "geometry": shape, "properties": properties}
    assert "POST" in writable.options(ITEMS).headers["allow"]
    made = writable.post(ITEMS, json=feature, headers=whole)
    assert (made.status_code, made.headers["location"].endswith(item)) == (201, True)
    assert {"PUT", "PATCH", "DELETE"} <= set(writable.options(item).headers["allow"].split(", "))
    assert writable.patch(item, json={"properties": {"name": "Named"}}, headers=part).status_code == 204
    assert writable.patch(item, json={"geometry": shape}, headers={**part, **crs}).status_code == 204
    assert writable.get(item).json()["properties"]["name"] == "Named"
    assert writable.put(item, json={**feature, "id": SECOND}, headers=whole).status_code == 204
    assert writable.get(item).json()["properties"]["name"] == "Drawn"
    assert writable.delete(item).status_code == 204
