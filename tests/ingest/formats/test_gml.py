"""GML whose geometry is a link to another element: shared boundaries, corner points and whole shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shapely

from cim.errors import InvalidData
from ingest.formats import ReadOptions, format_of

FRAME = (
    '<?xml version="1.0"?><f:C xmlns:f="urn:f" xmlns:gml="http://www.opengis.net/gml/3.2"'
    ' xmlns:x="http://www.w3.org/1999/xlink">{}</f:C>'
)
MEMBER = '<gml:featureMember><f:b gml:id="{}">{}</f:b></gml:featureMember>'
# 10 by 10, in a projected system, whose axes are the other way round: x is the second number.
SQUARE = (
    '<gml:Polygon gml:id="p" srsName="urn:ogc:def:crs:EPSG::6677"><gml:exterior><gml:LinearRing>'
    "<gml:posList>0 0 0 10 10 10 10 0 0 0</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon>"
)


def read(path: Path, *members: tuple[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return the geometry of each feature, and what is said of the layer."""
    path.write_text(FRAME.format("".join(MEMBER.format(*member) for member in members)), encoding="utf-8")
    (layer,) = format_of(path).read(path, ReadOptions())
    table = layer.table()
    shapes = shapely.from_wkb(table.column("geom").to_numpy())
    return dict(zip(table.column("_source_id").to_pylist(), shapes, strict=True)), layer.warnings


def test_a_link_to_a_geometry_of_the_file_is_that_geometry(tmp_path: Path) -> None:
    found, said = read(
        tmp_path / "a.gml",
        ("before", '<f:g x:href="#p"/><f:of x:href="#own"/>'),
        ("own", f"<f:g>{SQUARE}</f:g>"),
        ("after", "<f:g x:href='#p' ></f:g>"),
        ("part", '<f:g><gml:MultiSurface><gml:surfaceMember x:href="#p"/></gml:MultiSurface></f:g>'),
    )
    assert {name: shape.area for name, shape in found.items()} == dict.fromkeys(("before", "own", "after", "part"), 100)
    assert {shape.bounds for shape in found.values()} == {(0, 0, 10, 10)}
    assert said == []


def test_boundaries_that_neighbours_share_are_followed_through_links_of_links(tmp_path: Path) -> None:
    def ring(*members: str) -> str:
        curves = "".join(f"<gml:curveMember {member}</gml:curveMember>" for member in members)
        return (
            '<f:g><gml:Surface srsName="urn:ogc:def:crs:EPSG::6677"><gml:patches><gml:PolygonPatch><gml:exterior>'
            f"<gml:Ring>{curves}</gml:Ring></gml:exterior></gml:PolygonPatch></gml:patches></gml:Surface></f:g>"
        )

    def curve(name: str, places: str) -> str:
        return f'><gml:LineString gml:id="{name}"><gml:posList>{places}</gml:posList></gml:LineString>'

    shared = curve("s", "10 0 10 10")
    back = '><gml:OrientableCurve orientation="-" gml:id="r"><gml:baseCurve x:href="#s"/></gml:OrientableCurve>'
    found, said = read(
        tmp_path / "a.gml",
        ("east", ring(back, curve("e", "10 0 30 0 30 10 10 10"))),
        ("west", ring(curve("w", "10 10 0 10 0 0 10 0"), shared)),
        ("again", ring('x:href="#r">', 'x:href="#e">')),
    )
    assert {name: shape.area for name, shape in found.items()} == {"east": 200, "west": 100, "again": 200}
    assert said == []


def test_a_link_that_leads_out_or_nowhere_is_told_and_not_followed(tmp_path: Path) -> None:
    found, said = read(
        tmp_path / "a.gml",
        ("own", f"<f:g>{SQUARE}</f:g>"),
        ("out", '<f:g x:href="http://127.0.0.1:9/a.gml#p"/>'),
        ("file", '<f:g x:href="b.gml#p"/>'),
        ("gone", '<f:g x:href="#q"/>'),
        ("feature", '<f:g x:href="#own"/>'),
        ("circle", '<f:g><gml:MultiSurface gml:id="m"><gml:surfaceMember x:href="#m"/></gml:MultiSurface></f:g>'),
        ("other", '<f:use x:href="http://127.0.0.1:9/uses#3"/>'),
    )
    assert [name for name, shape in found.items() if shape and not shape.is_empty] == ["own"]
    assert said == ["geometry that is a link out of the file, or to none in it: 5, as 'http://127.0.0.1:9/a.gml#p'"]


