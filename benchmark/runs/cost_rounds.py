"""Rounds of blocks: every entry in turn, until ratios are precise enough (rules 29 to 32)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol

from benchmark.cost import step_cost
from benchmark.cost.sources import sources
from benchmark.cost.step_cost import clocks_agree, order, progress_at, steps_in_block, summarised, widest
from benchmark.errors import Interrupted, UserError
from benchmark.files.disk import writing
from benchmark.machine.environment import now
from benchmark.records.cost import MIN_ROUNDS, Block, EntryCost, StepCost, write_cost
from benchmark.runs.record import cause_of
from benchmark.training import profile
from benchmark.training.profile import breakdown, flops_of_steps, timed_block

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.interrupt import StopSignal
    from benchmark.machine.locks import DeviceLock
    from benchmark.runs.workbench import Workbench
    from benchmark.training.loop import Training

PART_STEPS = 3  # of which the parts are measured
_TRIED = 3  # single steps; a slow one, beside other load, would make all blocks too short
_LEAST_DRAWS = 8  # masks over which the FLOPs of one entry are averaged
_SHARED = "shared device"
_REPEATS = 3  # of a block for which two clocks disagree, before that is an error


Work = Callable[["Training"], None]


class CostReporter(Protocol):
    """Shows the progress of a measurement."""

    def say(self, text: str) -> None:
        """A line for the user."""

    def measuring(self, state: str, share: float, left: float | None) -> None:
        """What is being done, the share of it that is done, and the seconds that remain at most."""


@dataclass(frozen=True)
class CostOptions:
    """How a step's cost is measured.

    Attributes:
        rounds: at most.
        block: seconds of a block; one step at least.
        precise: half the width of every ratio's interval, relative to it, at which the measurement ends.
        against: the entry that ratios are to; None for the experiment's reference.
        counting: seconds in which the FLOPs of an entry are counted, if its masks differ from step to step.
    """

    rounds: int = step_cost.ROUNDS
    block: float = step_cost.BLOCK
    precise: float = step_cost.PRECISE
    against: str | None = None
    counting: float = 10.0


def is_done(cost: StepCost, options: CostOptions) -> bool:
    """Whether a measurement has all that is wanted: what is measured once, and enough rounds."""
    measured = [entry for entry in cost.entries if entry.status == "measured"]
    examined = all(entry.parts is not None for entry in measured)
    enough = cost.rounds >= max(options.rounds, MIN_ROUNDS) or widest(cost) <= options.precise
    return not measured or (examined and enough)


class Measurement:
    """A measurement under way; `cost` is its record so far."""

    def __init__(
        self,
        specs: Sequence[RunSpec],
        cost: StepCost,
        path: Path,
        options: CostOptions,
        reporter: CostReporter,
        stop_signal: StopSignal,
        bench: Workbench,
        locks: Sequence[DeviceLock],
    ) -> None:
        self.cost, self._path, self._options = cost, path, options
        self._specs = {spec.entry.name: spec for spec in specs}
        self._reporter, self._stop_signal, self._bench, self._locks = reporter, stop_signal, bench, locks
        self._ranks = bench.ranks
        self._sources = [
            source
            for source in sources(self._ranks.device, self._ranks.processes)
            if source.name in ("others", "energy")
        ]
        self._steps: dict[str, int] = {}  # in a block

    def carry_out(self) -> StepCost:
        """Builds and examines every entry, then measures rounds until they are enough."""
        for lock in self._locks:
            lock.was_shared()  # forgets what was before
        for number, name in enumerate(self._alive()):
            self._reporter.measuring(f"building {name}", number / len(self._specs), None)
            self._attempt(name, partial(self._examine, name))
        if not self._alive():
            self._write(complete=True)
            reasons = "; ".join(f"{entry.entry}: {entry.message}" for entry in self.cost.entries)
            raise UserError(f"no entry could be measured ({reasons})")
        first, start = self.cost.rounds, time.monotonic()
        while not self._ranks.first(lambda: is_done(self.cost, self._options)):
            done = self.cost.rounds - first
            left = (time.monotonic() - start) / done * (self._options.rounds - self.cost.rounds) if done else None
            self._round(self.cost.rounds, left)
            self._write()
        self._write(complete=True)
        return self.cost.sealed()

    def _alive(self) -> list[str]:
        return [entry.entry for entry in self.cost.entries if entry.status == "measured"]

    def _entry(self, name: str) -> EntryCost:
        return next(entry for entry in self.cost.entries if entry.entry == name)

    def _attempt(self, name: str, work: Work) -> bool:
        """Does some work on an entry; one that fails is noted, and the others go on. Whether it succeeded."""
        if self._ranks.any(self._stop_signal.requested):
            raise Interrupted
        try:
            self._bench.use(self._specs[name], work)
        except (UserError, Interrupted):
            raise
        except Exception as error:
            if self._ranks.size > 1:  # the others wait for this one's part
                raise
            cause = cause_of(error)
            status = "out_of_memory" if cause == "out_of_memory" else "failed"
            message = f"{type(error).__name__}: {error}".splitlines()[0]
            self._update(name, status=status, message=message)
            self._reporter.say(f"{name}: cannot be measured, the others go on ({message})")
            return False
        return True

    def _examine(self, name: str, training: Training) -> None:
        """What is measured once for an entry: how many steps make a block, memory, FLOPs, parts of a step."""
        entry = self._entry(name)
        if entry.blocks:  # as in the rounds before
            self._steps[name] = entry.blocks[-1].steps
            return
        seconds = min(timed_block(training, 1, 0.5).seconds for _ in range(_TRIED))
        step = max(self._ranks.slowest(seconds), 1e-6)
        most = max(_LEAST_DRAWS, round(self._options.counting / step))
        draws = min(profile.FLOP_DRAWS, most) if training.method.cost_varies else 1
        flops = flops_of_steps(training, self._ranks.first(lambda: draws))
        self._steps[name] = steps_in_block(step, self._options.block, flops, self._options.rounds)
        parts = breakdown(training, max(1, min(PART_STEPS, round(self._options.block / step))))["parts"]
        self._update(name, parts=parts, peak_memory_bytes=self._bench.peak(name), flops_per_step=fmean(flops))
        self._write()

    def _round(self, number: int, left: float | None) -> None:
        """A round; one that is interrupted does not count, one that loses an entry counts for those that are left."""
        blocks: dict[str, list[Block]] = {}
        names = order(self._alive(), number, self.cost.reference)
        for position, name in enumerate(names):
            share = (number + position / len(names)) / self._options.rounds
            self._reporter.measuring(f"round {number + 1} of at most {self._options.rounds}, {name}", share, left)
            self._attempt(name, partial(self._block_into, blocks, name, number))
        for name, own in blocks.items():
            entry = self._entry(name)
            if entry.status == "measured":
                crowded = name in self._bench.crowded
                self._update(name, blocks=[*entry.blocks, *own], rebuilt=entry.rebuilt or crowded)

    def _block_into(self, blocks: dict[str, list[Block]], name: str, number: int, training: Training) -> None:
        blocks.setdefault(name, []).append(self._block(name, training, number))

    def _block(self, name: str, training: Training, number: int) -> Block:
        """A block of an entry; repeated if the clocks disagree, as they do when one is set or the machine sleeps."""
        steps = self._steps[name]
        for _ in range(_REPEATS):
            timed = timed_block(training, steps, progress_at(number), self._sources)
            if not self._ranks.any(not clocks_agree(timed.seconds, timed.wall)):
                seconds = self._ranks.slowest(timed.seconds)
                others, joules = timed.grown.get("others"), timed.grown.get("energy")
                return Block(
                    round=number,
                    steps=steps,
                    seconds=seconds,
                    data_wait=min(timed.data_wait, seconds),
                    other_cores=None if others is None else max(0.0, others / timed.seconds),
                    joules=joules,
                )
            self.cost = self.cost.model_copy(update={"jumps": self.cost.jumps + 1})
            self._reporter.say(f"{name}: the clock jumped during a block; it is repeated")
        raise UserError(f"the clock jumped in {_REPEATS} blocks in a row; measure again when it is steady")

    def _update(self, name: str, **values: Any) -> None:
        entries = [entry.model_copy(update=values) if entry.entry == name else entry for entry in self.cost.entries]
        self.cost = self.cost.model_copy(update={"entries": entries})

    def _write(self, *, complete: bool = False) -> None:
        """Writes the record as it is, with its estimates."""
        shared = any([lock.was_shared() for lock in self._locks])  # a list, so that every lock is read
        flags = dict.fromkeys([*self.cost.flags, *([_SHARED] if shared else [])])
        scope = next((source.scope for source in self._sources if source.name == "energy"), None)
        for entry in self.cost.entries:
            if entry.energy_scope != scope:
                self._update(entry.entry, energy_scope=scope)
        status = "complete" if complete else "unfinished"
        update = {"flags": list(flags), "status": status, "block_seconds": self._options.block, "ended": now()}
        self.cost = summarised(self.cost.model_copy(update=update)).sealed()
        with writing(self._path, "complete rounds are kept"):
            self._ranks.first(lambda: write_cost(self._path, self.cost))
