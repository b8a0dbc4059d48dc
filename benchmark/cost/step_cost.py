"""From blocks of steps to the cost of a step: the order of blocks, which of them count, medians and intervals.

Entries take turns in short blocks, so that whatever slows the machine slows all of them alike, and ratios are taken
within rounds. A median does not move with the tail that a busy machine adds. Blocks during which other processes were
busy are left out where enough others remain (rules 29 to 32).
"""

from __future__ import annotations

import math
import random
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from benchmark.records.cost import MIN_ROUNDS, EntryCost, StepCost
from benchmark.records.estimates import by_round, counted, interval, mean_step, paired, ratio_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 14  # at most, unless the user wants more
BLOCK = 1.0  # seconds of a block, at least one step
PRECISE = 0.02  # half the width of every ratio's interval, relative to the ratio, at which a measurement ends
BUSY = "busy machine"
# Of an entry that failed on the way: its blocks stay, and price nothing.
_NOTHING = dict.fromkeys(("seconds_per_step", "seconds_per_image", "ratio", "joules_per_step", "data_wait_share"))
_VARYING, _LONGEST = 0.02, 6  # see `steps_in_block`
_JUMP = 0.25  # seconds, and share of the block, by which two clocks may differ


def order(entries: Sequence[str], round_number: int, reference: str) -> list[str]:
    """The entries in the order of a round: random ones between two blocks of the reference, which is in every ratio.

    A function of the round, so that it is the same when a measurement is resumed.
    """
    others = [name for name in entries if name != reference]
    others = random.Random(round_number).sample(others, len(others))
    if reference not in entries:
        return others
    return [reference, *others, reference] if others else [reference]


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


def steps_in_block(step: float, block: float, flops: Sequence[float], rounds: int) -> int:
    """How many steps a block has: as many as fit into `block` seconds, one at least.

    More, up to `_LONGEST` times as many, where the work of a step differs from step to step (masks): so many that over
    all rounds the interval of its median is within `_VARYING`, judged by the FLOPs of some steps.

    Args:
        step: seconds of one.
        flops: of some steps.
    """
    steps = max(1, round(block / max(step, 1e-6)))
    variation = pstdev(flops) / fmean(flops) if len(flops) > 1 and fmean(flops) > 0 else 0.0
    # Half of the 95% interval of a median of n normal values is 1.96 x 1.25 x their deviation / sqrt(n).
    wanted = math.ceil((1.96 * 1.25 * variation / _VARYING) ** 2 / rounds)
    return max(steps, min(wanted, _LONGEST * steps))


def clocks_agree(seconds: float, other: float) -> bool:
    """Whether two clocks say the same of a block; they do not if one was set, or the machine was suspended."""
    return seconds > 0.0 and math.isfinite(seconds) and abs(seconds - other) <= _JUMP + _JUMP * seconds


def summarised(cost: StepCost) -> StepCost:
    """The measurement with the estimates that its blocks give, its complete rounds and its flags.

    Ratios are to the `reference`; if that could not be measured, there are none.
    """
    cores = max(1, cost.hardware.visible_cores)
    alive = {entry.entry: entry for entry in cost.entries if entry.status == "measured"}
    reference = alive.get(cost.reference)
    estimates = {name: _estimated(entry, reference, cores) for name, entry in alive.items()}
    entries = [estimates[e.entry][0] if e.entry in alive else e.model_copy(update=_NOTHING) for e in cost.entries]
    busy = not all(quiet for _, quiet in estimates.values())
    flags = [flag for flag in cost.flags if flag != BUSY] + ([BUSY] if busy else [])
    rounds = min((len(by_round(entry.blocks)) for entry in alive.values()), default=0)
    return cost.model_copy(update={"entries": entries, "rounds": rounds, "flags": flags})


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


def _estimated(entry: EntryCost, reference: EntryCost | None, cores: int) -> tuple[EntryCost, bool]:
    """An entry with what its blocks say, and whether none of these was disturbed by other load."""
    blocks, quiet = counted(entry.blocks, cores)
    if not blocks:
        return entry, True
    rounds = by_round(blocks)
    seconds = interval([mean_step(own) for own in rounds.values()])
    ratios, quiet_pairs = ([], True) if reference is None else paired(entry, reference, cores)
    total = sum(block.seconds for block in blocks)
    measured = all(block.joules is not None for block in blocks)
    # A round's blocks count together, as in `mean_step`: the reference entry has two in each.
    joules = [sum(b.joules or 0.0 for b in own) / sum(b.steps for b in own) for own in rounds.values()]
    loads = [block.other_cores for block in blocks if block.other_cores is not None]
    update = {
        "rounds": len(rounds),
        "seconds_per_step": seconds,
        "seconds_per_image": seconds.times(1 / entry.batch_size),
        "ratio": ratio_interval(ratios) if ratios else None,
        "data_wait_share": min(1.0, sum(block.data_wait for block in blocks) / total),
        "other_cores": sum(loads) / len(loads) if loads else None,
        "joules_per_step": interval(joules) if measured else None,
    }
    return entry.model_copy(update=update), quiet and quiet_pairs
