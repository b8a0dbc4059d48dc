"""The published context encoder: the dense network, with masked cells set to zero after every operation.

SparK (section 3.2) and CNN-JEPA compute this way, which saves no computation. Its output is the reference for the
sparse encoder's. Shape suffixes: B images, C channels, H W pixels, h w cells, N visible positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cnn_jepa.masking import Masks, check_fits
from cnn_jepa.program import Program, Step, adopt, arguments, fetch, mutates, run
from cnn_jepa.tracing import BATCH_NORMS, trace

if TYPE_CHECKING:
    from collections.abc import Sequence


class MaskedDenseEncoder(nn.Module):
    """Runs a CNN on masked images, as if masked cells did not exist.

    Masked cells are zero after every operation and read as zero by their neighbours; outside the image each
    operation's own padding holds; batch norm sees visible positions only. Parameters and `state_dict` keys are the
    network's own.

    Args:
        backbone: a CNN whose `forward` returns its last feature map.
        patch_size: side in pixels of the square that one cell of the mask covers; a multiple of the network's total
            stride.

        stages: paths of the network's modules whose maps `feature_maps` gives beside the last (`layer1`, ...).

    Raises:
        ValueError: the network has an operation that cannot run on a part of an image (it is named), the patch size
            does not fit, or a stage gives no map.
    """

    def __init__(self, backbone: nn.Module, patch_size: int, stages: Sequence[str] = ()) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.program: Program = trace(backbone, patch_size, stages)
        adopt(self, backbone)

    def forward(self, images_BCHW: Tensor, context: Masks | Tensor) -> Tensor:
        """Features `(B, C, h', w')`, zero at masked cells.

        Args:
            images_BCHW: normalised images.
            context: boolean `(B, h, w)` on the images' device, or `Masks`.

        Raises:
            ValueError: mask and images do not fit each other, or a batch norm in training sees fewer than two
                positions.
        """
        features: Tensor = self._encode(images_BCHW, context)[self.program.last]
        return features

    def feature_maps(self, images_BCHW: Tensor, context: Masks | Tensor) -> list[Tensor]:
        """The maps of the stages, in their order, and the features, all zero at masked positions; as `forward`."""
        values = self._encode(images_BCHW, context)
        visible = _Visible(context)
        maps = [visible.apply(values[stage]) for stage in self.program.stages]  # an activation may not keep zeros
        return [*maps, values[self.program.last]]

    def _encode(self, images_BCHW: Tensor, context: Masks | Tensor) -> list[Any]:
        """The values of the steps that are needed at the end."""
        context_Bhw = context.context_Bhw if isinstance(context, Masks) else context
        check_fits(context_Bhw, images_BCHW, self.patch_size)
        visible = _Visible(context)
        values: list[Any] = [None] * len(self.program.steps)
        for number, step in enumerate(self.program.steps):
            values[number] = visible.apply(images_BCHW) if number == 0 else self._run(step, values, visible)
            for other in step.done:
                values[other] = None
        return values

    def _run(self, step: Step, values: list[Any], visible: _Visible) -> Any:
        module = fetch(self, step.target) if step.kind == "module" else None
        if isinstance(module, BATCH_NORMS):
            return visible.batch_norm(module, arguments(step, values)[0][0])
        value = run(self, step, values)
        # Activations and sums of maps keep zeros zero; the published encoder does not mask after them, either.
        if step.stride is None or step.keeps_zero:
            return value
        # The input of an operation in place may be read again: masking in place changes it, too.
        in_place = step.reach is not None or mutates(self, step)
        return visible.apply(value, channels_last=step.channels_last, in_place=in_place)


def true_positions(mask: Tensor, count: int | None) -> Tensor:
    """The positions at which a boolean `(n,)` is true, in order.

    Args:
        count: how many there are, if that is known without a look at the mask: then no device is waited for.
    """
    if count is None:
        return mask.nonzero().squeeze(1)
    return mask.byte().sort(descending=True, stable=True).indices[:count]


class _Visible:
    """The mask of one forward pass at every resolution of its maps."""

    def __init__(self, context: Masks | Tensor) -> None:
        context_Bhw = context.context_Bhw if isinstance(context, Masks) else context
        self._cells = int(context.host.context_Bhw.sum()) if isinstance(context, Masks) else None
        self.batch_size = len(context_Bhw)
        self._context_Bhw = context_Bhw
        self._masks: dict[tuple[int, int], Tensor] = {}
        self._factors: dict[tuple[int, int, torch.dtype], Tensor] = {}
        self._positions: dict[tuple[int, int], Tensor] = {}

    def _mask(self, size: tuple[int, int]) -> Tensor:
        """Boolean `(B, H', W')` at a resolution that is a multiple of the grid."""
        if size not in self._masks:
            rows, columns = size[0] // self._context_Bhw.shape[1], size[1] // self._context_Bhw.shape[2]
            self._masks[size] = self._context_Bhw.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
        return self._masks[size]

    def apply(self, values: Tensor, channels_last: bool = False, in_place: bool = False) -> Tensor:
        """Zero at masked positions."""
        size = (values.shape[1], values.shape[2]) if channels_last else (values.shape[2], values.shape[3])
        key = (*size, values.dtype)
        if key not in self._factors:
            self._factors[key] = self._mask(size).to(values.dtype)
        factor = self._factors[key].unsqueeze(-1 if channels_last else 1)
        return values.mul_(factor) if in_place else values * factor

    def batch_norm(self, norm: nn.BatchNorm2d | nn.SyncBatchNorm, values_BCHW: Tensor) -> Tensor:
        """Batch norm over visible positions; zero elsewhere."""
        size = (values_BCHW.shape[2], values_BCHW.shape[3])
        if size not in self._positions:
            mask = self._mask(size).flatten()
            cells = None if self._cells is None else self._cells * (len(mask) // self._context_Bhw.numel())
            self._positions[size] = true_positions(mask, None if mask.device.type == "cpu" else cells)
        positions_N = self._positions[size]
        flat = values_BCHW.permute(0, 2, 3, 1).reshape(-1, values_BCHW.shape[1])
        visible_NC = flat.index_select(0, positions_N)
        alone = not isinstance(norm, nn.SyncBatchNorm)  # otherwise other processes have positions, too
        if norm.training and alone and len(visible_NC) < 2:
            raise ValueError(f"batch norm sees {len(visible_NC)} visible positions in training; it needs at least 2")
        normalised = norm(visible_NC[:, :, None, None])[:, :, 0, 0]
        scattered = torch.zeros_like(flat, dtype=normalised.dtype).index_copy(0, positions_N, normalised)
        return scattered.view(self.batch_size, *size, -1).permute(0, 3, 1, 2)
