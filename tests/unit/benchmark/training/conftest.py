"""A tiny run, ready for its first step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.cost.ledger import Ledger
from benchmark.data.datasets import load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import plan_runs
from benchmark.experiment.spec import Experiment
from benchmark.machine.ranks import Ranks
from benchmark.runs.build import build_method, build_training

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.data.datasets import Dataset
    from benchmark.training.loop import Training

SPEC = DatasetSpec(name="shapes", shapes_train=80, shapes_test=10)


@pytest.fixture(scope="package")
def shapes() -> Dataset:
    return load_dataset(SPEC, None)


@pytest.fixture
def make_training(shapes: Dataset) -> Callable[..., Training]:
    """Makes the training of a method on 80 images; `settings` replace those of the experiment."""

    def make(method: str = "supervised", **settings: Any) -> Training:
        plain = {
            "name": "tiny",
            "dataset": {"name": "shapes", "shapes_train": 80, "shapes_test": 10},
            "backbone": {"name": "resnet18", "width": 8},
            "budget": {"steps": 10},
            "batch_size": 16,
            "precision": "32",
            "entries": [method],
            **settings,
        }
        experiment = Experiment.model_validate(plain)
        device = torch.device("cpu")
        (spec,) = plan_runs(experiment, resolve_entries(experiment, Path("tiny.yaml")), shapes, device)
        ranks = Ranks(device)
        return build_training(spec, build_method(spec, shapes, ranks), shapes, ranks, Ledger())

    return make
