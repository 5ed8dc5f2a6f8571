"""QGIS without a window opens a collection, asks for a box, and filters by an expression."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

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


@pytest.fixture(scope="module")
def opened(
    base: str, http: httpx.Client, tmp_path_factory: pytest.TempPathFactory, absent: Callable[[str], None]
) -> dict[str, Any]:
    """What QGIS says of the buildings."""
    there = (
        Path(PYTHON).exists()
        and not subprocess.run([PYTHON, "-c", "import qgis.core"], capture_output=True, check=False).returncode
    )
    if not there:
        absent("python3-qgis")
    # Building 3 is at 500,060 E, 4,318,000 N; its neighbours are 20 m away.
    ring = http.get("/collections/building/items/building-00003").json()["geometry"]["coordinates"][0][0]
    west, south = (min(point[axis] for point in ring) for axis in (0, 1))
    east, north = (max(point[axis] for point in ring) for axis in (0, 1))
    home = tmp_path_factory.mktemp("qgis")
    done = subprocess.run(
        [PYTHON, "-c", READ, base, json.dumps([west, south, east, north])],
        env={"PATH": os.defpath, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_it_is_a_valid_layer(opened: dict[str, Any]) -> None:
    assert (opened["valid"], opened["error"]) == (True, "")
    assert {"code", "name", "height", "year_built"} <= opened["fields"].keys()
    assert opened["all"] == 2603


def test_a_box_and_an_expression(opened: dict[str, Any]) -> None:
    # What has no geometry meets every box: every tenth building, which QGIS then leaves out of its own box.
    assert [code for code in opened["box"] if int(code[-5:]) % 10] == ["building-00003"]
    assert opened["tall"] == ["building-02601", "building-02602"]
