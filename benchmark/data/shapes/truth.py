"""Label maps, depths and objects of the scenes of `shapes`, from the draws that the images are painted from.

A pixel belongs to a copy where its centre is inside the outline: where the copy covers more than half of it. Marks and
grain belong to the background.

Shape suffixes: N images, H W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.ops import masks_to_boxes

from benchmark.data.annotations import Annotations, Objects
from benchmark.data.shapes.outlines import OUTLINES
from benchmark.data.shapes.placement import SLOTS, WALL, cover

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from benchmark.data.shapes.draws import Draws
    from benchmark.data.shapes.placement import Copies

    Scene = tuple[Draws, Copies]

BACKGROUND = "background"
_CHUNK = 256


def shape_annotations(scenes: Callable[[NDArray[np.int64]], Scene], size: int, *, deep: bool) -> Annotations:
    """The annotations of images by their index.

    Args:
        scenes: the draws and the copies of the images with some indices.
        deep: whether copies have depths.
    """

    def slots(indices: Tensor) -> NDArray[np.int8]:
        numbers = indices.numpy()
        parts = [_slots(scenes(numbers[i : i + _CHUNK]), size) for i in range(0, len(numbers), _CHUNK)]
        return np.concatenate(parts) if parts else np.empty((0, size, size), dtype=np.int8)

    def label_map(indices: Tensor) -> Tensor:
        labels = (indices.numpy() % len(OUTLINES) + 1).astype(np.uint8)
        return torch.from_numpy(np.where(slots(indices) < 0, np.uint8(0), labels[:, None, None]))

    def depth(indices: Tensor) -> Tensor:
        copies = scenes(indices.numpy())[1]
        assert copies.depth is not None, "flat scenes have no depth"
        wall = np.full((len(indices), 1), WALL, dtype=np.float32)
        depths = np.concatenate((wall, copies.depth.astype(np.float32)), axis=1)
        at = slots(indices).astype(np.int64) + 1
        return torch.from_numpy(np.take_along_axis(depths, at.reshape(len(at), -1), axis=1).reshape(at.shape))

    def objects(indices: Tensor) -> list[Objects]:
        return [_objects(image, int(i) % len(OUTLINES)) for image, i in zip(slots(indices), indices, strict=True)]

    return Annotations((BACKGROUND, *OUTLINES), label_map, depth if deep else None, OUTLINES, objects)


def _slots(scene: Scene, size: int) -> NDArray[np.int8]:
    """Which copy each pixel shows, `(N, H, W)`: its slot, or -1 for the background."""
    draws, copies = scene
    slots_NHW = np.full((len(draws.indices), size, size), -1, dtype=np.int8)
    for slot in range(SLOTS):
        where = cover(draws, copies, slot, size)
        shown = slots_NHW[where.images]
        shown[where.distance_px < 0] = slot
        slots_NHW[where.images] = shown
    return slots_NHW


def _objects(slots_HW: NDArray[np.int8], label: int) -> Objects:
    masks = torch.from_numpy(np.stack([slots_HW == slot for slot in range(SLOTS) if (slots_HW == slot).any()]))
    boxes = masks_to_boxes(masks)
    boxes[:, 2:] += 1  # from the last pixel to its far edge
    return Objects(boxes, torch.full((len(masks),), label), masks)
