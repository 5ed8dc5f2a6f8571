from __future__ import annotations

from pathlib import Path

import pytest

from cim.errors import InvalidData
from ingest.statement import beside, parse


def test_three_ways_of_the_command_line() -> None:
    assert parse("116.1,39.05", "--place").degrees == (116.1, 39.05)
    turned = parse(" 116.10, 39.05, 12.5 ", "--place")
    assert (turned.angle, turned.resolution) == (12.5, 0.005)
    assert parse("340123002004GB00011F00010000", "--place").building == "340123002004GB00011F00010000"


def test_file_beside_the_model(tmp_path: Path) -> None:
    assert beside(tmp_path / "house.ifc") is None
    (tmp_path / "house.place").write_text("longitude = 116.1\nlatitude = 39\naccuracy = 0.1\n", encoding="utf-8")
    name, text = beside(tmp_path / "house.ifc") or ("", "")
    assert name == "house.place"
    said = parse(text, name)
    assert (said.degrees, said.accuracy, said.resolution) == ((116.1, 39), 0.1, None)


@pytest.mark.parametrize("text", ["", " ", "116,", "39;116,", "200,39", "116,91", "a,b", "1,2,3,4", "nan,39"])
def test_what_is_no_place_on_the_command_line(text: str) -> None:
    with pytest.raises(InvalidData, match="--place"):
        parse(text, "--place")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("longitude = 116.1", "names one of"),
        ("longitude = 116.1\nlatitude = 39\nlattitude = 1", "lattitude"),
        ("longitude = 216.1\nlatitude = 39", "longitude is 216.1"),
        ("longitude = '116.1'\nlatitude = 39", "longitude is '116.1'"),
        ("longitude = nan\nlatitude = 39", "longitude is nan"),
        ("crs = 4548\neastings = 1\nnorthings = 2", "crs is 4548"),
        ("crs = 'EPSG:4548'\npoints = [{model = [0, 0], map = [1, 2]}]", "two different"),
        (
            "crs = 'EPSG:4548'\npoints = [{model = [0, 0], map = [1, 2]}, {model = [0, 0], map = [3, 2]}]",
            "two different",
        ),
        ("crs = 'EPSG:4548'\npoints = [{model = [0], map = [1, 2]}, {model = [0, 0], map = [3, 2]}]", "two different"),
        ("crs = EPSG:4548", "no TOML"),
    ],
)
def test_placement_file_that_is_none(text: str, reason: str) -> None:
    with pytest.raises(InvalidData, match=rf"^h\.place.*{reason}"):
        parse(text, "h.place")
