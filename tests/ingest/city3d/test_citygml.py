"""CityGML: the same houses as CityJSON has, axis order, references, codelists, attacks, and PLATEAU's real files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shapely
import sqlalchemy as sa

from cim import crs
from cim.db.engine import Database
from cim.errors import InvalidData
from ingest import Options, ingest
from ingest.formats import Layer, ReadOptions, format_of
from sample_data import FORMATS
from sample_data._city3d import EAST, NORTH

HOUSES = FORMATS / "houses.gml"
SPACES = (
    'xmlns:core="http://www.opengis.net/citygml/{v}" xmlns:bldg="http://www.opengis.net/citygml/building/{v}"'
    ' xmlns:gen="http://www.opengis.net/citygml/generics/{v}" xmlns:gml="{gml}"'
    ' xmlns:con="http://www.opengis.net/citygml/construction/{v}" xmlns:xlink="http://www.w3.org/1999/xlink"'
)
GML2, GML3 = "http://www.opengis.net/gml", "http://www.opengis.net/gml/3.2"
# 10 m × 20 m at the corner of the sample, easting before northing.
CORNERS = [(EAST, NORTH), (EAST + 10, NORTH), (EAST + 10, NORTH + 20), (EAST, NORTH + 20), (EAST, NORTH)]


def layers_of(path: Path, options: ReadOptions | None = None) -> dict[str, Layer]:
    return {layer.name: layer for layer in format_of(path).read(path, options or ReadOptions())}


def first_of(path: Path, options: ReadOptions | None = None) -> dict[str, Any]:
    (layer,) = layers_of(path, options).values()
    record: dict[str, Any] = layer.table().to_pylist()[0]
    record["geom"] = None if record["geom"] is None else shapely.from_wkb(record["geom"], on_invalid="ignore")
    return record


def polygon(order: str = "yx", dimension: int = 3) -> str:
    positions = [(y, x, 7) if order == "yx" else (x, y, 7) for x, y in CORNERS]
    text = " ".join(str(value) for position in positions for value in position[:dimension])
    return (
        "<gml:Polygon><gml:exterior><gml:LinearRing>"
        f'<gml:posList srsDimension="{dimension}">{text}</gml:posList>'
        "</gml:LinearRing></gml:exterior></gml:Polygon>"
    )


def surface(inner: str) -> str:
    return f"<gml:MultiSurface><gml:surfaceMember>{inner}</gml:surfaceMember></gml:MultiSurface>"


def write(
    path: Path, body: str, *, srs: str = "urn:ogc:def:crs:EPSG::4548", version: str = "2.0", head: str = "",
    corners: tuple[str, str] = ("", ""),
) -> Path:  # fmt: skip
    spaces = SPACES.format(v=version, gml=GML3 if version == "3.0" else GML2)
    envelope = f'<gml:boundedBy><gml:Envelope srsName="{srs}" srsDimension="3">' if srs else ""
    envelope += f"<gml:lowerCorner>{corners[0]}</gml:lowerCorner><gml:upperCorner>{corners[1]}</gml:upperCorner>"
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<core:CityModel {spaces}>'
        + (f"{envelope}</gml:Envelope></gml:boundedBy>" if srs else "")
        + f'<core:cityObjectMember><bldg:Building gml:id="b">{body}</bldg:Building></core:cityObjectMember>'
        "</core:CityModel>",
        encoding="utf-8",
    )
    return path


def test_the_same_houses_in_another_format_change_nothing(
    database: Database, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    """Ids, footprints, heights, attributes and the bytes of bodies: zero revisions in three formats."""
    first = ingest(database, [FORMATS / "houses.city.jsonl"], Options())
    before = rows("building")
    assert first.total()["inserted"] == 3
    for name in ("houses.gml", "houses.city.json"):
        again = ingest(database, [FORMATS / name], Options())
        assert again.files[0].error is None
        assert (again.total()["inserted"], again.total()["updated"], again.total()["unchanged"]) == (0, 0, 3)
    assert rows("building") == before


@pytest.mark.parametrize(
    ("srs", "order"),
    [
        ("urn:ogc:def:crs:EPSG::4548", "yx"),
        ("http://www.opengis.net/def/crs/EPSG/0/4548", "yx"),
        ("EPSG:4548", "xy"),
    ],
)
def test_the_order_of_axes_follows_the_name_of_the_system(srs: str, order: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gml", f"<bldg:lod0FootPrint>{surface(polygon(order))}</bldg:lod0FootPrint>", srs=srs)
    assert first_of(path)["geom"].equals(shapely.box(EAST, NORTH, EAST + 10, NORTH + 20))


def test_where_the_name_lies_the_envelope_tells_and_it_is_said(tmp_path: Path) -> None:
    corners = (f"{EAST} {NORTH} 0", f"{EAST + 10} {NORTH + 20} 9")
    body = f"<bldg:lod0FootPrint>{surface(polygon('xy'))}</bldg:lod0FootPrint>"
    layer = layers_of(write(tmp_path / "a.gml", body, corners=corners))["Building"]
    assert shapely.from_wkb(layer.table()["geom"][0].as_py()).bounds == (EAST, NORTH, EAST + 10, NORTH + 20)
    assert any("another order of axes" in warning for warning in layer.warnings)


def test_german_names_of_systems_are_known(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gml", "", srs="urn:adv:crs:ETRS89_UTM32*DE_DHHN2016_NH")
    assert layers_of(path)["Building"].crs == crs.parse(25832)


def test_version_3_has_its_own_names(tmp_path: Path) -> None:
    body = (
        "<con:dateOfConstruction>1987-05-01</con:dateOfConstruction>"
        '<con:height><con:Height><con:value uom="m">12.5</con:value><con:status>measured</con:status></con:Height>'
        "</con:height><core:boundary><con:GroundSurface><core:lod2MultiSurface>"
        f"{surface(polygon())}</core:lod2MultiSurface></con:GroundSurface></core:boundary>"
    )
    record = first_of(write(tmp_path / "a.gml", body, version="3.0"))
    assert record["geom"].area == pytest.approx(200)
    assert (record["height"], record["year_built"], record["lod_max"]) == (12.5, 1987, "2")


def test_the_edge_of_the_roof_is_a_footprint_where_there_is_no_other(tmp_path: Path) -> None:
    body = f"<bldg:lod0RoofEdge>{surface(polygon())}</bldg:lod0RoofEdge>"
    layer = layers_of(write(tmp_path / "a.gml", body))["Building"]
    assert shapely.from_wkb(layer.table()["geom"][0].as_py()).area == pytest.approx(200)
    assert "1 whose footprint is the edge of the roof (lod0RoofEdge)" in layer.warnings


def test_attributes_of_all_sorts(tmp_path: Path) -> None:
    body = (
        "<gml:name>Rathaus</gml:name><bldg:function>1000</bldg:function><bldg:function>1010</bldg:function>"
        '<gen:stringAttribute name="Flur"><gen:value>07</gen:value></gen:stringAttribute>'
        '<gen:intAttribute name="n"><gen:value>3</gen:value></gen:intAttribute>'
        '<gen:genericAttributeSet name="Lage"><gen:stringAttribute name="Ort"><gen:value>X</gen:value>'
        "</gen:stringAttribute></gen:genericAttributeSet>"
        '<bldg:measuredHeight uom="ft">30</bldg:measuredHeight>'
        f"<bldg:lod0FootPrint>{surface(polygon())}</bldg:lod0FootPrint>"
    )
    record = first_of(write(tmp_path / "a.gml", body))
    assert (record["name"], record["Flur"], record["n"]) == ("Rathaus", "07", 3)
    assert json.loads(record["source_function"]) == ["1000", "1010"]
    assert json.loads(record["Lage"]) == {"Ort": "X"}
    assert record["height"] is None  # feet are not taken for metres
    assert json.loads(record["measuredHeight"]) == {"value": 30, "uom": "ft"}


def dictionary(path: Path, entries: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    said = "".join(
        f"<gml:dictionaryEntry><gml:Definition><gml:description>{meaning}</gml:description><gml:name>{code}</gml:name>"
        "</gml:Definition></gml:dictionaryEntry>"
        for code, meaning in entries.items()
    )
    path.write_text(f'<gml:Dictionary xmlns:gml="{GML2}">{said}</gml:Dictionary>', encoding="utf-8")
    return path


def test_codes_have_the_meaning_their_list_gives_them(tmp_path: Path) -> None:
    folder = tmp_path / "udx" / "bldg"
    folder.mkdir(parents=True)
    dictionary(tmp_path / "codelists" / "Building_usage.xml", {"411": "住宅"})
    body = '<bldg:usage codeSpace="../../codelists/Building_usage.xml">411</bldg:usage>'
    record = first_of(write(folder / "a.gml", body))
    assert (record["usage"], record["usage_label"]) == ("411", "住宅")


@pytest.mark.parametrize(
    "space", ["../secret.xml", "/etc/passwd", "../../other/list.xml", "file:///x/list.xml", "link.xml"]
)
def test_no_codespace_makes_us_read_another_file(space: str, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "codelists"
    secret = dictionary(tmp_path / "data" / "secret.xml", {"1": "secret"})
    dictionary(tmp_path / "other" / "list.xml", {"1": "secret"})
    folder.mkdir()
    (folder / "link.xml").symlink_to(secret)
    path = write(tmp_path / "data" / "a.gml", f'<bldg:usage codeSpace="{space}">1</bldg:usage>')
    assert "secret" not in str(first_of(path))


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">',
    ],
    ids=["file", "bomb", "net"],
)
def test_document_types_are_refused(head: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gml", "<gml:name>x</gml:name>", head=head)
    with pytest.raises(InvalidData, match=r"a\.gml: has a document type"):
        layers_of(path)


def test_references_lead_to_their_surface_and_circles_end(tmp_path: Path) -> None:
    marked = polygon().replace("<gml:Polygon>", '<gml:Polygon gml:id="p">')
    body = (
        f"<bldg:boundedBy><bldg:GroundSurface><bldg:lod2MultiSurface>{surface(marked)}</bldg:lod2MultiSurface>"
        "</bldg:GroundSurface></bldg:boundedBy><bldg:lod2Solid><gml:Solid><gml:exterior><gml:CompositeSurface>"
        '<gml:surfaceMember xlink:href="#p"/><gml:surfaceMember xlink:href="#gone"/>'
        '<gml:surfaceMember><gml:CompositeSurface gml:id="round"><gml:surfaceMember xlink:href="#round"/>'
        "</gml:CompositeSurface></gml:surfaceMember></gml:CompositeSurface></gml:exterior></gml:Solid></bldg:lod2Solid>"
    )
    layer = layers_of(write(tmp_path / "a.gml", body))["Building"]
    assert shapely.from_wkb(layer.table()["geom"][0].as_py()).area == pytest.approx(200)
    assert any("surfaces are only referred to" in warning for warning in layer.warnings)


@pytest.mark.parametrize("text", ["1 2", "a b c", "1 2 3 4", ""])
def test_positions_that_are_none_cost_their_object_only(text: str, tmp_path: Path) -> None:
    ring = f"<gml:exterior><gml:LinearRing><gml:posList>{text}</gml:posList></gml:LinearRing></gml:exterior>"
    ring = f"<gml:Polygon>{ring}</gml:Polygon>"
    record = first_of(write(tmp_path / "a.gml", f"<bldg:lod0FootPrint>{surface(ring)}</bldg:lod0FootPrint>"))
    assert record["geom"] is None


def test_gml_that_is_no_city_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text('<CityModel xmlns="http://example.org/other"/>', encoding="utf-8")
    with pytest.raises(InvalidData, match="is not CityGML"):
        layers_of(path)


# ---------------------------------------------------------------------- real files

COUNTS: dict[str, dict[str, int]] = {
    "523836_luse_6668_op.gml": {"LandUse": 225},
    "523857_lsld_6668_op.gml": {"SedimentDisasterProneArea": 81},
    "52397519_bldg_6697_op.gml": {"Building": 13},
    "53360690_squr_6697.gml": {"Square": 1},
    "574026_urf_6668_huchi_op.gml": {"ScenicDistrict": 1},
    "elec_53403039_unf_6697.gml": {"Duct": 1, "ElectricityCable": 1},
    "sewer_53403039_unf_6697.gml": {"SewerPipe": 3, "Manhole": 3},
}


@pytest.fixture(scope="module")
def plateau(shared: Path) -> Path:
    return shared / "data" / "city3d" / "plateau"


@pytest.mark.real
@pytest.mark.parametrize("name", COUNTS)
def test_the_objects_of_the_catalogue_are_read(name: str, plateau: Path) -> None:
    layers = layers_of(plateau / name)
    assert {layer.name: layer.table().num_rows for layer in layers.values()} == COUNTS[name]
    for layer in layers.values():
        shapes = shapely.from_wkb(layer.table()["geom"].to_pylist())
        west, south, east, north = shapely.total_bounds(shapes)
        assert 122 < west <= east < 154
        assert 20 < south <= north < 46


@pytest.mark.real
def test_plateau_s_buildings_arrive_with_their_numbers(plateau: Path, database_in: Callable[[int], Database]) -> None:
    """Yokosuka: 13 buildings, one of them of two parts; its museum of art by name, use 422, one storey, 6.0 m."""
    database = database_in(6677)
    report = ingest(
        database, [plateau / "52397519_bldg_6697_op.gml", plateau / "sewer_53403039_unf_6697.gml"], Options()
    )
    assert [file.error for file in report.files] == [None, None]
    taken = {layer.name: (layer.read, layer.inserted) for file in report.files for layer in file.layers if layer.type}
    assert taken == {"Building": (13, 13), "SewerPipe": (3, 3)}
    table = database.table("building")
    number = table.c.attributes["plateau_id"].astext
    with database.engine.connect() as connection:
        museum = connection.execute(sa.select(table).where(number == "14201-bldg-110968")).mappings().one()
        parts = connection.execute(
            sa.select(table.c.attributes).where(table.c.attributes["parts"].is_not(None))
        ).scalars()
        found = [row["parts"] for row in parts if row.get("parts")]
    assert (museum["name"], museum["usage"]) == ("横須賀美術館", "public_service")
    assert (museum["storeys_above"], museum["height"]) == (1, 6.0)
    assert museum["body_file"] is not None
    (two,) = found
    assert [p["type"] for p in (json.loads(two) if isinstance(two, str) else two)] == ["BuildingPart"] * 2
