"""Private values: committed to in the log, disclosed one at a time, erased for good; proofs outlive it all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.errors import CimError, Conflict, InvalidData, InvalidProof, NotFound
from cim.log.disclosure import Disclosure, verify_disclosure
from cim.log.verify import verify_proof
from cim.settings import Settings
from tests.cim.log.conftest import key, rows, run

Until = Callable[[Callable[[], object], str], None]
Queue = Callable[[sa.Connection], list[int]]


@pytest.fixture
def city(settings: Settings) -> Iterator[City]:
    with City(settings) as city:
        yield city


@pytest.fixture
def owned(city: City) -> City:
    """A unit of two owners, one after the other; leaf 0 is the dictionary's."""
    run(city, "INSERT INTO city.unit (code, name, owner_name, owner_id) VALUES ('u1', '101', '王芳', 'X-1')")
    run(city, "UPDATE city.unit SET owner_name = '李伟' WHERE code = 'u1'")
    run(city, "INSERT INTO city.unit (code, owner_name) VALUES ('u2', '赵敏')")
    assert city.sequence().size == 4
    return city


def findings(city: City) -> list[str]:
    return [str(finding) for finding in city.audit().findings]


def test_a_disclosure_opens_the_commitment_in_the_entry(owned: City) -> None:
    text = owned.disclose("u1", "owner_name")
    document = json.loads(text)
    verified = verify_disclosure(text, key(owned))
    assert (verified.field, verified.value) == ("owner_name", "李伟")
    assert (verified.entry.entry["code"], verified.entry.entry["rev"], verified.entry.index) == ("u1", 2, 2)
    # The commitment by hand: SHA-256("cim-commit/v1" ‖ 0 ‖ field ‖ 0 ‖ salt ‖ JCS(value)).
    preimage = b"cim-commit/v1\0owner_name\0" + bytes.fromhex(document["salt"]) + '"李伟"'.encode()
    assert verified.entry.entry["private"]["owner_name"] == sha256(preimage).hexdigest()
    earlier = verify_disclosure(owned.disclose("u1", "owner_name", as_of=2), key(owned))
    assert (earlier.value, earlier.entry.entry["rev"]) == ("王芳", 1)


def test_who_takes_a_value_out_is_recorded(owned: City) -> None:
    user = rows(owned, "SELECT session_user")[0][0]
    owned.disclose("u1", "owner_name")
    owned.disclose("u1", "owner_id", as_of=2, actor="Court clerk 7")
    for code, field in (("u1", "name"), ("u2", "owner_id"), ("nosuch", "owner_id")):
        with pytest.raises((InvalidData, NotFound)):
            owned.disclose(code, field)  # nothing left, nothing to record
    found = rows(owned, "SELECT reader, type, code, fields, request FROM cim.private_read ORDER BY id")
    assert [tuple(row) for row in found] == [
        (f"database:{user}", "unit", "u1", ["owner_name"], "disclosure"),
        (f"database:{user} Court clerk 7", "unit", "u1", ["owner_id"], "disclosure"),
    ]


def test_nothing_private_is_in_entry_or_proof(owned: City) -> None:
    for (entry,) in rows(owned, "SELECT entry FROM cim.leaf"):
        assert "李伟" not in bytes(entry).decode()
    assert "李伟" not in verify_proof(owned.proof("u1"), key(owned)).data.decode()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"value": "张强"}, "not those committed to"),
        ({"value": 2**60}, "beyond 2"),
        ({"salt": bytes(32)}, "not those committed to"),
        ({"field": "owner_id"}, "not those committed to"),
        ({"field": "name"}, "no commitment to 'name'"),
    ],
)
def test_a_disclosure_tampered_with_does_not_verify(owned: City, change: dict[str, Any], problem: str) -> None:
    disclosure = Disclosure.from_text(owned.disclose("u1", "owner_name"))
    with pytest.raises(InvalidProof, match=problem):
        verify_disclosure(replace(disclosure, **change).to_text(), key(owned))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", "{" * 5000, '{"format":"cim-disclosure/v2"}', b"\xff", '{"format": NaN}']
)
def test_what_is_no_disclosure_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidProof):
        Disclosure.from_text(text)


