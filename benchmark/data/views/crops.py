"""Crops of images of many sizes, made where the images are decoded: on uint8, by the reader's threads.

Images that are too large to lie decoded in memory differ in size, so that no batch of whole ones can be handed to the
device. The reader cuts out the crop that was drawn for each, resizes it to the view's size (antialiased, by
torchvision's own function) and flips it. What concerns colours follows on the training device, for the whole batch:
`Augmenter.finish`.

Shape suffixes: B images, S side of a view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from benchmark.data.decode import side_by_side
from benchmark.data.images import Images, ImagesOnDemand

if TYPE_CHECKING:
    from benchmark.data.views.augment import Augmenter
    from benchmark.data.views.sample import ViewParameters
    from methods.views import ViewSpec


def cropped_by_reader(images: Images) -> bool:
    """Whether training crops of these images are made when they are read, from the whole of each."""
    return isinstance(images, ImagesOnDemand) and images.sizes_N2 is not None


def read_crops(
    images: Images, indices_B: Tensor, augmenter: Augmenter, generator: torch.Generator, own: slice | None = None
) -> tuple[tuple[Tensor, ...], list[ViewParameters]]:
    """Draws the views of some images, reads the images and crops them.

    Args:
        images: such as `cropped_by_reader` says.
        indices_B: of all images of a batch, for which parameters are drawn.
        augmenter: knows the views.
        generator: of the draws.
        own: which of the batch's images are read; all by default.

    Returns:
        The crops of the images that are read, one uint8 tensor `(B, 3, S, S)` per view, and what was drawn for them.

    Raises:
        UserError: a file cannot be read or has changed; names it.
    """
    assert isinstance(images, ImagesOnDemand) and images.sizes_N2 is not None
    own = own or slice(0, len(indices_B))
    drawn = augmenter.sample(len(indices_B), images.sizes_N2[indices_B], generator)
    parameters = [one.slice(own.start, own.stop) for one in drawn]
    count = len(parameters[0]) if parameters else 0
    views = tuple(torch.empty(count, 3, size, size, dtype=torch.uint8) for size in augmenter.sizes)
    boxes = [_boxes(one) for one in parameters]

    def load(place: int, position: int) -> None:
        image = images.original(position)
        for view_BSS, spec, box in zip(views, augmenter.specs, boxes, strict=True):
            view_BSS[place] = _crop(image, spec, box[place], view_BSS.shape[-1])

    side_by_side(load, indices_B[own].tolist())
    return views, parameters


def make_views(
    images: Images, indices_B: Tensor, augmenter: Augmenter, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, ...]:
    """Views of some images `(B, 3, S, S)`, on the device, in whichever of the two ways training makes them."""
    if cropped_by_reader(images):
        crops, parameters = read_crops(images, indices_B, augmenter, generator)
        return augmenter.finish([crop_BCSS.to(device) for crop_BCSS in crops], parameters)
    images_BCHW = images.read(indices_B).to(device)
    size = (images_BCHW.shape[2], images_BCHW.shape[3])
    return augmenter(images_BCHW, augmenter.sample(len(indices_B), size, generator))


def _boxes(parameters: ViewParameters) -> list[list[int]]:
    one = parameters
    columns = (one.top_B, one.left_B, one.height_B, one.width_B, one.flip_B.long())
    boxes: list[list[int]] = torch.stack(columns, dim=1).tolist()
    return boxes


def _crop(image: Tensor, spec: ViewSpec, box: list[int], size: int) -> Tensor:
    *place, flip = box
    mode = InterpolationMode(spec.interpolation)
    crop: Any = transforms.resized_crop(image, *place, [size, size], mode, antialias=True)
    view: Tensor = crop.flip(-1) if flip else crop
    return view
