"""What a convolution or pooling layer reads, and which of these layers keep the blocks of an image apart."""

from __future__ import annotations

from typing import Any

from torch import nn

from cnn_jepa.program import Reach

POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def find_reach(module: nn.Module) -> Reach | str:
    """What a convolution or pooling layer reads, or why it cannot run on blocks."""
    assert isinstance(module, (nn.Conv2d, *POOLS))
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    dilation = (1, 1) if isinstance(module, nn.AvgPool2d) else _pair(module.dilation)
    if stride[0] != stride[1]:
        return f"has stride {stride}, which makes oblong blocks"
    if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
        return f"pads with '{module.padding_mode}', which reads other parts of the image"
    if isinstance(module, nn.MaxPool2d) and module.return_indices:
        return "returns indices, which a part of an image does not have"
    ceil_mode = isinstance(module, POOLS) and module.ceil_mode
    before, after = _padding(module.padding, kernel, dilation)
    for axis in range(2):
        excess = before[axis] + after[axis] - (kernel[axis] - 1) * dilation[axis] - 1
        extra = -(-excess // stride[0]) if ceil_mode else excess // stride[0]
        if extra != -1:  # then H positions become H / stride for every H that the stride divides
            return (
                f"with kernel {kernel}, stride {stride}, padding {before} and dilation {dilation} does not divide the "
                "map's size by its stride, so that cells lose their blocks"
            )
    reach = Reach(kernel, stride[0], before, dilation)
    counts_padding = isinstance(module, nn.AvgPool2d) and module.count_include_pad and not module.divisor_override
    if ceil_mode and counts_padding and any(reach.after(axis) > after[axis] for axis in range(2)):
        return "with ceil_mode divides by another number of positions at the image's edge, which a part does not know"
    return reach


def _padding(
    padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding before the first position and after the last one, per axis."""
    if isinstance(padding, str):
        total = [(k - 1) * d if padding == "same" else 0 for k, d in zip(kernel, dilation, strict=True)]
        before = (total[0] // 2, total[1] // 2)
        return before, (total[0] - before[0], total[1] - before[1])
    return _pair(padding), _pair(padding)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
