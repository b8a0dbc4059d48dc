"""Power of the paired t-test, against published numbers, `scipy.stats` and draws."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmark.analysis.power import seeds_needed, smallest_difference, upper_spread


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_the_numbers_of_pairs_that_gpower_gives(effect: float, pairs: int) -> None:
    """Two-sided paired t-test, alpha 0.05, power 0.8, effect size dz: as G*Power 3.1 computes them."""
    assert seeds_needed(effect, 1.0) == pairs
    assert seeds_needed(3.0 * effect, 3.0) == pairs  # only the ratio counts
    assert smallest_difference(2.0, pairs) <= 2.0 * effect < smallest_difference(2.0, pairs - 1)


@pytest.mark.parametrize("comparisons", [1, 3, 10, 66])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 100])
def test_the_power_at_the_smallest_difference_is_that_of_the_noncentral_t(seeds: int, comparisons: int) -> None:
    for power in (0.8, 0.95):
        difference = smallest_difference(2.0, seeds, comparisons, power=power)
        critical = stats.t.isf(0.05 / comparisons / 2, seeds - 1)
        reached = stats.nct.sf(critical, seeds - 1, difference * math.sqrt(seeds) / 2.0)
        assert reached == pytest.approx(power, abs=5e-5)


def test_draws_are_significant_as_often_as_planned() -> None:
    seeds, comparisons, spread = 5, 4, 1.5
    true = smallest_difference(spread, seeds, comparisons)
    drawn = np.random.default_rng(0).normal(true, spread, (20_000, seeds))
    p = stats.ttest_1samp(drawn, 0.0, axis=1).pvalue
    assert np.mean(p < 0.05 / comparisons) == pytest.approx(0.8, abs=0.01)


def test_a_larger_family_needs_more_seeds_and_sees_less() -> None:
    sizes = [smallest_difference(1.0, 5, comparisons) for comparisons in (1, 2, 4, 10)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    # Bonferroni: four comparisons at 0.05 are one at 0.0125.
    assert smallest_difference(1.0, 5, 4) == pytest.approx(smallest_difference(1.0, 5, alpha=0.0125))
    counts = [seeds_needed(1.0, 1.0, comparisons) or 0 for comparisons in (1, 2, 4, 10)]
    assert counts == sorted(set(counts))


def test_where_nothing_can_be_seen_or_everything() -> None:
    assert smallest_difference(1.0, 1) == math.inf == smallest_difference(1.0, 0)
    assert smallest_difference(math.inf, 10) == math.inf
    assert smallest_difference(0.0, 3) == 0.0
    assert seeds_needed(0.1, 0.0) == 2
    assert seeds_needed(1.0, math.inf) is None
    assert seeds_needed(1e-3, 1.0) is None  # more than ten thousand
    assert (seeds_needed(0.03, 1.0) or 0) > 8000


def test_a_spread_from_few_seeds_may_be_larger() -> None:
    assert upper_spread(1.0, 3) == pytest.approx(math.sqrt(2 / stats.chi2.ppf(0.2, 2)))
    assert upper_spread(2.0, 100) == pytest.approx(2.0 * math.sqrt(99 / stats.chi2.ppf(0.2, 99)))
    assert upper_spread(1.0, 1) == math.inf
    estimates = np.random.default_rng(1).normal(0.0, 1.0, (20_000, 4)).std(axis=1, ddof=1)
    covered = np.mean([upper_spread(float(estimate), 4) >= 1.0 for estimate in estimates])
    assert covered == pytest.approx(0.8, abs=0.01)


def test_numbers_that_mean_nothing_are_refused() -> None:
    for spread in (-1.0, math.nan):
        with pytest.raises(ValueError, match="spread is"):
            smallest_difference(spread, 5)
    with pytest.raises(ValueError, match="comparisons is 0"):
        smallest_difference(1.0, 5, 0)
    for difference in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="difference is"):
            seeds_needed(difference, 1.0)
    with pytest.raises(ValueError, match="alpha is"):
        seeds_needed(1.0, 1.0, power=1.0)


def test_the_table_of_the_documentation() -> None:
    """In units of the spread: rows of docs/sweeps.md, by seeds and comparisons."""
    page = (Path(__file__).parents[4] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    families = (1, 2, 3, 6, 10)
    for seeds in (3, 5, 8, 10, 20):
        cells = [f"{smallest_difference(1.0, seeds, comparisons):.2f}" for comparisons in families]
        assert f"| {seeds} | {' | '.join(cells)} |" in page
