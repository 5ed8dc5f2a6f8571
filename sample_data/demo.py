"""The whole path in one run: files, coded objects, the log, a proof, and a renewal answer that an edit cannot change.

Run by `make demo`; its data stays in `.cim/demo`, so that the second run finds everything loaded.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd

from cim.city import City
from cim.db import cluster
from cim.settings import Settings
from sample_data import DATA, MAPPINGS

ROOT = Path(__file__).resolve().parents[1]
CIM = Path(sys.executable).with_name("cim")
# A brick house inside the renewal district; the demo's survey moves it between danger grades C and D.
DISTRICT_QUESTION = "district-inventory"
SECONDS_TO_START = 60


def main() -> None:
    """Run the demo, and stop what it started."""
    settings = replace(Settings.from_environment(), home=ROOT / ".cim" / "demo", database_url=None)
    environment = {**os.environ, "CIM_HOME": str(settings.home)}
    environment.pop("CIM_DATABASE_URL", None)
    started = not cluster.status(settings).running
    try:
        say("1. Load sample_data into PostGIS (the second time, nothing is new)")
        command(["ingest", DATA, "--mapping", MAPPINGS], environment)
        with City(settings) as city:
            prove(city)
            with serving(environment) as url:
                ask(city, url)
            judge(city)
    finally:
        if started:
            cluster.stop(settings)
    say("Stopped what was started. The data stays in .cim/demo. To see it on a map:")
    print("$ CIM_HOME=.cim/demo .venv/bin/cim serve    # then open http://127.0.0.1:8000/map")


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text}", flush=True)


def command(arguments: list[str | Path], environment: dict[str, str]) -> None:
    """Print and run a `cim` command, in the folder of the project."""
    shown = [str(argument).removeprefix(f"{ROOT}/") for argument in arguments]
    print(f"$ cim {' '.join(shown)}", flush=True)
    subprocess.run([CIM, *shown], env=environment, cwd=ROOT, check=True)


def prove(city: City) -> None:
    """Prove one building and verify the proof where there is neither database nor key folder."""
    say("2. Prove one building, and verify the proof offline")
    building = surveyed(city).index[0]
    with tempfile.TemporaryDirectory() as folder:
        proof = Path(folder) / f"{building}.tlog-proof"
        proof.write_text(city.proof(building), encoding="utf-8")
        key = city.publisher.signer.verifier.to_text()
        print(f"$ cim log verify {proof.name} --key {key}", flush=True)
        offline = {"PATH": os.environ["PATH"], "CIM_HOME": folder}
        out = subprocess.run(
            [CIM, "log", "verify", proof, "--key", key, "--json"], env=offline, check=True, capture_output=True
        ).stdout
        verified = json.loads(out)
        entry = verified.pop("entry")
        print("\n".join(f"{name}: {value}" for name, value in verified.items()))
        print(f"entry: {entry['type']} {entry['code']}, revision {entry['rev']}, {entry['body']['name']}")


def surveyed(city: City) -> gpd.GeoDataFrame:
    """Return the building of the renewal district that the survey changes: one row."""
    district = city.features("renewal_district")
    west, south, east, north = district.total_bounds
    houses = city.features("building", bbox=(west, south, east, north), where="danger_grade IN ('C', 'D')")
    return houses[houses.within(district.geometry.iloc[0])].iloc[:1]


def ask(city: City, url: str) -> None:
    """Ask the API before and after an edit."""
    district = city.features("renewal_district")
    say("3. Ask the API for the buildings in a box")
    west, south, east, north = district.to_crs(4490).total_bounds
    box = f"{west:.6f},{south:.6f},{(west + east) / 2:.6f},{(south + north) / 2:.6f}"
    page = json.loads(get(f"{url}/collections/building/items?bbox={box}&limit=1000"))
    print(f"GET /collections/building/items?bbox={box}&limit=1000 → {page['numberReturned']} buildings")

    say(f"4. Ask for {DISTRICT_QUESTION}, edit a building, ask again")
    before = city.tree_head()
    inputs = {"scope": district.index[0], "group_by": ["danger"]}
    first = execute(url, {**inputs, "as_of": before.size})
    show(f"as of {before.size}", first)
    edit(city)
    after = city.sequence()
    show(f"as of {after.size}", execute(url, {**inputs, "as_of": after.size}))
    again = execute(url, {**inputs, "as_of": before.size})
    print(f"as of {before.size} again: {'the same' if again == first else 'DIFFERENT'} {len(again)} bytes")
    if again != first:
        raise SystemExit("the answer as of an old tree size changed")


def judge(city: City) -> None:
    """Hold a proposal to the rules: the surveyed house gives way to one of two storeys."""
    say("5. Propose to rebuild that building, and hold the proposal to the rules")
    district, house = city.features("renewal_district"), surveyed(city).iloc[0]
    new = {"gross_floor_area": 2 * float(house["footprint_area"]), "storeys_above": 2, "height": 7.0}
    action = {"target": house.name, "action": "rebuild", "params": new}
    answer = city.scenario("check-constraints", scope=district.index[0], proposal={"interventions": [action]})
    judged = [rule for rule in answer["result"]["rules"] if rule["status"] in ("pass", "fail")]
    for rule in judged:
        value = rule["value"]
        print(f"{rule['rule']} {rule['status']}: {value['value']:g} {value['unit']}, limit {rule['limit']}")
    others = [rule["rule"] for rule in answer["result"]["rules"] if rule not in judged]
    print(f"not judged, as facts are missing or the rule is switched off: {', '.join(others)}")


def edit(city: City) -> None:
    """Record a new danger grade for one building, through the SDK."""
    house = surveyed(city)[["danger_grade"]]
    code, grade = house.index[0], house["danger_grade"].iloc[0]
    new = "D" if grade == "C" else "C"
    city.write("building", house.assign(danger_grade=new), actor="demo", reason="structural survey")
    print(f"edit: danger grade of {code} from {grade} to {new}")


def show(label: str, answer: bytes) -> None:
    """Print the few numbers of an inventory that the edit touches."""
    document = json.loads(answer)
    result, seal = document["result"], document["assessment"]
    grades = {row["by"]["danger"]: row["n"]["value"] for row in result["cube"] if row["by"].get("danger")}
    print(
        f"{label}: {result['n']['value']} buildings, {result['gfa_above']['value']:,.1f} m² above ground, "
        f"by danger grade {grades}, root {seal['root'][:16]}…"
    )


def execute(url: str, inputs: dict[str, Any]) -> bytes:
    """Run the process over HTTP and return the answer's bytes."""
    request = urllib.request.Request(
        f"{url}/processes/{DISTRICT_QUESTION}/execution",
        data=json.dumps({"inputs": inputs}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return bytes(response.read())


def get(url: str) -> bytes:
    """Return the body of a GET."""
    with urllib.request.urlopen(url, timeout=60) as response:
        return bytes(response.read())


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """Run `cim serve` on a free port and give its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([CIM, "serve", "--port", str(port)], env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                get(f"{url}/health")
                break
            except urllib.error.URLError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the API did not start; run `cim serve` to see why") from None
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


if __name__ == "__main__":
    main()
