"""Each method's loss against the paper's formula in float64, and against solo-learn's function."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from cnn_jepa.losses import normalise, prediction_loss, variance_covariance
from cnn_jepa.sampling import sample_masks
from methods.ijepa import token_layout
from methods.jepa import JEPAConfig, regularisation

Pair = tuple[Tensor, Tensor]


def _projections(method: Any, batch: Any) -> Pair:
    """What the loss sees. In training mode batch norm takes the batch's statistics, so that a second pass is equal."""
    first, second = (method.projector(method.backbone.features(view)).detach() for view in batch.views)
    return first, second


def _cosine(a: Tensor, b: Tensor) -> float:
    """Mean cosine similarity of rows, element by element."""
    total = 0.0
    for x, y in zip(a.double().tolist(), b.double().tolist(), strict=True):
        dot = sum(p * q for p, q in zip(x, y, strict=True))
        total += dot / math.sqrt(sum(p * p for p in x) * sum(q * q for q in y))
    return total / len(a)


def _nt_xent(first: Tensor, second: Tensor, temperature: float) -> float:
    """SimCLR, equation 1, averaged over all views."""
    views = torch.cat((first, second)).double()
    views = views / views.norm(dim=1, keepdim=True)
    size, total = len(first), 0.0
    for i in range(2 * size):
        scores = [math.exp(float(views[i] @ views[k]) / temperature) for k in range(2 * size)]
        total -= math.log(scores[(i + size) % (2 * size)] / (sum(scores) - scores[i]))
    return total / (2 * size)


def _vicreg_parts(projection: Tensor) -> tuple[float, float]:
    """VICReg, equations 1 to 4: variance and covariance term of one view."""
    values = projection.double()
    size, dimension = values.shape
    centred = values - values.sum(0) / size
    covariance = sum(torch.outer(row, row) for row in centred) / (size - 1)
    assert isinstance(covariance, Tensor)
    variance = sum(max(0.0, 1 - math.sqrt(float(covariance[j, j]) + 1e-4)) for j in range(dimension)) / dimension
    off_diagonal = sum(float(covariance[i, j]) ** 2 for i in range(dimension) for j in range(dimension) if i != j)
    return variance, off_diagonal / dimension


def _vicreg(first: Tensor, second: Tensor, weights: tuple[float, float, float], variance_scale: float = 0.5) -> float:
    invariance = float((first.double() - second.double()).square().mean())
    (v1, c1), (v2, c2) = _vicreg_parts(first), _vicreg_parts(second)
    return weights[0] * invariance + weights[1] * variance_scale * (v1 + v2) + weights[2] * (c1 + c2)


def test_byol(setup: Any) -> None:
    method, batch = setup.build("byol", projector_hidden=32, predictor_hidden=32, output_dim=16), setup.batch(2)
    with torch.no_grad():
        for parameter in method.target_projector.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    loss = method(batch, setup.step()).loss
    predicted = [method.predictor(z) for z in _projections(method, batch)]
    target = [method.target_projector(method.target_backbone.features(view)) for view in batch.views]
    expected = -(_cosine(predicted[0], target[1]) + _cosine(predicted[1], target[0])) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_simclr(setup: Any, temperature: float) -> None:
    method, batch = setup.build("simclr", temperature=temperature, output_dim=16), setup.batch(2)
    assert method(batch, setup.step()).loss.item() == pytest.approx(
        _nt_xent(*_projections(method, batch), temperature), rel=1e-5
    )


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 3.0)])
def test_vicreg(setup: Any, weights: tuple[float, float, float]) -> None:
    keys = ("invariance_weight", "variance_weight", "covariance_weight")
    settings = {**dict(zip(keys, weights, strict=True)), "projector_hidden": 32, "output_dim": 16}
    method, batch = setup.build("vicreg", **settings), setup.batch(2)
    # Stretched, so that some channels are above the hinge and the covariances are worth something.
    with torch.no_grad():
        method.projector.layers[-1].weight[:8] *= 6
    expected = _vicreg(*_projections(method, batch), weights)
    assert method(batch, setup.step()).loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("target_share", [None, 0.4])
