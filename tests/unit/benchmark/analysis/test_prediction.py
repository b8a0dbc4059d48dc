from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from benchmark.analysis.prediction import (
    Curve,
    Fit,
    Law,
    Rung,
    _least_squares,
    crossing,
    fit,
    interval,
    probability_higher,
)


def curve(
    entry: str, a: float, b: float, c: float, budgets: tuple[float, ...], *, seeds: int = 1, sd: float = 0.0
) -> Curve:
    """Rungs of a law, with normal noise between seeds."""
    draw = np.random.default_rng(len(entry))
    rungs = [Rung(x, tuple(a - b * x**-c + sd * float(draw.standard_normal()) for _ in range(seeds))) for x in budgets]
    return Curve(entry, tuple(rungs), noise=0.1)


def fixed(entry: str, *laws: tuple[float, float, float]) -> Fit:
    """A fit whose draws are given: a, gap and c over a budget of 1, without noise."""
    rungs = tuple(Rung(x, (50.0,)) for x in (1.0, 4.0, 16.0))
    return Fit(Curve(entry, rungs), Law(*laws[0], 1.0), np.array(laws), 0.0, np.zeros(len(laws)))


def test_the_law_is_found_again_where_there_are_many_rungs() -> None:
    budgets = tuple(float(2**n) for n in range(10))
    law = fit(curve("byol", 60.0, 25.0, 0.7, budgets, seeds=3, sd=0.05), draws=2).law
    assert (law.a, law.b, law.c) == pytest.approx((60.0, 25.0, 0.7), rel=0.05)
    assert law(8.0) == pytest.approx(60.0 - 25.0 * 8.0**-0.7, abs=0.1)


@pytest.mark.parametrize("unit", [1.0, 1e15])
def test_b_belongs_to_the_unit_of_the_budget_and_the_prediction_does_not(unit: float) -> None:
    steps = (1.0, 4.0, 16.0, 64.0, 256.0)
    fitted = fit(curve("byol", 60.0, 25.0 * unit**0.7, 0.7, tuple(x * unit for x in steps)), draws=20)
    assert fitted.law.b * (1024 * unit) ** -fitted.law.c == pytest.approx(25.0 * 1024**-0.7, rel=0.15)
    plain = fit(curve("byol", 60.0, 25.0, 0.7, steps), draws=20)
    assert fitted.measured([1024 * unit]) == pytest.approx(plain.measured([1024.0]), abs=1e-3)


@pytest.mark.parametrize(
    "means",
    [(30.0, 40.0, 45.0), (66.5, 68.3, 69.8, 70.4), (44.0, 42.0, 43.0), (60.0, 80.0, 99.5), (10.0, 10.1, 60.0, 99.0)],
)
@pytest.mark.parametrize("centre", [0.1, 0.5, 2.0])
def test_the_fit_is_scipys_with_the_same_bounds_and_penalty(means: tuple[float, ...], centre: float) -> None:
    steps = np.array([4.0**n for n in range(len(means))])
    errors = np.linspace(0.4, 0.8, len(means))

    def residuals(parameters: Any) -> Any:
        a, gap, log_c = parameters
        missed = (a - gap * steps ** -math.exp(log_c) - means) / errors
        return np.append(missed, log_c - math.log(centre))

    bounds = ([0.0, 0.0, math.log(0.01)], [100.0, math.inf, math.log(10.0)])
    starts = [(min(max(means) + 1.0, 99.9), 20.0, math.log(c)) for c in (0.05, 0.5, 3.0)]
    theirs = min((least_squares(residuals, start, bounds=bounds) for start in starts), key=lambda found: found.cost)
    ((a, gap, c),) = _least_squares(steps, np.array([means]), errors, np.array([math.log(centre)]))
    assert np.sum(residuals((a, gap, math.log(c))) ** 2) == pytest.approx(2 * theirs.cost, rel=0.01, abs=0.002)
    longer = 4 * steps[-1]
    top, drop, log_c = theirs.x
    assert a - gap * longer**-c == pytest.approx(top - drop * longer ** -math.exp(log_c), abs=0.2)


def test_an_interval_widens_with_the_budget_and_three_rungs_are_less_sure_than_five() -> None:
    def width(budgets: tuple[float, ...], target: float) -> float:
        fitted = fit(curve("byol", 60.0, 25.0, 0.5, budgets), draws=100)
        low, median, high = interval(fitted.measured([target])[:, 0])
        assert low < 60.0 - 25.0 * target**-0.5 < high and low < median < high
        return high - low

    three, five = (1.0, 4.0, 16.0), (1.0, 2.0, 4.0, 8.0, 16.0)
    assert width(three, 32.0) < width(three, 64.0) < width(three, 1024.0)
    assert width(five, 64.0) < width(three, 64.0)
    # The law would interpolate three rungs exactly; the exponent's and the curve's own uncertainty remain.
    assert width(three, 64.0) > 2.0


