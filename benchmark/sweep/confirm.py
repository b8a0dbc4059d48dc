"""What is trained when all trials are done, on seeds that chose nothing: best points, and the entries themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmark.experiment.run_spec import plan_runs, resolve_entries, resolve_precision
from benchmark.experiment.spec import validate_experiment
from benchmark.machine.devices import choose_device
from benchmark.records.schema import TUNED, UNCHANGED, UNTUNED
from benchmark.runs.runner import finished_record
from benchmark.sweep.space import point_data

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.sweep.study import EntryTrials
    from benchmark.sweep.sweep import ResolvedSweep, SweepOptions


@dataclass(frozen=True)
class Confirmation:
    """A run on a fresh seed, with its test.

    Attributes:
        label: of the run, for messages.
        which: what it is, in words.
        data: raw data of the experiment, which is of this run alone.
        tags: of the entry.
    """

    label: str
    which: str
    data: dict[str, Any]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Confirming:
    """Makes the runs on fresh seeds of a sweep."""

    asked: ResolvedSweep
    dataset: Dataset
    options: SweepOptions

    def runs(self, one: EntryTrials, best: FrozenTrial, seed: int) -> list[Confirmation]:
        """What an entry is trained as on a fresh seed: its best point and, where the sweep asks for it, as it stands.

        Args:
            one: the entry's trials, all decided.
            best: of them.
            seed: that none of them used.
        """
        asked, space = self.asked, one.space
        point = space.decoded(best.params)
        tuned = Confirmation(
            label=f"{space.name_of(point)}, fresh seed {seed}",
            which="the front's most accurate point" if len(best.values) > 1 else "the best point",
            data=point_data(space, asked.base, point, [seed], asked.where),
            tags=(TUNED, f"best of {len(one.outcomes())} trials"),
        )
        if not asked.sweep.confirm_recipe:
            return [tuned]
        plain = point_data(space, asked.base, {}, [seed], asked.where)
        if self._key(plain) == self._key(tuned.data):  # the same run, which nobody needs twice
            return [replace(tuned, tags=(*tuned.tags, UNCHANGED))]
        return [tuned, Confirmation(f"{space.entry}, fresh seed {seed}", "the recipe itself", plain, (UNTUNED,))]

    def is_tested(self, run: Confirmation) -> bool:
        """Whether the run is done."""
        return finished_record(self.options.out, self._plan(run.data), self.dataset.manifest.digest) is not None

    def _key(self, data: dict[str, Any]) -> str:
        return self._plan(data).key(self.dataset.manifest.digest)

    def _plan(self, data: dict[str, Any]) -> RunSpec:
        asked = self.asked
        experiment = resolve_precision(validate_experiment(data, asked.where), choose_device(self.options.device))
        (plan,) = plan_runs(experiment, resolve_entries(experiment, asked.source), self.dataset.image_size)
        return plan