def test_ijepa(setup: Any, target_share: float | None) -> None:
    masking = {"strategy": "multi_block", "num_blocks": 3, "context_scale": (0.85, 1.0), "target_share": target_share}
    method, batch = setup.build("ijepa", masking=masking, predictor_width=32, predictor_heads=2), setup.batch(1)
    with torch.no_grad():
        for parameter in method.target_backbone.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    loss = method(batch, setup.step()).loss
    # The same draws again, then image by image, block by block, without padding.
    generator = setup.step().generator
    masks = sample_masks(method.config.masking, 6, (8, 8), generator)
    context_BK = token_layout(masks, generator).context_BK
    elements: list[Tensor] = []
    with torch.no_grad():
        for i, image in enumerate(batch.views[0]):
            features = method.target_backbone.tokens(image[None])[0].double()
            centred = features - features.mean(1, keepdim=True)
            target = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
            context = method.backbone.tokens(image[None], context_BK[i : i + 1])
            for block in masks.targets_BMhw[i].flatten(1):
                cells = block.nonzero().flatten()
                predicted = method.predictor(context, context_BK[i : i + 1], cells[None])[0].double()
                difference = (predicted - target[cells]).abs()
                elements.append(torch.where(difference < 1, 0.5 * difference**2, difference - 0.5).flatten())
    assert loss.item() == pytest.approx(torch.cat(elements).mean().item(), rel=1e-5)


def test_supervised(setup: Any) -> None:
    method, batch = setup.build("supervised"), setup.batch(1)
    scores = method.classifier(method.backbone.features(batch.views[0])).detach().double().tolist()
    expected = sum(
        math.log(sum(map(math.exp, row))) - row[int(label)] for row, label in zip(scores, batch.labels, strict=True)
    )
    assert method(batch, setup.step()).loss.item() == pytest.approx(expected / 6, rel=1e-5)


def test_prediction_losses() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, target = (2 * torch.randn(5, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    difference = (predicted - target).abs()
    linear = torch.where(difference < 1, 0.5 * difference**2, difference - 0.5).sum(1)
    expected = {"smooth_l1": linear, "huber": linear, "mse": (difference**2).sum(1)}
    expected["cosine"] = torch.tensor(
        [1 - _cosine(p[None], t[None]) for p, t in zip(predicted, target, strict=True)], dtype=torch.float64
    )
    for kind, value in expected.items():
        got = prediction_loss(predicted, target, kind)  # type: ignore[arg-type]
        torch.testing.assert_close(got.double(), value, rtol=1e-5, atol=1e-6)


def test_smooth_l1_of_unit_vectors_is_one_minus_cosine() -> None:
    # CNN-JEPA's loss. Exact for features behind a ReLU: between unit vectors without negatives no difference exceeds 1.
    generator = torch.Generator().manual_seed(0)
    predicted, target = (torch.randn(50, 3, generator=generator).relu() + 1e-3 for _ in range(2))
    unit = [normalise(x, "l2") for x in (predicted, target)]
    torch.testing.assert_close(
        prediction_loss(*unit, "smooth_l1"), prediction_loss(predicted, target, "cosine"), rtol=1e-5, atol=1e-6
    )


def test_variance_and_covariance() -> None:
    features = 0.7 * torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    expected = _vicreg_parts(features)
    got = tuple(float(term) for term in variance_covariance(features))
    assert got == pytest.approx(expected, rel=1e-5)
    config = JEPAConfig.model_validate({"masking": {}, "variance_weight": 2.0, "covariance_weight": 0.5})
    logs: dict[str, Tensor] = {}
    with torch.autocast("cpu", torch.bfloat16):
        weighted = regularisation(config, features, logs)
    assert float(weighted) == pytest.approx(2 * expected[0] + 0.5 * expected[1], rel=1e-5)
    assert float(logs["covariance"]) == pytest.approx(expected[1], rel=1e-5)


def test_byol_against_solo_learn(setup: Any, solo_losses: dict[str, Any]) -> None:
    method, batch = setup.build("byol", projector_hidden=32, predictor_hidden=32, output_dim=16), setup.batch(2)
    predicted = [method.predictor(z) for z in _projections(method, batch)]
    target = [method.target_projector(method.target_backbone.features(view)) for view in batch.views]
    theirs = solo_losses["byol"].byol_loss_func
    # Theirs is 2 - 2 cos a direction, summed.
    expected = (theirs(predicted[0], target[1]) + theirs(predicted[1], target[0])).item() / 4 - 1
    assert method(batch, setup.step()).loss.item() == pytest.approx(expected, abs=1e-6)


def test_simclr_against_solo_learn(setup: Any, solo_losses: dict[str, Any]) -> None:
    method, batch = setup.build("simclr", output_dim=16), setup.batch(2)
    expected = solo_losses["simclr"].simclr_loss_func(*_projections(method, batch), temperature=0.2)
    assert method(batch, setup.step()).loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_vicreg_against_solo_learn(setup: Any, solo_losses: dict[str, Any]) -> None:
    # Theirs sums the variance terms of both views where the authors' code takes the mean: half their weight is ours.
    method, batch = setup.build("vicreg", projector_hidden=32, output_dim=16), setup.batch(2)
    expected = solo_losses["vicreg"].vicreg_loss_func(*_projections(method, batch), 25.0, 12.5, 1.0)
    assert method(batch, setup.step()).loss.item() == pytest.approx(expected.item(), rel=1e-5)