def test_only_private_fields_with_a_value_are_disclosed(owned: City) -> None:
    with pytest.raises(InvalidData, match="name is no private field of unit; it has owner_name, owner_id"):
        owned.disclose("u1", "name")
    with pytest.raises(NotFound, match="revision 1 of unit u2 has no owner_id"):
        owned.disclose("u2", "owner_id")


def test_erasing_removes_every_trace_and_keeps_every_proof(owned: City) -> None:
    proofs = [owned.proof("u1", as_of=2), owned.proof("u1"), owned.proof("u2")]
    kept = owned.disclose("u1", "owner_name")
    erased = owned.erase("u1", reason="the owner asked for it", actor="clerk")
    assert (erased.type, erased.fields, erased.values) == ("unit", ("owner_id", "owner_name"), 4)
    assert owned.sequence().size == 5
    assert rows(owned, "SELECT owner_name, owner_id, name, rev FROM city.unit WHERE code = 'u1'") == [
        (None, None, "101", 3)
    ]
    assert rows(owned, "SELECT field FROM cim.private_value") == [("owner_name",)]  # of u2
    entry = verify_proof(owned.proof("u1"), key(owned)).entry
    expected = {"op": "erase", "rev": 3, "prev": 2, "by": "clerk", "reason": "the owner asked for it"}
    assert expected.items() <= entry.items()
    assert entry["erased"] == ["owner_id", "owner_name"]
    assert entry["body"] == {"name": "101"}
    assert "private" not in entry
    assert [verify_proof(proof, key(owned)).entry["rev"] for proof in proofs] == [1, 2, 1]
    assert verify_disclosure(kept, key(owned)).value == "李伟"
    with pytest.raises(NotFound, match="revision 3 of unit u1 has no owner_name, or it was erased"):
        owned.disclose("u1", "owner_name")
    with pytest.raises(NotFound, match="revision 2"):
        owned.disclose("u1", "owner_name", as_of=3)
    assert findings(owned) == []


def test_one_field_is_erased_and_the_other_kept(owned: City) -> None:
    assert owned.erase("u1", ["owner_name"], reason="asked").fields == ("owner_name",)
    owned.sequence()
    assert rows(owned, "SELECT owner_name, owner_id FROM city.unit WHERE code = 'u1'") == [(None, "X-1")]
    assert verify_disclosure(owned.disclose("u1", "owner_id"), key(owned)).entry.entry["op"] == "erase"
    assert verify_disclosure(owned.disclose("u1", "owner_id", as_of=2), key(owned)).value == "X-1"
    assert findings(owned) == []


def test_what_is_recorded_after_an_erasure_is_kept(owned: City) -> None:
    owned.erase("u1", reason="sold")
    run(owned, "UPDATE city.unit SET owner_name = '陈静' WHERE code = 'u1'")
    owned.sequence()
    assert verify_disclosure(owned.disclose("u1", "owner_name"), key(owned)).value == "陈静"
    assert findings(owned) == []
    run(owned, "DELETE FROM cim.private_value WHERE value = '\"陈静\"'")
    assert "unit u1, revision 4, leaf 5: the value of owner_name is not there, and no erasure was recorded" in findings(
        owned
    )


def test_the_values_of_a_deleted_object_are_erased_and_it_stays_deleted(owned: City) -> None:
    run(owned, "DELETE FROM city.unit WHERE code = 'u1'")
    assert owned.erase("u1", reason="asked").values == 4
    size = owned.sequence().size
    entry = verify_proof(owned.proof("u1"), key(owned)).entry
    assert (entry["op"], entry["rev"], entry.get("body")) == ("erase", 4, None)
    assert list(owned.features("unit", as_of=size).index) == ["u2"]
    assert list(owned.features("unit", as_of=3).index) == ["u1"]
    assert findings(owned) == []
    run(owned, "INSERT INTO city.unit (code, name) VALUES ('u1', 'new')")
    owned.sequence()
    assert owned.get("u1").rev == 5
    assert findings(owned) == []


