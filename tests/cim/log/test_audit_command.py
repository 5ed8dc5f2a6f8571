"""`cim log audit` looks at everything there is: one thing of each kind is damaged, and mended again."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cim.city import City
from cim.cli import main
from cim.settings import Settings
from tests.cim.log.conftest import run

Audit = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def city(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """300 buildings, of which b7 was changed once; every trigger off, as only an administrator can."""
    settings = Settings(home=tmp_path_factory.mktemp("audit"), database_url=clone(), origin="example.org/test")
    with City(settings) as city:
        run(city, "INSERT INTO city.building (code, name) SELECT 'b' || i, '甲' FROM generate_series(1, 300) i")
        city.sequence()
        run(city, "UPDATE city.building SET height = 3 WHERE code = 'b7'")
        assert city.sequence().size == 302
        guarded = ("city.building", "cim.revision", "cim.leaf")
        run(city, *(f"ALTER TABLE {name} DISABLE TRIGGER ALL" for name in guarded))
        run(city, *(f"CREATE TABLE public.{name} AS TABLE cim.{name}" for name in ("revision", "leaf", "tree_state")))
        yield city


@pytest.fixture
def audit(city: City, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Audit:
    """Run the command as its user does; answer with exit code and what it printed."""
    for name, value in {
        "HOME": city.settings.home,
        "DATABASE_URL": city.settings.database_url,
        "ORIGIN": city.settings.origin,
    }.items():
        monkeypatch.setenv(f"CIM_{name}", str(value))

    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["cim", "log", "audit", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().out

    return command


SHAPE = "ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))', 4548)"
FORGED = "convert_to(replace(convert_from(l.entry, 'UTF8'), '\"甲\"', '\"乙\"'), 'UTF8')"


@pytest.mark.parametrize(
    ("damage", "repair", "finding"),
    [
        (
            "UPDATE city.building SET name = '乙' WHERE code = 'b7'",
            "UPDATE city.building SET name = '甲' WHERE code = 'b7'",
            "building b7, revision 2: the row's attributes differ",
        ),
        (
            f"UPDATE city.building SET geom = {SHAPE} WHERE code = 'b7'",
            "UPDATE city.building SET geom = NULL WHERE code = 'b7'",
            "building b7, revision 2: the row's geometry differs",
        ),
        (
            "UPDATE cim.revision SET body = jsonb_set(body, '{name}', '\"乙\"') WHERE code = 'b7' AND rev = 1",
            "UPDATE cim.revision r SET body = k.body FROM public.revision k WHERE k.id = r.id",
            "building b7, revision 1, leaf 7: the revision is not what the entry says",
        ),
        (
            f"UPDATE cim.revision SET geom = {SHAPE} WHERE code = 'b8'",
            "UPDATE cim.revision SET geom = NULL WHERE code = 'b8'",
            "building b8, revision 1, leaf 8: the revision is not what the entry says",
        ),
        (
            f"UPDATE cim.leaf l SET entry = {FORGED} WHERE idx = 7",
            "UPDATE cim.leaf l SET entry = k.entry FROM public.leaf k WHERE k.idx = l.idx AND l.idx = 7",
            "building b7, revision 1, leaf 7: the stored entry does not hash to the stored leaf hash",
        ),
        (
            "UPDATE cim.leaf SET prev = 3 WHERE idx = 301",
            "UPDATE cim.leaf SET prev = 7 WHERE idx = 301",
            "building b7, revision 2, leaf 301: expected revision 2 with predecessor leaf 7, got 2 with 3",
        ),
        (
            "UPDATE cim.tree_state SET root = sha256('another')",
            "UPDATE cim.tree_state s SET root = k.root FROM public.tree_state k",
            "the root of the stored leaves is not the root stored for size 302",
        ),
    ],
)
@pytest.mark.parametrize("arguments", [("--full",), ()])
def test_damage_in_the_database(
    city: City, audit: Audit, damage: str, repair: str, finding: str, arguments: tuple[str, ...]
) -> None:
    (city.settings.home / "audit" / "last-clean").unlink(missing_ok=True)  # nothing was audited before
    run(city, damage)
    try:
        code, printed = audit(*arguments)
    finally:
        run(city, repair)
    assert (code, "ok           False" in printed) == (7, True)
    assert finding in printed
    code, printed = audit(*arguments)
    assert (code, "ok           True" in printed) == (0, True)


def flipped(place: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[place] ^= 1
        return bytes(changed)

    return change


def another_root(data: bytes) -> bytes:
    origin, size, _ = data.splitlines()
    return b"\n".join([origin, size, base64.b64encode(bytes(32)), b""])


@pytest.mark.parametrize(
    ("name", "change", "finding"),
    [
        (
            "log/tile/0/000",
            flipped(7 * 32),
            "building b7, revision 1, leaf 7: the published tile has another leaf hash than the database",
        ),
        (
            "log/tile/entries/001.p/46",
            flipped(-3),
            "building b7, revision 2, leaf 301: the published bundle has another entry than the database",
        ),
        ("log/tile/1/000.p/1", lambda data: bytes(32), "the tiles do not lead to the checkpoint's root at size 302"),
        ("log/checkpoint", flipped(25), "signature"),
        ("keys/last-signed", another_root, "the signer's last-signed record of size 302 has another root"),
    ],
)
def test_damage_in_a_file(city: City, audit: Audit, name: str, change: Callable[[bytes], bytes], finding: str) -> None:
    path: Path = city.settings.home / name
    kept: Any = path.read_bytes()
    path.write_bytes(change(kept))
    try:
        code, printed = audit("--full")
    finally:
        path.write_bytes(kept)
    assert code == 7
    assert finding in printed
    assert audit("--full")[0] == 0
