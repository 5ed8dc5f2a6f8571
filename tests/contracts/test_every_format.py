"""What every file format must do; a new one is held to it by being in `ingest/formats`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from cim.errors import InvalidData
from ingest.formats import Format, Layer, ReadOptions, format_of, formats
from ingest.formats._base import BATCH, FEATURE_ID, GEOMETRY, PARENT_SOURCE_ID, SOURCE_ID

ROOT = Path(__file__).resolve().parents[2]
FORMATS = list(formats().values())
each_format = pytest.mark.parametrize("one", FORMATS, ids=lambda f: f.name)
each_suffix = pytest.mark.parametrize("suffix", [s for f in FORMATS for s in f.suffixes])


@pytest.fixture(scope="module")
def sample() -> dict[str, list[Layer]]:
    """Layers of one sample per format, read once."""
    return {}


def sample_of(one: Format) -> Path:
    files = [p for folder in ("data", "formats") for p in sorted((ROOT / "sample_data" / folder).rglob("*"))]
    found = [p for p in files if p.name.lower().endswith(one.suffixes) and format_of(p) is one]
    assert found, f"format {one.name} has no sample: let sample_data/make.py write a file ending in {one.suffixes[0]}"
    return min(found, key=lambda p: p.stat().st_size)


def layers_of(one: Format, read: dict[str, list[Layer]]) -> list[Layer]:
    if one.name not in read:
        read[one.name] = list(one.read(sample_of(one), ReadOptions(srid=4548)))
    return read[one.name]


def test_there_are_the_formats_the_platform_promises() -> None:
    promised = "gpkg shp geojson geojsonseq fgb parquet gdb gml kml csv xlsx zip ifc cityjson cityjsonseq citygml"
    assert set(promised.split()) <= set(formats())


@each_format
def test_it_says_what_it_is(one: Format) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*", one.name)
    assert one.title
    assert re.search(r"https://\S+", one.spec), "the specification's address is missing"
    assert one.suffixes
    for suffix in (*one.suffixes, *one.sidecars):
        assert re.fullmatch(r"\.[a-z0-9.-]+", suffix)


def test_of_the_formats_that_share_a_suffix_all_but_one_know_theirs_by_content() -> None:
    for suffix in {suffix for one in FORMATS for suffix in one.suffixes}:
        sharing = [one for one in FORMATS if suffix in one.suffixes]
        plain = sharing if len(sharing) == 1 else [one for one in sharing if one.claims is None]
        assert len(plain) == 1, f"{suffix}: {', '.join(one.name for one in sharing)}"
        # A file that is not there has no content.
        assert format_of(Path(f"x{suffix.upper()}")) is plain[0]


@each_format
def test_its_sample_gives_layers_of_the_contract(one: Format, sample: dict[str, list[Layer]]) -> None:
    layers = layers_of(one, sample)
    assert layers
    for layer in layers:
        assert layer.table().num_rows > 0
        kinds = {field.name: field.type for field in layer.schema}
        assert layer.table().schema.equals(layer.schema)
        assert max(batch.num_rows for batch in layer.batches()) <= BATCH
        assert kinds[GEOMETRY] == pa.binary()
        assert kinds.get(SOURCE_ID, pa.string()) == pa.string()
        assert kinds.get(PARENT_SOURCE_ID, pa.string()) == pa.string()
        assert kinds.get(FEATURE_ID, pa.int64()) == pa.int64()
        assert len(set(layer.table().column_names)) == layer.table().num_columns
        shapes = [value for value in layer.table().column(GEOMETRY).to_pylist() if value is not None]
        assert all(shape[0] == 1 for shape in shapes), "WKB must be little endian"
        assert not shapes or layer.crs is not None
    assert len({layer.name for layer in layers}) == len(layers)


@each_format
def test_reading_twice_gives_the_same(one: Format, sample: dict[str, list[Layer]]) -> None:
    again = list(one.read(sample_of(one), ReadOptions(srid=4548)))
    for first, second in zip(layers_of(one, sample), again, strict=True):
        assert first.name == second.name
        assert first.table().equals(second.table())
        assert first.crs == second.crs


@each_format
def test_a_path_of_any_script_with_a_space_is_read(one: Format, sample: dict[str, list[Layer]], tmp_path: Path) -> None:
    original = sample_of(one)
    folder = tmp_path / "雄安 新区"
    folder.mkdir()
    for part in original.parent.glob(f"{original.stem}.*"):
        shutil.copy(part, folder / part.name.replace(original.stem, "建 筑"))
    layers = list(one.read(folder / f"建 筑{original.suffix}", ReadOptions(srid=4548)))
    assert [layer.table().num_rows for layer in layers] == [layer.table().num_rows for layer in layers_of(one, sample)]


@each_suffix
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4096,
        b"not what the suffix says\n",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "<!DOCTYPE html><title>404</title>".encode("utf-16"),
    ],
    ids=["empty", "zeros", "text", "LFS pointer", "error page"],
)
def test_something_else_under_its_suffix_is_refused_by_name(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"wrong{suffix}"
    for part in (suffix, *format_of(path).sidecars):
        (tmp_path / f"wrong{part}").write_bytes(content)
    with pytest.raises(InvalidData, match=r"wrong\."):
        list(format_of(path).read(path, ReadOptions(srid=4548)))


@each_format
def test_a_file_cut_off_in_the_middle_is_refused(one: Format, tmp_path: Path) -> None:
    original = sample_of(one)
    for part in original.parent.glob(f"{original.stem}.*"):
        content = part.read_bytes()
        (tmp_path / part.name).write_bytes(content[: len(content) // 2] if part == original else content)
    with pytest.raises(InvalidData, match=original.stem):
        _ = [layer.table() for layer in one.read(tmp_path / original.name, ReadOptions(srid=4548))]
