"""How the work of a training step is given to the device. Imports no torch."""

from __future__ import annotations

from typing import Literal

from methods.config import Config


class AccelerationSpec(Config):
    """How the work of a training step is given to the device; the step stays the same but for rounding.

    All of it is off unless a configuration asks for it: none has been measured on a GPU yet (docs/gpu.md).

    Attributes:
        networks: `compiled` runs backbones and heads through `torch.compile` during training, `graphs` as CUDA graphs
            too (`mode="reduce-overhead"`), for small networks, whose time is that of launching kernels. Probes are
            never compiled. The sparse encoder, whose shapes change with every mask, stays as it is, and so do the few
            launches of the optimizer and of moving averages. Graphs need shapes that do not change: for ViTs that see a
            part of the tokens, `masking.target_share` (without `block_sizes`, and with the whole grid as context) fixes
            their number, whatever the strategy; I-JEPA's target blocks are then padded to one length.
        views: `compiled` fuses each colour operation into one kernel. Not all of them into one: their order is drawn
            for each batch, and each order would be a program of its own.
        sparse: `triton` gathers the sparse encoder's halos by one kernel, and sums their gradients by the same one.
    """

    networks: Literal["eager", "compiled", "graphs"] = "eager"
    views: Literal["eager", "compiled"] = "eager"
    sparse: Literal["torch", "triton"] = "torch"
