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
    """The blocks that count, the quiet ones where they are enough and else all; and whether all of these are quiet."""
    quiet = [block for block in blocks if is_quiet(block, cores)]
    return (quiet, True) if len(quiet) >= MIN_ROUNDS else (list(blocks), len(quiet) == len(blocks))


def paired(entry: EntryCost, base: EntryCost, cores: int) -> tuple[list[float], bool]:
    """Seconds per image relative to another entry's in the same round, over the rounds that count.

    Those are the rounds in which both were undisturbed where these are enough, and else all; the second value says
    whether all of them are undisturbed.
    """
    theirs = {block.round: block for block in base.blocks}
    pairs = [(block, theirs[block.round]) for block in entry.blocks if block.round in theirs]
    quiet = [pair for pair in pairs if all(is_quiet(block, cores) for block in pair)]
    used = quiet if len(quiet) >= MIN_ROUNDS else pairs
    scale = base.batch_size / entry.batch_size
    ratios = [scale * (own.seconds / own.steps) / (other.seconds / other.steps) for own, other in used]
    return ratios, len(quiet) == len(pairs) or used is quiet


def interval(values: Sequence[float]) -> Interval:
    """The median with its 95% percentile interval by bootstrap over the values; the same for equal values."""
    import numpy as np  # not at the top: the command line reads this module's constants

    numbers = np.asarray(values, dtype=float)
    median = float(np.median(numbers))
    draws = np.random.default_rng(len(numbers)).integers(len(numbers), size=(_RESAMPLES, len(numbers)))
    low, high = np.percentile(np.median(numbers[draws], axis=1), [2.5, 97.5])
    return Interval(median=median, low=min(float(low), median), high=max(float(high), median))
