"""Division ⊃ parcel ⊃ building ⊃ unit: whoever writes, what an object lies in is there when the transaction ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from cim.city import City
from cim.errors import InvalidData

Run = Callable[..., None]
Rows = Callable[[str], list[tuple[Any, ...]]]
Until = Callable[[Callable[[], object], str], None]
Queue = Callable[[sa.Connection], list[int]]
GEOM = "ST_GeomFromText('MULTIPOLYGON(((500000 4300000,500010 4300000,500010 4300010,500000 4300000)))', 4548)"


def parcel(number: int) -> str:
    return f"310101001001GB{number:05d}"


def building(number: int) -> str:
    return f"{parcel(number)}F00010000"


def unit(number: int) -> str:
    return f"{parcel(number)}F00010001"


def a_parcel(number: int) -> str:
    return f"INSERT INTO city.parcel (code, geom) VALUES ('{parcel(number)}', {GEOM})"


def a_building(number: int, of: str | None = None) -> str:
    return f"INSERT INTO city.building (code, parcel_code) VALUES ('{building(number)}', '{of or parcel(number)}')"


def a_unit(number: int, of: str | None = None) -> str:
    return f"INSERT INTO city.unit (code, building_code) VALUES ('{unit(number)}', '{of or building(number)}')"


def test_within_a_transaction_the_order_is_free(run: Run) -> None:
    run(a_unit(1), a_building(1), a_parcel(1))
    run(
        f"DELETE FROM city.parcel WHERE code = '{parcel(1)}'",
        f"DELETE FROM city.building WHERE code = '{building(1)}'",
        f"DELETE FROM city.unit WHERE code = '{unit(1)}'",
    )


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ([a_unit(2)], f"unit {unit(2)}: building_code is {building(2)}, and there is no such building: write it first"),
        ([a_building(2)], f"building {building(2)}: parcel_code is {parcel(2)}, and there is no such parcel"),
        (
            [f"INSERT INTO city.parcel (code, division_code, geom) VALUES ('{parcel(2)}', '310101001001', {GEOM})"],
            f"parcel {parcel(2)}: division_code is 310101001001, and there is no such division",
        ),
        ([a_parcel(2), a_building(2), f"DELETE FROM city.parcel WHERE code = '{parcel(2)}'"], "which was deleted"),
    ],
)
def test_what_does_not_hold_is_refused_at_the_end(run: Run, rows: Rows, statements: list[str], message: str) -> None:
    with pytest.raises(sa.exc.IntegrityError, match=message):
        run(*statements)
    assert rows(f"SELECT 1 FROM cim.revision WHERE code IN ('{parcel(2)}', '{building(2)}', '{unit(2)}')") == []
    assert rows("SELECT 1 FROM cim.hierarchy_suspect UNION ALL SELECT 1 FROM cim.hierarchy_check") == []


def test_what_holds_others_is_not_removed(run: Run) -> None:
    run(a_parcel(4), a_building(4), a_unit(4))
    with pytest.raises(sa.exc.IntegrityError, match=f"unit {unit(4)}: .* which was deleted: move what lies in it"):
        run(f"DELETE FROM city.building WHERE code = '{building(4)}'")
    run(f"DELETE FROM city.building WHERE code = '{building(4)}'", f"DELETE FROM city.unit WHERE code = '{unit(4)}'")
    with pytest.raises(sa.exc.IntegrityError, match="which was deleted"):
        run(a_unit(4))


def test_moving_is_looked_at_and_other_changes_are_not(run: Run) -> None:
    run("SELECT cim.set_context('loader', NULL, 'sha256:ab')", a_unit(5))
    run(f"UPDATE city.unit SET name = '101' WHERE code = '{unit(5)}'")  # still waits for its building
    with pytest.raises(sa.exc.IntegrityError, match="there is no such building"):
        run(f"UPDATE city.unit SET building_code = '{building(5)[:-5]}20000' WHERE code = '{unit(5)}'")
    run(f"UPDATE city.unit SET building_code = NULL WHERE code = '{unit(5)}'")


def test_a_load_may_name_what_another_file_brings(run: Run, rows: Rows, city: City) -> None:
    run("SELECT cim.set_context('loader', NULL, 'sha256:ab')", a_unit(6), a_building(6))
    waiting = {(unit(6), building(6)), (building(6), parcel(6))}
    assert [(o.code, o.parent) for o in city.orphans() if (o.code, o.parent) in waiting] == [(building(6), parcel(6))]
    run(a_parcel(6))
    assert not [o for o in city.orphans() if o.code in (unit(6), building(6))]
    # What was there and is gone is no file's to bring.
    with pytest.raises(sa.exc.IntegrityError, match="which was deleted"):
        run(
            "SELECT cim.set_context('loader', NULL, 'sha256:ab')", f"DELETE FROM city.parcel WHERE code = '{parcel(6)}'"
        )


def test_a_code_means_what_it_meant_when_it_was_issued(city: City, run: Run) -> None:
    run(a_parcel(7), a_parcel(8), a_building(7))
    # The parcels are consolidated: the building keeps the code of its day and lies in the other parcel now.
    city.supersede("parcel", {parcel(7): parcel(8)}, reason="consolidation")
    assert city.get(building(7)).properties["parcel_code"] == parcel(8)
    with pytest.raises(sa.exc.IntegrityError, match=r"superseded by .*: name that"):
        run(f"UPDATE city.building SET parcel_code = '{parcel(7)}' WHERE code = '{building(7)}'")


def test_a_split_parcel_does_not_leave_its_buildings_behind(city: City, run: Run) -> None:
    run(a_parcel(9), a_parcel(10), a_parcel(11), a_building(9))
    run(f"UPDATE city.building SET parcel_code = '{parcel(9)}' WHERE code = '{building(9)}'")
    with pytest.raises(Exception, match=f"parcel_code of building still names what is split: {building(9)}"):
        city.supersede("parcel", {parcel(9): [parcel(10), parcel(11)]}, reason="subdivision")


def test_the_sdk_tells_it_as_bad_data(city: City) -> None:
    frame = pd.DataFrame({"building_code": [building(12)]}, index=pd.Index([unit(12)], name="code"))
    with pytest.raises(InvalidData, match=f"unit {unit(12)}: building_code is {building(12)}, and there is no such"):
        city.write("unit", frame)


def test_many_are_told_in_one_line(run: Run) -> None:
    with pytest.raises(sa.exc.IntegrityError) as refusal:
        run("INSERT INTO city.unit (code, building_code) SELECT 'u' || i, 'b' || i FROM generate_series(1, 2000) i")
    assert "; and 1997 more" in str(refusal.value.orig).splitlines()[0]


def test_a_parent_cannot_go_while_a_child_is_being_written(city: City, run: Run, until: Until, queue: Queue) -> None:
    """Two transactions at once: whoever removes the parent waits for the one who has just named it, and is refused."""
    run(a_parcel(13))
    failed: list[str] = []

    def remove() -> None:
        try:
            run(f"DELETE FROM city.parcel WHERE code = '{parcel(13)}'")
        except sa.exc.IntegrityError as error:
            failed.append(str(error.orig))

    with city.database.engine.begin() as writer:
        writer.execute(sa.text(a_building(13)))
        remover = threading.Thread(target=remove)
        remover.start()
        until(lambda: queue(writer), "the remover did not wait for the writer")
    remover.join()
    assert len(failed) == 1
    assert "which was deleted" in failed[0]


def test_the_hierarchy_is_that_of_the_dictionary(rows: Rows) -> None:
    assert rows("SELECT type, property, parent FROM cim.hierarchy ORDER BY type") == [
        ("building", "parcel_code", "parcel"),
        ("intervention", "proposal_code", "proposal"),
        ("parcel", "division_code", "division"),
        ("space", "storey_code", "storey"),
        ("storey", "building_code", "building"),
        ("unit", "building_code", "building"),
    ]
