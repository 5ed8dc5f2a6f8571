"""What `cim log export` hands out: a stranger with that folder, a proof and the key needs nothing of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cim.city import City
from cim.db.engine import Database
from cim.settings import Settings

HOUSE = "340123002004GB00011F00010000"
FLAT = "340123002004GB00011F00010001"
SQUARE = "POLYGON((500000 4300000, 500010 4300000, 500010 4300010, 500000 4300000))"


@pytest.fixture
def exported(settings: Settings, database: Database, put: Callable[..., int], tmp_path: Path) -> Path:
    """A folder made by the command, from a log with a building and a unit whose owner is private."""
    unit = {"code": FLAT, "building_code": HOUSE, "room_number": "101", "owner_name": "张三"}
    put(database, {"building": [{"code": HOUSE, "name": "甲", "height": 12.5, "geom": SQUARE}], "unit": [unit]})
    changes = {"CIM_HOME": str(settings.home), "CIM_DATABASE_URL": settings.database_url, "CIM_ORIGIN": settings.origin}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIM_")} | changes
    folder = tmp_path / "exported"
    command = [Path(sys.executable).with_name("cim"), "log", "export", folder]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return folder


def test_the_folder_verifies_a_proof_of_this_deployment(exported: Path, settings: Settings, tmp_path: Path) -> None:
    with City(settings) as city:
        for code, shown in ((HOUSE, ('"name": "甲"', '"height": 12.5')), (FLAT, ('"room_number": "101"',))):
            proof = tmp_path / f"{code}.tlog-proof"
            proof.write_text(city.proof(code), encoding="utf-8")
            command = [sys.executable, "-I", "-S", "-X", "utf8", "verify_tlog_proof.py", proof, "log.vkey"]
            run = subprocess.run(command, cwd=exported, capture_output=True, encoding="utf-8", check=False)
            assert run.returncode == 0, run.stderr
            assert all(text in run.stdout for text in (f'"code": "{code}"', *shown))
            assert "张三" not in run.stdout
            proof.write_bytes(proof.read_bytes().replace(b"\nindex ", b"\nindex 1"))
            assert subprocess.run(command, cwd=exported, capture_output=True, check=False).returncode == 3


def test_the_folder_s_page_verifies_a_proof_of_this_deployment(
    exported: Path, settings: Settings, browser: Any
) -> None:
    with City(settings) as city:
        proof = city.proof(FLAT)
    browser.open((exported / "verify.html").as_uri())
    key = (exported / "log.vkey").read_text(encoding="utf-8").strip()
    entry = browser.run(
        f"verifyProof(new TextEncoder().encode({json.dumps(proof)}), {json.dumps(key)}).then((p) => p.entry)"
    )
    assert entry["code"] == FLAT
    assert entry["body"]["room_number"] == "101"
    assert list(entry["private"]) == ["owner_name"]
