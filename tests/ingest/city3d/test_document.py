"""Whole documents of CityJSON are read piece by piece, and say what parsing them whole would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cim.errors import InvalidData
from ingest.city3d import document
from ingest.city3d.document import Document

NAMES = ["plain", 'quo"te', "back\\slash", "br{ack}[et]s", "\\", '\\"', "城 市", '"vertices":[', "} , {"]


def text_of(**members: Any) -> str:
    objects = {
        name: {"type": "Building", "attributes": {"said": name, "nested": [{"a": [[], {}]}]}, "children": [name]}
        for name in NAMES
    }
    whole = {
        "type": "CityJSON",
        "metadata": {"title": 'a "CityObjects":{ in a title, and \\', "list": [[1, [2]], {"vertices": []}]},
        "CityObjects": objects,
        "version": "2.0",
        "vertices": [[n, -n, 3 * n] for n in range(500)],
        "last": ["]"],
    }
    return json.dumps(whole | members, ensure_ascii=False)


def read(path: Path, text: str) -> Document:
    path.write_text(text, encoding="utf-8")
    return Document(path)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 1 << 21])
@pytest.mark.parametrize("indent", [None, 2])
def test_it_says_what_the_whole_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, indent: int | None
) -> None:
    monkeypatch.setattr(document, "_SLICE", size)
    whole = json.loads(text_of())
    found = read(tmp_path / "a.json", json.dumps(whole, ensure_ascii=False, indent=indent))
    objects, vertices = found.objects(), found.vertices()
    assert dict(objects) == whole["CityObjects"]
    assert list(objects) == NAMES
    assert isinstance(vertices, np.ndarray)
    assert vertices.tolist() == whole["vertices"]
    assert found.members == whole | {"CityObjects": None, "vertices": None}
    assert [objects.type_of(name) for name in ("plain", "none")] == ["Building", None]


@pytest.mark.parametrize(
    "vertices",
    [[], [[1, 2]], [[1, 2, "3"]], [[1, 2, None]], [[1, 2, 3], 4], [[[1], 2, 3]]],
)
def test_vertices_that_are_no_numbers_are_given_as_they_stand(tmp_path: Path, vertices: Any) -> None:
    assert read(tmp_path / "a.json", text_of(vertices=vertices)).vertices() == vertices


def test_large_and_fractional_vertices_stay_what_they_are(tmp_path: Path) -> None:
    given = [[2**40, 0, -1], [0.1, 2.5, 3]]
    for vertices in (given, given[:1]):
        found = read(tmp_path / "a.json", text_of(vertices=vertices)).vertices()
        assert isinstance(found, np.ndarray)
        assert found.tolist() == vertices


@pytest.mark.parametrize(
    "text",
    [
        text_of()[:-1],
        text_of()[:400],
        text_of() + "}",
        text_of().replace("[1, -1, 3], [2", "[1, -1, 3] [2"),
        text_of().replace("[1, -1, 3]", "[1, -1, 3}"),
        text_of().replace('"children": ["plain"]}, ', '"children": ["plain"]} '),
        text_of().replace('"children": ["plain"]}, ', '"children": ["plain"]}, , '),
        text_of().replace('"version"', "version"),
        text_of().replace(']], "last"', '],], "last"'),
        text_of().replace(']], "last"', '] x], "last"'),
        text_of(CityObjects=[{"type": "Building"}]),
        text_of(CityObjects={"a": 1}),
        text_of(CityObjects={"a": []}),
        text_of(CityObjects={"a": {}}),
        text_of(CityObjects=None),
        text_of(vertices=None),
        text_of(vertices={"a": [1, 2, 3]}),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(document, "_SLICE", 8)

    def everything() -> None:
        found = read(tmp_path / "a.json", text)
        assert list(found.objects().values())
        found.vertices()

    with pytest.raises(InvalidData, match=r"a\.json: "):
        everything()
