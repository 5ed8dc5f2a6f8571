"""An entry has at most 65,535 bytes, and what could not become one is refused at the write, not in the sequencer.

The limit holds for the entry with 15 digits kept for the predecessor's index; a first revision writes `null` there,
so its largest entry is 65,535 - 15 + 4 = 65,524 bytes long.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cim.city import City
from cim.errors import InvalidData
from cim.log.entry import entry_bytes, parse_body
from cim.settings import Settings

SQUARE = "ST_GeomFromText('MULTIPOLYGON(((500000 4300000,500010 4300000,500010 4300010,500000 4300000)))', 4548)"
LARGEST_FIRST = 65_535 - 15 + 4


@pytest.fixture
def city(settings: Settings) -> Iterator[City]:
    with City(settings) as city:
        yield city


def insert(city: City, code: str, attributes: str, *, geom: str = "NULL", reason: str = "") -> None:
    with city.database.engine.begin() as connection:
        connection.execute(sa.text("SELECT cim.set_context('clerk', :reason, NULL)"), {"reason": reason})
        connection.execute(
            sa.text(
                f"INSERT INTO city.building (code, attributes, geom) VALUES (:code, CAST(:attributes AS jsonb), {geom})"
            ),
            {"code": code, "attributes": attributes},
        )


def entry(city: City) -> bytes:
    city.sequence()
    with city.database.engine.connect() as connection:
        return bytes(connection.execute(sa.text("SELECT entry FROM cim.leaf ORDER BY idx DESC LIMIT 1")).scalar_one())


# As JSON text, because Python's numbers are not JSON's. A double of 17 digits or more counts for two bytes too many.
CONTENTS = {
    "text": r'''"text": "中文 with spaces: and, commas {} [] \"quoted\" \\ \n \u0001 \u007f 🏙"''',
    "nested": '"a": [1, 2.5, {"b": [null, true, [[]], {}]}], "k: ,": ", : "',
    "numbers of many digits": f'"n": [9007199254740993, [[{10**30}]], 0.12345678901234567890123], "m": -{10**40}',
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(("more", "fits"), [(-1, True), (0, True), (1, False)])
def test_just_under_at_and_just_over(city: City, content: str, more: int, fits: bool) -> None:
    """A small object is measured; another, with a code of the same length, is made so much longer."""
    rest = {"geom": SQUARE, "reason": '年度 "更新"'}
    insert(city, "b0", f'{{{CONTENTS[content]}, "fill": ""}}', **rest)
    fill = "x" * (LARGEST_FIRST - len(entry(city)) + more)
    large = f'{{{CONTENTS[content]}, "fill": "{fill}"}}'
    if fits:
        insert(city, "b1", large, **rest)
        assert len(entry(city)) == LARGEST_FIRST + more
        assert city.audit().ok
    else:
        with pytest.raises(
            sa.exc.IntegrityError, match=r"building b1 is too large .*: its entry would have 65536 bytes"
        ):
            insert(city, "b1", large, **rest)
        assert city.sequence().size == 2


def test_private_fields_count_as_their_commitments(city: City) -> None:
    """A long private value takes the room of a hash; a body that fits alone may not fit with the commitments."""
    with city.database.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO city.unit (code, attributes, owner_name, owner_id) VALUES "
                "('u0', '{\"fill\": \"\"}', 'x', 'x')"
            )
        )
    fill = LARGEST_FIRST - len(entry(city))
    statement = sa.text(
        "INSERT INTO city.unit (code, attributes, owner_name, owner_id) "
        "VALUES ('u1', jsonb_build_object('fill', repeat('x', :fill)), :name, 'x')"
    )
    with pytest.raises(sa.exc.IntegrityError, match="unit u1 is too large"), city.database.engine.begin() as connection:
        connection.execute(statement, {"fill": fill + 1, "name": "x"})
    with city.database.engine.begin() as connection:
        connection.execute(statement, {"fill": fill, "name": "x" * 400})
    assert len(entry(city)) == LARGEST_FIRST


def test_the_analyst_is_told(city: City) -> None:
    frame = pd.DataFrame(
        {"attributes": [{"text": "字" * 30_000}]}, index=pd.Index(["340123002004GB00011F00010000"], name="code")
    )
    with pytest.raises(
        InvalidData, match=r"340123002004GB00011F00010000 is too large .* 90[0-9]{3} bytes, at most 65535 "
    ):
        city.write("building", frame)


def test_a_reason_counts_too_and_one_of_a_megabyte_is_refused(city: City) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="too large"):
        insert(city, "b1", "{}", reason="r" * 1_000_000)
    insert(city, "b1", "{}", reason="\x01" * 9_000)  # six bytes each
    assert 54_000 < len(entry(city)) < 65_535
    with city.database.engine.begin() as connection:
        connection.execute(sa.text("SELECT cim.set_context('clerk', repeat(E'\\x01', 12000), NULL)"))
        with pytest.raises(sa.exc.IntegrityError, match="too large"), connection.begin_nested():
            connection.execute(sa.text("DELETE FROM city.building"))


def test_the_dictionary_itself_is_an_entry(city: City) -> None:
    """Leaf 0 is of type schema and names each feature type's schema by its hash."""
    first = json.loads(entry(city))
    assert {"type": "schema", "code": "v1", "op": "insert", "rev": 1, "prev": None}.items() <= first.items()
    assert first["body"] == city.database.dictionary.digests()


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8), inner, max_size=6)
    ),
    max_leaves=40,
)


@pytest.fixture
def probe(city: City) -> Iterator[sa.Connection]:
    with city.database.engine.connect() as connection:
        yield connection


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(values, min_size=1, max_size=8))
def test_the_database_never_counts_too_little(probe: sa.Connection, content: list[Any]) -> None:
    """Whatever the values, the entry is no longer than the size at which the database would refuse it."""
    row = probe.execute(
        sa.text("SELECT CAST(:body AS jsonb)::text"), {"body": json.dumps({"attributes": {"c": content}})}
    ).scalar_one()
    common: dict[str, Any] = {"type": "building", "code": "b1", "op": "update", "rev": 7, "by": "clerk"}
    data = entry_bytes(**common, prev=999_999_999_999_999, at=datetime.now(UTC), body=parse_body(row))
    fill = 65_535 - len(data) - len(',"fill":""')
    fits = sa.text(
        "SELECT cim.fits_entry('building', 'b1', 7, 'update', 'clerk', NULL, NULL, "
        "CAST(:body AS jsonb) || jsonb_build_object('fill', repeat('x', :fill)), NULL, NULL)"
    )
    with pytest.raises(sa.exc.IntegrityError, match="too large"), probe.begin_nested():
        probe.execute(fits, {"body": row, "fill": fill + 1})
