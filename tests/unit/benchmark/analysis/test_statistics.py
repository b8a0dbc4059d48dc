from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis.statistics import (
    holm,
    holm_half_widths,
    paired_difference,
    probability_of_improvement,
    sampling_half_width,
    simultaneous_half_width,
    summarise,
)


def test_interval_of_three_values_uses_student_t_with_two_degrees_of_freedom() -> None:
    summary = summarise([40.0, 41.0, 42.0])
    assert (summary.n, summary.mean, summary.sd) == (3, 41.0, 1.0)
    assert summary.ci95 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_what_one_or_no_value_cannot_say_is_none() -> None:
    assert summarise([5.0]).sd is None and summarise([5.0]).ci95 is None and summarise([5.0]).mean == 5.0
    assert summarise([None, None]).mean is None and summarise([None, None]).n == 0
    assert summarise([None, 3.0, 5.0]).mean == 4.0


def test_sampling_error_is_the_binomial_one_and_not_zero_at_the_ends() -> None:
    assert sampling_half_width(45.0, 10_000) == pytest.approx(
        100 * 1.959964 * math.sqrt(0.45 * 0.55 / 10_000), rel=1e-3
    )
    assert sampling_half_width(100.0, 360) == pytest.approx(
        100 * 1.959964**2 / (2 * 360) / (1 + 1.959964**2 / 360), rel=1e-5
    )
    for accuracy, images in ((-1.0, 10), (101.0, 10), (50.0, 0)):
        with pytest.raises(ValueError, match="is"):
            sampling_half_width(accuracy, images)


def test_95_percent_intervals_cover_the_truth_95_times_of_a_hundred() -> None:
    draw = random.Random(0)
    covered = 0
    for _ in range(2000):
        summary = summarise([draw.gauss(50.0, 2.0) for _ in range(5)])
        covered += abs((summary.mean or 0.0) - 50.0) <= (summary.ci95 or 0.0)
    assert 0.93 <= covered / 2000 <= 0.97


def test_paired_t_on_a_worked_example() -> None:
    """Student's sleep data (1908), ten patients, two drugs: t = -4.0621, 9 degrees of freedom, p = 0.002833."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired_difference(first, second)
    assert (found.n, found.mean) == (10, pytest.approx(-1.58))
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    assert found.ci95 == pytest.approx((2.4598858 - 0.7001142) / 2, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=8))
def test_paired_t_is_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    found = paired_difference(first, second)
    expected = stats.ttest_rel(first, second)
    if summarise([a - b for a, b in pairs]).sd < 1e-9:  # type: ignore[operator]
        return  # there scipy says nan, or rounding decides
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    low, high = expected.confidence_interval(0.95)
    assert found.ci95 == pytest.approx((high - low) / 2, rel=1e-6)


def test_differences_that_do_not_vary_and_too_few_of_them() -> None:
    constant = paired_difference([1.0, 2.0], [0.0, 1.0])
    assert (constant.mean, constant.ci95, constant.p) == (1.0, None, None)
    assert paired_difference([1.0, 2.0], [1.0, 2.0]).p == 1.0
    # Equal but for the last binary digit: decimals have no exact difference.
    rounded = paired_difference([45.3, 44.1, 46.2], [45.0, 43.8, 45.9])
    assert (rounded.ci95, rounded.p) == (None, None) and rounded.mean == pytest.approx(0.3)
    one = paired_difference([3.0], [1.0])
    assert (one.n, one.mean, one.ci95, one.p) == (1, 2.0, None, None)
    assert paired_difference([], []).mean is None
    with pytest.raises(ValueError, match="2 and 1 values cannot be paired"):
        paired_difference([1.0, 2.0], [1.0])


def test_holm_on_a_worked_example() -> None:
    """Four hypotheses: 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match=r"p is 1\.5"):
        holm([1.5])


def test_holm_rarely_errs_once_in_a_family() -> None:
    """Five true hypotheses: at least one is rejected in about 5% of draws, uncorrected in about 23%."""
    draw = random.Random(1)
    families = [[draw.random() for _ in range(5)] for _ in range(2000)]
    assert 0.035 <= sum(min(holm(p)) < 0.05 for p in families) / 2000 <= 0.065
    assert sum(min(p) < 0.05 for p in families) / 2000 > 0.18


def test_probability_of_improvement() -> None:
    assert probability_of_improvement([2.0, 3.0], [1.0, 2.0]) == (0.5 + 1 + 1 + 1) / 4
    assert probability_of_improvement([1.0], [1.0]) == 0.5
    assert probability_of_improvement([], [1.0]) is None
    first, second = [41.0, 44.0, 43.0], [42.0, 40.0, 43.5, 39.0]
    u = stats.mannwhitneyu(first, second).statistic
    assert probability_of_improvement(first, second) == pytest.approx(u / 12)


@pytest.mark.parametrize(("right", "images"), [(162, 360), (0, 50), (50, 50), (1, 1000)])
def test_sampling_error_is_scipys_wilson_interval_for_whole_counts(right: int, images: int) -> None:
    low, high = stats.binomtest(right, images).proportion_ci(method="wilson")
    assert sampling_half_width(100 * right / images, images) == pytest.approx(50 * (high - low), rel=1e-9)


def test_holm_leaves_out_what_was_not_tested() -> None:
    assert holm([None, 0.01, None, 0.04]) == [None, pytest.approx(0.02), None, pytest.approx(0.04)]


def test_intervals_that_hold_together_are_wider() -> None:
    summary = summarise([40.0, 41.0, 42.0])
    assert simultaneous_half_width(summary, 1) == pytest.approx(summary.ci95)
    # 2 degrees of freedom, 0.05 / 6 to either side.
    assert simultaneous_half_width(summary, 3) == pytest.approx(stats.t.isf(0.05 / 6, 2) / math.sqrt(3))
    assert simultaneous_half_width(summarise([40.0]), 3) is None
    assert simultaneous_half_width(paired_difference([1.0, 2.0], [1.0, 2.0]), 3) is None  # equal on every seed
    with pytest.raises(ValueError, match="comparisons is 0"):
        simultaneous_half_width(summary, 0)


@given(
    st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=6), min_size=1, max_size=6),
)
def test_intervals_that_belong_to_holms_test_include_zero_exactly_where_it_does_not_reject(
    differences: list[list[float]],
) -> None:
    pairs = [paired_difference([1.0 + d for d in values], [1.0] * len(values)) for values in differences]
    p_values = [pair.p for pair in pairs]
    for pair, p, width in zip(pairs, holm(p_values), holm_half_widths(pairs, p_values), strict=True):
        if p is None or width is None or abs(p - 0.05) < 1e-6:
            continue
        assert (abs(pair.mean or 0.0) > width) == (p < 0.05)


def test_the_interval_has_the_level_of_the_step_that_decided() -> None:
    pairs = [paired_difference([d + s for s in (-1.0, 0.0, 1.0)], [0.0] * 3) for d in (40.0, 2.0, 1.0)]
    first, second, third = holm_half_widths(pairs, [pair.p for pair in pairs])
    assert first == simultaneous_half_width(pairs[0], 3)  # rejected by the first step of three
    assert second == third == simultaneous_half_width(pairs[1], 2)  # the second step does not reject, and is the last
    assert holm_half_widths(pairs[:1], [None]) == [pairs[0].ci95]