def test_an_erasure_before_the_revision_has_its_leaf(city: City) -> None:
    run(city, "INSERT INTO city.unit (code, owner_name) VALUES ('u1', '王芳')")
    city.erase("u1", reason="entered by mistake")
    city.sequence()
    assert [("private" in json.loads(bytes(e))) for (e,) in rows(city, "SELECT entry FROM cim.leaf WHERE idx > 0")] == [
        False,
        False,
    ]
    assert findings(city) == []


def test_a_named_field_without_a_value_is_recorded_as_erased_all_the_same(city: City) -> None:
    run(city, "INSERT INTO city.unit (code, name) VALUES ('u1', '101')")
    with pytest.raises(NotFound, match="no private values"):
        city.erase("u1", reason="asked")
    assert city.erase("u1", ["owner_id"], reason="asked").values == 0
    assert [entry.op for entry in city.history("u1")] == ["insert", "erase"]


def test_an_erasure_refused_leaves_everything(owned: City) -> None:
    before = rows(owned, "SELECT * FROM cim.private_value ORDER BY 1, 2")
    for code, fields, reason, error, problem in [
        ("u1", ["owner_name", "name"], "asked", InvalidData, "name is no private field"),
        ("u1", ["owner_name"], " ", InvalidData, "needs a reason"),
        ("u9", [], "asked", NotFound, "u9"),
        ("u1", ["owner_name; DROP TABLE city.unit"], "asked", InvalidData, "no private field"),
    ]:
        with pytest.raises(error, match=problem):
            owned.erase(code, fields, reason=reason)
    assert rows(owned, "SELECT * FROM cim.private_value ORDER BY 1, 2") == before


def test_values_removed_without_an_erasure_are_found(owned: City) -> None:
    run(owned, "DELETE FROM cim.private_value WHERE value = '\"王芳\"'")
    assert findings(owned) == [
        "unit u1, revision 1, leaf 1: the value of owner_name is not there, and no erasure was recorded"
    ]


def test_an_erased_value_that_is_there_again_is_found(owned: City) -> None:
    run(owned, "CREATE TABLE public.backup AS TABLE cim.private_value")
    owned.erase("u1", ["owner_name"], reason="asked")
    owned.sequence()
    run(owned, "INSERT INTO cim.private_value TABLE public.backup ON CONFLICT DO NOTHING")
    assert findings(owned) == [
        "unit u1, revision 1: owner_name was erased, but its value is there again",
        "unit u1, revision 2: owner_name was erased, but its value is there again",
    ]
    owned.erase("u1", ["owner_name"], reason="the backup brought it back")
    owned.sequence()
    assert findings(owned) == []


def test_an_erasure_does_not_excuse_another_change(owned: City) -> None:
    owned.erase("u1", reason="asked")
    owned.sequence()
    run(
        owned,
        "ALTER TABLE cim.revision DISABLE TRIGGER ALL",
        "UPDATE cim.revision SET body = '{\"name\": \"102\"}' WHERE code = 'u1' AND rev = 1",
    )
    assert findings(owned) == ["unit u1, revision 1, leaf 1: the revision is not what the entry says"]


def test_an_erasure_waits_for_a_writer_and_erases_what_he_wrote(owned: City, until: Until, queue: Queue) -> None:
    """A writer holds the row while the erasure begins: his value goes too."""
    with owned.database.engine.connect() as writer:
        writer.execute(sa.text("UPDATE city.unit SET owner_name = '陈静' WHERE code = 'u1'"))
        outcome: list[object] = []

        def erase() -> None:
            try:
                outcome.append(owned.erase("u1", ["owner_name"], reason="asked").values)
            except CimError as error:
                outcome.append(error)

        thread = threading.Thread(target=erase)
        thread.start()
        until(lambda: queue(writer), "the erasure did not wait for the writer")
        assert outcome == []
        writer.commit()
        thread.join()
    assert outcome == [3]
    owned.sequence()
    assert rows(owned, "SELECT value FROM cim.private_value WHERE field = 'owner_name'") == [("赵敏",)]
    assert findings(owned) == []


