"""Every method's loss and one training step, in float32, against its reference in float64 (`method_references`).

The step is one of SGD, as long as the weights themselves, then the moving averages and centres. Deviations are recorded
as properties of the tests, from which docs/make_methods.py makes a column.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from method_references import REFERENCES

from methods.contract import SMALL, build_method, make_batch, make_step
from methods.registry import method_class, own_methods

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from methods.base import Batch, Method

HEADS: dict[str, dict[str, Any]] = {
    "byol": {"projector_hidden": 64, "predictor_hidden": 64, "output_dim": 32},
    "simclr": {"projector_hidden": 64, "output_dim": 32},
    "vicreg": {"projector_hidden": 64, "output_dim": 48},
    "barlow_twins": {"projector_hidden": 64, "output_dim": 32},
    "simsiam": {"dimension": 64, "bottleneck": 16},
    "moco_v3": {"projector_hidden": 64, "output_dim": 32},
    "dino": {"prototypes": 24, "head_hidden": 32, "bottleneck": 16},
    "ibot": {"prototypes": 24, "head_hidden": 32, "bottleneck": 16, "patch_weight": 0.5},
    "msn": {"prototypes": 12, "head_hidden": 32, "output_dim": 16, "regularisation": 0.7},
    "lejepa": {"projector_hidden": 64, "output_dim": 16, "directions": 32},
    "vicregl": {"projector_hidden": 64, "output_dim": 32, "local_hidden": 32, "local_dim": 16, "matches": (6, 3)},
    "ijepa": {"predictor_width": 32, "predictor_heads": 2, "predictor_depth": 2},
}
FOLLOWERS = {
    "target_backbone.": "backbone.",
    "target_projector.": "projector.",
    "target_head.": "head.",
    "model.target_network.": "backbone.net.",
}
CASES = [
    pytest.param(name, kind, id=f"{name}-{kind}")
    for name in own_methods()
    if method_class(name).trainable
    for kind in method_class(name).backbone_kinds
]
MOST = 1e-5


def _pair(name: str, kind: str) -> tuple[Method[Any], Any]:
    """A method whose moving averages and centres are not where they begin, and its copy in float64."""
    settings = dict(HEADS.get(name, {}))
    if "ema" in (fields := method_class(name).config_class.model_fields):
        # A momentum near 1 would move the average by little more than the rounding of its weights.
        settings["ema"] = {**fields["ema"].default.model_dump(), "start": 0.5, "half_life": None}
    method = build_method(method_class(name), SMALL[kind], settings)
    noise = torch.Generator().manual_seed(5)
    for key, value in method.state_dict().items():
        follows = key.startswith(tuple(FOLLOWERS)) or "center" in key
        if follows and value.is_floating_point() and "running" not in key:
            value.add_(0.05 * torch.randn(value.shape, generator=noise))
    return method, copy.deepcopy(method).double()


def _batch(method: Method[Any]) -> Batch:
    """Twelve images; where their views lie differs, so that no two cells are equally near."""
    batch = make_batch(method, images=12, seed=3)
    noise = torch.Generator().manual_seed(6)
    boxes = tuple(box + 0.2 * torch.rand(box.shape, generator=noise) for box in batch.boxes)
    return replace(batch, boxes=boxes)


def _as_double(batch: Batch) -> Batch:
    views, boxes = (tuple(each.double() for each in part) for part in (batch.views, batch.boxes))
    return replace(batch, views=views, boxes=boxes)


def _apart(ours: dict[str, Tensor], reference: dict[str, Tensor]) -> float:
    """The distance of two sets of tensors, relative to the reference's length."""
    assert ours.keys() == reference.keys()
    difference = sum(float((ours[key].double() - value).square().sum()) for key, value in reference.items())
    return math.sqrt(difference / sum(float(value.square().sum()) for value in reference.values()))


def _momentum(method: Method[Any], progress: float, pace: float) -> float:
    """Cosine (BYOL, section 3.3) or linear (I-JEPA, appendix A) to the end."""
    ema = method.config.ema
    share = progress if ema.shape == "linear" else (1 - math.cos(math.pi * progress)) / 2
    start = ema.start if ema.half_life is None else 0.5 ** (pace / ema.half_life)
    return float(start * (1 - share) + ema.end * share)


def _follow(twin: Any, online: dict[str, Tensor], momentum: float) -> dict[str, Tensor]:
    """Where the moving averages go: every parameter a mean of itself and of the online one after the step."""
    return {
        key: momentum * value.detach() + (1 - momentum) * online[leader + key.removeprefix(follower)]
        for key, value in twin.named_parameters()
        for follower, leader in FOLLOWERS.items()
        if key.startswith(follower)
    }


@pytest.mark.parametrize("progress", [0.0, 0.4])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_step_is_that_of_the_reference(
    name: str, kind: str, progress: float, record_property: Callable[[str, object], None]
) -> None:
    method, twin = _pair(name, kind)
    batch = _batch(method)
    step = make_step(progress, seed=4)

    loss = method(batch, step).loss
    loss.backward()
    method.after_backward(step)
    expected = REFERENCES[name](twin, _as_double(batch), make_step(progress, seed=4))
    expected.backward()
    if progress < getattr(method.config, "freeze_prototypes", 0.0):
        twin.head.prototypes.grad.zero_()
    apart = {"loss": abs(loss.item() - expected.item()) / abs(expected.item())}

    ours, theirs = (
        {key: p for key, p in each.named_parameters() if p.grad is not None and p.requires_grad}
        for each in (method, twin)
    )
    gradient = math.sqrt(sum(float(p.grad.square().sum()) for p in theirs.values()))
    rate = math.sqrt(sum(float(p.detach().square().sum()) for p in theirs.values())) / gradient
    apart["gradient"] = _apart({k: p.grad for k, p in ours.items()}, {k: p.grad for k, p in theirs.items()})

    before = {key: value.double().clone() for key, value in method.state_dict().items()}
    torch.optim.SGD(ours.values(), lr=rate).step()
    method.after_step(step)
    moved = {key: value.double() - before[key] for key, value in method.state_dict().items()}
    ends = {key: p.detach() - rate * p.grad for key, p in theirs.items()}
    ways = {"step": {key: ends[key] - theirs[key].detach() for key in ends}}
    if hasattr(method.config, "ema"):
        online = {key: ends.get(key, p.detach()) for key, p in twin.named_parameters()}
        goals = _follow(twin, online, _momentum(method, progress, step.pace))
        assert goals
        ways["average"] = {key: goal - before[key] for key, goal in goals.items()}
    if said := getattr(twin, "said", None):
        share = 1 - method.config.centre_momentum
        ways["centre"] = {key: share * (mean.expand_as(before[key]) - before[key]) for key, mean in said.items()}
    apart |= {part: _apart({key: moved[key] for key in way}, way) for part, way in ways.items()}

    record_property("method", name)
    for part, value in apart.items():
        record_property(part, value)
    assert max(apart.values()) <= MOST, apart
