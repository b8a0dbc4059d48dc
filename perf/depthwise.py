"""The weight gradient of a depthwise convolution: `cnn_jepa.blocks.depthwise`, at visible positions, against torch's.

Usage: python perf/depthwise.py [--rounds N]

For the four stages of ConvNeXt-T (7x7, batch 16, 224 px), in one run: torch's forward pass and weight gradient on whole
maps, channels last, and our weight gradient on 20 of 49 cells. Medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from claims import EMULATED, about, claim

from benchmark.machine.devices import has_bfloat16
from cnn_jepa.blocks.depthwise import _weight_gradient
from cnn_jepa.blocks.layout import Layout
from cnn_jepa.program import Reach

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH, KERNEL = 16, 7
STAGES = ((96, 8), (192, 4), (384, 2), (768, 1))  # channels, side of a block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    context = torch.zeros(BATCH, 49, dtype=torch.bool)
    context.scatter_(1, torch.rand(BATCH, 49, generator=generator).argsort(1)[:, :20], True)
    layout = Layout(context.view(BATCH, 7, 7))
    reach = Reach((KERNEL, KERNEL), 1, (KERNEL // 2, KERNEL // 2), (1, 1))
    about(f"{torch.get_num_threads()} threads; milliseconds")
    native = has_bfloat16(torch.device("cpu"))
    if not native:
        about(f"bfloat16 is not measured: {EMULATED}")
    for dtype in (torch.float32, torch.bfloat16) if native else (torch.float32,):
        for channels, side in STAGES:
            maps = torch.randn(BATCH, channels, 7 * side, 7 * side).to(dtype)
            maps = maps.contiguous(memory_format=torch.channels_last)
            weight = torch.randn(channels, 1, KERNEL, KERNEL).to(dtype).contiguous(memory_format=torch.channels_last)
            rows = torch.randn(len(layout) * side * side, channels).to(dtype)
            flat, size = layout.windows(side, reach).flatten(), side + KERNEL - 1
            forward, library, ours = (
                _median(work, options.rounds)
                for work in (
                    lambda m=maps, w=weight: F.conv2d(m, w, None, 1, KERNEL // 2, 1, m.shape[1]),
                    lambda m=maps, w=weight: _library(m, w),
                    lambda r=rows, f=flat, s=size: _weight_gradient(r, r, f, s, s, KERNEL, KERNEL),
                )
            )
            name = str(dtype).removeprefix("torch.")
            claim(
                f"{channels} channels, {name}",
                library / ours,
                "x",
                detail=f"forward {forward:.1f} ms, torch's weight gradient {library:.1f} ms, ours {ours:.1f} ms",
                line=f"{channels:>4} channels, {name:<9} forward {forward:6.1f}, torch's weight gradient "
                f"{library:6.1f} ({library / forward:4.0f} x), ours {ours:6.1f}: {library / ours:.1f} x",
            )


def _library(maps: torch.Tensor, weight: torch.Tensor) -> object:
    padding, channels = [KERNEL // 2] * 2, maps.shape[1]
    return torch.ops.aten.convolution_backward(
        maps, maps, weight, None, [1, 1], padding, [1, 1], False, [0, 0], channels, [False, True, False]
    )


def _median(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]) * 1e3


if __name__ == "__main__":
    main()
