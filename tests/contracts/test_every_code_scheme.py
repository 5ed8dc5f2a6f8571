from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cim import codes
from cim.codes import CodeScheme, Invalid, Valid
from cim.errors import InvalidCode, NotFound

SCHEMES = codes.schemes()
# A reserved scheme judges no value yet: it refuses every one with the reason.
IN_USE = {name: scheme for name, scheme in SCHEMES.items() if scheme.reserved is None}
DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "codes.md").read_text(encoding="utf-8")
every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=list(SCHEMES))
every_scheme_in_use = pytest.mark.parametrize("scheme", IN_USE.values(), ids=list(IN_USE))
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
def test_the_docs_have_its_row_with_its_certainty(scheme: CodeScheme) -> None:
    row = re.search(rf"^\| `{scheme.name}` \|.*$", DOCUMENT, re.MULTILINE)
    assert row is not None, "add the scheme to docs/codes.md"
    assert scheme.confidence in row.group()


@every_scheme_in_use
def test_it_has_examples_of_every_level_and_of_each_fault(scheme: CodeScheme) -> None:
    assert {e.level for e in scheme.examples_valid} == (set(scheme.levels) or {None}), "add Valid examples"
    has_rules = scheme.rules(scheme.normalise(scheme.examples_valid[0].text)) != ()
    assert {e.kind for e in scheme.examples_invalid} == {"shape", "rule"} if has_rules else {"shape"}


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
    assert canonical == scheme.normalise(canonical) == scheme.normalise(canonical.upper())
    assert canonical.isascii()
    assert scheme.normalise(f" \u3000{canonical[:4].lower()}\u00a0{canonical[4:]}\n") == canonical


@every_valid
def test_ancestors_end_and_know_their_children(scheme: CodeScheme, example: Valid) -> None:
    code = scheme.normalise(example.text)
    for _ in range(40):
        parent = scheme.parent(code)
        if parent is None:
            return
        if scheme.validate(parent):  # the parent lives in another scheme, as a component's county does
            assert any(other.validate(parent) == [] for other in SCHEMES.values())
            return
        assert re.fullmatch(scheme.children_pattern(parent), code)
        code = parent
    pytest.fail(f"{example.text} has no oldest ancestor")


@every_invalid
def test_invalid_examples_are_refused_with_kind_and_place(scheme: CodeScheme, example: Invalid) -> None:
    first = scheme.validate(example.text)[0]
    assert (first.kind, first.place) == (example.kind, example.place)
    with pytest.raises(InvalidCode) as refusal:
        codes.check(scheme.name, example.text)
    message = str(refusal.value)
    where = f"place {example.place}: " if example.place else ""
    assert message.startswith(f"{scheme.name} refuses {example.text!r}: {where}")
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


def near(scheme: CodeScheme) -> st.SearchStrategy[str]:
    """Codes of right shape, and good ones with some characters changed, inserted or left out."""
    example = st.sampled_from([scheme.normalise(e.text) for e in scheme.examples_valid])
    alphabet = st.sampled_from("".join({c for e in scheme.examples_valid for c in scheme.normalise(e.text)}) + "0X-é")

    @st.composite
    def changed(draw: st.DrawFn) -> str:
        code = draw(example)
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(0, len(code)))
            code = code[:at] + draw(st.just("") | alphabet) + code[at + draw(st.integers(0, 1)) :]
        return code

    return changed() | st.from_regex(scheme.layout.pattern, fullmatch=True)


@every_scheme_in_use
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_column_is_judged_as_its_codes_are_at_every_level(scheme: CodeScheme, data: st.DataObject) -> None:
    values = data.draw(st.lists(near(scheme), max_size=8))
    level = data.draw(st.sampled_from([None, *scheme.levels]))
    found, problems = scheme.check_many(values, level=level)
    for index, value in enumerate(values):
        good = scheme.validate(value, level=level) == []
        assert (found[index] is not None) == good, value
        assert (index in problems) == (not good and scheme.normalise(value) != "")
        if good:
            assert found[index] == scheme.normalise(value) == scheme.normalise(scheme.format(value))
            assert "".join(part.text for part in scheme.parse(value).parts) == found[index]


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
