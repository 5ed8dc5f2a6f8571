"""What features say beside their properties, or twice: GDAL leaves it out and says nothing, so the report does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ingest.formats import ReadOptions, format_of

WAY_OUT = "; write them into 'properties' under names of their own"


def said(path: Path, features: list[str]) -> list[str]:
    whole = f'{{"type": "FeatureCollection", "features": [{", ".join(features)}]}}'
    path.write_text(whole if path.suffix == ".geojson" else "\n".join(features), encoding="utf-8")
    (layer,) = format_of(path).read(path, ReadOptions())
    layer.table()
    return layer.warnings


def feature(own: str, *beside: str) -> str:
    point = '"geometry": {"type": "Point", "coordinates": [116, 39]}'
    members = ", ".join([*beside, '"type": "Feature"', f'"properties": {own}', point])
    return f"{{{members}}}"


@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([feature('{"a": 1}'), feature('{"a": "}, {"}'), feature('{"a": {"b": "\\"a\\": 1"}}')], None),
        (
            [feature('{"a": 1}', '"when": {"day": "2020"}', '"code": "x"'), feature('{"a": 1}', '"code": "y"')],
            "members of features beside 'properties' are not kept: 'code' of 2, 'when' of 1",
        ),
        (
            [feature('{"id": "p"}', '"id": "q"'), feature('{"id": "r"}', '"id": "r"')],
            "members of features beside 'properties' are not kept: 'id' of 1",
        ),
        (
            [feature('{"a": 1}', '"id": 7'), feature('{"a": 1}', '"id": 9')],
            "numbers as 'id' of features are taken for those of rows, and not kept: 2",
        ),
        ([feature('{"a": 1}', '"id": 7'), feature('{"a": 1}', '"id": "b"')], None),  # kept as text
        (
            [feature('{"a": 1, "b": 1, "a": 2}'), feature('{"b": {"c": 1, "c": 2}}'), feature('{"a": 1, "b": 2}')],
            "of members that come twice in an object the last is kept: 'a' of 1, 'c' of 1",
        ),
    ],
)
def test_what_is_left_out_of_features_is_told(
    tmp_path: Path, features: list[str], expected: str | None, suffix: str
) -> None:
    assert said(tmp_path / f"a{suffix}", features) == ([] if expected is None else [expected + WAY_OUT])


def test_features_are_looked_at_across_the_parts_that_a_file_is_read_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.formats._members._CHUNK", 60)
    features = [feature(json.dumps({"a": "x" * n}), *(['"code": 1'] if n % 2 else [])) for n in range(50)]
    expected = "members of features beside 'properties' are not kept: 'code' of 25"
    assert said(tmp_path / "a.geojson", features) == [expected + WAY_OUT]


def test_half_a_character_is_told(tmp_path: Path) -> None:
    told = "text of 'a' holds U+FFFD, which stands for a character that was lost: look at its source"
    assert said(tmp_path / "a.geojson", [feature('{"a": "x\\ud83dy", "b": "\\ud83d\\ude00"}')]) == [told]
