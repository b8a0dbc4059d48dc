"""What is known of an image by place: a label map, depths, and objects with their boxes and masks.

Everything is given for the square that the dataset's images are kept as, and read by the image's number, because label
maps of a large dataset do not fit in memory.

Shape suffixes: n images that are read, H W pixels, K objects of an image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    ReadMaps = Callable[[Tensor], Tensor]
    ReadObjects = Callable[[Tensor], "list[Objects]"]

ReadT = TypeVar("ReadT")

IGNORE = 255
"""The value of a label map where a pixel counts neither in training nor in a score."""


@dataclass(frozen=True)
class Objects:
    """The objects of one image.

    Attributes:
        boxes: float32 `(K, 4)`: left, top, right, bottom in pixels; right and bottom are edges, not last pixels.
        labels: int64 `(K,)`: indices into the annotations' `object_names`.
        masks: bool `(K, H, W)`, the visible pixels; None where only boxes are known.
        crowd: bool `(K,)`: what stands for several objects, and is neither trained on nor counted as missed.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor | None = None
    crowd: Tensor | None = None


@dataclass(frozen=True)
class Annotations:
    """Readers of what is known of a split's images; None for what the dataset does not have.

    Attributes:
        label_names: of the label map's values, from 0.
        label_map: reads uint8 `(n, H, W)`; `IGNORE` for pixels that count nowhere.
        depth: reads float32 `(n, H, W)`; 0 where the depth is unknown. The unit is the dataset's.
        object_names: of the objects' labels.
        objects: reads the objects of each image.
    """

    label_names: Sequence[str] = ()
    label_map: ReadMaps | None = None
    depth: ReadMaps | None = None
    object_names: Sequence[str] = ()
    objects: ReadObjects | None = None

    def at(self, numbers_N: Tensor) -> Annotations:
        """Those of some of the images, in this order."""

        def chosen(read: Callable[[Tensor], ReadT] | None) -> Callable[[Tensor], ReadT] | None:
            return None if read is None else lambda indices: read(numbers_N[indices])

        return replace(self, label_map=chosen(self.label_map), depth=chosen(self.depth), objects=chosen(self.objects))
