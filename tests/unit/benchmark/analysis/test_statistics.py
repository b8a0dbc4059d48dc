from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.analysis.statistics import pareto_front, sampling_half_width, student_half_width, summarise


def test_interval_of_three_values_uses_student_t_with_two_degrees_of_freedom() -> None:
    summary = summarise([40.0, 41.0, 42.0])
    assert (summary.n, summary.mean, summary.sd) == (3, 41.0, 1.0)
    assert summary.ci95 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_what_one_or_no_value_cannot_say_is_none() -> None:
    assert summarise([5.0]).sd is None and summarise([5.0]).ci95 is None and summarise([5.0]).mean == 5.0
    assert summarise([None, None]).mean is None and summarise([None, None]).n == 0
    assert summarise([None, 3.0, 5.0]).mean == 4.0
    with pytest.raises(ValueError, match="at least 2"):
        student_half_width(1.0, 1)


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


def test_front_keeps_only_what_more_cost_improves() -> None:
    #         dominated     front         equal cost, worse   front        equal twin
    points = [(2.0, 30.0), (1.0, 40.0), (1.0, 35.0), (3.0, 50.0), (3.0, 50.0), (4.0, 50.0)]
    assert pareto_front(points) == [1, 3]
    assert pareto_front([]) == []


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12))
def test_front_is_exactly_the_undominated_points(points: list[tuple[int, int]]) -> None:
    front = {points[i] for i in pareto_front([(float(c), float(a)) for c, a in points])}
    undominated = {p for p in points if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)}
    assert front == undominated
