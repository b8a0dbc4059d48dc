"""Rows gathered and their gradients added up: torch's operations, which are the oracle of our kernel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from cnn_jepa.blocks import gather as gathering
from cnn_jepa.blocks.gather import check_kernels, gather, sum_reads

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


def test_a_row_beyond_the_last_is_zero_and_the_next_is_outside() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    index = torch.tensor([1, 2, 0, 3])
    assert gather(rows, index).tolist() == [[3, 4], [0, 0], [1, 2], [0, 0]]
    assert gather(rows, index, -math.inf).tolist() == [[3, 4], [0, 0], [1, 2], [-math.inf] * 2]


def test_the_sum_over_readers_is_the_adjoint_of_gathering() -> None:
    rows = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([2, 0, 4, 2, 1])
    values = torch.randn(5, 3, dtype=torch.float64)
    (expected,) = torch.autograd.grad((gather(rows, index) * values).sum(), [rows])
    readers = torch.tensor([1, 5, 4, 5, 0, 3, 5, 5])  # 5 stands for none
    torch.testing.assert_close(sum_reads(values, readers, 2), expected)


def test_kernels_that_cannot_run_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    cpu = torch.device("cpu")
    check_kernels("torch", cpu)
    found: list[ModuleSpec | object | None] = [object()]
    monkeypatch.setattr(gathering, "find_spec", lambda name: found[0])
    check_kernels("triton", torch.device("cuda"))
    with pytest.raises(ValueError, match="need a CUDA device, not cpu"):
        check_kernels("triton", cpu)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    check_kernels("triton", cpu)
    found[0] = None
    with pytest.raises(ValueError, match="not installed"):
        check_kernels("triton", torch.device("cuda"))
