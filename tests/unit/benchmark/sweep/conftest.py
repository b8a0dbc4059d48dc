"""Sweeps on a tiny experiment, whose runs are made up instead of trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml

from benchmark.data.datasets import load_dataset
from benchmark.errors import Interrupted
from benchmark.machine.interrupt import StopSignal
from benchmark.records.folder import write_record
from benchmark.records.schema import TrialMetrics, ValidationPoint, ValidationScores
from benchmark.runs.run import never_prune
from benchmark.sweep.space import ResolvedSweep, check_on_data, resolve_sweep
from benchmark.sweep.spec import load_sweep
from benchmark.sweep.sweep import Sweep
from benchmark.sweep.trial_runs import SweepOptions, TrialRuns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.schema import Record
    from benchmark.runs.run import ShouldPrune

EXPERIMENT: dict[str, Any] = {
    "dataset": {"name": "shapes", "shapes_train": 200, "shapes_test": 40},
    "backbone": {"name": "resnet18", "stem": "small", "width": 8},
    "budget": {"steps": 4},
    "batch_size": 16,
    "precision": "32",
    "evaluation": {"points": 4},
    "entries": [
        "cnn_jepa",
        "byol",
        {"name": "wide", "method": "simclr", "backbone": {"name": "resnet18", "width": 16}},
    ],
}
SWEEP: dict[str, Any] = {
    "experiment": "tiny.yaml",
    "entries": ["cnn_jepa"],
    "parameters": {"cnn_jepa.predictor_depth": {"values": [1, 2, 3]}},
    "seeds": [0, 1],
}


@pytest.fixture(name="write_sweep")
def write_sweep_fixture(tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny sweep, with some keys changed, and its experiment beside it."""

    def write(tiny: dict[str, Any] | None = None, **changes: Any) -> Path:
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**EXPERIMENT, **(tiny or {})}))
        path = tmp_path / "depth.yaml"
        path.write_text(yaml.safe_dump({**SWEEP, **changes}, sort_keys=False))
        return path

    return write


@pytest.fixture(name="resolve")
def resolve_fixture(write_sweep: Callable[..., Path]) -> Callable[..., ResolvedSweep]:
    """The tiny sweep, read and checked, with some keys changed."""

    def make(**changes: Any) -> ResolvedSweep:
        options = {name: changes.pop(name, None) for name in ("study", "seeds_given", "trials_given")}
        path = write_sweep(**changes)
        spec, _ = load_sweep(
            str(path), study=options["study"], seeds=options["seeds_given"], trials=options["trials_given"]
        )
        return resolve_sweep(spec, path, budget=None, settings=[])

    return make


@dataclass
class MadeUpRuns(TrialRuns):
    """Runs that are not trained: scores are a function of a run's data and seed, seconds of the former.

    `outcomes` says what happens to a run instead, by (entry, seed): a status, or an exception to raise. `elsewhere` are
    those that another process has, until one waits for them.
    """

    make_record: Any = None
    score: Callable[[dict[str, Any], int], float] = lambda data, seed: 0.0
    cost: Callable[[dict[str, Any]], float] = lambda data: 36.0
    outcomes: dict[tuple[str, int], Any] = field(default_factory=dict)
    elsewhere: set[tuple[str, int]] = field(default_factory=set)
    executed: list[RunSpec] = field(default_factory=list)
    pruners: list[Any] = field(default_factory=list)

    def attempt(
        self, spec: RunSpec, label: str, should_prune: ShouldPrune = never_prune, *, wait: bool = False
    ) -> Record | None:
        if self.stop_signal.requested:
            raise Interrupted
        if not wait and (spec.entry.name, spec.seed) in self.elsewhere:
            return None
        self.executed.append(spec)
        self.pruners.append(should_prune)
        name, seed = spec.entry.name, spec.seed
        outcome = self.outcomes.pop((name, seed), "completed")
        if isinstance(outcome, BaseException):
            raise outcome
        data = {**spec.entry.overrides, "backbone": spec.backbone.model_dump(), "seed": seed}
        value = self.score(data, seed)
        share = 1.0  # of the budget that the run gets through
        if outcome == "completed":
            points = ({"progress": p, "knn20": value * p} for p in (0.25, 0.5, 0.75))
            share = next((point["progress"] for point in points if should_prune(point)), 1.0)
            outcome = outcome if share == 1.0 else "pruned"
        scored = outcome in ("completed", "collapsed")
        curve = [
            ValidationPoint(progress=p, linear_top1=value * p, knn20=value * p, knn200=value * p) for p in (0.5, 1)
        ]
        scores = ValidationScores(
            weights="ema",
            pooling="mean",
            dimension=8,
            linear_top1=value,
            linear_strength=0.1,
            knn20=value,
            knn200=value,
        )
        metrics = TrialMetrics(
            primary="ema", encoders={"ema": scores}, final_loss=0.1, backbone_parameters=1, trainable_parameters=1,
            validation=curve,
        )  # fmt: skip
        record: Record = self.make_record(
            name, seed, method=spec.entry.method, experiment=spec.experiment.name, status=outcome, key=spec.key,
            purpose=spec.purpose, config={"tags": list(spec.tags)}, seconds=share * self.cost(data),
            **({"metrics": None, "trial_metrics": metrics if scored else None} if spec.purpose == "trial" else {}),
        )  # fmt: skip
        write_record(spec.folder(self.options.out), record)
        return record


@pytest.fixture(name="open_sweep")
def open_sweep_fixture(resolve: Callable[..., ResolvedSweep], tmp_path: Path, make_record: Any) -> Callable[..., Sweep]:
    """The tiny sweep with its studies open; opened again, it is what another process would see."""

    def make(storage: str | None = None, score: Any = None, **changes: Any) -> Sweep:
        resolved = resolve(**changes)
        dataset = load_dataset(resolved.experiment.dataset, None)
        check_on_data(resolved, dataset, torch.device("cpu"))
        said: list[str] = []
        options, stop_signal = SweepOptions(tmp_path / "out", storage), StopSignal(said.append)
        sweep = Sweep(resolved, dataset, options, said.append, stop_signal)
        sweep.said = said  # type: ignore[attr-defined]
        sweep.runs = MadeUpRuns(
            resolved.source,
            dataset,
            options,
            stop_signal,
            said.append,
            make_record=make_record,
            score=score or (lambda data, seed: 40 + data.get("predictor_depth", 0) + seed),
        )
        return sweep

    return make
