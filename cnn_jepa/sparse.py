"""The sparse context encoder: runs a CNN on the visible cells of images only.

The image is cut into blocks of `patch_size` pixels; the visible ones of the whole batch become one tensor `(N, C, s,
s)`, and the network runs on it. Batch norm over visible positions, activations, sums and 1x1 convolutions are plain
operations on this tensor. Only operations with a spatial extent fetch a halo from visible neighbours. The output equals
that of `MaskedDenseEncoder` (the sparse convolutions of SparK, arXiv 2301.03580, section 3.2, on which CNN-JEPA, arXiv
2408.07514, builds).

Shape suffixes: B images, C channels, H W pixels, h w cells, N visible cells of the batch, s side of a block in
positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cnn_jepa.blocks import columns, depthwise, maps, rows, taps, tiles
from cnn_jepa.blocks.cutover import choose
from cnn_jepa.blocks.layout import Layout, Need, carry, context_on_host
from cnn_jepa.masking import Masks, check_fits
from cnn_jepa.program import Program, Step, adopt, arguments, fetch, mutates, run
from cnn_jepa.tracing import BATCH_NORMS, trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnn_jepa.blocks.gather import Kernels


class SparseEncoder(nn.Module):
    """Runs a CNN on the visible blocks of images only.

    Masked cells are zero after every operation and read as zero by their neighbours; outside the image each operation's
    own padding holds; batch norm sees visible positions only. Parameters, buffers and `state_dict` keys are the
    network's own: the encoder holds no state.

    Args:
        backbone: a CNN of convolutions, batch norm, layer norm, activations, pooling and sums, whose `forward` returns
            its last feature map.
        patch_size: side in pixels of the square that one cell of the mask covers; a multiple of the network's total
            stride.

        stages: paths of the network's modules whose maps `feature_maps` gives beside the last (`layer1`, ...).

    Attributes:
        kernels: what gathers halos and adds up their gradients: `torch`, or `triton` where that runs.

    Raises:
        ValueError: the network has an operation that cannot run on a part of an image (it is named), the patch size
            does not fit, or a stage gives no map.
    """

    def __init__(self, backbone: nn.Module, patch_size: int, stages: Sequence[str] = ()) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.kernels: Kernels = "torch"
        self.program: Program = trace(backbone, patch_size, stages)
        self._writes = any(mutates(backbone, step) for step in self.program.steps)
        adopt(self, backbone)

    def forward(self, images_BCHW: Tensor, context: Masks | Tensor) -> Tensor:
        """Features `(B, C, h k, w k)`, zero at masked cells; k is 1 where the patch size is the network's total stride.

        Args:
            images_BCHW: normalised images.
            context: boolean `(B, h, w)` on the images' device, or `Masks`, which keep a copy on the CPU. A tensor
                on a GPU has to be waited for.

        Raises:
            ValueError: mask and images do not fit each other, or a batch norm in training sees fewer than two
                positions.
        """
        return self._encode(images_BCHW, context, (self.program.last,))[0]

    def feature_maps(self, images_BCHW: Tensor, context: Masks | Tensor) -> list[Tensor]:
        """The maps of the stages, in their order, and the features, all zero at masked positions; as `forward`."""
        return self._encode(images_BCHW, context, (*self.program.stages, self.program.last))

    def _encode(self, images_BCHW: Tensor, context: Masks | Tensor, wanted: tuple[int, ...]) -> list[Tensor]:
        """The values of some steps, as maps."""
        ways, index, grid = self._lay_out(images_BCHW, context, wanted)
        cells, *places = index[-1]
        values: list[Any] = [None] * len(self.program.steps)
        values[0] = maps.cut(images_BCHW, cells, self.patch_size)
        for number, step in enumerate(self.program.steps[1:], start=1):
            values[number] = self._run(step, values, ways[number], index[number], grid)
            for other in step.done:
                values[other] = None
        placed = []
        for number, positions in zip(wanted, places, strict=True):
            side = values[number].shape[2]
            size = (grid[0], grid[1] * side, grid[2] * side)
            placed.append(maps.place(rows.as_rows(values[number]), positions, size))
        return placed

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _lay_out(
        self, images_BCHW: Tensor, context: Masks | Tensor, wanted: tuple[int, ...]
    ) -> tuple[list[str], list[tuple[Tensor, ...]], tuple[int, int, int]]:
        """The way and the index of each step (and, last, of cutting and of placing each wanted value), and (B, h, w).

        Depends on the mask's values, so that it cannot be compiled.
        """
        device_mask = context.context_Bhw if isinstance(context, Masks) else context
        check_fits(device_mask, images_BCHW, self.patch_size)
        layout = Layout(context_on_host(context))
        kind, dtype = images_BCHW.device.type, rows.working_dtype(images_BCHW)
        ways = [self._way(step, kind, dtype) for step in self.program.steps]
        groups = [self._index(layout, step, way) for step, way in zip(self.program.steps, ways, strict=True)]
        sides = [self.patch_size // (self.program.steps[number].stride or 1) for number in wanted]
        groups.append((layout.cells, *(layout.positions(side) for side in sides)))
        distinct = {id(tensor): tensor for group in groups for tensor in group}
        moved = dict(zip(distinct, carry(list(distinct.values()), images_BCHW.device), strict=True))
        index = [tuple(moved[id(tensor)] for tensor in group) for group in groups]
        return ways, index, (len(device_mask), *layout.grid)

    def _way(self, step: Step, device: str, dtype: torch.dtype) -> str:
        """How a step runs: unchanged, or in one of the ways of `cnn_jepa.blocks`."""
        module = fetch(self, step.target) if step.kind == "module" else None
        if step.reach is None:
            return "batch_norm" if isinstance(module, BATCH_NORMS) else "plain"
        if step.reach.is_local:
            return "local"
        if isinstance(module, nn.Conv2d):
            return choose(device, dtype, module, step.reach, self.patch_size // step.read_stride)
        return "pool"

    def _index(self, layout: Layout, step: Step, way: str) -> tuple[Tensor, ...]:
        if step.reach is None or way == "local":
            return ()
        if way in ("columns", "taps", "dense", "depthwise"):
            form = way
        else:
            form = tiles.windows_form(step.reach, self.kernels, convolution=way == "tiles")
        return layout.get(Need(form, self.patch_size // step.read_stride, step.reach))

    def _run(
        self, step: Step, values: list[Any], way: str, index: tuple[Tensor, ...], grid: tuple[int, int, int]
    ) -> Any:
        if way == "plain":
            if step.kind == "method" and step.target == "contiguous":
                # Blocks keep their layout; they are copied if some step writes in place.
                original = arguments(step, values)[0][0]
                return original.clone() if self._writes else original
            return run(self, step, values)
        module, blocks, reach = fetch(self, step.target), arguments(step, values)[0][0], step.reach
        if reach is None:
            return rows.batch_norm(module, blocks)
        if way == "local":
            return rows.local(module, blocks, reach)
        if way == "pool":
            return tiles.pool(module, blocks, reach, index, self.kernels)
        if way == "tiles":
            return tiles.tiles(module, blocks, reach, index, self.kernels)
        if way == "columns":
            return columns.columns(module, blocks, index, self.kernels)
        if way == "taps":
            return taps.taps(module, blocks, reach, index)
        if way == "depthwise":
            return depthwise.depthwise(module, blocks, reach, index, grid)
        return maps.dense(module, blocks, reach, index, grid)
