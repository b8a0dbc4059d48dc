"""What is trained when all trials are done, on seeds that chose nothing: best points, and the entries themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmark.records.schema import TUNED, UNCHANGED, UNTUNED
from benchmark.sweep.space import point_data

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.sweep.resolve import ResolvedSweep
    from benchmark.sweep.space import Point
    from benchmark.sweep.study import EntryTrials
    from benchmark.sweep.trial_runs import TrialRuns


@dataclass(frozen=True)
class Confirmation:
    """A run on a fresh seed, with its test."""

    label: str
    which: str
    spec: RunSpec


@dataclass(frozen=True)
class Confirming:
    """Plans the runs on fresh seeds of a sweep."""

    resolved: ResolvedSweep
    trial_runs: TrialRuns

    def runs(self, queue: EntryTrials, best: FrozenTrial, seed: int) -> list[Confirmation]:
        """An entry's best point on a fresh seed and, where the sweep asks for it, the entry as its recipe has it.

        Args:
            queue: the entry's trials, all decided.
            seed: that none of them used.
        """
        space = queue.space
        point = space.decoded(best.params)
        tags = (TUNED, f"best of {len(queue.outcomes())} trials")
        tuned = Confirmation(
            label=f"{space.name_of(point)}, fresh seed {seed}",
            which="the front's most accurate point" if len(best.values) > 1 else "the best point",
            spec=self._plan(queue, point, seed, tags),
        )
        if not self.resolved.sweep.confirm_recipe:
            return [tuned]
        plain = self._plan(queue, {}, seed, (UNTUNED,))
        if plain.key == tuned.spec.key:  # the same run, which nobody needs twice
            return [replace(tuned, spec=replace(tuned.spec, tags=(*tags, UNCHANGED)))]
        return [tuned, Confirmation(f"{space.entry}, fresh seed {seed}", "the recipe itself", plain)]

    def _plan(self, queue: EntryTrials, point: Point, seed: int, tags: tuple[str, ...]) -> RunSpec:
        data: dict[str, Any] = point_data(queue.space, self.resolved.base, point, [seed], self.resolved.where)
        return self.trial_runs.plan(data, "result", tags)
