"""Moving averages against their closed form, and momentum schedules at known points."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from methods.base import Step
from methods.ema import EMASpec, frozen_copy, update


def _at(progress: float, pace: float = 0.0) -> Step:
    return Step(progress, 0, torch.Generator(), pace=pace)


def test_closed_form_after_many_updates() -> None:
    torch.manual_seed(0)
    online = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    average = frozen_copy(online)
    start = [p.detach().double() for p in online.parameters()]
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.add_(torch.randn_like(parameter))
    for _ in range(50):
        update(average, online, 0.9)
    share = 0.9**50
    for first, now, moved in zip(start, online.parameters(), average.parameters(), strict=True):
        expected = share * first + (1 - share) * now.detach().double()
        torch.testing.assert_close(moved.double(), expected, rtol=1e-5, atol=1e-6)


def test_momentum_of_a_schedule_is_a_product() -> None:
    # online stays at 1, the average starts at 0: what is missing after k updates is the product of the momenta.
    online, average = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.ones_(online.weight)
    nn.init.zeros_(average.weight)
    spec = EMASpec(start=0.9, end=1.0)
    momenta = [spec.momentum(_at(k / 10)) for k in range(10)]
    for momentum in momenta:
        update(average, online, momentum)
    assert 1 - average.weight.item() == pytest.approx(math.prod(momenta), rel=1e-5)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        # BYOL, section 3.3: 1 - (1 - base) (cos(pi k / K) + 1) / 2, at the quarters.
        ("cosine", [0.996, 0.9965858, 0.998, 0.9994142, 1.0]),
        ("linear", [0.996, 0.997, 0.998, 0.999, 1.0]),
    ],
)
def test_momentum_at_the_quarters(shape: str, expected: list[float]) -> None:
    spec = EMASpec.model_validate({"start": 0.996, "end": 1.0, "shape": shape})
    assert [spec.momentum(_at(quarter / 4)) for quarter in range(5)] == pytest.approx(expected, abs=1e-7)


def _left(spec: EMASpec, steps: int, until: float) -> float:
    """The weight of the first parameters in the average at a progress of a schedule of so many steps."""
    return math.prod(spec.momentum(_at(k / steps, 1 / steps)) for k in range(round(steps * until)))


def test_a_half_life_means_the_same_for_any_number_of_steps() -> None:
    spec = EMASpec(half_life=0.02)
    assert spec.start is None
    short, long = (_left(spec, steps, 0.1) for steps in (300, 30_000))
    assert short == pytest.approx(long, rel=0.05)
    assert _left(EMASpec(half_life=0.02, end=0.5 ** (1 / 20)), 1000, 0.02) == pytest.approx(0.5)
    # A momentum per step does not: nearly all of the first parameters are left after 0.1 of 300 steps, none of 30,000.
    assert _left(EMASpec(start=0.99), 300, 0.1) > 0.7 > 1e-9 > _left(EMASpec(start=0.99), 30_000, 0.1)


@pytest.mark.parametrize("values", [{"start": 0.99, "half_life": 0.1}, {"start": None}])
def test_a_start_or_a_half_life(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected one of them, and the other null"):
        EMASpec.model_validate(values)
    with pytest.raises(ValueError, match="half_life is null; expected a start beside it"):
        EMASpec.model_validate({"half_life": None})


def test_target_keeps_its_own_statistics() -> None:
    online = nn.BatchNorm1d(3)
    average = frozen_copy(online)
    online(torch.randn(8, 3) + 5)
    update(average, online, 0.0)
    assert average.running_mean is not None
    assert torch.equal(average.running_mean, torch.zeros(3))


@pytest.mark.parametrize(("name", "kind"), [("byol", "cnn"), ("ijepa", "vit")])
def test_methods_follow_their_schedule(lab: Any, name: str, kind: str) -> None:
    method = lab.build(name, kind)
    key, online = next((key, p) for key, p in method.backbone.named_parameters() if p.requires_grad)
    target = method.target_backbone.get_parameter(key)
    start = target.detach().clone()
    with torch.no_grad():
        online.add_(1.0)
    missing = 1.0
    for progress in (0.0, 0.5, 0.9):
        method.after_step(lab.step(progress))
        missing *= method.config.ema.momentum(lab.step(progress))
    torch.testing.assert_close(target - start, torch.full_like(start, 1 - missing), rtol=1e-3, atol=1e-5)
