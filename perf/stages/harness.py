"""What the stages that train have in common: experiments, images, and an end in time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from images import shapes_folder

from benchmark.cli.console import ConsoleReporter
from benchmark.data.datasets import load_dataset
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.spec import load_experiment
from benchmark.machine.interrupt import StopSignal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.entries import ResolvedEntry
    from benchmark.experiment.spec import Experiment
    from stages.plan import Context

ENLARGED = 256  # side of images that are cropped to 224 px


@dataclass(frozen=True)
class Prepared:
    """An experiment, its entries, and its images in memory."""

    experiment: Experiment
    entries: list[ResolvedEntry]
    dataset: Dataset

    def with_seeds(self, seeds: Sequence[int]) -> Prepared:
        """The same with other seeds."""
        return replace(self, experiment=self.experiment.model_copy(update={"seeds": tuple(seeds)}))


class Deadline(StopSignal):
    """Asks to stop when a stage's time is up, as the user's Ctrl-C does."""

    def __init__(self, context: Context, reserve: float) -> None:
        super().__init__(print)
        self._context, self._reserve = context, reserve

    @property
    def requested(self) -> bool:
        """Whether no more than the reserve is left, in seconds, or the user wants to stop."""
        return super().requested or self._context.left < self._reserve


def reporter() -> ConsoleReporter:
    """Says what has to be said, without progress."""
    return ConsoleReporter(quiet=True)


def prepare(
    config: str, entries: Sequence[str] | None, settings: Sequence[str], data: Path | None, budget: str | None = None
) -> Prepared:
    """An experiment on an image folder, or on the images that its settings name, all in memory.

    Raises:
        UserError: a setting or an image is wrong.
    """
    named = [*settings, *([] if data is None else ["dataset.name=folder"])]
    experiment, source = load_experiment(
        config, methods=None if entries is None else list(entries), settings=named, budget=budget
    )
    return Prepared(experiment, resolve_entries(experiment, source), load_dataset(experiment.dataset, data))


def enlarged_images(context: Context, count: int) -> Path:
    """A folder of so many generated JPEGs of 256 px, made once."""
    folder = context.folder / f"images-{count}"
    if not (folder / "complete").is_file():
        shapes_folder(folder, count, 20, quality=90, side=64 if context.tiny else ENLARGED)
        (folder / "complete").touch()
    return folder
