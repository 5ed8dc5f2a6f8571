from __future__ import annotations

import re

import pytest

from cim import codes
from cim.codes import CodeScheme, Invalid, Valid
from cim.errors import InvalidCode, NotFound

SCHEMES = codes.schemes()
every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=list(SCHEMES))
every_valid = pytest.mark.parametrize(
    ("scheme", "example"),
    [pytest.param(s, e, id=f"{s.name} {e.text}") for s in SCHEMES.values() for e in s.examples_valid],
)
every_invalid = pytest.mark.parametrize(
    ("scheme", "example"),
    [pytest.param(s, e, id=f"{s.name} {e.text}") for s in SCHEMES.values() for e in s.examples_invalid],
)


@every_scheme
def test_it_says_what_it_is(scheme: CodeScheme) -> None:
    assert re.fullmatch("[a-z]+(-[a-z]+)*[0-9]*", scheme.name)
    assert scheme.title
    assert re.search("[\u4e00-\u9fff]", scheme.title_zh)
    assert scheme.source
    assert scheme.version
    assert scheme.confidence in {"confirmed", "likely", "unsure", "design"}


@every_scheme
def test_it_has_examples_of_every_level_and_of_both_faults(scheme: CodeScheme) -> None:
    assert {e.level for e in scheme.examples_valid} == (set(scheme.levels) or {None}), "add Valid examples"
    assert {e.kind for e in scheme.examples_invalid} == {"shape", "rule"}, "add Invalid examples"


@every_valid
def test_valid_examples_are_taken(scheme: CodeScheme, example: Valid) -> None:
    assert scheme.validate(example.text) == []
    parsed = scheme.parse(example.text)
    assert parsed.level == example.level
    assert "".join(part.text for part in parsed.parts) == parsed.code
    assert [part.first for part in parsed.parts] == [
        1 + sum(len(p.text) for p in parsed.parts[:index]) for index in range(len(parsed.parts))
    ]
    assert codes.check(scheme.name, example.text, level=example.level) == parsed.code
    assert scheme.normalise(scheme.format(example.text)) == parsed.code


@every_valid
def test_canonical_form_is_a_fixed_point(scheme: CodeScheme, example: Valid) -> None:
    canonical = scheme.normalise(example.text)
    assert canonical == scheme.normalise(canonical) == canonical.upper()
    assert canonical.isascii()
    assert scheme.normalise(f" \u3000{canonical[:4].lower()}\u00a0{canonical[4:]}\n") == canonical


@every_valid
def test_ancestors_end_and_share_the_beginning(scheme: CodeScheme, example: Valid) -> None:
    code = scheme.normalise(example.text)
    for _ in range(9):
        parent = scheme.parent(code)
        if parent is None:
            return
        if scheme.validate(parent):  # the parent lives in another scheme, as a component's county does
            assert any(other.validate(parent) == [] for other in SCHEMES.values())
            return
        assert code.startswith(scheme.children_prefix(parent))
        code = parent
    pytest.fail(f"{example.text} has no oldest ancestor")


@every_invalid
def test_invalid_examples_are_refused_with_kind_and_place(scheme: CodeScheme, example: Invalid) -> None:
    first = scheme.validate(example.text)[0]
    assert (first.kind, first.place) == (example.kind, example.place)
    with pytest.raises(InvalidCode) as refusal:
        codes.check(scheme.name, example.text)
    message = str(refusal.value)
    assert message.startswith(f"{scheme.name} refuses {example.text!r}: place {example.place}: ")
    assert first.message in message
    assert message.endswith("provisional code given")


@every_scheme
def test_a_column_is_judged_as_its_codes_are(scheme: CodeScheme) -> None:
    good = [example.text for example in scheme.examples_valid]
    bad = [example.text for example in scheme.examples_invalid]
    found, problems = codes.check_many(scheme.name, [*good, None, "", " \u3000", *bad])
    assert found == [scheme.normalise(text) for text in good] + [None] * (3 + len(bad))
    assert list(problems) == list(range(len(good) + 3, len(good) + 3 + len(bad)))
    for text, message in zip(bad, problems.values(), strict=True):
        with pytest.raises(InvalidCode, match=re.escape(message)):
            scheme.check(text)


@every_scheme
@pytest.mark.parametrize("text", ["", " ", "\x00", "é" * 10_000, "٣٢٠٥٠٨", "①②③④⑤⑥", "ſ" * 19, "-1", "NULL", "0" * 28])
def test_rubbish_is_refused_in_one_short_line(scheme: CodeScheme, text: str) -> None:
    with pytest.raises(InvalidCode) as refusal:
        scheme.check(text)
    assert len(str(refusal.value)) < 400
    assert str(refusal.value).isprintable()


@every_invalid
def test_invalid_examples_are_refused_at_every_level(scheme: CodeScheme, example: Invalid) -> None:
    for level in scheme.levels:
        first = scheme.validate(example.text, strict=True, level=level)[0]
        assert (first.kind, first.place) == (example.kind, example.place)


@every_scheme
def test_an_unknown_level_is_named(scheme: CodeScheme) -> None:
    with pytest.raises(NotFound, match=f"{scheme.name} has no level 'galaxy'"):
        scheme.check_many([], level="galaxy")
