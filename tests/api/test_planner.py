"""The planner's page in a real browser: the map draws the city's tiles, a scenario is asked, its seal is shown."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from cim.city import City
from cim.settings import Settings
from ingest import Options, ingest
from ingest.mapping import load
from sample_data import DATA, MAPPINGS

# Click somewhere in the middle of the map, each time elsewhere, until a building is hit.
CLICK = """((tries) => {
    const canvas = document.querySelector("#map canvas"), box = canvas.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 3 + 13 * (tries % 17), box.y + box.height / 3 + 11 * (tries % 19)];
    const at = { clientX: x, clientY: y };
    const press = (kind) => canvas.dispatchEvent(new MouseEvent(kind, { ...at, bubbles: true }));
    document.querySelector(".maplibregl-popup-close-button")?.click();
    ["mousedown", "mouseup", "click"].forEach(press);
})(window.tries = (window.tries ?? 0) + 1)"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Those of a city that everybody may write to."""
    return replace(settings, api_write="yes")


@pytest.fixture
def district(own: tuple[City, httpx.Client]) -> tuple[City, httpx.Client]:
    """The sample district, sequenced."""
    city, http = own
    mappings = load([MAPPINGS], city.database.dictionary)
    report = ingest(city.database, [DATA / "district.gpkg", DATA / "roads.fgb"], Options(mappings=mappings))
    assert report.refused == []
    city.sequence()
    return city, http


def test_the_page_may_load_only_what_is_ours(http: httpx.Client) -> None:
    page = http.get("/map")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    library = http.get("/map/maplibre-gl.js")
    assert library.headers["content-type"].startswith("text/javascript")
    assert "MapLibre GL JS" in library.text[:100]
    assert http.get("/map/__init__.py").status_code == 404
    assert "城市更新规划" in http.get("/map", headers={"Accept-Language": "zh"}).text


def test_a_planner_asks_a_scenario_on_the_map(district: tuple[City, httpx.Client], browser: Any) -> None:
    city, http = district
    browser.open(f"{http.base_url}/map")
    wait = """new Promise((done, fail) => {
        const end = Date.now() + 50000;
        const said = document.getElementById("said");
        const look = () => (%s) ? done(true) : Date.now() > end ? fail(said.textContent) : setTimeout(look, 100);
        look();
    })"""
    browser.run(wait % '"ready" in document.body.dataset')
    # Green, yellow, orange, red: buildings of each danger grade are drawn.
    browser.run(wait % '"drawn" in document.body.dataset')
    shot = browser.call("Page.captureScreenshot", format="png")["data"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB")).reshape(-1, 3).astype(int)
    for colour in ((0x5A, 0xAE, 0x61), (0xE8, 0xC5, 0x47), (0xEF, 0x7F, 0x3A), (0xB2, 0x18, 0x2B)):
        assert (np.abs(pixels - colour).max(axis=1) < 16).sum() > 100, colour
    offered = browser.run('[...document.getElementById("process").options].map((one) => one.value).join()').split(",")
    assert "district-inventory" in offered
    assert "compare-districts" not in offered
    chosen = 'const asked = document.getElementById("process"); asked.value = "district-inventory";'
    browser.run(chosen + 'asked.dispatchEvent(new Event("change"))')
    browser.run(wait % "document.querySelector('[data-input=group_by]')")
    browser.run('document.getElementById("compute").click()')
    browser.run(wait % 'document.querySelector(".seal")')
    shown = browser.run('document.getElementById("answer").textContent')
    with city.database.engine.connect() as connection:
        scope = connection.execute(sa.text("SELECT code FROM city.renewal_district")).scalar_one()
    answer = city.scenario("district-inventory", scope=scope)
    assert str(answer["assessment"]["tree_size"]) in shown
    assert answer["assessment"]["root"][:16] in shown
    # Why are there so many households? The number opens into the houses and what each contributes.
    browser.run("document.querySelector('[data-at=\"/households\"]').click()")
    browser.run(wait % 'document.querySelector(".opened")')
    explained = city.scenario("district-inventory", scope=scope, explain=["/households"])["result"]["why"][0]
    shown = browser.run('document.querySelector(".opened").textContent')
    assert explained["formula"] in shown
    assert all(term["code"] in shown for term in explained["num"]["terms"][:50])
    # A building is demolished in a proposal, and the same question asked again.
    browser.run(wait % "document.querySelector('.intervene [value=demolish]') || (%s, null)" % CLICK)
    browser.run(
        "const actions = document.querySelector('.intervene select'); actions.value = 'demolish';"
        "actions.dispatchEvent(new Event('change')); document.querySelector('.intervene .button').click()"
    )
    assert "demolish: " in browser.run('document.getElementById("proposal").textContent')
    browser.run("""real = window.fetch; window.fetch = async (...asked) => {
        const answer = await real(...asked);
        [window.asked, window.answer] = [asked[1].body, await answer.clone().text()];
        return answer;
    }; document.getElementById("answer").replaceChildren(); document.getElementById("compute").click()""")
    browser.run(wait % 'document.querySelector(".seal")')
    (done,) = json.loads(browser.run("window.asked"))["inputs"]["proposal"]["interventions"]
    assert done["action"] == "demolish"
    answer = json.loads(browser.run("window.answer"))
    assert answer["assessment"]["proposal_root"] is not None
    # What is printed is of the same state and proposal.
    browser.run('window.answer = ""; document.querySelector(".prints a").click()')
    browser.run(wait % "window.answer")
    assert answer["assessment"]["root"] in browser.run("window.answer")
    # Recorded, it is taken by its code.
    browser.run('document.getElementById("name").value = "东街"; document.getElementById("record").click()')
    browser.run(wait % 'document.getElementById("said").textContent.startsWith("Recorded as")')
    (record,) = city.proposals.records()
    assert record["name"] == "东街"
    assert browser.run('document.getElementById("said").textContent').endswith(record["code"])
    assert [one["target"] for one in city.proposals.get(record["code"])["interventions"]] == [done["target"]]
    # What a proposal does beyond the land is said.
    browser.run("""window.fetch = async (...asked) => {
        const answer = await real(...asked), body = await answer.json();
        body.coverage.targets_outside = ["FAR-1", "FAR-2"];
        return new Response(JSON.stringify(body), answer);
    }; document.getElementById("answer").replaceChildren(); document.getElementById("compute").click()""")
    browser.run(wait % 'document.querySelector(".missed")')
    assert browser.run('document.querySelector(".missed").textContent').endswith("not counted: FAR-1, FAR-2")
    said = [event for event in browser.events if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")]
    assert said == [], json.dumps(said)
