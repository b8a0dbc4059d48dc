from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_costs import make_cost, make_priced
from scipy import stats

from benchmark.records.cost import Block
from benchmark.records.estimates import counted, interval, is_quiet, paired, ratio_interval


def _block(number: int, seconds: float = 1.0, others: float | None = 0.0) -> Block:
    return Block(round=number, steps=10, seconds=seconds, data_wait=0.0, other_cores=others)


def _entries(own: list[Block], base: list[Block]) -> Any:
    cost = make_cost([make_priced("simclr"), make_priced("byol")], {"simclr": 0.1, "byol": 0.2})
    return [e.model_copy(update={"blocks": b}) for e, b in zip(cost.entries, (own, base), strict=True)]


def test_a_twentieth_of_the_cores_is_where_a_disturbance_begins() -> None:
    assert is_quiet(_block(0, others=0.1), 2) and not is_quiet(_block(0, others=0.11), 2)
    assert is_quiet(_block(0, others=0.11), 4) and is_quiet(_block(0, others=None), 1)


def test_quiet_blocks_count_where_five_are_left() -> None:
    blocks = [_block(n, others=1.0 if n % 2 else 0.0) for n in range(10)]
    assert counted(blocks, 2) == (blocks[::2], True)
    assert counted(blocks[:8], 2) == (blocks[:8], False)
    assert counted(blocks[:1], 2) == (blocks[:1], True)


def test_a_ratio_needs_rounds_in_which_both_were_undisturbed() -> None:
    own = [_block(n, 1.0 if n % 2 else 3.0, 0.0 if n % 2 else 1.0) for n in range(12)]
    steady = [_block(n, 2.0) for n in range(12)]
    assert paired(*_entries(own, steady), 2) == ([0.5] * 6, True)
    other = [_block(n, 6.0 if n % 2 else 2.0, 1.0 if n % 2 else 0.0) for n in range(12)]  # never both
    ratios, quiet = paired(*_entries(own, other), 2)
    assert len(ratios) == 12 and not quiet
    assert paired(*_entries(own[:3], steady[1:]), 2)[0] == pytest.approx([0.5, 1.5])  # common rounds only


def test_an_interval_is_of_the_median() -> None:
    assert interval([2.0] * 7).half_width == 0.0
    wide = interval([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (wide.median, wide.low, wide.high) == (3.0, 1.0, 100.0)
    assert interval([1.0, 2.0, 3.0]) == interval([1.0, 2.0, 3.0])
    assert interval(list(map(float, range(101)))).half_width == pytest.approx(0.3, abs=0.12)


def test_a_ratio_is_the_median_of_pairs() -> None:
    assert ratio_interval([2.0] * 6).half_width == pytest.approx(0.0, abs=1e-12)
    ratios = [1.9, 2.0, 2.1, 2.0, 40.0]  # one outlier of five moves it little
    assert ratio_interval(ratios).median == pytest.approx(2.0, rel=0.03)
    assert ratio_interval([2.0, 8.0]).median == pytest.approx(4.0)  # geometric
    inverse = ratio_interval([1 / ratio for ratio in ratios])
    assert inverse.median == pytest.approx(1 / ratio_interval(ratios).median)


@pytest.mark.parametrize("count", [5, 6, 8, 11, 14])
def test_the_interval_of_a_ratio_is_the_signed_rank_tests(count: int) -> None:
    """A ratio lies inside exactly where scipy's exact test does not refuse it at 5%."""
    sample = np.random.default_rng(count).lognormal(0.0, 0.05, count)
    found = ratio_interval(sample)
    for ratio in np.linspace(0.9, 1.1, 201):
        p = stats.wilcoxon(np.log(sample) - np.log(ratio), method="exact").pvalue
        inside = found.low < ratio < found.high
        assert inside == (p > 0.05) or (count == 5 and p == 0.0625 and not inside)


def test_the_interval_of_a_ratio_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    for count, least in ((5, 0.92), (8, 0.94), (14, 0.94)):  # 93.8%, 96.1%, 95.1%; four standard errors are 2.4%
        found = [ratio_interval(random.lognormal(0.0, 0.03, count)) for _ in range(1500)]
        covered = sum(each.low <= 1.0 <= each.high for each in found) / len(found)
        assert least <= covered <= 0.985


def test_a_ratio_is_known_better_than_by_a_plain_median() -> None:
    random = np.random.default_rng(0)
    samples = [random.lognormal(0.0, 0.05, 16) for _ in range(200)]
    ours, plain = ([float(estimate(s).median) for s in samples] for estimate in (ratio_interval, interval))
    assert np.std(ours) < 0.9 * np.std(plain)
