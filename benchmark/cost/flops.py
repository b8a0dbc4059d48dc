"""Counts the floating-point operations that are really computed, with torch's counter.

Convolutions, matrix products and attention are counted, forward and backward, a multiplication and an addition as two.
Norms, activations, optimizers and moving averages are not: they are bound by memory, and their counts would say little.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def count_flops(work: Callable[[], Any]) -> int:
    """FLOPs of a call of `work`, in eager mode."""
    counter = FlopCounterMode(display=False, custom_mapping=_OWN)
    with counter:
        work()
    return int(counter.get_total_flops())


def _convolution_backward(
    grad_shape: Sequence[int],
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    output_mask: Sequence[bool],
    **_: Any,
) -> int:
    """The input gradient and the weight gradient cost as much as the forward pass, each.

    torch 2.14's own formula ignores groups in the weight gradient: for a depthwise layer of 2,000 channels it counts
    2,000 times too much. The weight's second dimension is channels / groups, so that its size counts each product once.
    """
    positions = prod((input_shape if transposed else grad_shape)[2:])
    forward = 2 * input_shape[0] * positions * prod(weight_shape)
    return forward * (bool(output_mask[0]) + bool(output_mask[1]))


def _added_product(_sum: Any, first: Sequence[int], second: Sequence[int], *_: Any, **__: Any) -> int:
    """`addmm_` and `baddbmm_`: shapes `(..., m, k)` and `(..., k, n)`."""
    return 2 * prod(first) * second[-1]


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(
    grad: Sequence[int], query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))  # type: ignore[no-untyped-call]


# In-place forms and the CPU's attention have no formula in torch, and would count as nothing.
_OWN: dict[Any, Any] = {
    torch.ops.aten.convolution_backward: _convolution_backward,
    torch.ops.aten.addmm_: _added_product,
    torch.ops.aten.baddbmm_: _added_product,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
