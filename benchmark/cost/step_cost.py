"""From blocks of steps to the cost of a step: the order of blocks, which of them count, medians and intervals.

Entries take turns in short blocks, so that whatever slows the machine slows all of them alike, and ratios are taken
within rounds. A median does not move with the tail that a busy machine adds. Blocks during which other processes were
busy are left out where enough others remain (rules 29 to 32).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from benchmark.cost.meter import BUSY_SHARE
from benchmark.records.cost import MIN_ROUNDS, Block, EntryCost, Interval, StepCost

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 24  # at most, unless the user wants more
BLOCK = 1.0  # seconds of a block, at least one step
PRECISE = 0.02  # half the width of every ratio's interval, relative to the ratio, at which a measurement ends
BUSY = "busy machine"
_RESAMPLES = 2000
_JUMP = 0.25  # seconds, and share of the block, by which two clocks may differ


def order(entries: Sequence[str], round_number: int) -> list[str]:
    """The entries in the random order of a round: a function of the round, so that it is the same when resumed."""
    return [entries[i] for i in np.random.default_rng((18, round_number)).permutation(len(entries))]


def progress_at(round_number: int) -> float:
    """The progress at which a round's steps are: van der Corput's sequence, even over 0 to 1 for any number of rounds.

    Schedules may change what a step costs, such as the share of an image that masks hide.
    """
    value, denominator, number = 0.0, 1, round_number + 1
    while number:
        denominator *= 2
        number, digit = divmod(number, 2)
        value += digit / denominator
    return value


def clocks_agree(seconds: float, other: float) -> bool:
    """Whether two clocks say the same of a block; they do not if one was set, or the machine was suspended."""
    return seconds > 0.0 and math.isfinite(seconds) and abs(seconds - other) <= _JUMP + _JUMP * seconds


def summarised(cost: StepCost) -> StepCost:
    """The measurement with the estimates that its blocks give, its complete rounds and its flags.

    Ratios are to the `reference`; without blocks of that entry there are none.
    """
    cores = max(1, cost.hardware.visible_cores)
    entries = {entry.entry: entry for entry in cost.entries}
    reference = entries.get(cost.reference)
    alive = [entry for entry in cost.entries if entry.status == "measured"]
    rounds = min((len(entry.blocks) for entry in alive), default=0)
    priced = [_estimated(entry, reference, cores) if entry in alive else entry for entry in cost.entries]
    busy = any(len(_quiet(entry.blocks, cores)) < MIN_ROUNDS <= len(entry.blocks) for entry in alive)
    flags = [flag for flag in cost.flags if flag != BUSY] + ([BUSY] if busy else [])
    return cost.model_copy(update={"entries": priced, "rounds": rounds, "flags": flags})


def widest(cost: StepCost) -> float:
    """Half the width of the widest interval of a ratio, relative to it; infinite below `MIN_ROUNDS` rounds.

    Where one entry alone is measured, that of its seconds.
    """
    measured = [entry for entry in cost.entries if entry.status == "measured"]
    others = [entry.ratio for entry in measured if entry.entry != cost.reference and entry.ratio]
    intervals = others or [entry.seconds_per_step for entry in measured if entry.seconds_per_step]
    if cost.rounds < MIN_ROUNDS or not intervals:
        return math.inf
    return max(interval.half_width for interval in intervals)


def _quiet(blocks: Sequence[Block], cores: int) -> list[Block]:
    """The blocks during which other processes left the machine alone, as far as can be known."""
    return [block for block in blocks if (block.other_cores or 0.0) <= BUSY_SHARE * cores]


def _counted(blocks: Sequence[Block], cores: int) -> list[Block]:
    """The blocks that count: the quiet ones where they are enough, else all."""
    quiet = _quiet(blocks, cores)
    return quiet if len(quiet) >= MIN_ROUNDS else list(blocks)


def _estimated(entry: EntryCost, reference: EntryCost | None, cores: int) -> EntryCost:
    blocks = _counted(entry.blocks, cores)
    if not blocks:
        return entry
    seconds = _interval([block.seconds / block.steps for block in blocks])
    total = sum(block.seconds for block in blocks)
    joules = [block.joules / block.steps for block in blocks if block.joules is not None]
    loads = [block.other_cores for block in blocks if block.other_cores is not None]
    update = {
        "rounds": len(blocks),
        "seconds_per_step": seconds,
        "seconds_per_image": seconds.times(1 / entry.batch_size),
        "ratio": _ratio(entry, reference, cores) if reference is not None else None,
        "data_wait_share": min(1.0, sum(block.data_wait for block in blocks) / total),
        "other_cores": sum(loads) / len(loads) if loads else None,
        "joules_per_step": _interval(joules) if len(joules) == len(blocks) else None,
    }
    return entry.model_copy(update=update)


def _ratio(entry: EntryCost, reference: EntryCost, cores: int) -> Interval | None:
    """Seconds per image relative to the reference's in the same round; over rounds in which both were undisturbed."""
    theirs = {block.round: block for block in reference.blocks}
    pairs = [(block, theirs[block.round]) for block in entry.blocks if block.round in theirs]
    quiet = [pair for pair in pairs if len(_quiet(pair, cores)) == len(pair)]
    scale = reference.batch_size / entry.batch_size
    ratios = [
        scale * (own.seconds / own.steps) / (other.seconds / other.steps)
        for own, other in (quiet if len(quiet) >= MIN_ROUNDS else pairs)
    ]
    return _interval(ratios) if ratios else None


def _interval(values: Sequence[float]) -> Interval:
    """The median with its 95% percentile interval by bootstrap over the values; the same for equal values."""
    numbers = np.asarray(values, dtype=float)
    median = float(np.median(numbers))
    draws = np.random.default_rng(len(numbers)).integers(len(numbers), size=(_RESAMPLES, len(numbers)))
    low, high = np.percentile(np.median(numbers[draws], axis=1), [2.5, 97.5])
    return Interval(median=median, low=min(float(low), median), high=max(float(high), median))
