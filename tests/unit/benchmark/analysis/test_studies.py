"""The effect of a parameter: which values are compared, with which tests and intervals."""

from __future__ import annotations

import pytest
from scipy import stats
from studies import study_of

from benchmark.analysis.power import smallest_difference
from benchmark.analysis.studies import effects, mean_by_pair
from benchmark.records.study import ParameterRange

SCORES: dict[tuple[object, ...], list[float]] = {
    (1,): [40.0, 41.0, 42.0],
    (2,): [41.0, 43.0, 45.0],
    (3,): [44.0, 45.2, 45.9],
}


def test_all_values_are_compared_where_the_experiments_own_is_not_known() -> None:
    (effect,) = effects(study_of({(3,): [50.0, 51.0, 52.0], (1,): [44.0, 45.1, 46.0], (2,): [49.9, 51.2, 51.9]}))
    assert [level.value for level in effect.levels] == [1, 2, 3]  # numbers stand in their order
    assert [level.summary.n for level in effect.levels] == [3, 3, 3]
    assert [(pair.first.value, pair.second.value) for pair in effect.pairs] == [(1, 2), (1, 3), (2, 3)]
    assert effect.reference is None and [pair.comparisons for pair in effect.pairs] == [3, 3, 3]
    assert [pair.differs for pair in effect.pairs] == [True, True, False]


def test_the_experiments_own_value_is_what_others_are_compared_with() -> None:
    (effect,) = effects(study_of(SCORES, reference={"depth": "2"}))
    assert effect.reference is effect.levels[1]
    assert [(pair.first.value, pair.second.value) for pair in effect.pairs] == [(1, 2), (3, 2)]
    assert [pair.paired.mean for pair in effect.pairs] == [pytest.approx(-2.0), pytest.approx(6.1 / 3)]
    # Corrected for two comparisons instead of three.
    assert [pair.comparisons for pair in effect.pairs] == [2, 2]
    raw = [pair.paired.p or 0.0 for pair in effect.pairs]
    assert min(pair.p or 0.0 for pair in effect.pairs) == pytest.approx(2 * min(raw))
    # One that was not tried is none.
    (effect,) = effects(study_of(SCORES, reference={"depth": "6"}))
    assert effect.reference is None and len(effect.pairs) == 3


def test_the_interval_of_a_comparison_is_corrected_and_bounds_the_difference() -> None:
    (effect,) = effects(study_of(SCORES, reference={"depth": "2"}))
    low, _ = effect.pairs  # differences -1, -2, -3: mean -2, standard deviation 1
    half = stats.t.isf(0.05 / 2 / 2, 2) / 3**0.5
    assert low.interval == pytest.approx((-2.0 - half, -2.0 + half))
    assert low.bound == pytest.approx(2.0 + half)
    assert low.detectable == pytest.approx(smallest_difference(1.0, 3, 2))
    turned = low.seen_from(low.second)
    assert (turned.first, turned.second) == (low.second, low.first)
    assert turned.interval == pytest.approx((2.0 - half, 2.0 + half)) and turned.p == low.p
    assert low.seen_from(low.first) is low


def test_without_a_test_there_is_no_interval() -> None:
    (effect,) = effects(study_of({(1,): [40.0, 41.0], (2,): [50.0, 51.5]}))
    (pair,) = effect.compared
    assert pair.paired.mean == pytest.approx(-10.25)
    assert (pair.p, pair.interval, pair.bound, pair.detectable) == (None, None, None, None)
    assert effect.tested == ()
    (effect,) = effects(study_of({(1,): [40.0, 41.0, 42.0], (2,): [40.0, 41.0, 42.0]}))
    assert effect.tested[0].p == 1.0 and effect.tested[0].bound is None
    (effect,) = effects(study_of({(1,): [40.0], (2,): [50.0]}))
    assert effect.pairs and effect.compared == ()


