from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from itertools import product

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from cim.db.engine import Database
from cim.scenarios import _indicator as indicator

BIG = 10**12


@pytest.mark.parametrize(
    ("num", "den", "expected"),
    [(5, 10, 0), (15, 10, 2), (25, 10, 2), (35, 10, 4), (26, 10, 3), (24, 10, 2), (1, 3, 0), (2, 3, 1), (0, 7, 0)],
)
def test_ties_go_to_the_even_neighbour_on_both_sides_of_zero(num: int, den: int, expected: int) -> None:
    assert indicator.half_even(num, den) == expected
    assert indicator.half_even(-num, den) == -expected


@given(st.integers(-BIG, BIG), st.integers(1, BIG))
def test_half_even_is_what_the_decimal_module_does(num: int, den: int) -> None:
    exact = Fraction(num, den)
    floor = exact.numerator // exact.denominator
    # A quotient of integers is no decimal in general; its fractional part is compared with one half exactly.
    part = exact - floor
    expected = floor + (part > Fraction(1, 2) or (part == Fraction(1, 2) and floor % 2 == 1))
    assert indicator.half_even(num, den) == expected


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(-BIG, BIG), st.integers(1, 1000)), min_size=1, max_size=30))
def test_the_database_rounds_like_python(unchanging: Database, pairs: list[tuple[int, int]]) -> None:
    expected = [indicator.half_even(*pair) for pair in pairs]
    parameters = {"n": [n for n, _ in pairs], "d": [d for _, d in pairs]}
    with unchanging.engine.connect() as connection:
        for kind in ("numeric", "bigint"):
            statement = sa.text(
                f"SELECT cim.half_even(num, den) FROM unnest(CAST(:n AS {kind}[]), CAST(:d AS {kind}[]))"
                " WITH ORDINALITY AS t(num, den, place) ORDER BY place"
            )
            assert list(connection.execute(statement, parameters).scalars()) == expected, kind


@pytest.mark.parametrize(("square_metres", "expected"), [(1 / 32, 312), (3 / 32, 938), (5 / 32, 1562), (1.0, 10_000)])
def test_square_metres_become_square_centimetres_half_even(
    unchanging: Database, square_metres: float, expected: int
) -> None:
    # Thirty-seconds are exact in binary: 312.5, 937.5 and 1562.5 cm².
    with unchanging.engine.connect() as connection:
        statement = sa.text("SELECT cim.square_centimetres(:v)")
        assert connection.execute(statement, {"v": square_metres}).scalar_one() == expected


@given(st.integers(0, 2**53))
def test_an_area_is_shown_exactly(square_centimetres: int) -> None:
    value = indicator.area(square_centimetres, 0, n=1, n_known=1)["value"]
    exact = (Decimal(square_centimetres) / 10_000).quantize(Decimal("0.0001"), ROUND_HALF_EVEN)
    assert value == float(exact)


def test_what_is_unknown_is_not_nothing() -> None:
    assert indicator.count("1", 0, 9, n=2, n_known=0) == {
        "value": None,
        "unit": "1",
        "n": 2,
        "n_known": 0,
        "low": 0,
        "high": 9,
    }
    assert indicator.count("1", 0, 0, n=0, n_known=0)["value"] == 0


def test_a_ratio_over_nothing_is_undefined_and_over_the_unknown_is_not() -> None:
    undefined = indicator.ratio("1", (5, 0), [(5, 0)], n=3, n_known=3)
    assert (undefined["value"], undefined["low"], undefined["status"]) == (None, None, "undefined")
    unknown = indicator.ratio("1", (0, 0), [(0, 4), (8, 4)], n=3, n_known=0)
    assert (unknown["value"], unknown["low"], unknown["high"]) == (None, 0, 2)
    assert "status" not in unknown


def test_bounds_are_compared_as_fractions_not_as_floats() -> None:
    # As floats both are 1.0.
    close = [(10**18 + 1, 10**18), (10**18, 10**18)]
    assert indicator.greatest(close) == close[0]
    assert indicator.least(close) == close[1]


addend = st.tuples(st.integers(0, 50), st.integers(0, 9))


@given(fixed=addend, optional=st.lists(addend, max_size=6))
def test_extreme_means_are_those_of_all_choices(fixed: tuple[int, int], optional: list[tuple[int, int]]) -> None:
    weighted = [(age * weight, weight) for age, weight in optional]
    start = fixed[0] * fixed[1], fixed[1]
    means = []
    for chosen in product([False, True], repeat=len(weighted)):
        num = start[0] + sum(a[0] for a, take in zip(weighted, chosen, strict=True) if take)
        den = start[1] + sum(a[1] for a, take in zip(weighted, chosen, strict=True) if take)
        means += [Fraction(num, den)] if den else []
    for highest, expected in ((True, max(means, default=None)), (False, min(means, default=None))):
        num, den = indicator.extreme_mean(start, weighted, highest=highest)
        assert (Fraction(num, den) if den else None) == expected
