"""The pages, as text and in a real browser."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa
from lxml import html

from cim.city import City
from cim.log.verify import verify_proof

ITEMS = "/collections/building/items"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PATHS = [
    "/", "/collections", "/collections/building", ITEMS, f"{ITEMS}/building-00001", f"{ITEMS}/building-00001/history",
    "/collections/building/schema", "/collections/building/queryables", "/conformance", "/api",
    "/processes", "/processes/density-indicators", "/jobs",
]  # fmt: skip


def page(http: httpx.Client, path: str, language: str = "en", **asked: Any) -> Any:
    response = http.get(path, headers={**BROWSER, "Accept-Language": language}, params=asked or None)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return html.fromstring(response.text)


# Those of this city were drawn up on no log, so that links of theirs lead to 409; test_proposals.py follows sound ones.
@pytest.mark.parametrize("path", [*PATHS, "/proposals"])
def test_a_page_loads_nothing_from_elsewhere(path: str, http: httpx.Client, base: str) -> None:
    response = http.get(path, headers=BROWSER)
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert {"Accept", "Accept-Language"} <= set(response.headers["vary"].split(", "))
    document = html.fromstring(response.text)
    assert document.xpath("//style | //script[not(@src)] | //@style | //@*[starts-with(name(), 'on')]") == []
    for address in document.xpath("//@src | //link/@href | //@data-source | //form/@action"):
        assert address.startswith(base), address
    for address in document.xpath("//script/@src | //link/@href"):
        assert http.get(address).status_code == 200, address


def test_every_link_of_the_pages_leads_somewhere(http: httpx.Client) -> None:
    seen: dict[str, int] = {}
    for path in PATHS:
        for address in page(http, path).xpath("//a/@href"):
            if address not in seen and "f=" not in address.partition("?")[2].replace("f=html", ""):
                seen[address] = http.get(address).status_code
    assert len(seen) > 50
    assert {address: status for address, status in seen.items() if status != 200} == {}


def test_the_form_goes_on_with_what_was_asked(http: httpx.Client) -> None:
    asked = {"bbox": "116,38,118,40", "sortby": "-year_built", "limit": "20", "filter": "year_built > 1950"}
    first = page(http, ITEMS, **asked)
    (following,) = first.xpath("//a[@rel='next']/@href")
    for shown in (first, page(http, following)):
        (form,) = shown.xpath("//form[@class='ask']")
        assert dict(form.form_values()) == {**asked, "f": "html", "as-of": ""}


def test_a_page_of_how_many_there_are_says_no_other_number(http: httpx.Client) -> None:
    shown = page(http, ITEMS, resultType="hits")
    assert shown.xpath("//p[@class='empty']") == []
    (form,) = shown.xpath("//form[@class='ask']")
    assert "resultType" not in dict(form.form_values())  # who asks anew wants to see them
    assert page(http, ITEMS, filter="code = 'nosuch'").xpath("//p[@class='empty']")


def test_links_to_other_objects_lead_to_the_same_state(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("unit")).values(code="u1", building_code="building-00001"))
    size = city.sequence().size
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        connection.execute(sa.update(table).where(table.c.code == "building-00001").values(name="renamed"))
    city.sequence()
    for path in ("/collections/unit/items", "/collections/unit/items/u1"):
        (address,) = page(http, path, **{"as-of": size}).xpath("//a[contains(@href, '/building-00001')]/@href")
        assert page(http, address).xpath("//h1")[0].text_content() != "renamed"
    assert page(http, address.partition("?")[0]).xpath("//h1")[0].text_content() == "renamed"


def test_pages_speak_english_and_chinese(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    table = city.database.table("building")
    with city.database.engine.begin() as connection:
        change = {"usage": "residential", "height": 12.5, "has_lift": False}
        connection.execute(sa.update(table).where(table.c.code == "building-00001").values(**change))
    city.sequence()
    # schemas/v1/codelists/building_usage.json and building.schema.json
    for language, words in {
        "en-GB,en;q=0.9,zh;q=0.5": ("Residential", "Use", "Height [m]", "no", "History"),
        "zh-CN,zh;q=0.9,en;q=0.8": ("住宅", "用途", "建筑高度 [m]", "否", "历史"),
        "fr": ("Residential", "Use", "Height [m]", "no", "History"),
    }.items():
        item = page(http, f"{ITEMS}/building-00001", language)
        facts = [text.strip() for text in item.xpath("//dl//text() | //h2/text()") if text.strip()]
        assert set(words) <= set(facts), language
        assert item.get("lang") == ("zh" if language.startswith("zh") else "en")
        (value,) = page(http, ITEMS, language, filter="code = 'building-00001'").xpath("//td[@title='residential']")
        assert value.text == words[0]


def test_a_scenario_is_explained(http: httpx.Client) -> None:
    listed = page(http, "/processes", "zh")
    assert listed.xpath("//h1/text()") == ["更新情景"]
    (address,) = [a for a in listed.xpath("//ul[@class='cards']//a/@href") if "density-indicators" in a]
    shown = page(http, address)
    (name,) = shown.xpath("//tr[td[1]/code='scope']/td[3]/strong/text()")
    assert name == "required"
    assert shown.xpath("//tr[td[1]/code='level']/td/text()")[:2] == ["district | parcel", "district"]
    # SCENARIOS: land A in square metres, FAR as a ratio; found at the places that `explain` takes.
    assert shown.xpath("//tr[td[1]/code='/gross/land']/td/text()")[:2] == ["Land A", "m²"]
    assert shown.xpath("//tr[td[1]/code='/gross/far']/td[3]/text()") == ["m²/m²"]
    (on_the_map,) = [a for a in shown.xpath("//a/@href") if "/map" in a]
    assert on_the_map.endswith("/map#scenario=density-indicators")
    # Programs that say nothing get JSON, as before.
    assert http.get("/processes/density-indicators").json()["id"] == "density-indicators"


def test_the_other_language_is_chosen_on_the_page(http: httpx.Client, browser: Any) -> None:
    browser.open(f"{http.base_url}/collections/building")
    assert browser.run("document.documentElement.lang") == "en"
    other = "document.querySelector('button.language').click()"
    browser.leave(other)
    assert browser.run("document.documentElement.lang") == "zh"
    assert "图层" in browser.run("document.body.textContent")
    browser.open(f"{http.base_url}/processes")
    assert browser.run("document.querySelector('h1').textContent") == "更新情景"
    browser.leave(other)
    assert browser.run("document.documentElement.lang") == "en"
    assert http.get("/", headers={**BROWSER, "Cookie": "cim-language=xx"}).text.count('lang="en"') == 1


def test_what_is_measured_is_set_in_groups_of_three(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    table = city.database.table("building")
    with city.database.engine.begin() as connection:
        change = {"footprint_area": 12345.6, "year_built": 1978}
        connection.execute(sa.update(table).where(table.c.code == "building-00001").values(**change))
    facts = page(http, f"{ITEMS}/building-00001").xpath("//dl[@class='facts']/dd/text()")
    assert {"12,345.6", "1978"} <= set(facts)


def test_what_the_data_says_is_text(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    evil = "<script>alert(1)</script>"
    with city.database.engine.begin() as connection:
        row = {"code": 'x"><b>/1', "name": evil, "address": "javascript:alert(1)", "attributes": {evil: evil}}
        connection.execute(sa.insert(city.database.table("building")), [row])
    city.sequence()
    listed = page(http, ITEMS, filter=f"name = '{evil}'")
    (address,) = listed.xpath("//table//tr/td[1]/a/@href")
    assert listed.xpath("//table//b | //table//script") == []
    item = page(http, address)
    assert item.xpath("//h1/text()") == [evil]
    assert [a for a in item.xpath("//a/@href") if not a.startswith("http")] == []
    # The question itself comes back as text, too.
    asked = page(http, ITEMS, filter="name = '\"><script>'")
    assert asked.xpath("//input[@name='filter']/@value") == ["name = '\"><script>'"]


def test_the_table_goes_on_page_by_page(http: httpx.Client) -> None:
    codes: list[str] = []
    address = f"{ITEMS}?filter=year_built=1953&limit=20"
    while address:
        shown = page(http, address)
        codes += shown.xpath("//table//tr/@data-code")
        address = next(iter(shown.xpath("//a[@rel='next']/@href")), "")
    assert codes == [f"building-{number:05d}" for number in range(3, 2603, 70)]


def test_an_item_shows_its_past(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    table = city.database.table("building")
    with city.database.engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.code == "building-00001").values(name="second name"))
    city.sequence()
    item = page(http, f"{ITEMS}/building-00001")
    assert item.xpath("//h1/text()") == ["second name"]
    rows = item.xpath("//section[h2='History']//tbody/tr")
    assert [row.xpath("td[1]/text()") for row in rows] == [["2"], ["1"]]
    before = page(http, rows[1].xpath("td[6]/a/@href")[0])
    assert before.xpath("//h1/text()") == ["building-00001"]
    assert "pinned" in before.xpath("//p[contains(@class, 'state')]/@class")[0]
    (proof,) = item.xpath("//a[@id='proof']/@href")
    verified = verify_proof(http.get(proof).text, item.xpath("//section[@class='proof']//code/text()")[0])
    assert verified.entry["body"]["name"] == "second name"
    assert "text/html" in http.get(item.xpath("//a[@id='verify']/@href")[0]).headers["content-type"]


def trouble(browser: Any, base: str) -> list[Any]:
    """What the browser complained of, and whom else it asked."""
    found: list[Any] = []
    for event in browser.events:
        kind, said = event.get("method"), event.get("params", {})
        if kind == "Log.entryAdded" and said["entry"]["level"] == "error":
            found.append(said["entry"])
        if kind == "Runtime.exceptionThrown":
            found.append(said)
        if kind == "Network.requestWillBeSent":
            address = urlsplit(said["request"]["url"])
            if f"{address.scheme}://{address.netloc}" != base and address.scheme not in ("data", "about"):
                found.append(said["request"]["url"])
    return found


DRAWN = """
new Promise((done) => {
  const look = () => {
    const figure = document.querySelector("figure.map"), canvas = figure.querySelector("canvas");
    if (!figure.dataset.drawn) return setTimeout(look, 20);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let painted = 0;
    for (let at = 3; at < data.length; at += 4) painted += data[at] > 0;
    done([Number(figure.dataset.drawn), painted / (data.length / 4)]);
  };
  look();
})
"""


def test_a_browser_draws_the_map_and_follows_it(browser: Any, base: str, http: httpx.Client, until: Any) -> None:
    browser.open(f"{base}{ITEMS}?f=html&limit=50&filter=year_built=1953")
    drawn, painted = browser.run(DRAWN)
    features = http.get(ITEMS, params={"limit": 50, "filter": "year_built=1953"}).json()["features"]
    assert drawn == sum(feature["geometry"] is not None for feature in features) > 20
    assert 0.001 < painted < 0.5
    assert trouble(browser, base) == []
    # One building alone fills its map: in the middle of it is the building, and a click there leads to its page.
    browser.open(f"{base}{ITEMS}?f=html&filter=code='building-00001'")
    drawn, painted = browser.run(DRAWN)
    assert drawn == 1
    assert painted > 0.005
    box = browser.run("(({x, y, width, height}) => [x, y, width, height])"
                      "(document.querySelector('figure.map canvas').getBoundingClientRect())")  # fmt: skip
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    # Not left until it is complete: its end would be taken for that of the next page.
    reached = "location.href.includes('building-00001?') && document.readyState === 'complete'"
    until(lambda: browser.run(reached), "the map leads nowhere")
    assert trouble(browser, base) == []


def test_a_page_keeps_to_a_phone_and_its_map_to_what_was_seen(browser: Any, base: str) -> None:
    beyond = """
        [["main > *", 16], [".ask *, .told td", 36]].flatMap(([those, margin]) => [...document.querySelectorAll(those)]
          .filter((one) => one.getBoundingClientRect().right > innerWidth - margin).map((one) => one.outerHTML))
    """
    edges = """
        (() => { const canvas = document.querySelector("figure.map canvas"), { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          const painted = (x) => [...Array(height).keys()].filter((y) => data[4 * (y * width + x) + 3]).length;
          return [1, width - 2].map(painted);
        })()
    """
    metrics = {"height": 800, "deviceScaleFactor": 1, "mobile": False}
    try:
        for path in (f"{ITEMS}?limit=1000&", "/processes/district-inventory?", "/collections/building?"):
            browser.call("Emulation.setDeviceMetricsOverride", width=1280, **metrics)
            browser.open(f"{base}{path}f=html")
            if path.startswith(ITEMS):
                browser.run(DRAWN)
            browser.call("Emulation.setDeviceMetricsOverride", width=390, **metrics)
            browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            assert browser.run(beyond) == [], path
            if path.startswith(ITEMS):
                assert browser.run(edges) == [0, 0]
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
    assert trouble(browser, base) == []


def test_a_form_leaves_out_what_was_left_empty(browser: Any, base: str) -> None:
    browser.open(f"{base}{ITEMS}?f=html")
    browser.run(DRAWN)
    address = browser.run("""
        (() => { document.querySelector("input[name=filter]").value = "height < 1"; const form = document.forms[0];
          form.dispatchEvent(new SubmitEvent("submit", {cancelable: true}));
          return new URLSearchParams(new FormData(form)).toString(); })()
    """)
    assert re.fullmatch(r"f=html&filter=height\+%3C\+1&limit=10", address)
    assert trouble(browser, base) == []


@pytest.mark.parametrize("path", ["/collections/building?f=html", f"{ITEMS}/building-00001?f=html"])
def test_a_browser_shows_collection_and_item(path: str, browser: Any, base: str) -> None:
    browser.open(base + path)
    drawn, painted = browser.run(DRAWN)
    assert drawn >= 1
    assert painted > 0
    assert trouble(browser, base) == []


def test_a_history_says_what_each_revision_changed(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    table = city.database.table("building")
    here = table.c.code == "building-00001"
    changes: list[dict[str, Any]] = [
        {"usage": "residential", "height": 12.5, "attributes": {"层": 3}},
        {"usage": "office", "attributes": {"层": 3, "<b>": "x"}},
        {"geom": sa.func.ST_Translate(table.c.geom, 1, 0)},
    ]
    for change in changes:
        with city.database.engine.begin() as connection:
            connection.execute(sa.update(table).where(here).values(**change))
    with city.database.engine.begin() as connection:
        connection.execute(sa.delete(table).where(here))
    city.sequence()
    sections = page(http, f"{ITEMS}/building-00001/history").xpath("//main/section")
    told = {
        section.xpath("h2")[0].text: [
            tuple(cell.text_content() for cell in row.xpath("th | td")) for row in section.xpath(".//tbody/tr")
        ]
        for section in sections
    }
    # Labels of building.schema.json, values of codelists/building_usage.json.
    assert told == {
        "Revision 5: delete": [],
        "Revision 4: update": [],
        "Revision 3: update": [("Use", "Residential", "Office"), ("<b>", "", "x")],
        "Revision 2: update": [("Use", "", "Residential"), ("Height [m]", "", "12.5"), ("层", "", "3")],
        "Revision 1: insert": [],
    }
    assert "geometry" in sections[1].text_content()
    (leaf,) = sections[2].xpath(".//dl//a")
    assert page(http, leaf.get("href")).xpath("//dd[@title='office']")[0].text == "Office"
    chinese = page(http, f"{ITEMS}/building-00001/history", "zh").xpath("//main/section")
    assert chinese[2].xpath(".//tbody/tr[1]/*/text()") == ["用途", "住宅", "办公"]


def test_the_first_page_links_to_each_place_once(http: httpx.Client) -> None:
    addresses = page(http, "/").xpath("//main//ul[@class='plain']//a/@href")
    assert len(addresses) == len(set(addresses)) > 5
