"""Runs of seconds, on a few images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml

from benchmark.data.datasets import load_dataset
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import plan_runs
from benchmark.experiment.spec import load_experiment
from benchmark.machine.interrupt import StopSignal
from benchmark.machine.ranks import Ranks
from benchmark.runs import measure
from benchmark.runs.cost_rounds import CostOptions
from benchmark.runs.runner import RunContext, RunOptions
from benchmark.runs.step_cost import measure_costs
from benchmark.training import profile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.cost import StepCost

CPU = torch.device("cpu")
CONTENT: dict[str, Any] = {
    "dataset": {"name": "shapes", "shapes_train": 60, "shapes_test": 20},
    "backbone": {"name": "resnet18", "stem": "small", "width": 8},
    "budget": {"steps": 2},
    "batch_size": 8,
    "precision": "32",
    "evaluation": {"points": 2},
    "entries": [
        {"method": "simclr", "overrides": {"projector_hidden": 16, "output_dim": 8}},
        "cnn_jepa",
        "supervised",
        "random_init",
    ],
}


class Notes:
    """A reporter that remembers what it receives."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.records: list[Any] = []

    def planned(self, estimates: list[Any], *, whole: bool) -> None:
        self.lines.append(f"planned {len(estimates)}")

    def run_started(self, spec: RunSpec, position: int, total: int, resumed_at: float | None) -> None:
        self.lines.append(f"started {spec.entry.name} {position}/{total} {resumed_at}")

    def run_advanced(
        self, progress: float, loss: float, images_per_second: float | None, training: float, probes: float | None
    ) -> None:
        self.lines.append(f"advanced {progress:.2f}")

    def probing(self, title: str, share: float, state: str, left: float | None) -> None:
        if state == "starting":
            self.lines.append(f"probing {title}")

    def run_ended(self, record: Any) -> None:
        self.records.append(record)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def data_progress(self, done: int, total: int) -> None:
        """Not noted."""


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Sixty scenes."""
    path = tmp_path_factory.mktemp("runs") / "few.yaml"
    path.write_text(yaml.safe_dump(CONTENT))
    return load_dataset(load_experiment(str(path))[0].dataset, None)


@pytest.fixture
def make_specs(tmp_path: Path, dataset: Dataset) -> Callable[..., list[RunSpec]]:
    """The planned runs of some entries, with some keys of the experiment changed."""

    def make(*entries: str, settings: list[str] | None = None, **changes: Any) -> list[RunSpec]:
        path = tmp_path / "few.yaml"
        path.write_text(yaml.safe_dump({**CONTENT, **changes}))
        experiment, source = load_experiment(str(path), methods=list(entries) or None, settings=settings)
        return plan_runs(experiment, resolve_entries(experiment, source), dataset, CPU)

    return make


@pytest.fixture
def notes() -> Notes:
    """A reporter that remembers."""
    return Notes()


@pytest.fixture
def context(tmp_path: Path, dataset: Dataset, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    """What runs need, with results below `tmp_path` and measurements kept short."""
    monkeypatch.setattr(profile, "FLOP_DRAWS", 2)
    monkeypatch.setattr(measure, "BREAKDOWN_STEPS", 1)
    options, stop_signal = RunOptions(tmp_path / "results"), StopSignal(notes.say)
    return RunContext(dataset, options, Ranks(CPU), [], notes, stop_signal)


@pytest.fixture
def with_context(context: RunContext) -> Callable[..., RunContext]:
    """The same with some fields changed."""
    return partial(replace, context)


class Stop:
    """Wants to stop after so many questions."""

    def __init__(self, after: float) -> None:
        self.left = after

    @property
    def requested(self) -> bool:
        self.left -= 1
        return self.left < 0


class Progress:
    """A reporter of step costs that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.states: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def measuring(self, state: str, share: float, left: float | None) -> None:
        assert 0.0 <= share <= 1.0
        self.states.append(state)


@pytest.fixture
def measured(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[StepCost, Progress]]:
    """Measures step costs of the small experiment into one folder; further arguments are of `CostOptions`."""
    monkeypatch.setattr(profile, "FLOP_DRAWS", 2)
    quick = {"rounds": 5, "block": 0.001, "precise": 1e-9}

    def run(*entries: str, stop_after: float = 1e9, specs: Any = None, **options: Any) -> tuple[StepCost, Progress]:
        progress, made, stop = Progress(), specs or make_specs(*entries), Stop(stop_after)
        wanted: Any = CostOptions(**{**quick, **options})
        return measure_costs(made, dataset, tmp_path / "few", wanted, progress, stop, Ranks(CPU)), progress  # type: ignore[arg-type]

    return run
