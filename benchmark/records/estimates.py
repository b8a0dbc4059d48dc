"""What blocks of steps say: which of them count, ratios within rounds, medians with intervals (rule 31)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.records.cost import MIN_ROUNDS, Block, EntryCost, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

BUSY_SHARE = 0.05  # of the visible cores, taken by others: from here on a block, or a run's times, are disturbed
_RESAMPLES = 2000


def is_quiet(block: Block, cores: int) -> bool:
    """Whether other processes left the machine alone during a block, as far as can be known."""
    return (block.other_cores or 0.0) <= BUSY_SHARE * cores


def counted(blocks: Sequence[Block], cores: int) -> tuple[list[Block], bool]:
    """The blocks that count, the quiet ones where they are of enough rounds, else all; and whether all are quiet."""
    quiet = [block for block in blocks if is_quiet(block, cores)]
    return (quiet, True) if len(by_round(quiet)) >= MIN_ROUNDS else (list(blocks), len(quiet) == len(blocks))


def paired(entry: EntryCost, base: EntryCost, cores: int) -> tuple[list[float], bool]:
    """Seconds per image relative to another entry's in the same round, over the rounds that count.

    Those are the rounds in which both were undisturbed where these are enough, and else all; the second value says
    whether all of them are undisturbed.
    """
    own, theirs = by_round(entry.blocks), by_round(base.blocks)
    common = [number for number in own if number in theirs]
    quiet = [n for n in common if all(is_quiet(block, cores) for block in (*own[n], *theirs[n]))]
    used = quiet if len(quiet) >= MIN_ROUNDS else common
    scale = base.batch_size / entry.batch_size
    return [scale * mean_step(own[n]) / mean_step(theirs[n]) for n in used], len(quiet) == len(common) or used is quiet


def by_round(blocks: Sequence[Block]) -> dict[int, list[Block]]:
    """The blocks of each round; the reference entry has two in a round."""
    rounds: dict[int, list[Block]] = {}
    for block in blocks:
        rounds.setdefault(block.round, []).append(block)
    return rounds


def mean_step(blocks: Sequence[Block]) -> float:
    """Seconds per step of some blocks together."""
    return sum(block.seconds for block in blocks) / sum(block.steps for block in blocks)


def ratio_interval(ratios: Sequence[float]) -> Interval:
    """Hodges and Lehmann's estimate of a ratio with its 95% interval, by the signed-rank test (1963).

    The estimate is the median of the geometric means of all pairs of rounds, each with itself included: nearly as
    precise as a mean (a median's interval is a quarter wider), and not moved by up to a quarter of outliers. The ends
    of the interval are two of these means, as far inside as the test's exact distribution allows; a bootstrap over
    so few rounds would be too narrow. Of five rounds, the smallest and the largest: 93.8%.
    """
    import numpy as np

    logs = np.log(np.asarray(ratios, dtype=float))
    first, second = np.triu_indices(len(logs))
    means = np.exp(np.sort((logs[first] + logs[second]) / 2))
    inside = _ranks_inside(len(logs))
    return Interval(median=float(np.median(means)), low=float(means[inside]), high=float(means[-1 - inside]))


def _ranks_inside(count: int) -> int:
    """How many of the means of all pairs of `count` values lie beyond each end of the 95% interval; 0 for too few.

    One less than there are sums of ranks that the signed-rank statistic stays at or below with 2.5% or less.
    """
    import numpy as np

    ways = np.zeros(count * (count + 1) // 2 + 1)  # to reach each sum by some of the ranks
    ways[0] = 1.0
    for rank in range(1, count + 1):
        ways[rank:] += ways[:-rank].copy()
    share = ways.cumsum() / 2.0**count
    return max(0, int((share <= 0.025).sum()) - 1)


def interval(values: Sequence[float]) -> Interval:
    """The median with its 95% percentile interval by bootstrap over the values; the same for equal values."""
    import numpy as np  # not at the top: the command line reads this module's constants

    numbers = np.asarray(values, dtype=float)
    median = float(np.median(numbers))
    draws = np.random.default_rng(len(numbers)).integers(len(numbers), size=(_RESAMPLES, len(numbers)))
    low, high = np.percentile(np.median(numbers[draws], axis=1), [2.5, 97.5])
    return Interval(median=median, low=min(float(low), median), high=max(float(high), median))
