"""Arithmetic in float32 inside autocast, and the batch of all processes."""

from __future__ import annotations

import pytest
import torch
from lightly.loss.ntx_ent_loss import NTXentLoss
from lightly.loss.vicreg_loss import VICRegLoss, covariance_loss

from methods.losses import VICRegCriterion, covariance, full_precision, nt_xent, whole_batch


def test_products_are_not_cast_down() -> None:
    matrix = torch.full((2, 2), 1 + 2**-12)
    with torch.autocast("cpu", torch.bfloat16):
        assert (matrix @ matrix).dtype == torch.bfloat16
        with full_precision(matrix.device):
            product = matrix @ matrix
    assert product.dtype == torch.float32
    assert product[0, 0] > 2  # bfloat16 would have rounded it to 2


def test_without_other_processes_the_batch_is_whole() -> None:
    features = torch.randn(4, 3)
    assert whole_batch(features) is features


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_nt_xent_is_lightlys(temperature: float) -> None:
    views = [torch.randn(6, 5, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    ours, theirs = nt_xent(*views, temperature), NTXentLoss(temperature)(*views)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(torch.autograd.grad(ours, views), torch.autograd.grad(theirs, views), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("shape", [(7, 5), (7, 3, 5)])
def test_vicregs_loss_is_lightlys(shape: tuple[int, ...]) -> None:
    views = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    torch.testing.assert_close(covariance(views[0]), covariance_loss(views[0]))
    ours, theirs = VICRegCriterion(3.0, 5.0, 7.0, eps=0.01)(*views), VICRegLoss(3.0, 5.0, 7.0, eps=0.01)(*views)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(torch.autograd.grad(ours, views), torch.autograd.grad(theirs, views), strict=True):
        torch.testing.assert_close(one, other)
