"""The context encoder as published: the dense network, with masked cells set to zero after every operation.

It saves nothing (SparK, section 3.2, and CNN-JEPA compute this way); what it computes is what a sparse encoder has to
compute. Shape suffixes: B images, C channels, H W pixels, h w cells, N visible positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnn_jepa.masking import Masks
from cnn_jepa.tracing import trace

if TYPE_CHECKING:
    from torch import fx


class MaskedDenseEncoder(nn.Module):
    """Runs a CNN on masked images, as if masked cells did not exist.

    Masked cells are zero after every operation and read as zero by their neighbours; outside the image each
    operation's own padding holds; batch norm sees visible positions only. Parameters and `state_dict` keys are the
    network's own.

    Args:
        backbone: a CNN whose `forward` returns its last feature map.
        patch_size: side in pixels of the square that one cell of the mask covers.

    Raises:
        ValueError: the network has an operation that cannot run on a part of an image.
    """

    def __init__(self, backbone: nn.Module, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self._graph = trace(backbone)
        for name, child in backbone.named_children():
            self.add_module(name, child)
        for name, parameter in backbone.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in backbone.named_buffers(recurse=False):
            self.register_buffer(name, buffer)

    def forward(self, images_BCHW: Tensor, context: Masks | Tensor) -> Tensor:
        """Features `(B, C, h', w')`, zero at masked cells.

        Args:
            images_BCHW: normalised images.
            context: boolean `(B, h, w)`, or the masks it came in.

        Raises:
            ValueError: mask and images do not fit each other.
        """
        context_Bhw = context.context_Bhw if isinstance(context, Masks) else context
        visible = _Visible(context_Bhw, images_BCHW, self.patch_size)
        values: dict[fx.Node, Any] = {}
        maps: set[fx.Node] = set()  # nodes whose value depends on the images, unlike a reshaped layer scale
        channels_last: set[fx.Node] = set()  # those of them whose value is (B, H, W, C)
        for node in self._graph.nodes:
            if node.op == "placeholder":
                values[node] = visible.apply(images_BCHW)
                maps.add(node)
                continue
            if node.op == "output":
                result: Tensor = values[node.args[0]]
                return result
            arguments = [values.get(a, a) if hasattr(a, "op") else a for a in node.args]
            value = self._run(node, arguments, visible)
            if any(a in maps for a in node.args if hasattr(a, "op")):
                maps.add(node)
                if _is_channels_last(node, channels_last):
                    channels_last.add(node)
                value = visible.apply(value, node in channels_last)
            values[node] = value
        raise AssertionError("a traced graph ends with its output")

    def _run(self, node: fx.Node, arguments: list[Any], visible: _Visible) -> Any:
        if node.op == "get_attr":
            value: Any = self
            for part in str(node.target).split("."):
                value = getattr(value, part)
            return value
        if node.op == "call_module":
            module = self.get_submodule(str(node.target))
            if isinstance(module, nn.BatchNorm2d):
                return visible.batch_norm(module, arguments[0])
            return module(*arguments)
        if node.op == "call_method":
            return getattr(arguments[0], str(node.target))(*arguments[1:], **node.kwargs)
        function: Any = node.target
        return function(*arguments, **node.kwargs)


def _is_channels_last(node: fx.Node, channels_last: set[fx.Node]) -> bool:
    inputs = [a for a in node.args if hasattr(a, "op")]
    before = bool(inputs) and inputs[0] in channels_last
    if node.op == "call_method" and node.target == "permute":
        return not before
    return before


class _Visible:
    """The mask of one forward pass at every resolution that comes up."""

    def __init__(self, context_Bhw: Tensor, images_BCHW: Tensor, patch_size: int) -> None:
        if context_Bhw.dtype != torch.bool or context_Bhw.ndim != 3:
            shape = tuple(context_Bhw.shape)
            raise ValueError(f"context has to be boolean (B, h, w), not {context_Bhw.dtype} {shape}")
        expected = (len(images_BCHW), images_BCHW.shape[2] // patch_size, images_BCHW.shape[3] // patch_size)
        divides = images_BCHW.shape[2] % patch_size == 0 and images_BCHW.shape[3] % patch_size == 0
        if not divides or tuple(context_Bhw.shape) != expected:
            raise ValueError(
                f"context is {tuple(context_Bhw.shape)}; images of {tuple(images_BCHW.shape)} in patches of "
                f"{patch_size} pixels need {expected}"
            )
        if context_Bhw.device != images_BCHW.device:
            raise ValueError(f"context lies on {context_Bhw.device}, the images on {images_BCHW.device}")
        self.batch_size = len(context_Bhw)
        self._context_Bhw = context_Bhw
        self._masks: dict[tuple[int, int], Tensor] = {}
        self._positions: dict[tuple[int, int], Tensor] = {}

    def _mask(self, size: tuple[int, int]) -> Tensor:
        """Boolean `(B, H', W')` at a resolution that is a multiple of the grid."""
        if size not in self._masks:
            rows, columns = size[0] // self._context_Bhw.shape[1], size[1] // self._context_Bhw.shape[2]
            mask = self._context_Bhw.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
            self._masks[size] = mask
        return self._masks[size]

    def apply(self, values: Tensor, channels_last: bool = False) -> Tensor:
        """Zero at masked positions."""
        size = (values.shape[1], values.shape[2]) if channels_last else (values.shape[2], values.shape[3])
        mask = self._mask(size).unsqueeze(-1 if channels_last else 1)
        return values * mask.to(values.dtype)

    def batch_norm(self, norm: nn.BatchNorm2d, values_BCHW: Tensor) -> Tensor:
        """Batch norm over visible positions; zero elsewhere."""
        size = (values_BCHW.shape[2], values_BCHW.shape[3])
        if size not in self._positions:
            self._positions[size] = self._mask(size).flatten().nonzero().squeeze(1)
        positions_N = self._positions[size]
        flat = values_BCHW.permute(0, 2, 3, 1).reshape(-1, values_BCHW.shape[1])
        visible_NC = flat.index_select(0, positions_N)
        if norm.training and len(visible_NC) < 2:
            raise ValueError(f"batch norm sees {len(visible_NC)} visible positions in training; it needs at least 2")
        normalised = _normalise(norm, visible_NC)
        scattered = torch.zeros_like(flat, dtype=normalised.dtype).index_copy(0, positions_N, normalised)
        return scattered.view(self.batch_size, *size, -1).permute(0, 3, 1, 2)


def _normalise(norm: nn.BatchNorm2d, values_NC: Tensor) -> Tensor:
    """What `norm` does, on `(N, C)` instead of a map; its running statistics move with it."""
    momentum = norm.momentum
    if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if momentum is None:
            momentum = 1.0 / float(norm.num_batches_tracked)
    own_statistics = norm.training or norm.running_mean is None
    return F.batch_norm(
        values_NC,
        norm.running_mean if not norm.training or norm.track_running_stats else None,
        norm.running_var if not norm.training or norm.track_running_stats else None,
        norm.weight,
        norm.bias,
        own_statistics,
        0.1 if momentum is None else momentum,
        norm.eps,
    )
