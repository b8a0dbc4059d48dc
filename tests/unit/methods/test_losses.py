"""Arithmetic in float32 inside autocast, and the batch of all processes."""

from __future__ import annotations

import torch

from methods.losses import full_precision, whole_batch


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
