"""The options of commands that say what is run on which data; what is wrong is refused as early as possible."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli.options import numbers, words
from benchmark.data.spec import DatasetSpec, check_request, most_training_images
from benchmark.errors import UserError
from benchmark.experiment.entries import ResolvedEntry, check_sizes, resolve_entries
from benchmark.experiment.explain import validate, with_settings
from benchmark.experiment.files import find_experiment
from benchmark.experiment.spec import Experiment, load_experiment
from benchmark.files.disk import check_writable
from benchmark.machine.devices import check_device_free, choose_device
from benchmark.machine.launch import is_spokesman
from benchmark.records.cost import COSTS
from benchmark.runs.prices import CostSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.cli.console import ConsoleReporter
    from benchmark.data.datasets import Dataset


@dataclass(frozen=True)
class RunRequest:
    """The options of `run`, `plan` and `check` that say what is run, on which data and device."""

    config: str
    methods: str | None = None
    seeds: str | None = None
    budget: str | None = None
    settings: list[str] | None = None
    data: Path | None = None
    device: str = "auto"
    share: bool = False
    download: bool = False
    out: Path | None = None  # where nothing is kept, none
    debug: bool = False
    costs: Path | None = None
    on_error: str = "fail"

    def experiment(self) -> Experiment:
        """The experiment, its names, files and options checked (a `UserError` names one) without importing torch."""
        experiment, _ = with_settings(self.parse, self.settings or [], find_experiment(self.config))
        check_request(experiment.dataset, self.data, self.download)
        if self.out is not None:
            check_writable(self.out / experiment.name, "choose another --out")
        return experiment

    def read(self) -> tuple[Experiment, list[ResolvedEntry]]:
        """The experiment and its entries; checks all that can be checked before an image is read, as `experiment`."""
        experiment, path = self.experiment(), find_experiment(self.config)
        entries = with_settings(lambda settings: resolve_entries(*self.parse(settings)), self.settings or [], path)
        if experiment.dataset.size is not None:
            check_sizes(entries, experiment.dataset.size)
        request = check_request(experiment.dataset, self.data, self.download)
        # An upper bound may be known before any image is read.
        most = most_training_images(request, enough=experiment.batch_size)
        if most is not None and experiment.batch_size > most and any(entry.method.trainable for entry in entries):
            raise UserError(
                f"batch_size is {experiment.batch_size}, but the training split of {experiment.dataset.name} has at "
                f"most {most} images; expected at most that"
            )
        choose_device(self.device)
        # Of several processes started together, one looks: another would find it looking.
        if not self.share and is_spokesman() and not self._is_done(experiment):
            check_device_free(self.device)
        return experiment, entries

    def parse(self, settings: Sequence[str]) -> tuple[Experiment, Path]:
        """The experiment with the options applied and some `--set` settings, and its file."""
        methods, seeds = words(self.methods, "--methods"), numbers(self.seeds)
        return load_experiment(self.config, methods=methods, seeds=seeds, budget=self.budget, settings=list(settings))

    def cost_source(self, experiment: Experiment, out: Path, devices: int | None = None) -> CostSource:
        """Where step costs of the experiment are looked for, and the command that measures them."""
        words = ["bench", "cost", self.config, *given("--methods", self.methods), *given("--data", self.data)]
        words += [word for setting in self.settings or [] for word in ("--set", setting)]
        words += given("--device", None if self.device == "auto" else self.device)
        words += given("--devices", None if devices == 1 else devices)
        words += given("--out", None if out == Path("results") else out)
        folder = self.costs or out / experiment.name / COSTS
        return CostSource(folder, f"measure it with: {shlex.join(words)}", out / experiment.name)

    def _is_done(self, experiment: Experiment) -> bool:
        """Whether every run has a record, as far as names of folders tell: then no device is needed."""
        if self.out is None:
            return False
        folder, runs = self.out / experiment.name, len(experiment.budget.rungs())
        return all(
            len(list(folder.glob(f"{entry.name}/seed-{seed}-*/record.json"))) >= runs
            for entry in experiment.entries
            for seed in experiment.seeds
        )


def given(option: str, value: object) -> list[str]:
    """An option with its value as words of a command; none where there is no value."""
    return [] if value is None else [option, str(value)]


def named_dataset(name: str, data: Path | None, *, size: int | None = None, download: bool = False) -> DatasetSpec:
    """The dataset that `--dataset` names, checked as far as possible without reading its images."""
    spec = validate(DatasetSpec, {"name": name, "size": size}, "--dataset")
    check_request(spec, data, download)
    return spec


def load_images(
    spec: DatasetSpec,
    data: Path | None,
    reporter: ConsoleReporter,
    *,
    download: bool = False,
    on_error: str = "fail",
    outcome: str = "nothing was trained",
) -> Dataset:
    """A dataset with its images; shows the progress, and in a line what was found in a folder or file.

    `on_error` is `fail` or, to leave bad images out, `skip`; with `fail`, the message about them says `outcome`, too.
    """
    from benchmark.data.datasets import load_dataset

    with reporter:
        progress, skip = reporter.data_progress, on_error == "skip"
        dataset = load_dataset(spec, data, download, progress=progress, skip_bad=skip, outcome=outcome)
    for line in [dataset.summary()] * bool(dataset.layout) + list(dataset.notes):
        reporter.say(line)
    return dataset
