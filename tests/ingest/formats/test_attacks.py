"""Files that mean harm: none makes us read another, ask the network, fill the disk or die; each is told why."""

from __future__ import annotations

import http.server
import io
import json
import stat
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cim.errors import CimError, InvalidData
from ingest import unpack as unpacking
from ingest.formats import ReadOptions, format_of, formats
from ingest.sources import find
from ingest.unpack import unpack

Run = Callable[..., subprocess.CompletedProcess[str]]

SECRET = "x-marks-the-spot"
SAMPLES = Path(__file__).resolve().parents[3] / "sample_data" / "formats"


def outcome(path: Path) -> str:
    """Everything that reading the file gives, or the refusal."""
    try:
        return repr([(layer.name, layer.table().to_pylist(), layer.warnings) for layer in read(path)])
    except CimError as error:
        return f"refused: {error}"


def read(path: Path, **options: str) -> list[object]:
    return list(format_of(path).read(path, ReadOptions(**options)))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret" / "secret.csv"
    path.parent.mkdir()
    path.write_text(f"code,name\n1,{SECRET}\n")
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", asked
        serving.shutdown()
        thread.join()


# --- XML -----------------------------------------------------------------------------------------------------

GML = (
    '<?xml version="1.0"?>{doctype}<f:C xmlns:f="urn:f" xmlns:gml="http://www.opengis.net/gml"'
    ' xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xi="http://www.w3.org/2001/XInclude"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" {attributes}><gml:featureMember><f:b>'
    "<f:name>{text}</f:name>"
    '<f:g><gml:Point srsName="EPSG:4490"><gml:pos>116 39</gml:pos></gml:Point></f:g></f:b></gml:featureMember></f:C>'
)
KML = (
    '<?xml version="1.0"?>{doctype}<kml xmlns="http://www.opengis.net/kml/2.2"'
    ' xmlns:xi="http://www.w3.org/2001/XInclude"><Document {attributes}><Placemark><name>{text}</name><Point>'
    "<coordinates>116,39</coordinates></Point></Placemark></Document></kml>"
)
LAUGHS = "<!DOCTYPE x [<!ENTITY a0 'ha'>{}]>".format(
    "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
)


@pytest.mark.parametrize(("suffix", "frame"), [(".gml", GML), (".kml", KML)])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    ("doctype", "text"),
    [
        (LAUGHS, "&a9;"),
        ('<!DOCTYPE x [<!ENTITY s SYSTEM "file://{secret}">]>', "&s;"),
        ('<!DOCTYPE x [<!ENTITY % p SYSTEM "file://{secret}"> %p;]>', "x"),
        ('<!DOCTYPE x SYSTEM "file://{secret}">', "x"),
    ],
    ids=["billion laughs", "external entity", "parameter entity", "external subset"],
)
def test_a_document_type_is_refused(
    tmp_path: Path, secret: Path, suffix: str, frame: str, encoding: str, doctype: str, text: str
) -> None:
    path = tmp_path / f"attack{suffix}"
    content = frame.format(doctype=doctype.replace("{secret}", str(secret)), text=text, attributes="")
    path.write_text(content, encoding=encoding)
    assert "declares a document type" in outcome(path)


def test_without_one_xml_of_any_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "harmless.kml"
    path.write_text(KML.format(doctype="", text="名称", attributes=""), encoding="utf-16")
    assert "名称" in outcome(path)


def test_xml_links_are_not_followed(tmp_path: Path, secret: Path, server: tuple[str, list[str]]) -> None:
    address, asked = server
    asked.clear()
    for number, place in enumerate((f"{address}/x", str(secret))):
        included = f'<xi:include href="{place}" parse="text"/>'
        schema = f'xsi:schemaLocation="urn:f {place}"'
        member = f'<gml:featureMember><f:b><f:g xlink:href="{place}#a"/></f:b></gml:featureMember></f:C>'
        gml = tmp_path / f"{number}.gml"
        gml.write_text(GML.format(doctype="", text=included, attributes=schema).replace("</f:C>", member))
        kml = tmp_path / f"{number}.kml"
        link = f"<NetworkLink><Link><href>{place}</href></Link></NetworkLink></Document>"
        kml.write_text(KML.format(doctype="", text=included, attributes="").replace("</Document>", link))
        assert SECRET not in outcome(gml)
        said = outcome(kml)
        assert SECRET not in said
        assert "1 links to other files are not followed" in said
    assert asked == []


