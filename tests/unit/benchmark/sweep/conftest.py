"""Sweeps on a tiny experiment, whose runs are made up instead of trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmark.data.datasets import load_dataset
from benchmark.records.folder import run_folder, write_record
from benchmark.records.schema import TrialMetrics, ValidationPoint, ValidationScores
from benchmark.sweep.spec import load_sweep
from benchmark.sweep.supervise import StoppedError
from benchmark.sweep.sweep import ResolvedSweep, Sweep, SweepOptions, ask, check_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


@pytest.fixture(name="asked")
def asked_fixture(write_sweep: Callable[..., Path]) -> Callable[..., ResolvedSweep]:
    """The tiny sweep, read and checked, with some keys changed."""

    def make(**changes: Any) -> ResolvedSweep:
        options = {name: changes.pop(name, None) for name in ("study", "seeds_given", "trials_given")}
        path = write_sweep(**changes)
        spec, _ = load_sweep(
            str(path), study=options["study"], seeds=options["seeds_given"], trials=options["trials_given"]
        )
        return ask(spec, path, budget=None, settings=[])

    return make


@dataclass
class MadeUp:
    """In place of the supervisor: a run's scores are a function of its experiment and seed, its seconds of the former.

    `outcomes` says what happens to a run instead, by (entry, seed): a status, or an exception to raise.
    """

    out: Path
    make_record: Any
    score: Callable[[dict[str, Any], int], float]
    cost: Callable[[dict[str, Any]], float] = lambda experiment: 36.0
    outcomes: dict[tuple[str, int], Any] = field(default_factory=dict)
    jobs: list[Any] = field(default_factory=list)
    stopping: bool = False

    def stop(self) -> None:
        self.stopping = True

    def run(self, job: Any, tell: Any, judge: Any) -> Path:
        if self.stopping:
            raise StoppedError
        self.jobs.append(job)
        (entry,), (seed,) = job.experiment["entries"], job.experiment["seeds"]
        outcome = self.outcomes.pop((entry["name"], seed), "completed")
        if isinstance(outcome, BaseException):
            raise outcome
        value = self.score({**entry.get("overrides", {}), **job.experiment}, seed)
        share = 1.0  # of the budget that the run gets through
        if job.judged and outcome == "completed":
            share = next((progress for progress in (0.25, 0.5, 0.75) if judge(progress, value * progress)), 1.0)
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
        record = self.make_record(
            entry["name"], seed, method=entry["method"], experiment=job.experiment["name"], status=outcome,
            purpose=job.purpose, config={"tags": list(job.tags)},
            seconds=share * self.cost(job.experiment),
            **({"metrics": None, "trial_metrics": metrics if scored else None} if job.purpose == "trial" else {}),
        )  # fmt: skip
        folder = run_folder(self.out, record.experiment, record.entry, seed, record.key)
        write_record(folder, record)
        return folder


@pytest.fixture(name="open_sweep")
def open_sweep_fixture(asked: Callable[..., ResolvedSweep], tmp_path: Path, make_record: Any) -> Callable[..., Sweep]:
    """The tiny sweep with its studies open; opened again, it is what another process would see."""

    def make(storage: str | None = None, score: Any = None, **changes: Any) -> Sweep:
        question = asked(**changes)
        dataset = load_dataset(question.experiment.dataset, None)
        check_on(question, dataset)
        said: list[str] = []
        sweep = Sweep(question, dataset, SweepOptions(tmp_path / "out", storage), said.append)
        sweep.said = said  # type: ignore[attr-defined]
        fake = MadeUp(tmp_path / "out", make_record, score or (lambda e, seed: 40 + e.get("predictor_depth", 0) + seed))
        sweep.supervisor = fake  # type: ignore[assignment]
        return sweep

    return make
