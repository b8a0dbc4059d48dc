"""Counts the floating-point operations that are really computed, with torch's counter.

Convolutions, matrix products and attention are counted, forward and backward, a multiplication and an addition as two.
Norms, activations, optimizers and moving averages are not: they are bound by memory, and their counts would say little.
"""

from __future__ import annotations

from inspect import unwrap
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode, flop_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def count_flops(work: Callable[[], Any]) -> int:
    """FLOPs of a call of `work`, in eager mode."""
    counter = FlopCounterMode(display=False, custom_mapping=_OWN)
    with counter:
        work()
    return int(counter.get_total_flops())


def _convolution_backward(
    grad_shape: Sequence[int], input_shape: Sequence[int], weight_shape: Sequence[int], *settings: Any, **_: Any
) -> int:
    """The input gradient and the weight gradient cost as much as the forward pass, each.

    torch 2.14's own formula ignores groups in the weight gradient: for a depthwise layer of 2,000 channels it counts
    2,000 times too much. The weight's second dimension is channels / groups, so that its size counts each product once.
    """
    _bias, _stride, _padding, _dilation, transposed, _output_padding, _groups, output_mask = settings
    positions = prod((input_shape if transposed else grad_shape)[2:])
    forward = 2 * input_shape[0] * positions * prod(weight_shape)
    return forward * (bool(output_mask[0]) + bool(output_mask[1]))


_ATEN = torch.ops.aten
# In-place forms and the CPU's attention have no formula in torch, and would count as nothing.
_ALIKE = {
    _ATEN.addmm_: _ATEN.addmm,
    _ATEN.baddbmm_: _ATEN.baddbmm,
    _ATEN._scaled_dot_product_flash_attention_for_cpu: _ATEN._scaled_dot_product_flash_attention,
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: _ATEN._scaled_dot_product_flash_attention_backward,
}
_OWN: dict[Any, Any] = {operation: unwrap(flop_registry[known]) for operation, known in _ALIKE.items()}
_OWN[_ATEN.convolution_backward] = _convolution_backward
