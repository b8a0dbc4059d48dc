"""The fastest way to compute a convolution on visible blocks, by block size, channels and precision.

Usage: python perf/cutover.py [--rounds N] [--batch N] [--precisions bfloat16] [--widest C] [--visible N]

Forward and backward of one layer, in every way that can run it, in one process; interleaved, medians. The table in
`cnn_jepa/blocks/cutover.py` was written from this output; nothing is timed at run time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import torch
from claims import EMULATED, about, claim
from torch import nn

from benchmark.machine.devices import has_bfloat16
from cnn_jepa.blocks.columns import columns, suits
from cnn_jepa.blocks.layout import Layout, Need
from cnn_jepa.blocks.maps import dense
from cnn_jepa.blocks.taps import taps
from cnn_jepa.blocks.tiles import tiles
from cnn_jepa.tracing import conv_reach

if TYPE_CHECKING:
    from cnn_jepa.program import Reach

WAYS = ("tiles", "columns", "taps", "dense")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precisions", help="default: float32, and bfloat16 if the processor computes it natively")
    parser.add_argument("--widest", type=int, default=768, help="leave out layers with more channels")
    parser.add_argument("--visible", type=int, default=20, help="cells of 49")
    options = parser.parse_args()
    native = has_bfloat16(torch.device("cpu"))
    precisions = (options.precisions or ("float32,bfloat16" if native else "float32")).split(",")
    about(
        f"{torch.get_num_threads()} threads; milliseconds of forward + backward, {options.visible} of 49 cells visible"
    )
    if not native and "bfloat16" not in precisions:
        about(f"bfloat16 is not measured: {EMULATED}")
    print(
        f"{'kernel':>7}{'stride':>7}{'made':>6}{'channels':>9}{'cells':>7}{'dtype':>10}"
        + "".join(f"{w:>9}" for w in WAYS)
    )
    for dtype in (getattr(torch, name) for name in precisions):
        for kernel, stride, groups, sides, widths in (
            (3, 1, 1, (1, 2, 4, 8), (16, 32, 64, 128, 256, 512)),
            (3, 2, 1, (1, 2, 4), (64, 128, 256, 512)),
            (7, 1, 0, (1, 2, 4, 8), (96, 192, 384, 768)),
        ):
            for made in sides:
                for channels in widths:
                    if channels * made**2 <= 8192 and channels <= options.widest:
                        _measure(kernel, stride, groups or channels, made, channels, dtype, options)


def _measure(
    kernel: int, stride: int, groups: int, made: int, channels: int, dtype: torch.dtype, options: argparse.Namespace
) -> None:
    generator, batch = torch.Generator().manual_seed(0), options.batch
    context = torch.zeros(batch, 49, dtype=torch.bool)
    context.scatter_(1, torch.rand(batch, 49, generator=generator).argsort(1)[:, : options.visible], True)
    layout = Layout(context.view(batch, 7, 7))
    conv = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    conv = conv.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    reach = conv_reach(conv)
    side = made * stride
    blocks = torch.randn(len(layout), side, side, channels).to(dtype).permute(0, 3, 1, 2).requires_grad_()
    grad = torch.randn(len(layout), made, made, channels).to(dtype).permute(0, 3, 1, 2)
    spent: dict[str, list[float]] = {way: [] for way in WAYS if _can(way, reach, groups)}
    index = {way: layout.get(Need(way if way != "tiles" else "windows", side, reach)) for way in spent}
    for _ in range(options.rounds + 2):
        for way, times in spent.items():
            start = time.perf_counter()
            if way == "tiles":
                out = tiles(conv, blocks, reach, index[way])
            elif way == "columns":
                out = columns(conv, blocks, index[way])
            elif way == "taps":
                out = taps(conv, blocks, reach, index[way])
            else:
                out = dense(conv, blocks, reach, index[way], (batch, 7, 7))
            out.backward(grad)
            times.append(time.perf_counter() - start)
            blocks.grad = conv.weight.grad = None
    medians = {way: statistics.median(times[2:]) * 1e3 for way, times in spent.items()}
    best = min(medians, key=lambda way: medians[way])
    cells = "".join(f"{medians[way]:>9.2f}" if way in medians else f"{'':>9}" for way in WAYS)
    name = str(dtype).removeprefix("torch.")
    claim(
        f"{kernel}x{kernel}, stride {stride}, blocks of {made}x{made}, {channels} channels, {name}",
        medians["dense"] / medians[best],
        "x",
        detail=f"{best} {medians[best]:.2f} ms, the whole map (dense) {medians['dense']:.2f} ms",
        line=f"{kernel:>7}{stride:>7}{made:>6}{channels:>9}{len(layout):>7}{name:>10}{cells}  {best}",
    )


def _can(way: str, reach: Reach, groups: int) -> bool:
    return way in ("tiles", "dense") or (groups == 1 and (way == "taps" or suits(reach)))


if __name__ == "__main__":
    main()