def test_the_correction_counts_all_comparisons() -> None:
    # One pair alone would differ significantly (p = 0.03); one of six does not.
    scores: dict[tuple[object, ...], list[float]] = {
        (1,): [50.0, 50.0, 50.0], (2,): [49.0, 48.8, 48.2], (3,): [49.5, 50.9, 48.9], (4,): [50.6, 49.2, 50.9],
    }  # fmt: skip
    (effect,) = effects(study_of(scores))
    raw = min(pair.paired.p or 1.0 for pair in effect.pairs)
    assert raw < 0.05 and len(effect.pairs) == 6 and not any(pair.differs for pair in effect.pairs)
    (alone,) = effects(study_of(dict(list(scores.items())[:2])))
    assert [pair.differs for pair in alone.pairs] == [True]


def test_chosen_values_are_compared_and_the_edge_is_named() -> None:
    rates = ParameterRange(values=[0.0003, 0.001, 0.003])
    for scores, word in (((34.2, 34.9, 37.1), "largest"), ((38.6, 36.1, 34.8), "smallest"), ((35.0, 39.0, 38.0), "")):
        (effect,) = effects(study_of({(v,): [s] for v, s in zip(rates.values or (), scores, strict=True)}, depth=rates))
        assert effect.listed and effect.edge == word
    (two,) = effects(study_of({(1,): [40.0], (2,): [50.0]}))
    assert two.edge == ""


def test_drawn_values_are_not_compared_one_by_one() -> None:
    scores: dict[tuple[object, ...], list[float]] = {(0.001 * i,): [40.0 + i] for i in range(1, 6)}
    (effect,) = effects(study_of(scores, depth=ParameterRange(low=0.001, high=0.01, log=True)))
    assert not effect.listed and effect.numeric and effect.compared == ()


def test_values_are_compared_where_all_else_is_equal() -> None:
    # Kernel 5 was tried with the good depth alone, by chance; where both were, it is no better.
    scores: dict[tuple[object, ...], list[float]] = {
        (1, 3): [40.0, 41.0, 42.0],
        (2, 3): [50.0, 51.0, 52.0],
        (2, 5): [50.1, 50.9, 52.0],
    }
    found = study_of(scores, ("depth", "kernel"))
    depth, kernel = effects(found)
    (pair,) = kernel.pairs
    assert pair.paired.mean == pytest.approx(0.0, abs=0.1) and not pair.differs
    assert kernel.levels[0].summary.mean == pytest.approx(46.0)  # the mean of all runs with kernel 3
    (pair,) = depth.pairs
    assert pair.paired.mean == pytest.approx(-10.0)
    assert mean_by_pair(found, "depth", "kernel")[("2", "5")] == pytest.approx(51.0)


def test_values_that_differ_in_their_fifth_digit_are_two() -> None:
    near: dict[tuple[object, ...], list[float]] = {
        (0.99961,): [40.0, 41.0, 42.5],
        (0.99964,): [50.0, 51.0, 52.5],
        (0.999,): [45.0, 46.0, 47.0],
    }
    (effect,) = effects(study_of(near, reference={"depth": "0.99961"}))
    assert [level.text for level in effect.levels] == ["0.999", "0.99961", "0.99964"]
    assert [pair.paired.mean for pair in effect.pairs] == [pytest.approx(14.5 / 3), pytest.approx(10.0)]


def test_names_and_switches_keep_the_order_of_the_file() -> None:
    (effect,) = effects(study_of({("mixed",): [50.0] * 3, ("block",): [51.0] * 3, ("random",): [40.0] * 3}))
    assert [level.text for level in effect.levels] == ["mixed", "block", "random"]
    assert not effect.numeric
    (effect,) = effects(study_of({(True,): [50.0] * 2, (None,): [51.0] * 2, ((1, 2),): [40.0] * 2}))
    assert [level.text for level in effect.levels] == ["true", "null", "[1, 2]"]
