"""Instances of templates, materials and textures of CityJSON, checked by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, SupportsIndex

import pytest
import shapely

from cim.db.engine import Database
from ingest import ingest
from ingest.city3d import keep
from ingest.city3d.feature import Feature
from ingest.formats import Layer, ReadOptions, format_of
from sample_data._city3d import EAST, NORTH

# Two metres along, one across, turned a quarter to the left about its corner and lifted by half a metre.
TEMPLATE = {
    "type": "MultiSurface",
    "lod": "2",
    "boundaries": [[[0, 1, 2, 3]]],
    "semantics": {"surfaces": [{"type": "GroundSurface"}], "values": [0]},
}
CORNERS = [[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]]
TURN = [0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0.5, 0, 0, 0, 1]
TEMPLATES = {"templates": [{"type": "Solid", "lod": "1", "boundaries": []}, TEMPLATE], "vertices-templates": CORNERS}
PLACE = [[7, 7, 7], [10_000, 20_000, 3_000]]
INSTANCE = {"type": "GeometryInstance", "template": 1, "boundaries": [1], "transformationMatrix": TURN}
# By hand: a corner (x, y, 0) comes to (10 - y, 20 + x, 3.5).
TURNED = [[10_000, 20_000, 3_500], [10_000, 22_000, 3_500], [9_000, 22_000, 3_500], [9_000, 20_000, 3_500]]


def header(**members: Any) -> dict[str, Any]:
    return {
        "type": "CityJSON",
        "version": "2.0",
        "transform": {"scale": [0.001] * 3, "translate": [EAST, NORTH, 0]},
        "metadata": {"referenceSystem": "https://www.opengis.net/def/crs/EPSG/0/4548"},
        "CityObjects": {},
        "vertices": [],
        **members,
    }


def building(*geometry: Any) -> dict[str, Any]:
    return {"type": "Building", "geometry": list(geometry)}


def read(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any], Layer]:
    """Return the records of a file, the features that were kept, and the layer."""
    files: dict[str, Any] = {}

    def take(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        files[digest] = json.loads(data.splitlines()[1])
        return digest

    (layer,) = format_of(path).read(path, ReadOptions(keep=take))
    records = {record["source_global_id"]: record for record in layer.table().to_pylist()}
    return records, {name: files.get(record["body_file"]) for name, record in records.items()}, layer


def whole(path: Path, objects: Any, vertices: Any, **members: Any) -> Path:
    path.write_text(json.dumps(header(CityObjects=objects, vertices=vertices, **members)), encoding="utf-8")
    return path


def by_lines(path: Path, objects: Any, vertices: Any, **members: Any) -> Path:
    features = [
        {"type": "CityJSONFeature", "id": name, "CityObjects": {name: one}, "vertices": vertices}
        for name, one in objects.items()
    ]
    path.write_text("\n".join(json.dumps(line) for line in (header(**members), *features)), encoding="utf-8")
    return path


@pytest.mark.parametrize("write", [whole, by_lines])
def test_an_instance_is_its_template_at_its_place(tmp_path: Path, write: Any) -> None:
    suffix = ".city.json" if write is whole else ".city.jsonl"
    objects = {name: building(INSTANCE) for name in ("a", "b")}
    records, bodies, _ = read(write(tmp_path / f"one{suffix}", objects, PLACE, **{"geometry-templates": TEMPLATES}))
    plain = {name: building({**TEMPLATE}) for name in ("a", "b")}
    expected, explicit, _ = read(write(tmp_path / f"two{suffix}", plain, TURNED))
    for name in ("a", "b"):
        assert shapely.from_wkb(records[name]["geom"]).equals(shapely.box(EAST + 9, NORTH + 20, EAST + 10, NORTH + 22))
        assert records[name]["ground_elevation"] == 3.5
        assert records[name]["lod_max"] == "2"
        assert bodies[name] == explicit[name]
        assert records[name]["body_file"] == expected[name]["body_file"]


@pytest.mark.parametrize(
    "change",
    [
        {"template": 2},
        {"template": -1},
        {"template": None},
        {"boundaries": [2]},
        {"boundaries": []},
        {"transformationMatrix": [1, 2]},
        {"transformationMatrix": ["x"] * 16},
    ],
)
def test_an_instance_without_sense_is_rejected(database: Database, tmp_path: Path, change: dict[str, Any]) -> None:
    objects = {"a": building(INSTANCE | change), "b": building(INSTANCE)}
    path = whole(tmp_path / "bad.city.json", objects, PLACE, **{"geometry-templates": TEMPLATES})
    report = ingest(database, [path])
    (layer,) = report.files[0].layers
    assert (layer.read, layer.inserted, layer.rejected) == (2, 1, 1)
    assert [w for w in layer.warnings if "'a' has a geometry that makes no sense" in w]


APPEARANCE = {
    "materials": [{"name": "unused"}, {"name": "brick"}, {"name": "slate", "diffuseColor": [0.1, 0.1, 0.2]}],
    "textures": [{"type": "PNG", "image": "looks/none.png"}, {"type": "PNG", "image": "looks/wall.png"}],
    "vertices-texture": [[0.0, 0.0], [1.0, 0.0], [0.5, 0.5], [1.0, 1.0], [0.0, 1.0]],
    "default-theme-material": "summer",
}
VERTICES = [[0, 0, 0], [10_000, 0, 0], [10_000, 10_000, 0], [0, 10_000, 0], [0, 0, 5_000], [10_000, 0, 5_000]]
LOOKS = {
    "type": "MultiSurface",
    "lod": "2",
    "boundaries": [[[0, 1, 2, 3]], [[0, 1, 5, 4]]],
    "material": {"winter": {"value": 2}, "summer": {"values": [None, 1]}},
    "texture": {"summer": {"values": [[[None]], [[1, 0, 1, 3, 4]]]}},
}


@pytest.mark.parametrize("write", [whole, by_lines])
def test_materials_and_textures_are_kept_with_the_body_as_far_as_it_uses_them(tmp_path: Path, write: Any) -> None:
    suffix = ".city.json" if write is whole else ".city.jsonl"
    bare = {k: v for k, v in LOOKS.items() if k not in ("material", "texture")}
    objects = {"painted": building(LOOKS), "plain": building(bare)}
    _, bodies, layer = read(write(tmp_path / f"a{suffix}", objects, VERTICES, appearance=APPEARANCE))
    # By hand: themes by name, so brick comes first; the second corner of the image is not used, nor its first list.
    assert bodies["painted"]["appearance"] == {
        "materials": [{"name": "brick"}, {"name": "slate", "diffuseColor": [0.1, 0.1, 0.2]}],
        "textures": [{"type": "PNG", "image": "looks/wall.png"}],
        "vertices-texture": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
        "default-theme-material": "summer",
    }
    (geometry,) = bodies["painted"]["CityObjects"]["painted"]["geometry"]
    assert geometry["material"] == {"summer": {"values": [None, 0]}, "winter": {"value": 1}}
    assert geometry["texture"] == {"summer": {"values": [[[None]], [[0, 0, 1, 2, 3]]]}}
    assert "appearance" not in bodies["plain"]
    assert "material" not in bodies["plain"]["CityObjects"]["plain"]["geometry"][0]
    said = [w for w in layer.warnings if "textures" in w]
    assert said == [
        "1 with textures whose images are named in the files of the bodies, and not kept: pack them, PNG or JPEG, in"
        " one zip with the model"
    ]


def test_looks_without_sense_are_left_out_and_said(tmp_path: Path) -> None:
    objects = {"a": building(LOOKS | {"material": {"winter": {"value": 3}}}), "b": building(LOOKS)}
    records, bodies, layer = read(whole(tmp_path / "a.city.json", objects, VERTICES, appearance=APPEARANCE))
    assert "appearance" not in bodies["a"]
    assert "material" not in bodies["a"]["CityObjects"]["a"]["geometry"][0]
    assert "appearance" in bodies["b"]
    assert records["a"]["geom"] is not None
    assert [w for w in layer.warnings if "left out" in w] == [
        "1 whose materials or textures make no sense: these are left out"
    ]


class Counted(list[list[int]]):
    """Vertices that count how many of them are taken."""

    taken = 0

    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        found = super().__getitem__(place)
        self.taken += len(found) if isinstance(place, slice) else 1
        return found

    def __iter__(self) -> Iterator[list[int]]:
        self.taken += len(self)
        return super().__iter__()


def test_a_document_takes_time_by_its_features_not_by_their_square() -> None:
    """Each feature of a document has the vertices of all: a hundred megabytes took hours."""
    vertices = Counted([n, n, n] for n in range(400))
    for n in range(100):
        ring = [4 * n + corner for corner in range(4)]
        shape = {"type": "MultiSurface", "lod": "1", "boundaries": [[ring]]}
        compacted = keep.compact(Feature("a", {"a": building(shape)}, vertices))
        assert compacted.vertices == [[m, m, m] for m in range(4 * n, 4 * n + 4)]
    assert vertices.taken == 400
