"""A city's own component classes are one file, and everything that judges or shows a class knows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import geopandas as gpd
import httpx
import pytest
import sqlalchemy as sa
from shapely import Point
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.db.identifiers import Identifier
from cim.errors import Conflict, InvalidCode
from cim.settings import Settings
from ingest.pipeline import Options, ingest

COVER, LIFT, STATION = "3205080101000001", "3205082133000001", "3205082124000001"
CLASSES: dict[str, Any] = {
    "extends": "component_class",
    "source": "this test, after the classes of Shenzhen",
    "confidence": "likely",
    "values": [
        {"value": "2133", "title": "Lift", "title-zh": "电梯"},
        {"value": "2124", "title": "Petrol station", "title-zh": "加油站", "confidence": "unsure"},
    ],
}


class Serve(Protocol):
    def __call__(self, settings: Settings, city: City | None = None) -> AbstractContextManager[str]: ...


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    folder = tmp_path / "dictionary"
    (folder / "codelists").mkdir(parents=True)
    (folder / "codelists" / "component_class.json").write_text(json.dumps(CLASSES), encoding="utf-8")
    return replace(settings, dictionary=folder)


@pytest.fixture
def city(own: Settings) -> Iterator[City]:
    with City(own) as city:
        yield city


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """Three components: one of a published class, two of classes that are the city's own."""
    frame = gpd.GeoDataFrame(
        {"code": [COVER, LIFT, STATION], "class_code": ["0101", "2133", "2124"]},
        geometry=[Point(500000 + 10 * n, 4318000) for n in range(3)],
        crs=4548,
    )
    path = tmp_path / "component.gpkg"
    frame.to_file(path, layer="component", engine="pyogrio")
    return path


def schema_versions(city: City) -> list[int]:
    """Return the leaves of the log that say which dictionary is in force."""
    city.sequence()
    query = "SELECT l.idx FROM cim.leaf l JOIN cim.revision r ON r.id = l.revision_id WHERE r.type = 'schema'"
    with city.database.engine.connect() as connection:
        return list(connection.execute(sa.text(query + " ORDER BY 1")).scalars())


def counted(city: City, path: Path) -> tuple[int, int, int, int]:
    (file,) = ingest(city.database, [path], Options()).files
    (counts,) = file.layers
    return counts.read, counts.inserted, counts.unchanged, counts.rejected


def test_a_file_with_classes_of_the_city_is_taken_once_they_are_in_its_dictionary(
    settings: Settings, own: Settings, layer: Path
) -> None:
    with City(settings) as before:
        assert counted(before, layer) == (3, 1, 0, 2)
        versions = schema_versions(before)
    with City(own) as after:
        # The list in force is part of the dictionary, whose changes the log has.
        assert len(schema_versions(after)) == len(versions) + 1
        assert counted(after, layer) == (3, 2, 1, 0)
        assert sorted(after.features("component")["class_code"]) == ["0101", "2124", "2133"]
    # What objects have is not taken from the list any more.
    with pytest.raises(Conflict, match="component_class_code_valid"), City(settings):
        pass


def test_every_door_judges_by_the_classes_of_the_city(city: City) -> None:
    assert city.mint("cn-component16", "3205082133", 2) == [LIFT, "3205082133000002"]
    with pytest.raises(InvalidCode, match="main class 21 has no sub-class 34"):
        city.mint("cn-component16", "3205082134")
    frame = gpd.GeoDataFrame({"class_code": ["2133"]}, geometry=[Point(500000, 4318000)], index=[LIFT], crs=4548)
    city.write("component", frame)
    (found,) = city.resolve("320508 2133 000001")
    assert (found.type, found.code) == ("component", LIFT)
    city.identify([Identifier("cn-component16", "320508 2124 000001", "component", LIFT)])
    assert STATION in [row.value for row in city.resolve(LIFT)[0].identifiers]
    # The database itself holds the list, whoever writes.
    with city.database.engine.begin() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.execute(sa.text("UPDATE city.component SET class_code = '2134'"))


def test_the_api_knows_the_classes_of_the_city(city: City, layer: Path, serving: Serve) -> None:
    counted(city, layer)
    city.sequence()
    with serving(city.settings, city) as url, httpx.Client(base_url=url, trust_env=False) as client:
        (one,) = client.get(f"/codes/cn-component16/{LIFT}").json()["objects"]
        assert (one["type"], one["code"]) == ("component", LIFT)
        refused = client.get("/codes/cn-component16/3205082134000001")
        assert refused.status_code == 400
        assert "main class 21 has no sub-class 34" in refused.json()["detail"]
        queryable = client.get("/collections/component/queryables").json()["properties"]["class_code"]
        assert {"0101", "2133", "2124"} <= set(queryable["enum"])
        values = {v["value"]: v for v in client.get("/codelists/component_class").json()["values"]}
        assert (values["2133"]["title"], values["2133"]["confidence"]) == ("Lift", "likely")
        assert values["2133"]["source"] == CLASSES["source"]
        assert values["2124"]["confidence"] == "unsure"
        assert "source" not in values["0101"]  # it is of the list's own
        page = client.get("/collections/component/items", params={"class_code": "2133"}).json()
        assert [feature["id"] for feature in page["features"]] == [LIFT]


def test_the_command_line_checks_codes_by_the_classes_of_the_city(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIM_HOME", str(own.home))
    command = ["codes", "check", "cn-component16", LIFT, "--json"]
    refused = CliRunner().invoke(build(), command)
    assert isinstance(refused.exception, InvalidCode)
    assert "no main class 21; one of the city's own is to be in its component_class" in str(refused.exception)
    monkeypatch.setenv("CIM_DICTIONARY", str(own.dictionary))
    taken = CliRunner().invoke(build(), command)
    assert json.loads(taken.stdout)["segments"]["main class"] == "21"
