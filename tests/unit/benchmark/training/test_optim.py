"""Schedules over progress, and optimizers as declared."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.experiment.run_spec import effective_lr
from benchmark.training.optim import build_optimizer, lr_factor, set_schedule, weight_decay
from methods.base import split_by_decay
from methods.config import MethodConfig, OptimizerSpec


def test_learning_rate_at_known_points() -> None:
    spec = OptimizerSpec(warmup=0.1, warmup_start=0.2, final_lr=0.01)
    assert lr_factor(spec, 0.0) == pytest.approx(0.2)
    assert lr_factor(spec, 0.05) == pytest.approx(0.6)
    assert lr_factor(spec, 0.1) == pytest.approx(1.0)
    assert lr_factor(spec, 0.55) == pytest.approx(0.505)
    assert lr_factor(spec, 1.0) == pytest.approx(0.01)
    assert lr_factor(OptimizerSpec(warmup=0.0), 0.0) == 1.0


def test_weight_decay_goes_on_a_cosine() -> None:
    spec = OptimizerSpec(weight_decay=0.04, weight_decay_end=0.4)
    assert [weight_decay(spec, p) for p in (0.0, 0.5, 1.0)] == pytest.approx([0.04, 0.22, 0.4])
    assert weight_decay(OptimizerSpec(weight_decay=0.1), 0.7) == 0.1


@pytest.mark.parametrize(("rule", "expected"), [("absolute", 0.1), ("linear", 0.2), ("sqrt", 0.1 * 512**0.5)])
def test_learning_rate_rules(rule: str, expected: float) -> None:
    settings = MethodConfig(optimizer=OptimizerSpec(lr=0.1, lr_rule=rule))  # type: ignore[arg-type]
    assert effective_lr(settings, 512) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_norms_and_biases_are_left_out_of_decay(name: str) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 2)))
    spec = OptimizerSpec(name=name, weight_decay=0.5, weight_decay_end=0.1)  # type: ignore[arg-type]
    optimizer = build_optimizer(split_by_decay(module.named_parameters(), everything=False), spec, 0.1)
    set_schedule(optimizer, spec, 0.1, 1.0)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decays[id(p)] for p in module.parameters()] == pytest.approx([0.1, 0, 0, 0, 0.1, 0])
    everything = split_by_decay(module.named_parameters(), everything=True)
    assert len(everything) == 1 and len(everything[0]["params"]) == 6


def test_lars_steps_by_the_trust_ratio() -> None:
    """One step of LARS (You et al. 2017, equation 6) by hand; the group without decay takes the plain step."""
    weight, bias = nn.Parameter(torch.tensor([[3.0, 4.0]])), nn.Parameter(torch.tensor([1.0]))
    spec = OptimizerSpec(name="lars", weight_decay=0.1, momentum=0.0, trust_coefficient=0.02)
    groups = [{"params": [weight], "decay": True}, {"params": [bias], "decay": False}]
    optimizer = build_optimizer(groups, spec, 0.5)
    weight.grad, bias.grad = torch.tensor([[0.0, 2.0]]), torch.tensor([0.3])
    optimizer.step()
    ratio = 0.02 * 5.0 / (2.0 + 0.1 * 5.0)
    expected = torch.tensor([[3.0, 4.0]]) - 0.5 * ratio * (
        torch.tensor([[0.0, 2.0]]) + 0.1 * torch.tensor([[3.0, 4.0]])
    )
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(bias.detach(), torch.tensor([0.85]))


def test_groups_may_have_a_factor_of_the_rate_or_keep_it() -> None:
    spec = OptimizerSpec(lr=0.1, warmup=0.0)
    weights = [nn.Parameter(torch.zeros(2, 2)) for _ in range(3)]
    groups = [{"params": [weight], "decay": True} for weight in weights]
    groups[1]["lr_factor"] = 10.0
    groups[2]["constant_lr"] = True
    optimizer = build_optimizer(groups, spec, 0.1)
    assert set_schedule(optimizer, spec, 0.1, 0.5) == pytest.approx(0.05)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.5, 0.1])
