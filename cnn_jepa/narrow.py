"""A 1x1 convolution with stride for few channels, whose backward pass is safe on CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable

CHANNELS = 16
"""From this many input channels on, torch's own is safe: what oneDNN computes at a time with AVX-512 (8 with AVX2)."""


class NarrowConv2d(nn.Conv2d):
    """A convolution that computes in the default memory layout on CPUs, whatever the layout of its input.

    In `channels_last`, the backward pass of a 1x1 convolution with stride and fewer than `CHANNELS` input channels
    writes beyond oneDNN's workspace, and the process may end with a segmentation fault
    (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Conv2d`."""
        if input.device.type != "cpu":
            return super().forward(input)
        # A kernel of one pixel has no layout of its own, but torch takes it from the strides: set them anew.
        weight = self.weight.flatten(1)[:, :, None, None]
        output: Tensor = self._conv_forward(input.contiguous(), weight, self.bias)
        return output


def make_narrow_safe(modules: Iterable[nn.Module]) -> None:
    """Turns those convolutions that need it into `NarrowConv2d`, in place; their weights stay as they are."""
    for module in modules:
        if type(module) is nn.Conv2d and _is_unsafe(module):
            module.__class__ = NarrowConv2d


def _is_unsafe(conv: nn.Conv2d) -> bool:
    strided = any(stride != 1 for stride in conv.stride)
    return conv.kernel_size == (1, 1) and strided and conv.in_channels // conv.groups < CHANNELS
