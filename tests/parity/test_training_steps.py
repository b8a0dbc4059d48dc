"""Our training steps against the same ones put together by hand: from other libraries, and in plain torch in float64.

Both sides start from the same weights and are given the same views; losses and everything that the steps leave behind
(weights, moving averages, batch-norm statistics) are compared. Nothing of ours computes anything on the other side.

Shape suffixes: B images, D dimension of the projection.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from lightly.loss import NegativeCosineSimilarity, NTXentLoss, VICRegLoss
from lightly.models.modules.heads import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    SimCLRProjectionHead,
    VICRegProjectionHead,
)
from lightly.models.utils import deactivate_requires_grad, get_weight_decay_parameters, update_momentum
from torch import Tensor, nn
from torchvision.models import resnet18

if TYPE_CHECKING:
    from collections.abc import Callable

State = dict[str, Tensor]
Loss = Any  # of two tensors, a scalar

STEPS = 2
SGD = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.01}
ADAMW = {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}


def _lr_factor(step: int) -> float:
    """A cosine to 0 at the end, without warm-up."""
    return (1 + math.cos(math.pi * step / STEPS)) / 2


def _momentum(step: int) -> float:
    """BYOL, section 3.3: 1 - (1 - 0.99) (cos(pi k / K) + 1) / 2."""
    return 1 - (1 - 0.99) * (math.cos(math.pi * step / STEPS) + 1) / 2


# From lightly's heads and losses on torchvision's network; the losses are solo-learn's in the second round.


class _Branch(nn.Module):
    """A network, its heads, under the names that our states have."""

    def __init__(self, prefix: str, **heads: nn.Module) -> None:
        super().__init__()
        self.prefix = prefix
        self.network = resnet18()
        self.network.fc = nn.Identity()
        self.heads = nn.ModuleDict(heads)

    def names(self) -> list[tuple[str, nn.Module]]:
        return [
            (f"{self.prefix}backbone.net.", self.network),
            *((f"{self.prefix}{k}.", h) for k, h in self.heads.items()),
        ]

    def read(self, state: State) -> None:
        for prefix, module in self.names():
            module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})

    def state(self) -> State:
        return {f"{prefix}{k}": v for prefix, module in self.names() for k, v in module.state_dict().items()}

    def forward(self, images: Tensor) -> Tensor:
        projected: Tensor = self.heads["projector"](self.network(images))
        return projected


def _from_libraries(
    method: str, optimizer: str, start: State, views: list[tuple[Tensor, ...]], losses: dict[str, Loss]
) -> tuple[list[float], State]:
    """The steps as somebody would write them with lightly and torchvision."""
    heads: dict[str, dict[str, nn.Module]] = {
        "byol": {"projector": BYOLProjectionHead(512, 64, 32), "predictor": BYOLPredictionHead(32, 48, 32)},
        "simclr": {"projector": SimCLRProjectionHead(512, 64, 32)},
        "vicreg": {"projector": VICRegProjectionHead(512, 64, 48, num_layers=3)},
    }
    online = _Branch("", **heads[method])
    online.read(start)
    target = _Branch("target_", projector=BYOLProjectionHead(512, 64, 32)) if method == "byol" else None
    if target is not None:
        target.read(start)
        deactivate_requires_grad(target)
    decayed, free = get_weight_decay_parameters([online])
    groups = [{"params": decayed}, {"params": free, "weight_decay": 0.0}]
    sgd = optimizer == "sgd"
    stepper: torch.optim.Optimizer = torch.optim.SGD(groups, **SGD) if sgd else torch.optim.AdamW(groups, **ADAMW)  # type: ignore[arg-type]
    lr, found = float((SGD if sgd else ADAMW)["lr"]), []  # type: ignore[arg-type]
    for step, (first, second) in enumerate(views):
        for group in stepper.param_groups:
            group["lr"] = lr * _lr_factor(step)
        first_BD, second_BD = online(first), online(second)
        if target is None:
            loss = losses[method](first_BD, second_BD)
        else:
            with torch.no_grad():
                target_BD = target(first), target(second)
            predictor = online.heads["predictor"]
            one, other = predictor(first_BD), predictor(second_BD)
            loss = (losses[method](one, target_BD[1]) + losses[method](other, target_BD[0])) / 2
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        if target is not None:
            update_momentum(online.network, target.network, _momentum(step))
            update_momentum(online.heads["projector"], target.heads["projector"], _momentum(step))
        found.append(loss.item())
    return found, {**online.state(), **(target.state() if target else {})}


_LIGHTLY: dict[str, Loss] = {
    "byol": NegativeCosineSimilarity(),
    "simclr": NTXentLoss(temperature=0.2),
    "vicreg": VICRegLoss(lambda_param=25.0, mu_param=25.0, nu_param=1.0),
}


# In plain torch, in float64: functions of tensors alone.


class _Plain:
    """Networks as functions of a state in float64, which batch norm's statistics are written into."""

    def __init__(self, state: State) -> None:
        self.state = {k: v.double() if v.is_floating_point() else v.clone() for k, v in state.items()}

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Batch norm by its definition: biased variance to normalise with, unbiased in the running one."""
        over = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean, count = x.mean(over), x.numel() // x.shape[1]
        variance = (x - mean.view(shape)).square().mean(over)
        state = self.state
        for kind, value in (("mean", mean), ("var", variance * count / (count - 1))):
            state[f"{name}.running_{kind}"] = 0.9 * state[f"{name}.running_{kind}"] + 0.1 * value.detach()
        state[f"{name}.num_batches_tracked"] = state[f"{name}.num_batches_tracked"] + 1
        scaled = (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
        return scaled * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(shape)

    def resnet(self, x: Tensor, name: str) -> Tensor:
        """ResNet-18 (1512.03385, table 1): 7x7 and pooling, four stages of two blocks, mean over cells."""
        x = F.conv2d(x, self.state[f"{name}.conv1.weight"], stride=2, padding=3)
        x = F.max_pool2d(self.norm(x, f"{name}.bn1").clamp(min=0), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            for block in (0, 1):
                x = self._block(x, f"{name}.layer{stage}.{block}", stride=2 if stage > 1 and block == 0 else 1)
        return x.mean((2, 3))

    def _block(self, x: Tensor, name: str, stride: int) -> Tensor:
        y = F.conv2d(x, self.state[f"{name}.conv1.weight"], stride=stride, padding=1)
        y = F.conv2d(self.norm(y, f"{name}.bn1").clamp(min=0), self.state[f"{name}.conv2.weight"], padding=1)
        if f"{name}.downsample.0.weight" in self.state:
            x = F.conv2d(x, self.state[f"{name}.downsample.0.weight"], stride=stride)
            x = self.norm(x, f"{name}.downsample.1")
        return (self.norm(y, f"{name}.bn2") + x).clamp(min=0)

    def head(self, x: Tensor, name: str, layers: int, *, last_norm: bool = False) -> Tensor:
        """Linear layers with batch norm and ReLU between them; `last_norm` ends on a batch norm."""
        place = 0
        for layer in range(layers):
            last = layer == layers - 1
            x = x @ self.state[f"{name}.layers.{place}.weight"].T
            x = x + self.state[f"{name}.layers.{place}.bias"] if last and not last_norm else x
            x = self.norm(x, f"{name}.layers.{place + 1}") if not last or last_norm else x
            x = x if last else x.clamp(min=0)
            place += 3
        return x

    def project(self, method: str, x: Tensor, prefix: str = "") -> Tensor:
        features = self.resnet(x, f"{prefix}backbone.net")
        layers = 3 if method == "vicreg" else 2
        return self.head(features, f"{prefix}projector", layers, last_norm=method == "simclr")


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return ((a * b).sum(1) / (a.square().sum(1).sqrt() * b.square().sum(1).sqrt())).mean()


def _nt_xent(first: Tensor, second: Tensor) -> Tensor:
    """SimCLR, equation 1, at temperature 0.2."""
    z = torch.cat((first, second))
    z = z / z.square().sum(1, keepdim=True).sqrt()
    scores = (z @ z.T / 0.2).exp()
    others = scores.sum(1) - scores.diag()
    positive = scores.diagonal(len(first)).repeat(2)
    return -(positive / others).log().mean()


def _vicreg(first: Tensor, second: Tensor) -> Tensor:
    """VICReg, equation 6 with 25, 25, 1; the variance term is the mean of both views', as in the authors' code."""
    loss = 25 * (first - second).square().mean()
    for z in (first, second):
        centred = z - z.mean(0)
        covariance = centred.T @ centred / (len(z) - 1)
        hinge = (1 - (covariance.diag() + 1e-4).sqrt()).clamp(min=0).mean()
        off_diagonal = covariance.square().sum() - covariance.diag().square().sum()
        loss = loss + 25 * hinge / 2 + off_diagonal / z.shape[1]
    return loss


def _plain_loss(method: str, plain: _Plain, first: Tensor, second: Tensor) -> Tensor:
    one, other = plain.project(method, first), plain.project(method, second)
    if method == "simclr":
        return _nt_xent(one, other)
    if method == "vicreg":
        return _vicreg(one, other)
    with torch.no_grad():
        targets = [plain.project(method, view, "target_") for view in (first, second)]
    predicted = [plain.head(z, "predictor", 2) for z in (one, other)]
    return -(_cosine(predicted[0], targets[1]) + _cosine(predicted[1], targets[0])) / 2


def _in_float64(
    method: str, optimizer: str, start: State, views: list[tuple[Tensor, ...]]
) -> tuple[list[float], State]:
    """The steps by their formulas: SGD with momentum and L2, or AdamW (1711.05101), on weights that are matrices."""
    plain = _Plain(start)
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    trained = [k for k in start if not k.startswith("target_") and not k.endswith(statistics)]
    memory: dict[str, tuple[Tensor, Tensor]] = {k: (plain.state[k] * 0, plain.state[k] * 0) for k in trained}
    losses = []
    for step, (first, second) in enumerate(views):
        for name in trained:
            plain.state[name] = plain.state[name].detach().requires_grad_()
        loss = _plain_loss(method, plain, first.double(), second.double())
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, [plain.state[name] for name in trained])
        for name, gradient in zip(trained, gradients, strict=True):
            weight, (m, v) = plain.state[name].detach(), memory[name]
            decays = weight.ndim > 1
            if optimizer == "sgd":
                m = 0.9 * m + gradient + (0.01 * weight if decays else 0)
                weight = weight - 0.02 * _lr_factor(step) * m
            else:
                lr = 0.001 * _lr_factor(step)
                m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient.square()
                weight = weight * (1 - lr * 0.1 if decays else 1)
                mean, square = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
                weight = weight - lr * mean / (square.sqrt() + 1e-8)
            plain.state[name], memory[name] = weight, (m, v)
            if f"target_{name}" in plain.state:
                tau = _momentum(step)
                plain.state[f"target_{name}"] = tau * plain.state[f"target_{name}"] + (1 - tau) * weight
    return losses, plain.state


# What no loss depends on, since a batch norm or a difference takes it away: the gradient is a rounding error, which SGD
# follows by next to nothing and AdamW by whole steps in any direction. The running mean behind it moves along.
UNFELT: dict[str, set[str]] = {
    "byol": {"projector.layers.3.bias", "target_projector.layers.3.bias", "predictor.layers.1.running_mean"},
    "simclr": set(),
    "vicreg": {"projector.layers.6.bias"},
}


def _assert_same(ours: Any, losses: list[float], end: State, method: str, optimizer: str) -> None:
    """Losses and states agree: tensor by tensor, measured by the longest way that one of its elements went.

    AdamW divides a gradient by its own size, so that the few elements whose gradient is hardly more than rounding may
    end elsewhere; 99% of every tensor may not.
    """
    assert len(losses) == STEPS
    assert losses == pytest.approx(ours.losses, rel=2e-6, abs=5e-7)
    assert end.keys() == ours.end.keys()
    unfelt = UNFELT[method] if optimizer == "adamw" else set()
    for name in end.keys() - unfelt:
        start, got, expected = (state[name].double() for state in (ours.start, ours.end, end))
        way = (expected - start).abs().max().item()
        difference = (got - expected).abs().flatten()
        most = difference.kthvalue(math.ceil(0.99 * len(difference))).values.item()
        assert most <= 5e-7 + 2e-3 * way, name
        assert difference.max().item() <= 5e-7 + (2e-3 if optimizer == "sgd" else 0.3) * way, name
    for name in unfelt & {k for k in end if k.endswith("bias")}:
        # No farther than AdamW's steps reach, on either side.
        assert max((state[name] - ours.start[name]).abs().max() for state in (ours.end, end)) <= 1e-3 * STEPS


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("method", ["byol", "simclr", "vicreg"])
def test_steps_put_together_from_lightly(our_steps: Callable[..., Any], method: str, optimizer: str) -> None:
    ours = our_steps(method, optimizer)
    losses, end = _from_libraries(method, optimizer, ours.start, ours.views, _LIGHTLY)
    _assert_same(ours, losses, end, method, optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["byol", "simclr", "vicreg"])
def test_steps_on_the_losses_of_solo_learn(
    our_steps: Callable[..., Any], solo_losses: dict[str, Any], method: str
) -> None:
    byol, simclr, vicreg = (getattr(solo_losses[name], f"{name}_loss_func") for name in ("byol", "simclr", "vicreg"))
    theirs: dict[str, Loss] = {
        "byol": lambda predicted, target: byol(predicted, target) / 2 - 1,  # 2 - 2 cos
        "simclr": lambda first, second: simclr(first, second, temperature=0.2),
        # Theirs sums the variance terms of both views where the authors' code takes the mean.
        "vicreg": lambda first, second: vicreg(first, second, 25.0, 12.5, 1.0),
    }
    ours = our_steps(method, "sgd")
    losses, end = _from_libraries(method, "sgd", ours.start, ours.views, theirs)
    _assert_same(ours, losses, end, method, "sgd")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("method", ["byol", "simclr", "vicreg"])
def test_steps_by_their_formulas_in_float64(our_steps: Callable[..., Any], method: str, optimizer: str) -> None:
    ours = our_steps(method, optimizer)
    losses, end = _in_float64(method, optimizer, ours.start, ours.views)
    _assert_same(ours, losses, end, method, optimizer)
