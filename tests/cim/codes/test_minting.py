"""New codes: given out once, whoever asks at the same time and whatever becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cim.city import City
from cim.db import minting
from cim.db.identifiers import Identifier
from cim.errors import Conflict, InvalidCode, InvalidData, NotFound

Run = Callable[..., None]
PARCEL = "440101001001GB{:05d}"


def building(parcel: int, number: int) -> str:
    return f"{PARCEL.format(parcel)}F{number:04d}0000"


def test_many_who_ask_at_once_get_different_codes(city: City) -> None:
    """Eight threads, each on connections of its own."""

    def ask(_turn: int) -> list[str]:
        return city.mint("cn-bdcdyh", PARCEL.format(1), 2)

    with ThreadPoolExecutor(8) as pool:
        minted = [code for codes in pool.map(ask, range(24)) for code in codes]
    assert sorted(minted) == [building(1, n) for n in range(1, 49)]


def test_what_was_ever_given_is_not_given_again(city: City, run: Run) -> None:
    taken = {n: building(2, n) for n in range(1, 7)}
    run(
        f"INSERT INTO city.building (code) VALUES ('{taken[1]}')",
        "DELETE FROM city.building WHERE code LIKE '440101001001GB00002%'",
    )
    assert city.mint("cn-bdcdyh", PARCEL.format(2)) == [taken[2]]  # the first was deleted
    assert city.mint("cn-bdcdyh", PARCEL.format(2)) == [taken[3]]  # the second lies unused
    run(f"INSERT INTO city.building (code) VALUES ('{taken[3]}')")
    city.supersede("building", {taken[3]: taken[4]}, reason="mistyped")
    assert city.mint("cn-bdcdyh", PARCEL.format(2)) == [taken[5]]
    run("INSERT INTO city.building (code) VALUES ('PV0ZACHMWWAYZ5P9J27')")
    city.identify([Identifier("cn-bdcdyh", taken[6], "building", "PV0ZACHMWWAYZ5P9J27")])
    assert city.mint("cn-bdcdyh", PARCEL.format(2)) == [building(2, 7)]


def test_a_code_whose_use_was_rolled_back_stays_given(city: City) -> None:
    (first,) = city.mint("cn-bdcdyh", PARCEL.format(3), reason="new house", actor="li")
    with city.database.engine.connect() as connection:
        connection.exec_driver_sql(f"INSERT INTO city.building (code) VALUES ('{first}')")
        connection.rollback()
    assert city.mint("cn-bdcdyh", PARCEL.format(3)) == [building(3, 2)]
    city.sequence()
    assert city.audit().ok


@pytest.mark.parametrize(
    ("scheme", "parent", "count", "error", "message"),
    [
        ("nosuch", "1", 1, NotFound, "no code scheme"),
        ("cn-div12", "320508019000", 1, InvalidData, "given by the state"),
        ("cn-bdcdyh", "440101", 1, InvalidCode, "is none of these"),
        ("cn-bdcdyh", PARCEL.format(4), 0, InvalidData, "mint 1 to 10000"),
        ("cn-bdcdyh", PARCEL.format(4), 9999, Conflict, "only 9998 are left"),
    ],
)
def test_what_cannot_be_minted_is_said(
    city: City, scheme: str, parent: str, count: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        city.mint(scheme, parent, count)


def test_the_last_number_is_given_out_and_none_behind_it(city: City) -> None:
    """F9999 stands for a whole project and is never minted."""
    minted = city.mint("cn-bdcdyh", PARCEL.format(5), 9998)
    assert (minted[0], minted[-1]) == (building(5, 1), building(5, 9998))
    with pytest.raises(Conflict, match="9998 is taken"):
        city.mint("cn-bdcdyh", PARCEL.format(5))


@pytest.mark.parametrize(("parcel", "ends"), [(6, "commit"), (7, "rollback")])
def test_a_code_that_another_session_has_written_and_not_committed_is_not_given(
    city: City, parcel: int, ends: str
) -> None:
    """Whoever mints waits for that session, and gets the code only where it is not used after all."""
    (first,) = city.mint("cn-bdcdyh", PARCEL.format(parcel))
    with city.database.engine.connect() as other, ThreadPoolExecutor(1) as pool:
        other.exec_driver_sql(f"INSERT INTO city.building (code) VALUES ('{building(parcel, 3)}')")
        asked = pool.submit(city.mint, "cn-bdcdyh", PARCEL.format(parcel), 2)
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.7)
        # What it goes on to write does not wait for us.
        other.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        other.exec_driver_sql(f"INSERT INTO city.building (code) VALUES ('{building(parcel, 2)}')")
        getattr(other, ends)()
        minted = asked.result(timeout=300)
    assert first == building(parcel, 1)
    assert minted == [building(parcel, n) for n in ((4, 5) if ends == "commit" else (2, 3))]
    city.sequence()
    assert city.audit().ok


def test_a_session_that_does_not_end_is_told(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minting, "_TURNS", 2)
    with city.database.engine.connect() as other:
        other.exec_driver_sql(f"INSERT INTO city.building (code) VALUES ('{building(8, 1)}')")
        with pytest.raises(Conflict, match=f"open transaction has written codes behind .*, from {building(8, 1)} on"):
            city.mint("cn-bdcdyh", PARCEL.format(8))
