"""Detectors around an encoder: torchvision's Faster R-CNN and Mask R-CNN on a feature pyramid.

Shape suffixes: B images, C channels, h w cells.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

if TYPE_CHECKING:
    from methods.base import Encoder

LEVELS = 3
CHANNELS = 64
_REGIONS, _PROPOSALS, _HIDDEN = 64, 128, 256
_ANCHORS = (4, 6)  # sides, in strides of the level
_RATIOS = (0.5, 1.0, 2.0)
_MASK_CHANNELS = (64, 64)


class Pyramid(nn.Module):
    """A copy of an encoder with a feature pyramid of three levels, finer to coarser by a factor of 2.

    A CNN gives its last three stages to a feature pyramid network (1612.03144). A ViT has one map, from which a simple
    pyramid is made: a transposed convolution, the map itself, and max pooling (ViTDet, 2203.16527, section 3). Batch
    norm keeps its running statistics, as is usual for small batches.
    """

    def __init__(self, encoder: Encoder, image_size: int) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(True)
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad_("pos_embed" not in name)  # fixed positions stay fixed
        self.out_channels = CHANNELS
        device = next((parameter.device for parameter in encoder.parameters()), torch.device("cpu"))
        with torch.no_grad():
            self.has_stages = encoder.backbone.spec.kind == "cnn"
            maps = self._maps(torch.zeros(1, 3, image_size, image_size, device=device))
        widths = [each.shape[1] for each in maps]
        self.lateral: nn.Module = FeaturePyramidNetwork(widths, CHANNELS) if self.has_stages else _Simple(widths[0])
        side = maps[0].shape[-1]
        sides = [each.shape[-1] for each in maps] if self.has_stages else [2 * side, side, side // 2]
        self.strides = tuple(image_size / each for each in sides)

    def _maps(self, images_BCHW: Tensor) -> list[Tensor]:
        backbone = self.encoder.backbone
        return backbone.feature_maps(images_BCHW)[-LEVELS:] if self.has_stages else [backbone.feature_map(images_BCHW)]

    def train(self, mode: bool = True) -> Pyramid:
        """Training mode, but for batch norm."""
        super().train(mode)
        for part in self.encoder.modules():
            if isinstance(part, _BatchNorm):
                part.eval()
        return self

    def forward(self, images_BCHW: Tensor) -> OrderedDict[str, Tensor]:
        """The levels by name, each `(B, C, h, w)`."""
        maps = self._maps(images_BCHW)
        levels: OrderedDict[str, Tensor] = self.lateral(
            OrderedDict((str(number), each) for number, each in enumerate(maps))
        )
        return levels


class _Simple(nn.Module):
    """A simple feature pyramid: every level from one map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        finer = nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)
        self.scales = nn.ModuleList([finer, nn.Identity(), nn.MaxPool2d(2)])
        self.out = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, CHANNELS, 1, bias=False),
                nn.GroupNorm(1, CHANNELS),
                nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
                nn.GroupNorm(1, CHANNELS),
            )
            for _ in self.scales
        )

    def forward(self, maps: OrderedDict[str, Tensor]) -> OrderedDict[str, Tensor]:
        """The levels by name, finer to coarser."""
        (only,) = maps.values()
        levels = [out(scale(only)) for scale, out in zip(self.scales, self.out, strict=True)]
        return OrderedDict((str(number), level) for number, level in enumerate(levels))


def build_detector(
    encoder: Encoder, labels: int, image_size: int, mean: tuple[float, ...], std: tuple[float, ...], *, masks: bool
) -> FasterRCNN:
    """A detector with fresh heads, drawn from torch's global generator, around a copy of the encoder.

    Pyramid, heads and numbers of regions are slim, because images of the suite are small; so its scores are not
    comparable with published ones.

    Args:
        labels: how many kinds of objects there are.
        mean, std: of the encoder's normalisation, for values in [0, 1].
        masks: Mask R-CNN instead of Faster R-CNN.
    """
    pyramid = Pyramid(encoder, image_size)
    sizes = tuple(tuple(round(side * stride) for side in _ANCHORS) for stride in pyramid.strides)
    names = [str(number) for number in range(len(sizes))]
    options: dict[str, Any] = {
        "min_size": image_size,
        "max_size": image_size,
        "image_mean": list(mean),
        "image_std": list(std),
        "rpn_anchor_generator": AnchorGenerator(sizes, (_RATIOS,) * len(sizes)),
        "rpn_pre_nms_top_n_train": 4 * _PROPOSALS,
        "rpn_pre_nms_top_n_test": 4 * _PROPOSALS,
        "rpn_post_nms_top_n_train": _PROPOSALS,
        "rpn_post_nms_top_n_test": _PROPOSALS,
        "rpn_batch_size_per_image": _REGIONS,
        "box_batch_size_per_image": _REGIONS,
        "box_roi_pool": MultiScaleRoIAlign(names, output_size=7, sampling_ratio=2),
        "box_head": _BoxHead(7),
        "box_predictor": FastRCNNPredictor(_HIDDEN, labels + 1),  # the background is one, too
    }
    if masks:
        options |= {
            "mask_roi_pool": MultiScaleRoIAlign(names, output_size=14, sampling_ratio=2),
            "mask_head": MaskRCNNHeads(CHANNELS, _MASK_CHANNELS, 1),
            "mask_predictor": MaskRCNNPredictor(_MASK_CHANNELS[-1], CHANNELS, labels + 1),
        }
    detector: FasterRCNN = (MaskRCNN if masks else FasterRCNN)(pyramid, **options)
    detector.transform.size_divisible = 1  # images are squares of the encoder's own size
    return detector


class _BoxHead(nn.Sequential):
    """Two layers on a region's features, as torchvision's but narrower."""

    def __init__(self, side: int) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(CHANNELS * side * side, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU()
        )