def test_an_insert_at_the_same_time_as_the_erasure_of_a_deleted_object(owned: City, until: Until, queue: Queue) -> None:
    run(owned, "DELETE FROM city.unit WHERE code = 'u1'")
    with owned.database.engine.connect() as writer:
        writer.execute(sa.text("INSERT INTO city.unit (code, owner_name) VALUES ('u1', '陈静')"))
        failures: list[BaseException] = []

        def erase() -> None:
            try:
                owned.erase("u1", reason="asked")
            except CimError as error:
                failures.append(error)

        thread = threading.Thread(target=erase)
        thread.start()
        until(lambda: queue(writer), "the erasure did not wait for the writer")
        writer.commit()
        thread.join()
    assert [type(failure) for failure in failures] == [Conflict]
    assert owned.erase("u1", reason="asked").values == 5


def test_private_numbers_keep_all_their_digits(city: City) -> None:
    """A private value that is no JSON number of a double is committed to as its text, as in the public body."""
    run(
        city,
        "UPDATE cim.feature_property SET private = true WHERE type = 'unit' AND name = 'attributes'",
        "SELECT cim.attach_type('unit')",
        """INSERT INTO city.unit (code, attributes) VALUES ('u1', '{"n": 9007199254740993, "m": 1.50}')""",
    )
    city.sequence()
    entry = json.loads(bytes(rows(city, "SELECT entry FROM cim.leaf WHERE idx = 1")[0][0]))
    salt, *_ = rows(city, "SELECT salt FROM cim.private_value")[0]
    preimage = b"cim-commit/v1\0attributes\0" + bytes(salt) + b'{"m":1.5,"n":"9007199254740993"}'
    assert entry["private"] == {"attributes": sha256(preimage).hexdigest()}


def test_the_commands(owned: City, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name, value in {
        "CIM_HOME": str(owned.settings.home),
        "CIM_DATABASE_URL": str(owned.settings.database_url),
        "CIM_ORIGIN": owned.settings.origin,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    runner, app = CliRunner(), build()
    disclosed = runner.invoke(app, ["log", "disclose", "u1", "owner_name", "--actor", "Registrar"])
    assert disclosed.output == "u1.owner_name.cim-disclosure\n"
    (read,) = json.loads(runner.invoke(app, ["keys", "reads", "--json"]).output)
    assert (read["reader"].partition(" ")[2], read["fields"]) == ("Registrar", ["owner_name"])
    assert (tmp_path / "u1.owner_name.cim-disclosure").stat().st_mode & 0o777 == 0o600
    erased = runner.invoke(app, ["log", "erase", "u1", "owner_name", "--reason", "asked", "--json"])
    assert json.loads(erased.output) == {
        "type": "unit",
        "code": "u1",
        "fields": ["owner_name"],
        "values": 2,
        "tree_size": 5,
    }
    verified = runner.invoke(app, ["log", "verify", "--disclosure", "u1.owner_name.cim-disclosure", "--json"])
    assert json.loads(verified.output)["disclosed"] == {"owner_name": "李伟"}
    assert runner.invoke(app, ["log", "disclose", "u1", "owner_name"]).exit_code != 0
    audited = runner.invoke(app, ["log", "audit", "--json"])
    assert (audited.exit_code, json.loads(audited.output)["first_leaf"]) == (0, 0)
    assert json.loads(runner.invoke(app, ["log", "audit", "--json"]).output)["first_leaf"] == 5
    assert json.loads(runner.invoke(app, ["log", "audit", "--full", "--json"]).output)["first_leaf"] == 0
