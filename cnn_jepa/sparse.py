"""The context encoder that computes only what it sees.

The image is cut into blocks of `patch_size` pixels; the visible ones of the whole batch become one tensor `(N, C, s, s)`,
and the network runs on it. Batch norm over visible positions, activations, sums and 1x1 convolutions are the plain
operations there; only what has a spatial extent fetches a halo from visible neighbours. What it computes is what
`MaskedDenseEncoder` computes (the sparse convolutions of SparK, arXiv 2301.03580, section 3.2, on which CNN-JEPA,
arXiv 2408.07514, builds).

Shape suffixes: B images, C channels, H W pixels, h w cells, N visible cells of the batch, s side of a block in positions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cnn_jepa import spatial
from cnn_jepa.cutover import choose
from cnn_jepa.layout import Layout, Need, carry, check_mask, context_on_host
from cnn_jepa.masking import Masks
from cnn_jepa.tracing import Program, Step, adopt, arguments, fetch, run, trace


class SparseEncoder(nn.Module):
    """Runs a CNN on the visible blocks of images alone.

    Masked cells are zero after every operation and read as zero by their neighbours; outside the image each operation's
    own padding holds; batch norm sees visible positions only. Parameters, buffers and `state_dict` keys are the
    network's own: the encoder holds no state.

    Args:
        backbone: a CNN of convolutions, batch norm, layer norm, activations, pooling and sums, whose `forward` returns
            its last feature map.
        patch_size: side in pixels of the square that one cell of the mask covers; a multiple of the network's total
            stride.

    Raises:
        ValueError: the network has an operation that cannot run on a part of an image (it is named), or the patch size
            does not fit.
    """

    def __init__(self, backbone: nn.Module, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.program: Program = trace(backbone, patch_size)
        adopt(self, backbone)

    def forward(self, images_BCHW: Tensor, context: Masks | Tensor) -> Tensor:
        """Features `(B, C, h k, w k)`, zero at masked cells; k is 1 where the patch size is the network's total stride.

        Args:
            images_BCHW: normalised images.
            context: boolean `(B, h, w)` on the images' device, or the masks it came in, whose counts are known on the
                host. A tensor on another device than the CPU is waited for.

        Raises:
            ValueError: mask and images do not fit each other, or a batch norm in training sees fewer than two positions.
        """
        plans, cells, index, grid = self._lay_out(images_BCHW, context)
        blocks = spatial.cut(images_BCHW, cells[0], self.patch_size)
        values: list[Any] = [None] * len(self.program.steps)
        for number, step in enumerate(self.program.steps):
            values[number] = blocks if number == 0 else self._run(step, values, plans[number], index[number], grid)
            for other in step.done:
                values[other] = None
        features = values[-1]
        side = features.shape[2]
        return spatial.place(spatial.as_rows(features), cells[1], (grid[0], grid[1] * side, grid[2] * side))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _lay_out(
        self, images_BCHW: Tensor, context: Masks | Tensor
    ) -> tuple[list[str], tuple[Tensor, Tensor], list[tuple[Tensor, ...]], tuple[int, int, int]]:
        """How each step will run, and with which indices. Data-dependent, hence not for a compiler."""
        device_mask = context.context_Bhw if isinstance(context, Masks) else context
        check_mask(device_mask, images_BCHW, self.patch_size)
        layout = Layout(context_on_host(context))
        dtype = spatial.working_dtype(images_BCHW)
        plans, needs = [], []
        for step in self.program.steps:
            plan, need = self._plan(step, images_BCHW.device.type, dtype)
            plans.append(plan)
            needs.append(need)
        wanted = list(dict.fromkeys(need for need in needs if need is not None))
        side = self.patch_size // self.program.stride
        tensors = [layout.cells, layout.positions(side)]
        bounds = []
        for need in wanted:
            bounds.append((len(tensors), len(tensors) + len(layout.get(need))))
            tensors += layout.get(need)
        tensors = carry(tensors, images_BCHW.device)
        found = {need: tuple(tensors[a:b]) for need, (a, b) in zip(wanted, bounds, strict=True)}
        index = [
            ()
            if need is None
            else (found[need], layout.bounds[need.side, need.reach])
            if need.form == "taps"
            else found[need]
            for need in needs
        ]
        return plans, (tensors[0], tensors[1]), index, (len(device_mask), *layout.grid)

    def _plan(self, step: Step, device: str, dtype: torch.dtype) -> tuple[str, Need | None]:
        """Which way a step runs, and the index it needs for that."""
        if step.reach is None:
            return "plain", None
        side = self.patch_size // step.read_stride
        module = fetch(self, step.target)
        if step.reach.is_local and not (isinstance(module, nn.AvgPool2d) and not module.count_include_pad):
            return "local", None
        if not isinstance(module, nn.Conv2d):
            return "pool", Need("windows", side, step.reach)
        way = choose(device, dtype, module, side)
        return way, Need("windows" if way == "tiles" else way, side, step.reach)

    def _run(
        self,
        step: Step,
        values: list[Any],
        plan: str,
        index: tuple[Tensor, ...],
        grid: tuple[int, int, int],
    ) -> Any:
        if step.kind == "method" and step.target == "contiguous":
            return arguments(step, values)[0][0]
        module = fetch(self, step.target) if step.kind == "module" else None
        if module is None or (plan == "plain" and not isinstance(module, nn.BatchNorm2d)):
            return run(self, step, values)
        blocks = arguments(step, values)[0][0]
        if plan == "plain":
            return spatial.batch_norm(module, blocks)
        assert step.reach is not None
        if plan == "local":
            return spatial.local(module, blocks, step.reach)
        if plan == "pool":
            return spatial.pool(module, blocks, step.reach, index)
        if plan == "tiles":
            return spatial.tiles(module, blocks, step.reach, index)
        if plan == "taps":
            return spatial.taps(module, blocks, step.reach, spatial.TapIndex(*index[0]), index[1])
        return spatial.dense(module, blocks, step.reach, index, grid)
