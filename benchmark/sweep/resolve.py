"""A sweep resolved: its experiment with all settings, and every point that can be known before the first trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.experiment.explain import with_settings
from benchmark.experiment.files import find_experiment
from benchmark.experiment.run_spec import plan_runs
from benchmark.sweep.space import Space, point_text, spaces
from benchmark.sweep.spec import SweepSpec, read_base

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.spec import Experiment


@dataclass(frozen=True)
class ResolvedSweep:
    """A sweep, read and checked as far as that is possible without data; command-line overrides are applied."""

    sweep: SweepSpec
    experiment: Experiment
    source: Path
    spaces: list[Space]


def resolve_sweep(sweep: SweepSpec, path: Path, *, budget: str | None, settings: Sequence[str]) -> ResolvedSweep:
    """Resolves a sweep's experiment and every point that can be known before the first trial.

    Args:
        settings: `a.b=value` each, on top of the file's.

    Raises:
        UserError: a key is unknown, or a value is one that no run would accept.
    """

    def read(settings: Sequence[str]) -> ResolvedSweep:
        base = read_base(sweep, path, budget, settings)
        entry_spaces = spaces(sweep, base, str(path))
        for space in entry_spaces:
            for point in space.examples():
                space.resolve(point)
        return ResolvedSweep(sweep, base.experiment, base.source, entry_spaces)

    return with_settings(read, settings, path, find_experiment(sweep.experiment, path.parent))


def check_on_data(resolved: ResolvedSweep, dataset: Dataset, device: torch.device) -> None:
    """Checks every point that can be known against the images: their size and number.

    Raises:
        UserError: no run would accept a point.
    """
    for space in resolved.spaces:
        for point in space.examples():
            experiment, entries = space.resolve(point)
            try:
                plan_runs(experiment, entries, dataset, device)
            except UserError as error:
                raise UserError(f"{space.where}: with {point_text(point)}: {error}") from None