def test_a_schema_beside_the_file_changes_nothing_and_nothing_is_left_there(tmp_path: Path) -> None:
    path = tmp_path / "a.gml"
    path.write_text(GML.format(doctype="", text="0012", attributes='xsi:schemaLocation="urn:f a.xsd"'))
    (tmp_path / "a.xsd").write_text("<not a schema")
    assert "'name': '0012'" in outcome(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.gml", "a.xsd"]


def test_xml_cut_off_anywhere_is_refused_not_read_in_part(tmp_path: Path) -> None:
    for name in ("sheds.gml", "sheds.kml"):
        content = (SAMPLES / name).read_bytes()
        for share in (0.3, 0.6, 0.9):
            path = tmp_path / name
            path.write_bytes(content[: int(len(content) * share)])
            assert outcome(path).startswith("refused: ")


# --- GeoJSON -------------------------------------------------------------------------------------------------


NAMELESS = [
    {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::99999"}},
    {"type": "name", "properties": {"name": "Beijing 1954 zone 20"}},
    {"type": "name", "properties": {"name": "http://example.org/crs"}},
    {"type": "name", "properties": {}},
    {"type": "EPSG", "properties": {"code": 99999}},
    {"type": "OGC", "properties": {"urn": "mine"}},
]


@pytest.mark.parametrize("system", NAMELESS, ids=json.dumps)
def test_a_crs_that_nobody_knows_is_not_taken_for_wgs84(tmp_path: Path, system: dict[str, object]) -> None:
    point = {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [117, 39]}}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [point], "crs": system}))
    assert "which is none that is known" in outcome(path)
    for known in ("urn:ogc:def:crs:EPSG::4548", "EPSG:4490", "urn:ogc:def:crs:OGC:1.3:CRS84"):
        named = {"type": "name", "properties": {"name": known}}
        path.write_text(json.dumps({"type": "FeatureCollection", "crs": named, "features": [point]}))
        assert "which is none that is known" not in outcome(path)


@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
@pytest.mark.parametrize(("name", "refused"), [("a\0b", True), ("\0", True), ("\\u0000", False), ("\\\0", True)])
def test_a_text_is_not_cut_off_at_u0000(tmp_path: Path, suffix: str, name: str, refused: bool) -> None:
    path = tmp_path / f"a{suffix}"
    feature = {"type": "Feature", "properties": {"n": name}, "geometry": None}
    path.write_text(json.dumps(feature))
    said = outcome(path)
    assert ("holds the character U+0000" in said) is refused
    assert refused or repr(name) in said


@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
@pytest.mark.parametrize(
    "crs",
    [
        '"crs":{"type":"link","properties":{"href":"{address}/link"}}',
        '"crs":{"type":"url","properties":{"url":"{address}/url"}}',
        '"CRS":{"Type":"URL","properties":{"url":"{address}/url"}}',
        '"\\u0063rs":{"type":"\\u006cink","properties":{"href":"{address}/link"}}',
    ],
)
@pytest.mark.parametrize("place", ["collection", "geometry"])
def test_a_crs_by_link_is_refused_and_not_fetched(
    tmp_path: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, suffix: str, crs: str, place: str
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    address, asked = server
    asked.clear()
    member = crs.replace("{address}", address)
    inside = f",{member}" if place == "geometry" else ""
    point = f'{{"type":"Point","coordinates":[1,2]{inside}}}'
    feature = f'{{"type":"Feature","properties":{{"type":"link"}},"geometry":{point}}}'
    path = tmp_path / f"a{suffix}"
    outside = f"{member}," if place == "collection" else ""
    if suffix == ".geojson":
        path.write_text(f'{{"type":"FeatureCollection",{outside}"features":[{feature}]}}')
    else:
        path.write_text(f"{feature[:-1]},{outside[:-1]}}}\n" if outside else feature + "\n")
    assert "states its CRS by a link" in outcome(path)
    assert asked == []


def test_a_property_of_type_link_is_none(tmp_path: Path) -> None:
    path = tmp_path / "roads.geojson"
    feature = {"type": "Feature", "properties": {"type": "link"}, "geometry": None}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert "'type': 'link'" in outcome(path)


def test_paths_among_the_values_are_text(tmp_path: Path, secret: Path) -> None:
    places = [f"/vsicurl/file://{secret}", f"/vsizip/{secret}", str(secret)]
    features = [{"type": "Feature", "properties": {"p": p}, "geometry": None} for p in places]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    table = tmp_path / "a.csv"
    table.write_text("p,wkt\n" + "".join(f"{p},{p}\n" for p in places))
    for attack in (path, table):
        assert SECRET not in outcome(attack)
        assert all(place in outcome(attack) for place in places)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 200_000, '{"type":"FeatureCollection","features":' + "[" * 99_999]
)
def test_deep_nesting_is_refused_and_the_process_lives(tmp_path: Path, text: str) -> None:
    for suffix in (".geojson", ".geojsonl"):
        path = tmp_path / f"deep{suffix}"
        path.write_text("{" + text if text.startswith("[") else text)
        assert outcome(path).startswith("refused: ")


