"""Codes that give way to others: what becomes of objects, of what names them, of the log, of who asks by the old."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cim.city import City
from cim.codes import provisional
from cim.db.identifiers import Current, Identifier, current_codes
from cim.db.logstore import LogStore
from cim.errors import Conflict, InvalidCode, InvalidData, NotFound
from cim.log.signer import VERIFIER
from cim.log.verify import verify_proof

Run = Callable[..., None]
Rows = Callable[[str], list[tuple[Any, ...]]]
SQUARE = "ST_GeomFromText('MULTIPOLYGON(((500000 4300000,500010 4300000,500010 4300010,500000 4300000)))', 4548)"


def parcel(number: int) -> str:
    return f"340123002004GB{number:05d}"


def building(number: int, sequence: int = 1) -> str:
    return f"{parcel(number)}F{sequence:04d}0000"


def entry(city: City, code: str) -> dict[str, Any]:
    """The object's last entry, out of a proof that verifies."""
    city.sequence()
    key = (city.settings.keys_dir / VERIFIER).read_text(encoding="utf-8").strip()
    return verify_proof(city.proof(code), key).entry


def test_a_rename_carries_the_object_and_all_that_names_it(city: City, run: Run, rows: Rows) -> None:
    old, new = building(1), building(1, 7)
    unit = old[:-4] + "0003"
    run(
        f"INSERT INTO city.parcel (code, geom) VALUES ('{parcel(1)}', {SQUARE})",
        f"INSERT INTO city.building (code, name, parcel_code, height, geom, attributes) "
        f"VALUES ('{old}', '甲', '{parcel(1)}', 9.5, {SQUARE}, '{{\"a\": 1}}')",
        f"INSERT INTO city.unit (code, building_code, owner_name) VALUES ('{unit}', '{old}', '王芳')",
    )
    city.identify([Identifier("land-registry", "L-77", "building", old, date(2020, 8, 1), issuer="registry")])
    number = city.supersede(
        "building", {old: new}, reason="year corrected", evidence="file 12", day=date(2026, 3, 1), actor="li"
    )
    assert number == 1
    found = city.get(new)
    assert found.properties == {"name": "甲", "parcel_code": parcel(1), "height": 9.5, "attributes": {"a": 1}}
    assert found.geometry is not None
    with pytest.raises(NotFound):
        city.get(old)
    assert city.get(unit).properties["building_code"] == new
    (resolution,) = city.resolve(old.lower())
    assert (resolution.type, resolution.code, resolution.live) == ("building", new, True)
    (step,) = resolution.chain
    assert (step.old, step.new, step.date, step.evidence, step.actor, step.reason) == (
        old,
        (new,),
        "2026-03-01",
        "file 12",
        "li",
        "year corrected",
    )
    assert [(e.op, e.actor) for e in city.history(old)] == [("insert", city.history(old)[0].actor), ("supersede", "li")]
    # The crosswalk's row ended with the day, and goes on with the new code, as STANDARDS has it.
    assert rows("SELECT code, valid_from, valid_to, issuer FROM cim.identifier WHERE value = 'L-77' ORDER BY code") == [
        (old, date(2020, 8, 1), date(2026, 3, 1), "registry"),
        (new, date(2026, 3, 1), None, "registry"),
    ]
    assert (
        [r.code for r in city.resolve("L-77")]
        == [r.code for r in city.resolve("L-77", scheme="land-registry")]
        == [new]
    )
    assert [(i.scheme, i.value) for i in city.resolve(new)[0].identifiers] == [("land-registry", "L-77")]
    logged = entry(city, old)
    assert logged["op"] == "supersede"
    assert logged["superseded"] == {"date": "2026-03-01", "evidence": "file 12", "new": [new]}
    assert "body" not in logged
    assert logged["rev"] == 2
    assert city.audit().ok


def test_a_provisional_code_gives_way_to_the_official_one(city: City, run: Run) -> None:
    (first,), official = provisional.mint_many("building", "survey", ["12"]), building(2)
    run(f"INSERT INTO city.building (code, name) VALUES ('{first}', '乙')")
    city.supersede("building", {first: official}, reason="the registry has issued the code")
    assert [(r.code, r.scheme, r.value) for r in city.resolve(first)] == [(official, "provisional", first)]
    with city.database.engine.connect() as connection:
        named = [("provisional", first), ("cn-bdcdyh", official), ("cn-bdcdyh", building(2, 9)), ("nosuch", "1")]
        found = current_codes(connection, named, type_name="building")
    assert found == dict.fromkeys(named[:2], (Current("building", official, live=True),))


