"""The bar of `cim log audit`: drawn where a person is watching, nowhere else."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from cim.city import City
from cim.settings import Settings

COMMAND = [Path(sys.executable).with_name("cim"), "log", "audit", "--full", "--json"]


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The variables by which the command finds a city of 300 buildings, in their log; the dictionary is leaf 0."""
    with City(settings) as city:
        with city.database.engine.begin() as connection:
            connection.execute(
                sa.text("INSERT INTO city.building (code) SELECT 'b' || i FROM generate_series(1, 300) i")
            )
        assert city.sequence().size == 301
    assert settings.database_url is not None
    ours = {"CIM_HOME": str(settings.home), "CIM_DATABASE_URL": settings.database_url, "CIM_ORIGIN": settings.origin}
    colours = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    return {name: value for name, value in os.environ.items() if name not in colours} | ours


def test_the_bar_is_drawn_on_a_terminal(environment: dict[str, str]) -> None:
    terminal, end = pty.openpty()
    try:
        with subprocess.Popen(
            COMMAND, stdout=subprocess.PIPE, stderr=end, env=environment | {"TERM": "xterm"}
        ) as audit:
            os.close(end)
            shown = bytearray()
            with suppress(OSError):  # EIO, once nobody has the other end
                while data := os.read(terminal, 65536):
                    shown += data
            assert audit.stdout is not None
            report = json.loads(audit.stdout.read())
    finally:
        os.close(terminal)
    assert (audit.returncode, report["ok"], report["tree_size"]) == (0, True, 301)
    assert b"auditing leaves" in shown
    assert b"100%" in shown
    assert "━".encode() in shown


@pytest.mark.parametrize("colours", [{}, {"FORCE_COLOR": "1"}])
def test_nothing_of_it_is_printed_where_there_is_no_terminal(
    environment: dict[str, str], colours: dict[str, str]
) -> None:
    """Not even where colours are forced, as many build servers do."""
    done = subprocess.run(COMMAND, capture_output=True, env=environment | {"TERM": "xterm"} | colours, check=True)
    assert done.stderr == b""
    assert json.loads(done.stdout)["ok"] is True
