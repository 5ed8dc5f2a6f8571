from __future__ import annotations

import pytest

from cim import codes
from cim.errors import InvalidData

DIV6 = codes.scheme("cn-div6")
DIV12 = codes.scheme("cn-div12")


@pytest.mark.parametrize(
    ("code", "parent", "prefix"),
    [
        ("320508", "320500", "320508"),
        ("320500", "320000", "3205"),
        ("320000", None, "32"),
        ("419001", "419000", "419001"),
        ("441900", "440000", "4419"),
        ("500000", None, "50"),
    ],
)
def test_six_digits(code: str, parent: str | None, prefix: str) -> None:
    assert DIV6.parent(code) == parent
    assert DIV6.children_pattern(code) == f"{prefix}.+"


@pytest.mark.parametrize(
    ("code", "parent", "prefix"),
    [
        ("320508019044", "320508019000", "320508019044"),
        ("320508019000", "320508000000", "320508019"),
        ("320508000000", "320500000000", "320508"),
        ("320000000000", None, "32"),
        ("441900103000", "441900000000", "441900103"),  # a city without counties
    ],
)
def test_twelve_digits(code: str, parent: str | None, prefix: str) -> None:
    assert DIV12.parent(code) == parent
    assert DIV12.children_pattern(code) == f"{prefix}.+"


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("328008", 3),
        ("320008", 3),
        ("327100", 3),
        ("328900", 3),
        ("329100", 3),
        ("320508600000", 7),
        ("320508019400", 10),
        ("320508000044", 7),
    ],
)
def test_what_is_beyond_the_usual_warns_and_never_refuses(code: str, place: int) -> None:
    scheme = codes.scheme(f"cn-div{len(code)}")
    assert scheme.validate(code) == []
    (warning,) = scheme.validate(code, strict=True)
    assert (warning.kind, warning.place) == ("warning", place)


@pytest.mark.parametrize(
    "code",
    [
        "320508",
        "419001",
        "441900",
        "110000",
        "320101",
        "327099",
        "320508019044",
        "220581102200",
        "441900103000",
        "320508001001",
        "320508599399",
    ],
)
def test_usual_codes_do_not_warn(code: str) -> None:
    assert codes.scheme(f"cn-div{len(code)}").validate(code, strict=True) == []


def test_the_state_gives_the_codes() -> None:
    with pytest.raises(InvalidData, match="cn-div12 are given by the state"):
        DIV12.mint("320508019000")
