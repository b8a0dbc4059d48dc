"""Multinomial logistic regression with L2 penalties of several strengths at once, by L-BFGS.

For each strength s it minimises over weights W `(K, D)` and an unpenalised bias b

    mean over images of cross-entropy(W z + b, label) + s / 2 * sum(W ** 2)

where z are the features standardised with the training split's mean and standard deviation. In scikit-learn's terms:
`LogisticRegression(C=1 / (s * N))` behind a `StandardScaler`, N being the number of training images.

One pass over the features gives loss and gradient of every strength that is not solved yet (a matrix product with 80
columns costs little more than one with 10). The problem is solved in the eigenbasis of the features' covariance,
scaled by (k * eigenvalue + s) ** -0.5 with k = (1 - 1/K) / K, the curvature of the cross-entropy at equal
probabilities. There the Hessian is close to the identity at first, so that few steps suffice and the squared norm of
the gradient measures how far the loss is from its minimum. The minimum itself is unchanged.

Matrix products are in float32; sums over chunks and the optimizer's arithmetic are in float64. The same input gives
the same bits on the same machine with the same number of threads.

Shape suffixes: N images, D feature dimension, K classes, S strengths, V = D + 1 variables of a class.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmark.evaluation.features import CHUNK_ROWS, full_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STRENGTHS = (1.0, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-4, 1e-5)
TOLERANCE = 3e-4
MAX_EVALUATIONS = 1000
_HISTORY = 10
_CPU = torch.device("cpu")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LinearFit:
    """The fitted classifiers on standardised features, one for each strength, in float64.

    Attributes:
        losses_S: the objective, penalty included.
        scale_D: the training features' standard deviation, 1 where a feature is constant.
        evaluations: passes over the training features.
    """

    weights_SKD: Tensor
    bias_SK: Tensor
    losses_S: Tensor
    mean_D: Tensor
    scale_D: Tensor
    evaluations: int


@torch.no_grad()
def fit(
    features_ND: Tensor,
    labels_N: Tensor,
    num_classes: int,
    strengths: Sequence[float] = STRENGTHS,
    *,
    device: torch.device = _CPU,
    tolerance: float = TOLERANCE,
    watch: Callable[[int], None] | None = None,
) -> LinearFit:
    """Minimises the objective of every strength. The device holds a standardised copy of the features.

    Args:
        tolerance: norm of the preconditioned gradient at which a strength counts as solved.
        watch: receives how many strengths are solved, at every pass.

    Raises:
        ValueError: there is no strength, or one is not positive.
    """
    if not strengths or min(strengths) <= 0:
        raise ValueError(f"strengths are {tuple(strengths)}; expected at least one, all positive")
    mean_D, scale_D = standardisation(features_ND)
    standard_ND = torch.empty(features_ND.shape, device=device)
    for source, target in zip(torch.split(features_ND, CHUNK_ROWS), torch.split(standard_ND, CHUNK_ROWS), strict=True):
        target.copy_((source.double() - mean_D) / scale_D)
    with full_precision():
        objective = _Objective(standard_ND, labels_N.to(device), num_classes, strengths)
        problems, evaluations = _minimise(objective, tolerance, watch)
    variables_SKV = torch.stack([problem.variables for problem in problems])
    weights_SKD, bias_SK = objective.weights(variables_SKV, list(range(len(strengths))))
    losses_S = torch.stack([problem.loss for problem in problems])
    return LinearFit(weights_SKD.cpu(), bias_SK.cpu(), losses_S.cpu(), mean_D, scale_D, evaluations)


def standardisation(features_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation `(D,)` in float64; the deviation of a constant feature is 1.

    A feature is constant if it varies by no more than float32's rounding of its mean. Dividing by that would make a
    collapsed encoder's noise look like features.
    """
    chunks = torch.split(features_ND, CHUNK_ROWS)
    mean_D = torch.stack([chunk.sum(dim=0, dtype=torch.float64) for chunk in chunks]).sum(dim=0) / len(features_ND)
    squares = torch.stack([(chunk.double() - mean_D).square().sum(dim=0) for chunk in chunks])
    deviation_D = (squares.sum(dim=0) / len(features_ND)).sqrt()
    return mean_D, torch.where(deviation_D > 1e-6 * mean_D.abs(), deviation_D, 1.0)