def test_a_split_and_a_merger_link_one_to_many_and_many_to_one(city: City, run: Run, rows: Rows) -> None:
    whole, left, right, rest = (building(3, n) for n in (1, 2, 3, 4))
    run(f"INSERT INTO city.building (code) SELECT unnest(ARRAY['{whole}', '{left}', '{right}', '{rest}'])")
    run(f"INSERT INTO city.unit (code, building_code) VALUES ('{whole[:-4]}0001', '{whole}')")
    with pytest.raises(Conflict, match=f"building_code of unit still names what is split: {whole[:-4]}0001"):
        city.supersede("building", {whole: [left, right]}, reason="split")
    run(f"UPDATE city.unit SET building_code = '{left}' WHERE building_code = '{whole}'")
    city.supersede("building", {whole: [left, right]}, reason="split")
    assert [r.code for r in city.resolve(whole)] == [left, right]
    city.supersede("building", {left: rest, right: rest}, reason="merged")
    assert [r.code for r in city.resolve(whole)] == [rest]
    assert [(s.old, s.new) for s in city.resolve(whole)[0].chain] == [
        (whole, (left, right)),
        (left, (rest,)),
        (right, (rest,)),
    ]
    assert rows(f"SELECT building_code FROM city.unit WHERE code = '{whole[:-4]}0001'") == [(rest,)]


def test_a_superseded_code_is_never_used_again(city: City, run: Run) -> None:
    old, new = building(4, 1), building(4, 2)
    run(f"INSERT INTO city.building (code) VALUES ('{old}')")
    city.supersede("building", {old: new}, reason="mistyped")
    with pytest.raises(sa.exc.DBAPIError, match=f"building {old} was superseded by .*{new}.*never used again"):
        run(f"INSERT INTO city.building (code) VALUES ('{old}')")
    with pytest.raises(Conflict, match="superseded already"):
        city.supersede("building", {old: building(4, 3)}, reason="again")
    with pytest.raises(sa.exc.DBAPIError):  # whoever claims that the code is new
        run(f"INSERT INTO city.building (code, rev) VALUES ('{old}', 1)")


def test_an_object_that_was_deleted_can_be_superseded(city: City, run: Run) -> None:
    old, new = building(5, 1), building(5, 2)
    run(
        f"INSERT INTO city.building (code) VALUES ('{old}'), ('{new}')",
        f"DELETE FROM city.building WHERE code = '{old}'",
    )
    assert [(r.code, r.live) for r in city.resolve(old)] == [(old, False)]
    city.supersede("building", {old: new}, reason="it was the same house")
    assert [e.op for e in city.history(old)] == ["insert", "delete", "supersede"]
    assert [(r.code, r.live) for r in city.resolve(old)] == [(new, True)]
    assert city.audit().ok


@pytest.mark.parametrize(
    ("links", "error", "message"),
    [
        ({}, InvalidData, "nothing to supersede"),
        ({building(6, 1): []}, InvalidData, "to end an object, delete it"),
        ({building(6, 1): "nonsense"}, InvalidCode, "cn-bdcdyh refuses 'nonsense'"),
        ({building(6, 1): [building(6, 8), building(6, 9)]}, NotFound, "there is no building .* to take over"),
        ({building(6, 8): building(6, 1)}, NotFound, "no building was ever recorded under"),
        (
            {building(6, 1): building(6, 2), building(6, 2): building(6, 3)},
            Conflict,
            "cannot take over and be superseded",
        ),
        ({building(6, 1): building(6, 5), building(6, 2): building(6, 5)}, NotFound, "write it first"),
    ],
)
def test_what_cannot_be_is_refused_whole(
    city: City, run: Run, links: dict[str, Any], error: type[Exception], message: str
) -> None:
    run(f"INSERT INTO city.building (code) VALUES ('{building(6, 1)}'), ('{building(6, 2)}') ON CONFLICT DO NOTHING")
    with pytest.raises(error, match=message):
        city.supersede("building", links, reason="test")
    assert city.get(building(6, 1)).rev == city.get(building(6, 2)).rev == 1


