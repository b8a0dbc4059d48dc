"""Methods at a size at which a reference in float64 is instant, and solo-learn's functions where they are installed."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch
import yaml
from torch import Tensor

from benchmark.data.datasets import load_dataset
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import run_specs
from benchmark.experiment.spec import load_experiment
from benchmark.machine.interrupt import StopSignal
from benchmark.runs.progress import Reporter
from benchmark.runs.run import Run
from benchmark.training.loop import Callbacks, train
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Batch, LossOutput, Method, Step, Task
from methods.registry import method_class

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 2
# What the other side computes, too, whatever the recipes say.
PAPER: dict[str, dict[str, Any]] = {
    "byol": {"ema": {"start": 0.99}},
    "ijepa": {"normalise": "layer"},
    "simclr": {"temperature": 0.2},
    "vicreg": {"invariance_weight": 25.0, "variance_weight": 25.0, "covariance_weight": 1.0},
}
HEADS: dict[str, dict[str, Any]] = {
    "byol": {"projector_hidden": 64, "predictor_hidden": 48, "output_dim": 32, **PAPER["byol"]},
    "simclr": {"projector_hidden": 64, "output_dim": 32, **PAPER["simclr"]},
    "vicreg": {"projector_hidden": 64, "output_dim": 48, **PAPER["vicreg"]},
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.0},
    "adamw": {"name": "adamw", "lr": 0.001, "weight_decay": 0.1, "warmup": 0.0},
}


class Setup:
    """A method with a tiny backbone in training mode, a batch for it, and a step."""

    def build(self, name: str, **settings: Any) -> Method[Any]:
        torch.manual_seed(0)
        cls = method_class(name)
        spec = BackboneSpec(name="resnet18", stem="small", width=8)
        if cls.backbone_kinds == ("vit",):
            spec = BackboneSpec(name="vit_tiny", width=32, depth=2, patch_size=4)
        config = cls.config_class.model_validate({**PAPER.get(name, {}), **settings})
        return cls(config, build_backbone(spec, 32), Task(image_size=32, num_classes=4)).train()

    def batch(self, views: int) -> Batch:
        generator = torch.Generator().manual_seed(1)
        images = tuple(torch.randn(6, 3, 32, 32, generator=generator) for _ in range(views))
        return Batch(images, torch.arange(6) % 4, torch.arange(6))

    def step(self, progress: float = 0.0) -> Step:
        return Step(progress, 0, torch.Generator().manual_seed(2), pace=0.01)


@pytest.fixture(scope="session")
def setup() -> Setup:
    return Setup()


def _solo_learn() -> Path | None:
    """The folder that holds `solo/`: named by the environment, or where the distribution is installed."""
    if named := os.environ.get("SOLO_LEARN_PATH"):
        return Path(named)
    try:
        return Path(str(distribution("solo-learn").locate_file("")))
    except PackageNotFoundError:
        return None


@pytest.fixture(scope="session")
def solo_losses() -> dict[str, Any]:
    """solo-learn's modules `byol`, `simclr`, `vicreg`, past the package's `__init__`, which needs an old torch."""
    root = _solo_learn()
    if root is None:
        pytest.skip("solo-learn is not installed: `pip install --no-deps solo-learn==1.0.2`, or set SOLO_LEARN_PATH")
    modules = {}
    for name in ("byol", "simclr", "vicreg"):
        path = root / "solo" / "losses" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"solo_losses_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    return modules


@dataclass(frozen=True)
class Steps:
    """What our harness did: the state before, the views of each step, each step's loss, the state after."""

    start: dict[str, Tensor]
    views: list[tuple[Tensor, ...]]
    losses: list[float]
    end: dict[str, Tensor]


@pytest.fixture(scope="session")
def our_steps(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Steps]:
    """Takes the first steps of a schedule of `STEPS` with the harness itself: its data, views, loop and optimizer.

    The network is a ResNet-18 as published, in float32. There is no warm-up: its first step would be of size 0.
    """
    folder = tmp_path_factory.mktemp("steps")

    @cache
    def take(method: str, optimizer: str) -> Steps:
        content = {
            "dataset": {"name": "shapes", "shapes_train": 80, "shapes_test": 20},
            "budget": {"steps": STEPS},
            "batch_size": 16,
            "precision": "32",
            "entries": [{"method": method, "overrides": {**HEADS[method], "optimizer": OPTIMIZERS[optimizer]}}],
        }
        path = folder / f"{method}.yaml"
        path.write_text(yaml.safe_dump(content))
        experiment, source = load_experiment(str(path))
        dataset = load_dataset(experiment.dataset, None, False)
        (plan,) = run_specs(experiment, resolve_entries(experiment, source), dataset.image_size)
        run = Run(plan, dataset, torch.device("cpu"), folder, cast("Any", Reporter), StopSignal(print))
        taken = Steps({name: value.clone() for name, value in run.method.state_dict().items()}, [], [], {})
        loss = run.method.loss

        def watched(batch: Batch, step: Step) -> LossOutput:
            output = loss(batch, step)
            taken.views.append(tuple(view.clone() for view in batch.views))
            taken.losses.append(output.loss.item())
            return output

        cast("Any", run.method).loss = watched
        assert run.training is not None
        try:
            assert train(run.training, Callbacks(), points=1) == "completed"
        finally:
            run.close()
        taken.end.update({name: value.clone() for name, value in run.method.state_dict().items()})
        return taken

    return take
