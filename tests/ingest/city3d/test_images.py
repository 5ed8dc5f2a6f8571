"""Images of textures are kept where a zip brings them with the model, and nothing else is read for them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cim.bodies import read_body
from cim.db.engine import Database
from cim.errors import NotFound
from ingest import Options, ingest
from sample_data._city3d import EAST, NORTH

PNG = b"\x89PNG\r\n\x1a\n" + b"a wall"
JPEG = b"\xff\xd8\xff\xe0" + b"a roof"
CORNERS = [[0, 0, 0], [10_000, 0, 0], [10_000, 10_000, 0], [0, 10_000, 0]]


def model(*images: Any, by_lines: bool = False) -> str:
    """A building whose ground shows each image once."""
    count = len(images)
    surfaces = {
        "type": "MultiSurface",
        "lod": "2",
        "boundaries": [[[0, 1, 2, 3]]] * count,
        "texture": {"t": {"values": [[[n, 0, 1, 2, 3]] for n in range(count)]}},
    }
    objects = {"a": {"type": "Building", "geometry": [surfaces]}}
    looks = {
        "textures": [{"type": "PNG", "image": image} for image in images],
        "vertices-texture": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
    }
    head = {
        "type": "CityJSON",
        "version": "2.0",
        "transform": {"scale": [0.001] * 3, "translate": [EAST, NORTH, 0]},
        "metadata": {"referenceSystem": "https://www.opengis.net/def/crs/EPSG/0/4548"},
    }
    if not by_lines:
        return json.dumps({**head, "CityObjects": objects, "vertices": CORNERS, "appearance": looks})
    feature = {"type": "CityJSONFeature", "id": "a", "CityObjects": objects, "vertices": CORNERS, "appearance": looks}
    return json.dumps({**head, "CityObjects": {}, "vertices": []}) + "\n" + json.dumps(feature)


def packed(path: Path, members: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def images_of(database: Database) -> list[str]:
    table = database.table("building")
    with database.engine.connect() as connection:
        (body,) = connection.execute(sa.select(table.c.body_file)).scalars()
    feature = json.loads(read_body(database.settings.files_dir, body).content.splitlines()[1])
    return [texture["image"] for texture in feature["appearance"]["textures"]]


def warnings_of(database: Database, path: Path) -> list[str]:
    report = ingest(database, [path], Options(force=True))
    report.raise_refused()
    return [w for w in report.files[0].layers[0].warnings if "textures" in w]


@pytest.mark.parametrize("by_lines", [False, True])
def test_images_of_one_zip_are_kept_and_named_by_their_digests(
    by_lines: bool, database: Database, tmp_path: Path
) -> None:
    text = model("../looks/wall.png", "roof.jpg", "../looks/wall.png", by_lines=by_lines)
    name = "town/a.city.jsonl" if by_lines else "town/a.city.json"
    path = packed(tmp_path / "town.zip", {name: text, "looks/wall.png": PNG, "town/roof.jpg": JPEG})
    assert warnings_of(database, path) == []
    wall, roof = (hashlib.sha256(image).hexdigest() for image in (PNG, JPEG))
    assert images_of(database) == [wall, roof, wall]
    kept = [read_body(database.settings.files_dir, digest) for digest in (wall, roof)]
    assert [(one.content, one.kind.media_type) for one in kept] == [(PNG, "image/png"), (JPEG, "image/jpeg")]


def test_another_image_under_the_same_name_is_another_body(database: Database, tmp_path: Path) -> None:
    for content in (PNG, PNG + b" painted anew"):
        packed(tmp_path / "town.zip", {"a.city.json": model("wall.png"), "wall.png": content})
        assert warnings_of(database, tmp_path / "town.zip") == []
        assert images_of(database) == [hashlib.sha256(content).hexdigest()]


def test_nothing_outside_the_zip_is_read_and_what_is_no_image_is_not_kept(database: Database, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNG)
    names = [str(secret), "../secret.png", "../../secret.png", "http://example.org/a.png", "text.png", "", "a\0b", "."]
    path = packed(tmp_path / "town.zip", {"a.city.json": model(*names), "text.png": b"not an image"})
    (said,) = warnings_of(database, path)
    assert said.startswith("1 with textures whose images are named")
    assert images_of(database) == names
    with pytest.raises(NotFound):
        read_body(database.settings.files_dir, hashlib.sha256(PNG).hexdigest())


def test_beside_a_file_alone_no_image_is_read(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.city.json"
    path.write_text(model("wall.png"), encoding="utf-8")
    (tmp_path / "wall.png").write_bytes(PNG)
    assert len(warnings_of(database, path)) == 1
    assert images_of(database) == ["wall.png"]


@pytest.mark.parametrize("image", [None, 7, {"a": 1}])
def test_an_image_that_is_no_name_is_left_as_it_is(image: Any, database: Database, tmp_path: Path) -> None:
    path = packed(tmp_path / "town.zip", {"a.city.json": model(image)})
    assert len(warnings_of(database, path)) == 1
    assert images_of(database) == [image]