class _Objective:
    """Loss and gradient of several strengths at once, in the preconditioned variables."""

    def __init__(self, features_ND: Tensor, labels_N: Tensor, num_classes: int, strengths: Sequence[float]) -> None:
        self.features_ND = features_ND
        self.strengths_S = torch.tensor(strengths, dtype=torch.float64, device=features_ND.device)
        count, dimension = features_ND.shape
        # The loss depends on the labels only through the sum of each class's features.
        sums_KD = features_ND.new_zeros(num_classes, dimension, dtype=torch.float64)
        for rows, labels in zip(torch.split(features_ND, CHUNK_ROWS), torch.split(labels_N, CHUNK_ROWS), strict=True):
            sums_KD += torch.nn.functional.one_hot(labels, num_classes).float().T @ rows
        self.label_means_KD = sums_KD / count
        self.label_shares_K = torch.bincount(labels_N.cpu(), minlength=num_classes).to(sums_KD) / count
        # The preconditioner changes the path, not the minimum: a subset of the rows is enough.
        sample = features_ND[:: max(1, count // (8 * dimension))]
        values_D, self.basis_DD = torch.linalg.eigh((sample.T @ sample).double() / len(sample))
        curvature = max(1.0 - 1.0 / num_classes, 0.5) / num_classes
        self.scale_SD = (curvature * values_D.clamp_min(0.0) + self.strengths_S[:, None]).rsqrt()
        self.bias_scale = curvature**-0.5

    def weights(self, variables_SKV: Tensor, which: list[int]) -> tuple[Tensor, Tensor]:
        """Weights `(S, K, D)` and biases `(S, K)` from the variables of the strengths in `which`."""
        weights_SKD = (variables_SKV[..., :-1] * self.scale_SD[which, None]) @ self.basis_DD.T
        return weights_SKD, variables_SKV[..., -1] * self.bias_scale

    def __call__(self, variables_SKV: Tensor, which: list[int]) -> tuple[Tensor, Tensor]:
        """Losses `(S,)` and gradients `(S, K, V)` of the strengths in `which`."""
        weights_SKD, bias_SK = self.weights(variables_SKV, which)
        strengths, classes, dimension = weights_SKD.shape
        flat, flat_bias = weights_SKD.reshape(-1, dimension).float(), bias_SK.reshape(-1, 1).float()
        losses_S = torch.zeros_like(self.strengths_S[which])
        expected, expected_bias = torch.zeros_like(flat, dtype=torch.float64), torch.zeros_like(bias_SK).reshape(-1)
        for rows in torch.split(self.features_ND, CHUNK_ROWS):
            logits = torch.addmm(flat_bias, flat, rows.T).view(strengths, classes, -1)
            normaliser = logits.logsumexp(dim=1, keepdim=True)
            losses_S += normaliser.sum(dim=(1, 2), dtype=torch.float64)
            probabilities = logits.sub_(normaliser).exp_().view(strengths * classes, -1)
            expected += probabilities @ rows
            expected_bias += probabilities.sum(dim=1, dtype=torch.float64)
        count = len(self.features_ND)
        penalty = self.strengths_S[which]
        losses_S = losses_S / count + penalty / 2 * weights_SKD.square().sum(dim=(1, 2))
        losses_S -= (weights_SKD * self.label_means_KD).sum(dim=(1, 2)) + (bias_SK * self.label_shares_K).sum(dim=1)
        slopes_SKD = (expected / count).view_as(weights_SKD) - self.label_means_KD
        slopes_SKD += penalty[:, None, None] * weights_SKD
        bias_slopes_SK = (expected_bias / count).view_as(bias_SK) - self.label_shares_K
        scaled_SKD = (slopes_SKD @ self.basis_DD) * self.scale_SD[which, None]
        return losses_S, torch.cat([scaled_SKD, bias_slopes_SK[..., None] * self.bias_scale], dim=-1)


@dataclass
class _Problem:
    """The state of one strength's minimisation: point, loss, gradient, search direction, and L-BFGS's history."""

    variables: Tensor
    loss: Tensor
    gradient: Tensor
    direction: Tensor
    slope: float
    step: float = 1.0
    rejected: int = 0
    pairs: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    def descend(self) -> None:
        """The direction at the current point (two-loop recursion; Nocedal and Wright, algorithm 7.4)."""
        direction = self.gradient.clone()
        shares = []
        for moved, change, weight in reversed(self.pairs):
            shares.append(weight * (moved * direction).sum())
            direction -= shares[-1] * change
        if self.pairs:
            _, change, weight = self.pairs[-1]
            direction /= weight * change.square().sum()
        for (moved, change, weight), share in zip(self.pairs, reversed(shares), strict=True):
            direction += moved * (share - weight * (change * direction).sum())
        self.direction, self.step, self.rejected = -direction, 1.0, 0
        self.slope = -float((direction * self.gradient).sum())

    def try_point(self, variables: Tensor, loss: Tensor, gradient: Tensor) -> None:
        """Accepts a point that descends enough (Armijo), or else shortens the step on the same line."""
        slope = float((gradient * self.direction).sum())
        change = float(loss - self.loss)
        # Near the minimum the loss changes by less than its rounding, and the slope decides. The loss is convex along
        # the line: a slope that has not become steeply positive means descent (Hager and Zhang's approximate Wolfe).
        rounding = 1e-7 * abs(float(self.loss))
        if change <= 1e-4 * self.step * self.slope or (change <= rounding and abs(slope) <= 0.9 * abs(self.slope)):
            moved, turned = variables - self.variables, gradient - self.gradient
            curvature = (moved * turned).sum()
            if float(curvature) > 0.0:
                self.pairs = [*self.pairs, (moved, turned, 1.0 / curvature)][-_HISTORY:]
            self.variables, self.loss, self.gradient = variables, loss, gradient
            self.descend()
        else:
            self.rejected += 1
            share = self.slope / (self.slope - slope) if slope > self.slope else 0.5
            self.step *= min(max(share, 0.1), 0.5)


def _minimise(
    objective: _Objective, tolerance: float, watch: Callable[[int], None] | None
) -> tuple[list[_Problem], int]:
    """Runs L-BFGS on all strengths together, each with its own line search, until each is solved."""
    strengths = len(objective.strengths_S)
    classes, dimension = objective.label_means_KD.shape
    start = objective.label_means_KD.new_zeros(strengths, classes, dimension + 1)
    losses, gradients = objective(start, list(range(strengths)))
    problems = [_Problem(*parts, -parts[2], 0.0) for parts in zip(start, losses, gradients, strict=True)]
    for problem in problems:
        problem.descend()
    for evaluations in range(1, MAX_EVALUATIONS + 1):
        # Ten rejected steps on one line: float32 is not precise enough to descend further.
        open_ = [i for i, p in enumerate(problems) if float(p.gradient.norm()) > tolerance and p.rejected < 10]
        if watch is not None:
            watch(strengths - len(open_))
        if not open_:
            return problems, evaluations
        points = torch.stack([problems[i].variables + problems[i].step * problems[i].direction for i in open_])
        for index, *outcome in zip(open_, points, *objective(points, open_), strict=True):
            problems[index].try_point(*outcome)
    _log.warning("linear probe: strengths %s are not solved after %d passes", open_, MAX_EVALUATIONS)
    return problems, MAX_EVALUATIONS
