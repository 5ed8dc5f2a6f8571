"""Proposals drawn up, revised, compared, rebased and merged over HTTP, and by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from lxml import html

from cim.city import City
from cim.db import access
from cim.settings import Settings
from tests.api.test_through import DIVISION, ITEMS, LOW, OLD, PARCEL, seeded

LIFT = {"target": LOW, "action": "add_lift"}
REBUILD = {"target": OLD, "action": "rebuild", "params": {"gross_floor_area": 600.0, "dwellings": 8}}
WRITE = ("proposal:write", "intervention:write")
MERGE = (*WRITE, "building:write", "facility:write", "green_space:write", "road:write")
READ = ("proposal:read", "intervention:read")

Opened = tuple[City, httpx.Client]


def opened(settings: Settings, serving: Any) -> Iterator[Opened]:
    with City(settings) as city:
        seeded(city)
        with serving(settings, city) as address, httpx.Client(base_url=address, timeout=300) as http:
            yield city, http


@pytest.fixture(scope="module")
def writable(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any) -> Iterator[Opened]:
    """A city that everybody may read and write."""
    yield from opened(Settings(tmp_path_factory.mktemp("open"), database_url=clone(), api_write="yes"), serving)


@pytest.fixture(scope="module")
def closed(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any) -> Iterator[Opened]:
    """One whose proposals not everybody may read, nor write anything."""
    public = frozenset({"division", "parcel", "building"})
    yield from opened(Settings(tmp_path_factory.mktemp("shut"), database_url=clone(), api_public=public), serving)


def created(http: httpx.Client, name: str, *interventions: dict[str, Any], **more: Any) -> str:
    answer = http.post("/proposals", json={"name": name, "interventions": interventions, **more})
    assert answer.status_code == 201, answer.text
    code = answer.json()["code"]
    assert answer.headers["Location"].endswith(f"/proposals/{code}")
    return str(code)


def test_from_the_draft_to_the_permit(writable: Opened) -> None:
    city, http = writable
    code = created(http, "东街二期", LIFT, author="规划院")
    assert code in [one["code"] for one in http.get("/proposals").json()["proposals"]]

    drawn = http.put(
        f"/proposals/{code}", json={"interventions": [LIFT, REBUILD]}, headers={"CIM-Actor": "planner"}
    ).json()
    assert [one["action"] for one in drawn["interventions"]] == ["rebuild", "add_lift"]  # by phase, then target
    changes = {line["code"]: line for line in http.get(f"/proposals/{code}/diff").json()["changes"]}
    assert changes[LOW]["fields"] == {"has_lift": [False, True]}
    assert changes[OLD]["change"] == "removed"
    (new,) = changes.keys() - {OLD, LOW}
    assert changes[new]["fields"]["gross_floor_area"] == [None, 600.0]
    other = created(http, "Lift alone", LIFT)
    against = http.get(f"/proposals/{code}/diff", params={"against": other}).json()["changes"]
    assert {line["code"] for line in against} == {OLD, new}

    # Every reading takes it by its code.
    assert http.get(f"{ITEMS}/{LOW}", params={"proposal": code}).json()["properties"]["has_lift"] is True
    inventory = {"inputs": {"scope": [PARCEL], "proposal": code}}
    assert http.post("/processes/district-inventory/execution", json=inventory).json()["result"]["n"]["value"] == 2
    # Each lies on the state it was drawn up on: who compares two names one for both.
    onto = http.get(f"/proposals/{other}").json()["base_tree_size"]
    compared = {"inputs": {"scope": [PARCEL], "proposals": [code, other], "as_of": onto}}
    assert http.post("/processes/evaluate-proposal/execution", json=compared).status_code == 200

    shown = html.fromstring(http.get("/proposals", headers={"Accept": "text/html"}).text)
    assert {row.xpath("string(td[1])") for row in shown.xpath("//tbody/tr")} >= {code, other}
    assert "Lift alone" in shown.xpath("string(//tbody)")
    leads = [address for address in shown.xpath("//td/a/@href") if other in address]
    assert len(leads) == 3
    assert [http.get(address).status_code for address in leads] == [200] * 3

    # The city goes on: the target is another, and that is named.
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        connection.execute(sa.update(table).where(table.c.code == OLD).values(danger_grade="D"))
    city.sequence()
    found = http.post(f"/proposals/{code}/rebase", json={}).json()
    assert (found["done"], [(one["code"], one["fields"]) for one in found["conflicts"]]) == (
        False,
        [(OLD, ["danger_grade"])],
    )
    assert http.post(f"/proposals/{code}/rebase", json={"inputs": {"rule_pack": "none"}}).status_code == 404
    permit = {"permit": "建规许〔2026〕7号", "effective_on": "2027-01-01"}
    refused = http.post(f"/proposals/{code}/merge", json=permit)
    assert (refused.status_code, "danger_grade" in refused.json()["detail"]) == (409, True)
    assert http.post(f"/proposals/{code}/rebase", json={"accept": True}).json()["done"] is True

    merged = http.post(f"/proposals/{code}/merge", json=permit, headers={"CIM-Actor": "office"}).json()
    assert merged == {"changed": {"building": [OLD, LOW]}, "added": {"building": [new]}}
    record = http.get(f"/proposals/{code}").json()
    assert (record["proposal_status"], record["permit"]) == ("merged", permit["permit"])
    gone = http.get(f"{ITEMS}/{OLD}/history", params={"f": "json"}).json()["revisions"][-1]
    assert (gone["body"]["status"], gone["body"]["valid_to"]) == ("demolition_approved", "2027-01-01")
    assert gone["by"] == "office"
    assert permit["permit"] in gone["reason"]
    assert http.get(f"{ITEMS}/{new}").json()["properties"]["valid_from"] == "2027-01-01"
    assert http.post(f"/proposals/{code}/merge", json=permit).status_code == 409

    withdrawn = http.post(f"/proposals/{other}/withdrawal", json={"reason": "no money"}).json()
    assert withdrawn["proposal_status"] == "withdrawn"
    assert http.put(f"/proposals/{other}", json={"interventions": []}).status_code == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/proposals", {"name": "x"}, 400),
        ("POST", "/proposals", {"name": "", "interventions": []}, 400),
        ("POST", "/proposals", {"name": "x", "interventions": [], "more": 1}, 400),
        ("POST", "/proposals", {"name": "x", "interventions": [{"target": OLD, "action": "fly"}]}, 400),
        ("POST", "/proposals", {"name": "x", "interventions": [{"target": "none", "action": "keep"}]}, 404),
        ("POST", "/proposals", {"name": "x", "interventions": [], "as_of": 10_000}, 404),
        ("POST", "/proposals", {"name": "East street", "interventions": []}, 409),
        ("PUT", "/proposals/none", {"interventions": []}, 404),
        ("PUT", "/proposals/%00", {"interventions": []}, 404),
        ("POST", "/proposals/none/merge", {"permit": "7", "effective_on": "soon"}, 400),
        ("POST", "/proposals/none/merge", {"permit": "7", "effective_on": "2027-01-01"}, 404),
        ("POST", "/proposals/none/withdrawal", {}, 400),
        ("GET", "/proposals/none", None, 404),
        ("GET", "/proposals/none/diff", None, 404),
        ("DELETE", "/proposals/none", None, 405),
    ],
)
def test_what_is_refused(writable: Opened, method: str, path: str, body: Any, status: int) -> None:
    _, http = writable
    answer = http.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_none_is_called_merged_that_nobody_judged(writable: Opened) -> None:
    city, http = writable
    code = created(http, "Called merged", LIFT)
    (drawn,) = city.proposals.get(code)["interventions"]
    items = {"proposal": code, "intervention": drawn["id"]}
    for name, of in items.items():
        collection = f"/collections/{name}/items"
        feature = {"type": "Feature", "geometry": None, "properties": {"proposal_status": "merged"}}
        merge_patch = {"Content-Type": "application/merge-patch+json"}
        for answer in (
            http.patch(f"{collection}/{of}", json=feature, headers=merge_patch),
            http.put(f"{collection}/{of}", json=feature),
            http.post(collection, json=feature),
            http.delete(f"{collection}/{of}"),
        ):
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
            assert "/proposals" in answer.json()["detail"]
        assert http.options(f"{collection}/{of}").headers["allow"] == "GET, HEAD, OPTIONS"
        described = http.get("/api").json()["paths"]
        assert set(described[f"{collection}/{{code}}"]) & {"put", "patch", "delete"} == set()
    assert http.get(f"/proposals/{code}").json()["proposal_status"] == "draft"


def test_who_may_draw_one_up(closed: Opened) -> None:
    city, http = closed

    def ask(method: str, path: str, scopes: tuple[str, ...], divisions: tuple[str, ...] = (), **body: Any) -> int:
        with city.database.engine.begin() as connection:
            key = access.add_key(connection, "Planner", scopes, divisions)
        return http.request(method, path, json=body or None, headers={"X-API-Key": key}).status_code

    (known,) = city.proposals.records()
    one = f"/proposals/{known['code']}"
    draft = {"name": "New", "interventions": [LIFT]}
    permit = {"permit": "7", "effective_on": "2027-01-01"}
    assert http.get("/proposals").status_code == 401
    assert http.post("/proposals", json=draft).status_code == 401
    assert ask("GET", one, ("proposal:read",)) == 403
    assert ask("GET", one, READ) == 200
    # What a proposal changes may be of any collection that it may write to.
    assert ask("GET", f"{one}/diff", READ) == 403
    assert ask("GET", f"{one}/diff", ("*:read",)) == 200
    assert ask("POST", "/proposals", WRITE, **draft) == 403
    assert ask("POST", "/proposals", ("processes:execute",), **draft) == 403
    assert ask("POST", "/proposals", (*WRITE, "processes:execute"), (DIVISION,), **draft) == 403
    assert ask("POST", "/proposals", (*WRITE, "processes:execute"), **draft) == 201
    assert ask("POST", f"{one}/merge", (*WRITE, "processes:execute"), **permit) == 403
    assert ask("POST", f"{one}/merge", (*MERGE, "processes:execute"), **permit) == 200
