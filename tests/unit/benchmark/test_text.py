from __future__ import annotations

import pytest

from benchmark.text import duration, first_line, listing, no_formula, p_text, signed, with_interval


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "0.0 s"),
        (0.0123, "0.012 s"),
        (5.04, "5.0 s"),
        (95.2, "95 s"),
        (9.97, "10 s"),
        (119.4, "119 s"),
        (119.9, "2.0 min"),
        (150.0, "2.5 min"),
        (9000, "2.5 h"),
    ],
)
def test_a_duration_has_the_unit_that_suits_its_size(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_mean_is_followed_by_half_of_its_interval() -> None:
    assert (with_interval(None), with_interval(45.04), with_interval(45.0, 0.96)) == ("", "45.0", "45.0 ± 1.0")
    assert with_interval(1.234, 0.056, digits=2) == "1.23 ± 0.06"
    assert with_interval(0.0, 0.0) == "0.0 ± 0.0"


def test_a_listing_has_commas_and_one_and() -> None:
    assert [listing(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert listing(name for name in "ab") == "a and b"


def test_an_error_without_a_message_is_named_by_its_type() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_difference_has_a_sign_and_a_p_value_three_decimals() -> None:
    assert (signed(3.14), signed(-0.5, 0.26), signed(0.0)) == ("+3.1", "-0.5 ± 0.3", "+0.0")
    assert [p_text(p) for p in (1.0, 0.0574, 0.001, 0.00099)] == ["1.000", "0.057", "0.001", "< 0.001"]


def test_no_text_of_a_csv_file_is_a_formula_and_numbers_stay() -> None:
    assert [no_formula(cell) for cell in ("=1+1", "@sum", "-x", "+HYPERLINK()", "\t=1")] == [
        "'=1+1", "'@sum", "'-x", "'+HYPERLINK()", "'\t=1",
    ]  # fmt: skip
    assert [no_formula(cell) for cell in ("-1.5", "+3", -1.5, None, "byol", "")] == [
        "-1.5",
        "+3",
        -1.5,
        None,
        "byol",
        "",
    ]