def test_a_reason_is_needed(city: City) -> None:
    with pytest.raises(InvalidData, match="needs a reason"):
        city.supersede("building", {building(1): building(2)}, reason=" ")


def test_identifiers_are_recorded_and_their_tampering_is_found(city: City, run: Run, rows: Rows) -> None:
    code = building(7)
    run(f"INSERT INTO city.building (code) VALUES ('{code}')")
    row = Identifier("gb-uprn", "100023336956", "building", code, date(2020, 1, 1))
    city.identify([row], reason="match")
    city.identify([row], reason="the same again")
    city.identify([replace(row, valid_to=date(2024, 1, 1))], reason="withdrawn")
    key = f"gb-uprn 100023336956 {code}"
    recorded = rows(
        f"SELECT rev, op, reason, body FROM cim.revision WHERE type = 'identifier' AND code = '{key}' ORDER BY rev"
    )
    body = {"scheme": "gb-uprn", "value": "100023336956", "type": "building", "code": code, "valid_from": "2020-01-01"}
    assert recorded == [(1, "insert", "match", body), (2, "update", "withdrawn", body | {"valid_to": "2024-01-01"})]
    assert [r.code for r in city.resolve("100023336956")] == [code]  # withdrawn, but nothing else has it
    city.sequence()
    assert city.audit().ok
    tamper = "ALTER TABLE cim.identifier {} TRIGGER USER"
    run(tamper.format("DISABLE"), f"UPDATE cim.identifier SET issuer = 'nobody' WHERE code = '{code}'")
    assert [(f.type, f.code) for f in city.audit().findings] == [("identifier", key)]
    run(f"UPDATE cim.identifier SET issuer = NULL WHERE code = '{code}'", "SELECT 1")
    run(
        "ALTER TABLE cim.identifier ENABLE ALWAYS TRIGGER number_revision, ENABLE ALWAYS TRIGGER capture_insert, "
        "ENABLE ALWAYS TRIGGER capture_update, ENABLE ALWAYS TRIGGER capture_delete, ENABLE ALWAYS TRIGGER keep"
    )
    with pytest.raises(sa.exc.DBAPIError, match="cannot become another"):
        run(f"UPDATE cim.identifier SET value = '1' WHERE code = '{code}'")


def test_identifiers_name_what_there_is(city: City, run: Run) -> None:
    with pytest.raises(NotFound, match="no object has the code"):
        city.identify([Identifier("x", "1", "building", building(8))])
    run(f"INSERT INTO city.building (code) VALUES ('{building(8)}')")
    with pytest.raises(InvalidCode, match="cn-div6 refuses"):
        city.identify([Identifier("cn-div6", "1", "building", building(8))])
    with pytest.raises(InvalidData, match="identifier_valid_check"):
        city.identify([Identifier("x", "1", "building", building(8), date(2020, 1, 2), date(2020, 1, 1))])
    twice = Identifier("x", "1", "building", building(8))
    with pytest.raises(InvalidData, match="stands twice"):
        city.identify([twice, twice])


def test_a_log_with_all_of_it_makes_the_same_city_again(city: City, clone: Callable[[], str], tmp_path: Path) -> None:
    city.sequence()
    city.export_log(tmp_path / "published", geometry=True)
    with City(replace(city.settings, home=tmp_path / "home", database_url=clone())) as again:
        key = (city.settings.keys_dir / VERIFIER).read_text(encoding="utf-8").strip()
        report = again.replay_log(tmp_path / "published", verifier=key)
        assert report.root == city.tree_head().root
        assert again.tree_head().root == city.tree_head().root
        statement = sa.text("SELECT to_jsonb(i) FROM cim.identifier i ORDER BY scheme, value, code")
        held = []
        for one in (city, again):
            with one.database.engine.connect() as connection:
                held.append(connection.execute(statement).scalars().all())
        assert held[0] == held[1] != []
        for code in (building(1), building(3, 1)):
            assert [r.code for r in again.resolve(code)] == [r.code for r in city.resolve(code)] != []
        with again.database.engine.connect() as connection:
            assert list(LogStore(connection).live_differences()) == []