# --- zips ----------------------------------------------------------------------------------------------------

CONTAINERS = (".zip", ".gdb.zip", ".kmz", ".xlsx")
each_container = pytest.mark.parametrize("suffix", CONTAINERS)


def packed(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def special(name: str, kind: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (kind | 0o777) << 16
    return member


@each_container
@pytest.mark.parametrize(
    "name", ["../evil.kml", "a/../../evil.kml", "/evil.kml", "..\\evil.kml", "C:\\evil.kml", "a\nb.kml", "a\x1bb.kml"]
)
def test_a_member_that_leads_out_is_refused(tmp_path: Path, suffix: str, name: str) -> None:
    path = packed(tmp_path / "in" / f"a{suffix}" if (tmp_path / "in").mkdir() is None else tmp_path, (name, b"x"))
    assert "would lie outside the folder" in outcome(path)
    assert [p.name for p in tmp_path.rglob("*")] == ["in", f"a{suffix}"]


@each_container
@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_a_link_or_a_device_in_a_zip_is_refused(tmp_path: Path, secret: Path, suffix: str, kind: int) -> None:
    path = packed(tmp_path / f"a{suffix}", (special("doc.kml", kind), str(secret).encode()))
    assert "is a link or a device" in outcome(path)


@each_container
def test_a_zip_bomb_is_stopped(tmp_path: Path, suffix: str) -> None:
    # 80 MB of zeros in 80 kB.
    path = packed(tmp_path / f"a{suffix}", ("doc.kml", bytes(80 * 1000**2)))
    assert path.stat().st_size < 100_000
    assert f"unpacks to more than {unpacking.MIN_BYTES:,} bytes" in outcome(path)


def test_a_bomb_of_many_members_is_stopped(tmp_path: Path) -> None:
    many = packed(tmp_path / "many.zip", *((f"{n}.csv", b"") for n in range(unpacking.MAX_MEMBERS + 1)))
    assert "at most 10000 are unpacked" in outcome(many)
    parts = packed(tmp_path / "parts.zip", *((f"{n}.csv", bytes(10 * 1000**2)) for n in range(7)))
    assert "unpacks to more than" in outcome(parts)


def test_members_that_overlap_count_each(tmp_path: Path) -> None:
    # Ten names for one packed text of 10 MB (a Fifield bomb): the directory is written ten times over.
    path = packed(tmp_path / "a.zip", ("0.csv", bytes(10 * 1000**2)))
    content = path.read_bytes()
    start = content.rindex(b"PK\x01\x02")
    end = content.rindex(b"PK\x05\x06")
    entries = b"".join(content[start:end].replace(b"0.csv", f"{n}.csv".encode()) for n in range(10))
    tail = bytearray(content[end:])
    tail[8:10] = tail[10:12] = (10).to_bytes(2, "little")
    tail[12:16] = len(entries).to_bytes(4, "little")
    path.write_bytes(content[:start] + entries + bytes(tail))
    assert outcome(path).startswith("refused: ")
    assert not list(tmp_path.glob("*.csv"))


@each_container
def test_a_damaged_or_locked_zip_is_refused(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / f"a{suffix}", ("doc.kml", b"<kml/>" * 1000))
    content = bytearray(path.read_bytes())
    content[6] |= 1  # says that it is encrypted, in both places
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "cannot be unpacked" in outcome(path)
    path.write_bytes(content[: len(content) // 2])
    assert outcome(path).startswith("refused: ")


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = packed(tmp_path / "a.zip", ("a.csv", b"a,b\n1,2\n"), ("a.csv", b"a,b\n3,4\n"))
    assert "two members of one name: 'a.csv'" in outcome(path)


def test_a_zip_in_a_zip_is_told_and_not_unpacked(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("in.csv", "a,b\n1,2\n")
    path = packed(tmp_path / "a.zip", ("inner.zip", inner.getvalue()), ("out.csv", b"a,b\n3,4\n"), ("note.txt", b"x"))
    assert "passed over in the zip: inner.zip, note.txt" in outcome(path)
    assert "'a': 3" in outcome(path)
    assert "'a': 1" not in outcome(path)
    alone = packed(tmp_path / "b.zip", ("inner.zip", inner.getvalue()))
    assert "holds no file that a format reads; it has inner.zip" in outcome(alone)


def test_a_refusal_names_the_zip_and_its_member(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", ("deep/broken.gpkg", b"no"), ("fine.csv", b"a,b\n1,2\n"))
    assert f"{path}/deep/broken.gpkg: is not GeoPackage" in outcome(path)


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_names_of_members_are_read_as_their_writers_meant(tmp_path: Path, encoding: str) -> None:
    # Without the flag of UTF-8, as Windows in Chinese writes them.
    path = packed(tmp_path / "a.zip", ("ABCD.csv", b"a,b\n1,2\n"))
    raw = "南山".encode(encoding)
    content = path.read_bytes().replace(b"ABCD", raw.ljust(4, b"_")[:4]) if encoding == "gb18030" else None
    if content is None:
        path = packed(tmp_path / "b.zip", ("ABCDEF.csv", b"a,b\n1,2\n"))
        content = path.read_bytes().replace(b"ABCDEF", raw)
    path.write_bytes(content)
    unpack(path, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["南山.csv"]


# --- paths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a\nb.csv", "a\rb.gpkg", "a\x1b[31m.kml"])
def test_a_name_with_control_characters_is_refused_and_shown_escaped(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a,b\n1,2\n")
    for place in (tmp_path, tmp_path / name):
        (source,) = find([place])[0]
        assert "holds a control character" in str(source.error)
        assert not any(ord(c) < 32 for c in str(source.error))


def test_a_link_into_a_geodatabase_is_refused(tmp_path: Path, secret: Path) -> None:
    unpack(SAMPLES / "sheds.gdb.zip", tmp_path)
    assert "谷仓 barn" in outcome(tmp_path / "sheds.gdb")
    (tmp_path / "sheds.gdb" / "a0000000a.gdbtable").symlink_to(secret)
    with pytest.raises(InvalidData, match="is no regular file"):
        read(tmp_path / "sheds.gdb")


# --- bytes at random -----------------------------------------------------------------------------------------

MUTATE = """
import random, sys, tempfile
from pathlib import Path
from cim.errors import CimError
from ingest.formats import ReadOptions, format_of
rng = random.Random(7)
with tempfile.TemporaryDirectory() as folder:
    for name in sys.argv[1:]:
        content = Path(name).read_bytes()
        for _ in range(40):
            data = bytearray(content)
            for _ in range(rng.choice([1, 3, 10])):
                data[rng.randrange(len(data))] = rng.choice([0, 255, rng.randrange(256)])
            path = Path(folder, Path(name).name)
            path.write_bytes(data)
            try:
                for layer in format_of(path).read(path, ReadOptions(srid=4548)):
                    layer.table()
            except CimError:
                pass
print("alive")
"""


def test_bytes_changed_at_random_are_read_or_refused(tmp_path: Path, python: Run) -> None:
    data = SAMPLES.parent / "data"
    small = [SAMPLES / f"sheds.{suffix}" for suffix in ("csv", "geojsonl", "parquet", "xlsx", "zip")]
    result = python(MUTATE, *map(str, [*small, data / "roads.fgb"]))
    assert result.stdout == "alive\n", result.stderr[-2000:]


def test_a_virtual_data_source_under_any_suffix_is_refused(tmp_path: Path, secret: Path) -> None:
    virtual = (
        f'<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>{secret}</SrcDataSource></OGRVRTLayer>'
        "</OGRVRTDataSource>"
    )
    for suffix in {s for one in formats().values() for s in one.suffixes}:
        path = tmp_path / f"attack{suffix}"
        for part in (suffix, *format_of(path).sidecars):
            (tmp_path / f"attack{part}").write_text(virtual)
        assert outcome(path).startswith("refused: "), suffix
        assert SECRET not in outcome(path)


def test_values_of_kml_keep_their_names(tmp_path: Path) -> None:
    # GDAL makes one name of six underlines of the first two, one of the next three, and keeps the value of the last.
    values = {"层数": "3", "高度": "9.5", "a b": "p", "a-b": "q", "A b": "r", "a & 楼": "x", "plain": "y"}
    data = "".join(f'<Data name="{n.replace("&", "&amp;")}"><value>{v}</value></Data>' for n, v in values.items())
    path = tmp_path / "a.kml"
    text = KML.format(doctype="", attributes="", text="a")
    path.write_text(text.replace("<Point>", f"<ExtendedData>{data}</ExtendedData><Point>"), encoding="utf-8")
    (layer,) = format_of(path).read(path, ReadOptions())
    (row,) = layer.table().to_pylist()
    assert {name: row[name] for name in values} == values | {"层数": 3, "高度": 9.5}
    assert layer.warnings == []
    hiding = path.read_text(encoding="utf-8").replace('"plain"', '"name"')
    path.write_text(hiding, encoding="utf-8")
    (layer,) = format_of(path).read(path, ReadOptions())
    assert layer.table().to_pylist()[0]["Name"] == "y"
    assert layer.warnings == ["values called name are taken in place of the places' own names"]