def test_no_draw_leaves_0_to_100_or_the_bounds_of_the_law() -> None:
    steep = Curve("byol", tuple(Rung(x, (y,)) for x, y in ((1.0, 60.0), (2.0, 80.0), (4.0, 99.5))), noise=0.5)
    fitted = fit(steep, draws=60)
    assert fitted.laws[:, 0].max() <= 100.0 and fitted.laws[:, 1].min() >= 0.0
    assert fitted.measured([1.0, 64.0]).min() >= 0.0 and fitted.measured([64.0]).max() <= 100.0


def test_a_falling_curve_is_continued_flat_with_what_it_misses_as_misfit() -> None:
    falling = Curve("byol", tuple(Rung(x, (y,)) for x, y in ((1.0, 44.0), (4.0, 42.0), (16.0, 40.0))), noise=0.1)
    fitted = fit(falling, draws=60)
    assert fitted.law(64.0) == pytest.approx(42.0, abs=0.2)
    assert fitted.misfit > 1.5  # residuals of 2, 0 and -2 points


def test_seeds_are_resampled_and_one_alone_has_the_noise_it_was_given() -> None:
    two = Curve("byol", (Rung(1.0, (40.0, 42.0)), Rung(4.0, (45.0,)), Rung(16.0, (48.0,))), noise=9.0)
    assert two.residuals.tolist() == pytest.approx([-math.sqrt(2), math.sqrt(2)])
    assert two.run_sd == pytest.approx(math.sqrt(2))  # the standard deviation of 40 and 42
    one = Curve("byol", (Rung(1.0, (41.0,)), *two.rungs[1:]), noise=0.3)
    assert one.run_sd == 0.3 and one.residuals.size == 0

    def spread(sd: float) -> float:
        fitted = fit(curve("byol", 60.0, 25.0, 0.5, (1.0, 4.0, 16.0), seeds=4, sd=sd), draws=200)
        low, _, high = interval(fitted.measured([64.0])[:, 0])
        return high - low

    assert spread(3.0) > 1.5 * spread(0.1)


def test_a_repeated_prediction_is_the_same_and_entries_draw_apart() -> None:
    budgets = (1.0, 4.0, 16.0)
    first, again = (fit(curve("byol", 60.0, 25.0, 0.5, budgets), draws=10) for _ in range(2))
    assert np.array_equal(first.measured([64.0]), again.measured([64.0]))
    other = fit(Curve("simclr", first.curve.rungs, 0.1), draws=10)
    assert not np.allclose(other.measured([64.0]), first.measured([64.0]))


def test_two_rungs_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="byol has 2 rungs; a prediction needs at least 3"):
        fit(curve("byol", 60.0, 25.0, 0.5, (1.0, 4.0)))


def test_a_crossing_is_where_the_laws_meet() -> None:
    # 50 - 20/x and 46 - 8/x meet at x = 3.
    found = crossing(fixed("a", (50.0, 20.0, 1.0)), fixed("b", (46.0, 8.0, 1.0)), 1.0, 64.0)
    assert found.share == 1.0 and found.budget is not None
    assert found.budget == pytest.approx((3.0, 3.0, 3.0), rel=1e-3)
    outside = crossing(fixed("a", (50.0, 20.0, 1.0)), fixed("b", (46.0, 8.0, 1.0)), 4.0, 64.0)
    assert outside.share == 0.0 and outside.budget is None


def test_a_crossing_of_a_minority_of_draws_is_none() -> None:
    crossing_law, higher, other = (50.0, 20.0, 1.0), (60.0, 8.0, 1.0), (46.0, 8.0, 1.0)
    found = crossing(fixed("a", crossing_law, higher, higher), fixed("b", other, other, other), 1.0, 64.0)
    assert found.share == pytest.approx(1 / 3) and found.budget is None


def test_of_two_crossings_the_last_one_decides() -> None:
    first, second = fixed("a", (41.0, 3.0, 1.0)), fixed("b", (40.0, 2.0, 2.0))
    found = crossing(first, second, 1.01, 64.0)  # the difference is 1 - 3/x + 2/x^2 = (1 - 1/x)(1 - 2/x)
    assert found.budget is not None and found.budget.median == pytest.approx(2.0, rel=1e-3)
    both = crossing(first, second, 0.5, 64.0)  # at 1 and at 2
    assert both.budget is not None and both.budget.median == pytest.approx(2.0, rel=1e-3)


def test_the_probability_of_an_order_is_the_share_of_draws() -> None:
    assert probability_higher(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 2.0, 3.0])) == 0.75
