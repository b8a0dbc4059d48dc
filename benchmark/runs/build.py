"""What a run is made of: its method, and all that its training steps need."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from benchmark.cost.ledger import Ledger
from benchmark.data.loader import Batches
from benchmark.data.views.augment import Augmenter
from benchmark.machine.allocator import keep_freed_memory
from benchmark.randomness import seeded
from benchmark.training.acceleration import accelerate
from benchmark.training.loop import Objective, Training
from benchmark.training.optim import build_optimizer
from methods.backbone_build import build_backbone
from methods.backbones import use_plain_attention
from methods.base import Task

if TYPE_CHECKING:
    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.ranks import Ranks
    from methods.base import Method


def make_ledger(device: torch.device, devices: int) -> Ledger:
    """The ledger of a run on some devices of this kind."""
    synchronize = partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
    return Ledger(synchronize, devices=devices)


def build_method(spec: RunSpec, dataset: Dataset, ranks: Ranks) -> Method[Any]:
    """The method of a run on its device. Entries with the same seed and backbone start from equal backbone weights."""
    if ranks.device.type == "cpu":
        keep_freed_memory()
    with seeded(spec.seed, "backbone"):
        backbone = build_backbone(spec.backbone, spec.image_size)
    with seeded(spec.seed, "heads"):
        task = Task(spec.image_size, len(dataset.classes), len(dataset.trained_on(spec.method)))
        method = spec.method(spec.settings, backbone, task)
    if ranks.size > 1 and spec.settings.sync_batch_norm:
        method.synchronise_batch_norm()
    method.to(device=ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if ranks.device.type == "cpu":
        use_plain_attention(method)
    accelerate(method, spec.experiment.acceleration)
    return method


def build_training(spec: RunSpec, method: Method[Any], dataset: Dataset, ranks: Ranks, ledger: Ledger) -> Training:
    """The method with its optimizer, batches and views, at the first step."""
    assert spec.experiment.precision != "auto", "resolved when runs are planned"
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision of every run
    fabric = ranks.fabric("bf16-mixed" if spec.experiment.precision == "bf16" else "32-true")
    lr = spec.config()["lr"]
    optimizer = build_optimizer(method.parameter_groups(), spec.settings.optimizer, lr)
    objective, optimizer = fabric.setup(Objective(method), optimizer)
    backend = "inductor" if spec.experiment.acceleration.views == "compiled" else None
    augmenter = Augmenter(method.views, spec.image_size, dataset.mean, dataset.std, backend=backend)
    images, batch_size = dataset.trained_on(spec.method), spec.experiment.batch_size
    return Training(
        spec=spec,
        fabric=fabric,
        method=method,
        objective=objective,
        optimizer=optimizer,
        lr=lr,
        augmenter=augmenter,
        batches=Batches(images, batch_size, spec.seed, ranks.device, ranks.rank, ranks.size, augmenter=augmenter),
        ledger=ledger,
        ranks=ranks,
    )
