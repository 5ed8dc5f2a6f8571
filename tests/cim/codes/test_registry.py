from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cim import codes
from cim.dictionary import load_dictionary
from cim.errors import InvalidCode, NotFound

UNIT = "440101001001GB00001F00010012"
PROVISIONAL = "PV0ZACHMWWAYZ5P9J27"
TYPES = load_dictionary().types


def test_schemes_are_found_by_name() -> None:
    wanted = (
        "cn-bdcdyh cn-jgjt246 cn-jgjt496 cn-component16 cn-div6 cn-div12 ubid olc nl-bag gb-uprn ch-egid jp-fudosan "
        "jp-plateau jp-spatialid provisional"
    )
    assert list(codes.schemes()) == sorted(wanted.split())
    assert codes.scheme("cn-div6").name == "cn-div6"


def test_an_unknown_scheme_is_named_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="no code scheme 'hk-csuid'; there are ch-egid, cn-bdcdyh, "):
        codes.check("hk-csuid", "1")


def test_a_reserved_scheme_refuses_every_value_with_the_reason() -> None:
    with pytest.raises(InvalidCode, match="the layout of JGJ/T 496-2022 is not known to us"):
        codes.check("cn-jgjt496", "1")
    assert codes.check_many("cn-jgjt496", ["1", None])[0] == [None, None]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (" gb 01\t\n", "GB01"),
        ("ＧＢ０１ｆ　１", "GB01F1"),
        ("a\u00a0b\u2009c\u200bd\ufeffe", "ABCDE"),
        ("ſ①²ß", "ſ①²ß"),
        ("", ""),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert codes.scheme("cn-bdcdyh").normalise(text) == canonical


@given(st.text())
def test_canonical_form_of_any_text_is_a_fixed_point(text: str) -> None:
    scheme = codes.scheme("cn-bdcdyh")
    assert scheme.normalise(scheme.normalise(text)) == scheme.normalise(text)


@given(st.lists(st.none() | st.text("0123456789GBFJ ", max_size=30) | st.sampled_from([UNIT, PROVISIONAL])))
def test_a_column_is_judged_as_its_values_are(values: list[str | None]) -> None:
    scheme = codes.scheme("cn-bdcdyh")
    found, problems = scheme.check_many(values, level="unit")
    for index, value in enumerate(values):
        missing = value is None or not scheme.normalise(value)
        good = not missing and not scheme.validate(value or "", level="unit")
        assert (index in problems) == (not good and not missing)
        assert found[index] == (scheme.normalise(value or "") if good else None)


def test_a_feature_type_takes_its_own_level_and_provisional_codes() -> None:
    values = [UNIT, UNIT.lower(), PROVISIONAL, PROVISIONAL[:-1] + "8", UNIT[:19], None]
    found, problems = codes.check_many_for(TYPES["unit"], values)
    assert found == [UNIT, UNIT, PROVISIONAL, None, None, None]
    assert list(problems) == [3, 4]
    assert problems[3].startswith("provisional refuses 'PV0ZACHMWWAYZ5P9J28': place 19: check character")
    assert problems[4].startswith("cn-bdcdyh refuses '440101001001GB00001': is the code of a parcel, expected")


@pytest.mark.parametrize(
    ("type_name", "code"),
    [
        ("parcel", UNIT[:19]),
        ("building", UNIT[:24] + "0000"),
        ("building", UNIT[:24] + "0001"),
        ("unit", UNIT),
        ("component", "3205080101000001"),
        ("division", "320508019044"),
        ("storey", PROVISIONAL),
    ],
)
def test_each_type_takes_the_codes_of_its_scheme(type_name: str, code: str) -> None:
    assert codes.check_for(TYPES[type_name], code) == code


@pytest.mark.parametrize(
    ("type_name", "code"),
    [("parcel", UNIT), ("building", UNIT), ("unit", UNIT[:24] + "0000"), ("storey", UNIT), ("unit", " ")],
)
def test_each_type_refuses_other_codes(type_name: str, code: str) -> None:
    with pytest.raises(InvalidCode):
        codes.check_for(TYPES[type_name], code)
