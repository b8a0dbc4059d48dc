"""Methods and their training, as runs build them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from benchmark.cost.ledger import Ledger
from benchmark.machine.ranks import Ranks
from benchmark.runs.build import build_method, build_training

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec

RANKS = Ranks(torch.device("cpu"))


def test_entries_of_one_seed_start_from_equal_backbones_and_seeds_from_others(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset
) -> None:
    specs = make_specs("simclr", "random_init", seeds=[0, 1])
    weights = [torch.cat([p.flatten() for p in build_method(s, dataset, RANKS).backbone.parameters()]) for s in specs]
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[2], weights[3])
    assert not torch.equal(weights[0], weights[2])


def test_training_has_the_recipes_rate_and_the_experiments_batch(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset
) -> None:
    (spec,) = make_specs("simclr", settings=["simclr.optimizer={name: sgd, lr: 0.5, lr_rule: linear}"])
    training = build_training(spec, build_method(spec, dataset, RANKS), dataset, RANKS, Ledger(lambda: None))
    assert training.lr == pytest.approx(0.5 * 8 / 256)
    assert training.batches.batch_size == 8 and training.total_steps == 2
    assert training.step == 0 and training.progress == 0.0
    training.batches.__exit__(None, None, None)
