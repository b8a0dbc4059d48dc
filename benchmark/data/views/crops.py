"""Crops of images of several sizes, made by the reader's threads on uint8, where the images are decoded.

Images that do not fit in memory once decoded usually differ in size, so that whole ones make no batch. The reader cuts
the drawn crop out of each, resizes it to the view's size (antialiased, with torchvision's function) and flips it. The
colour operations follow on the training device, for the whole batch (`Augmenter.finish`).

Shape suffixes: B images, S side of a view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from benchmark.data.decode import in_threads
from benchmark.data.images import Images, ImagesOnDemand

if TYPE_CHECKING:
    from benchmark.data.views.augment import Augmenter
    from benchmark.data.views.sample import ViewParameters


def cropped_by_reader(images: Images) -> bool:
    """Whether training crops of these images are made when they are read, from each whole image."""
    return isinstance(images, ImagesOnDemand) and images.sizes_N2 is not None


def read_crops(
    images: Images, indices_B: Tensor, augmenter: Augmenter, generator: torch.Generator, own: slice | None = None
) -> tuple[tuple[Tensor, ...], list[ViewParameters]]:
    """Draws the views of a batch's images, reads its `own` images (all by default) and crops them.

    `cropped_by_reader` has to be true for the images. The result is one uint8 tensor `(B, 3, S, S)` per view, of the
    images that were read, and their parameters.

    Raises:
        UserError: a file cannot be read or has changed; names it.
    """
    assert isinstance(images, ImagesOnDemand) and images.sizes_N2 is not None
    own = own or slice(0, len(indices_B))
    drawn = augmenter.sample(len(indices_B), images.sizes_N2[indices_B], generator)
    parameters = [view.slice(own.start, own.stop) for view in drawn]
    count = len(parameters[0]) if parameters else 0
    views = tuple(torch.empty(count, 3, size, size, dtype=torch.uint8) for size in augmenter.sizes)
    boxes = [
        torch.stack((p.top_B, p.left_B, p.height_B, p.width_B, p.flip_B.long()), dim=1).tolist() for p in parameters
    ]

    def load(row: int, position: int) -> None:
        image = images.original(position)
        for view_BCSS, spec, view_boxes in zip(views, augmenter.specs, boxes, strict=True):
            *box, flip = view_boxes[row]
            size, mode = list(view_BCSS.shape[2:]), InterpolationMode(spec.interpolation)
            crop: Any = transforms.resized_crop(image, *box, size, mode, antialias=True)
            view_BCSS[row] = crop.flip(-1) if flip else crop

    in_threads(load, indices_B[own].tolist())
    return views, parameters


def make_views(
    images: Images, indices_B: Tensor, augmenter: Augmenter, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, ...]:
    """Views of some images, float32 `(B, 3, S, S)` on the device, cropped by the reader or there, as in training."""
    if cropped_by_reader(images):
        crops, parameters = read_crops(images, indices_B, augmenter, generator)
        return augmenter.finish([crop_BCSS.to(device) for crop_BCSS in crops], parameters)
    return augmenter.draw_views(images.read(indices_B).to(device), generator)
