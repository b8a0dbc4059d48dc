"""Whatever a text is, it is read as what it looks like, or refused in a sentence; within limits."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.files.parse import (
    LARGEST_WHOLE,
    MOST_DEPTH,
    MOST_YAML_BYTES,
    MOST_YAML_VALUES,
    ParseError,
    dump_yaml,
    load_json,
    load_yaml,
    real_number,
    whole_number,
)

_QUICK = settings(max_examples=40, deadline=None)
# Texts that some reader takes for a number, a date, a truth or nothing.
_TRICKY = st.sampled_from(
    [
        "1e3",
        "1e-3",
        ".5e3",
        "1_000",
        "0x10",
        "0o10",
        "010",
        "1:30",
        "2020-13-45",
        "2020-01-01",
        "yes",
        "NO",
        "null",
        "~",
        ".inf",
        ".NaN",
        "<<",
        "=",
        "-",
        "?",
        "1.",
        "+1",
        "-.5",
        "'",
    ]
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST_WHOLE, LARGEST_WHOLE)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | _TRICKY
)
_PLAIN = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab1._:e", max_size=4), inner),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(_PLAIN)
def test_what_was_written_is_read(value: Any) -> None:
    assert load_yaml(dump_yaml(value)) == value
    assert load_json(json.dumps(value)) == value


@_QUICK
@given(
    st.text()
    | st.text("[]{}:,-&*!?|>'\"%@`#\n ab1.<", max_size=40)
    | st.binary(max_size=40).map(lambda b: b.decode("latin-1"))
)
def test_no_text_does_more_than_be_refused(text: str) -> None:
    for load in (load_json, load_yaml):
        try:
            load(text)
        except ParseError as error:
            assert len(str(error)) < 1000


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")]),
    st.integers(1, 150) | st.integers(151, 20_000),
)
def test_depth_has_a_limit(brackets: tuple[str, str], levels: int) -> None:
    deep = levels * sum(brackets[0].count(bracket) for bracket in "[{")
    for load in (load_json, load_yaml):
        text = brackets[0] * levels + "1" + brackets[1] * levels
        if deep <= MOST_DEPTH:
            load(text)
        else:
            with pytest.raises(ParseError, match=r"nested more than 64 levels|longer than"):
                load(text)


@pytest.mark.parametrize("inside", ["1", "", "a"])
def test_the_limit_of_depth_is_met_exactly(inside: str) -> None:
    for load, value in ((load_json, inside.replace("a", '"a"')), (load_yaml, inside)):
        load("[" * MOST_DEPTH + value + "]" * MOST_DEPTH)
        with pytest.raises(ParseError, match="nested more than 64 levels"):
            load("[" * (MOST_DEPTH + 1) + value + "]" * (MOST_DEPTH + 1))


@_QUICK
@given(st.integers(2, 12), st.integers(5, 40))
def test_aliases_do_not_unfold_without_end(width: int, generations: int) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * width)}]" for n in range(generations)]
    values, size = 3, 2
    for _ in range(generations):
        size = 1 + width * size
        values += size + 1
    if values > MOST_YAML_VALUES:
        with pytest.raises(ParseError, match=f"more than {MOST_YAML_VALUES:,} values"):
            load_yaml("\n".join(lines))
    else:
        load_yaml("\n".join(lines))


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: *a}", "a: &a {<<: *a}", "- &a [1, [2, *a]]"])
def test_a_value_that_refers_to_itself_is_refused(text: str) -> None:
    with pytest.raises(ParseError, match="refers to itself"):
        load_yaml(text)


def test_a_chain_of_aliases_has_the_limit_of_depth_too() -> None:
    chain = "a0: &a0 [1]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}]\n" for n in range(100))
    with pytest.raises(ParseError, match="nested more than 64 levels") as refused:
        load_yaml(chain)
    assert refused.value.line == 64
    with pytest.raises(ParseError, match="is longer than"):
        load_yaml("#" * (MOST_YAML_BYTES + 1))


@_QUICK
@given(st.integers())
def test_whole_numbers_have_64_bits(number: int) -> None:
    big = number * 10**18
    if abs(big) <= LARGEST_WHOLE:
        assert whole_number(str(big)) == load_json(str(big)) == load_yaml(str(big)) == big
    else:
        for load in (whole_number, load_json, load_yaml):
            with pytest.raises(ParseError, match="out of range"):
                load(str(big))


@_QUICK
@given(st.integers(20, 6000), st.sampled_from(["", "-"]))
def test_thousands_of_digits_are_refused_in_a_line(digits: int, sign: str) -> None:
    for load in (whole_number, load_json, load_yaml):
        with pytest.raises(ParseError, match="out of range") as refused:
            load(sign + "9" * digits)
        assert len(str(refused.value)) < 200


@_QUICK
@given(st.floats(allow_nan=False))
def test_real_numbers_are_finite(number: float) -> None:
    if math.isfinite(number):
        assert real_number(repr(number)) == load_yaml(repr(number)) == number
    for load in (real_number, load_json, load_yaml):
        with pytest.raises(ParseError, match="out of range"):
            load(f"1{'0' * 308}e{9 + int(abs(number) % 100 if math.isfinite(number) else 0)}")


@pytest.mark.parametrize("text", ["1_000", "0x10", "010", "1:30", "0b1", "1_0.5", "1:30.5", "-0_1"])
def test_a_number_that_yaml_reads_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ParseError, match=r"is not a (whole )?number.*; a text that looks like a number needs quotes"):
        load_yaml(f"x: {text}")
    assert load_yaml(f"x: '{text}'") == {"x": text}


@_QUICK
@given(
    st.text(st.characters(categories=["Nd"]), min_size=1, max_size=5) | st.from_regex(r"[0-9]+_[0-9]+", fullmatch=True)
)
def test_only_plain_digits_are_numbers(text: str) -> None:
    if not text.isascii() or "_" in text:
        for read in (whole_number, real_number):
            with pytest.raises(ParseError, match=r"in plain digits|is not a"):
                read(text)


@_QUICK
@given(st.integers(0, 9999), st.integers(0, 99), st.integers(0, 99))
def test_dates_stay_texts(year: int, month: int, day: int) -> None:
    text = f"{year:04}-{month:02}-{day:02}"
    assert load_yaml(f"x: {text}") == {"x": text}


@_QUICK
@given(st.integers(0xD800, 0xDFFF))
def test_half_a_character_is_refused(code: int) -> None:
    for load, text in (
        (load_json, f'{{"\\u{code:04x}": 1}}'),
        (load_json, f'["a\\u{code:04X}b"]'),
        (load_yaml, f'"\\u{code:04x}"'),
    ):
        with pytest.raises(ParseError, match="half a character"):
            load(text)
    assert load_json('"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [x]", "!!binary YQ==", "!!set {a}", "!!timestamp 2020-01-01", "!x y"]
)
def test_other_tags_than_the_core_ones_are_refused(tag: str) -> None:
    with pytest.raises(ParseError, match=r"has the tag '!.*expected none, or one of YAML's core tags"):
        load_yaml(f"x: {tag}")


def test_a_repeated_merge_would_lose_the_first() -> None:
    with pytest.raises(ParseError, match="the key '<<' appears twice"):
        load_yaml("a: &a {x: 1}\nb:\n  <<: *a\n  <<: {x: 2}\n")


def test_a_key_twice_in_json_is_refused() -> None:
    with pytest.raises(ParseError, match="the key 'seed' appears twice"):
        load_json('{"a": {"seed": 0, "b": 1, "seed": 1}}')
