"""Mask sampling: vectorised over the batch, against a Python loop over images and blocks.

Usage: python perf/masks.py [--rounds N]

Claim: `sample_masks` for 256 images on a 14x14 grid takes under 2 ms on one core. The loop is our own and works like
the published samplers: for each image and block it draws an offset and cuts the block out of a grid, and repeats this
while too little context is left.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import torch
from claims import about, claim
from torch import Tensor

from cnn_jepa import MaskSpec, sample_masks

if TYPE_CHECKING:
    from collections.abc import Callable

GRID, BATCH = (14, 14), 256
SPECS = {
    "multi_block (published)": MaskSpec(strategy="multi_block"),
    "random": MaskSpec(strategy="random"),
    "mixed": MaskSpec(),
    "multi_block, share fixed": MaskSpec(strategy="multi_block", target_share=0.5),
    "named sizes, share fixed": MaskSpec(
        strategy="multi_block", block_sizes=((6, 6), (5, 7), (7, 5)), target_share=0.5, same_size=False
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    about(f"{BATCH} masks of {GRID[0]}x{GRID[1]} cells, one thread, medians of {options.rounds}")
    loop = _median(lambda: _looped(MaskSpec(strategy="multi_block"), generator), max(options.rounds // 10, 5))
    print(f"{'loop over images and blocks':<28}{loop * 1e3:8.2f} ms, {loop / BATCH * 1e6:6.1f} us an image")
    for name, spec in SPECS.items():
        spent = _median(lambda spec=spec: sample_masks(spec, BATCH, GRID, generator), options.rounds)  # type: ignore[misc]
        sides = f"{spent / BATCH * 1e6:.1f} us an image; the loop takes {loop / spent:.0f} x as long"
        claim(name, spent * 1e3, "ms", at_most=2, detail=sides)


def _median(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _looped(spec: MaskSpec, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    scale = spec.block_scale[0] + float(torch.rand((), generator=generator)) * (
        spec.block_scale[1] - spec.block_scale[0]
    )
    height = width = round((scale * GRID[0] * GRID[1]) ** 0.5)
    contexts, targets = [], []
    for _ in range(BATCH):
        while True:
            context, blocks = torch.ones(GRID, dtype=torch.bool), []
            for _ in range(spec.num_blocks):
                top = int(torch.randint(GRID[0] - height + 1, (), generator=generator))
                left = int(torch.randint(GRID[1] - width + 1, (), generator=generator))
                block = torch.zeros(GRID, dtype=torch.bool)
                block[top : top + height, left : left + width] = True
                context &= ~block
                blocks.append(block)
            if int(context.sum()) >= spec.min_context:
                break
        contexts.append(context)
        targets.append(torch.stack(blocks))
    return torch.stack(contexts), torch.stack(targets)


if __name__ == "__main__":
    main()