def test_links_that_multiply_without_end_are_refused(tmp_path: Path) -> None:
    def level(number: int) -> str:
        links = f'<gml:surfaceMember x:href="#l{number - 1}"/>' * 10
        return f'<f:g><gml:MultiSurface gml:id="l{number}">{links}</gml:MultiSurface></f:g>'

    bottom = SQUARE.replace('"p"', '"l0"')
    with pytest.raises(InvalidData, match="its links make it more than 16 times as large"):
        read(tmp_path / "a.gml", ("l", f"<f:g>{bottom}</f:g>"), *((f"f{n}", level(n)) for n in range(1, 10)))


KSJ = """<?xml version="1.0" encoding="UTF-8"?>
<ksj:Dataset gml:id="D" xmlns:ksj="http://nlftp.mlit.go.jp/ksj/schemas/ksj-app" xmlns:gml="{gml}"
    xmlns:xlink="http://www.w3.org/1999/xlink">
  <gml:description>国土数値情報</gml:description>
  <gml:boundedBy><gml:EnvelopeWithTimePeriod srsName="{system}" frame="GC / JST">
    <gml:lowerCorner>20.0 123.0</gml:lowerCorner><gml:upperCorner>46.0 154.0</gml:upperCorner>
  </gml:EnvelopeWithTimePeriod></gml:boundedBy>
  <gml:Curve gml:id="c1"><gml:segments><gml:LineStringSegment>
    <gml:posList>
35.70 139.70
35.70 139.72
35.71 139.72
35.70 139.70
    </gml:posList>
  </gml:LineStringSegment></gml:segments></gml:Curve>
  <gml:Surface gml:id="s1"><gml:patches><gml:PolygonPatch><gml:exterior><gml:Ring>
    <gml:curveMember xlink:href="#c1"/>
  </gml:Ring></gml:exterior></gml:PolygonPatch></gml:patches></gml:Surface>
  <gml:Point gml:id="p1"><gml:pos>35.5 139.5</gml:pos></gml:Point>
  <ksj:AdministrativeBoundary gml:id="a1">
    <ksj:bounds xlink:href="#s1"/><ksj:cityName>新宿区</ksj:cityName><ksj:countyName/>
    <ksj:administrativeAreaCode codeSpace="AdministrativeAreaCode.xml">01104</ksj:administrativeAreaCode>
  </ksj:AdministrativeBoundary>
  <ksj:Office gml:id="o1"><ksj:position xlink:href="#p1"/><ksj:name>区役所</ksj:name></ksj:Office>
</ksj:Dataset>"""


@pytest.mark.parametrize(
    ("gml", "system", "code"),
    [
        ("http://www.opengis.net/gml/3.2", "JGD2011 / (B, L)", 6668),
        ("http://schemas.opengis.net/gml/3.2.1", "JGD2000 / (B, L)", 4612),
    ],
)
def test_ksj_puts_its_features_beside_their_geometry(tmp_path: Path, gml: str, system: str, code: int) -> None:
    """Latitude comes first, as the system has it; x, y is what a layer gives."""
    path = tmp_path / "N03-13.xml"
    path.write_text(KSJ.format(gml=gml, system=system), encoding="utf-8")
    layers = {layer.name: layer for layer in format_of(path).read(path, ReadOptions())}
    assert set(layers) == {"AdministrativeBoundary", "Office"}
    (ward,) = layers["AdministrativeBoundary"].table().to_pylist()
    (office,) = layers["Office"].table().to_pylist()
    assert (ward["_source_id"], ward["cityName"], ward["administrativeAreaCode"]) == ("a1", "新宿区", "01104")
    assert shapely.from_wkb(ward["geom"]).equals(shapely.Polygon([(139.7, 35.7), (139.72, 35.7), (139.72, 35.71)]))
    assert shapely.from_wkb(office["geom"]).coords[0] == (139.5, 35.5)
    assert [layer.crs and layer.crs.to_epsg() for layer in layers.values()] == [code, code]
    assert [layer.warnings for layer in layers.values()] == [[], []]


@pytest.mark.parametrize(
    ("system", "message"), [("WGS84 / (B, L)", "states the system 'WGS84"), ("", "states the sys")]
)
def test_ksj_in_a_system_that_is_not_known_says_a_way_out(tmp_path: Path, system: str, message: str) -> None:
    path = tmp_path / "N03-13.xml"
    path.write_text(KSJ.format(gml="http://www.opengis.net/gml/3.2", system=system), encoding="utf-8")
    with pytest.raises(InvalidData, match=f"{message}.*take the Shapefile or GeoJSON"):
        list(format_of(path).read(path, ReadOptions()))
