"""Blocks as rows: products, batch norm, operations inside a block."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from cnn_jepa.blocks.rows import as_blocks, as_rows, batch_norm, local, product_over_rows, rows_times, working_dtype


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(4, 6, 1),
        nn.Conv2d(4, 6, 1, stride=2, bias=False),
        nn.Conv2d(4, 6, 2, stride=2),
        nn.Conv2d(4, 6, 4, stride=4),
        nn.Conv2d(4, 4, 2, stride=2, groups=2),
        nn.MaxPool2d(2),
    ],
    ids=str,
)
def test_operations_inside_a_block(blocks: Any, module: nn.Module) -> None:
    blocks.assert_as_on_maps(module, 4, local)


def test_rows_and_blocks_have_the_same_values() -> None:
    blocks = torch.arange(2 * 3 * 2 * 2).view(2, 3, 2, 2)
    rows = as_rows(blocks)
    assert rows[1].tolist() == blocks[0, :, 0, 1].tolist()
    assert torch.equal(as_blocks(rows, 2, 2), blocks)


@pytest.mark.parametrize("side", [1, 2])
def test_batch_norm_sees_visible_positions_only(blocks: Any, side: int) -> None:
    norm = nn.BatchNorm2d(3).double()
    given = blocks.of(blocks.maps(3, side))
    made = batch_norm(norm, given)
    rows = as_rows(given)
    expected = (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + norm.eps).sqrt()
    torch.testing.assert_close(as_rows(made), expected)
    torch.testing.assert_close(norm.running_mean, 0.1 * rows.mean(0))
    assert made.shape == given.shape and made.data_ptr() != given.data_ptr()


def test_batch_norm_needs_two_positions_unless_it_is_synchronised() -> None:
    norm, given = nn.BatchNorm2d(3), torch.randn(1, 3, 1, 1)
    with pytest.raises(ValueError, match="batch norm sees 1 visible positions in training; it needs at least 2"):
        batch_norm(norm, given)
    assert batch_norm(copy.deepcopy(norm).eval(), given).shape == given.shape
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):  # torch's own, for one process
        batch_norm(nn.SyncBatchNorm(3), given)


@pytest.mark.parametrize("count", [31, 32, 33, 100, 1001])
def test_products_split_for_bfloat16_are_the_whole_products(count: int) -> None:
    first, second = torch.randn(count, 8).bfloat16(), torch.randn(count, 6).bfloat16()
    matrix = torch.randn(8, 6).bfloat16()
    torch.testing.assert_close(rows_times(first, matrix), first @ matrix, rtol=0.02, atol=0.02)
    expected = first.double().t() @ second.double()
    torch.testing.assert_close(product_over_rows(first, second).double(), expected, rtol=0.02, atol=0.3)
    assert torch.equal(rows_times(first.float(), matrix.float()), first.float() @ matrix.float())


def test_autocast_sets_the_working_precision_except_for_float64() -> None:
    values = torch.zeros(1)
    assert working_dtype(values) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert working_dtype(values) == torch.bfloat16
        assert working_dtype(values.double()) == torch.float64
