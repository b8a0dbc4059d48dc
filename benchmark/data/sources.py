"""The result of a dataset's loader, before splits are drawn: labels, checksums, and images not decoded yet.

Shape suffixes: N images, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from benchmark.data.decode import resized
from benchmark.data.images import ResidentImages
from benchmark.data.splits import array_checksums

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data.decode import Progress
    from benchmark.data.images import Images


class OpenImages(Protocol):
    """Gives access to images of a split."""

    def __call__(self, indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
        """The images at `indices`; if `resident`, they are decoded into memory at once."""
        ...


@dataclass(frozen=True)
class RawSplit:
    """A split as the source provides it.

    Attributes:
        labels: int64 `(N,)`; -1 for unlabelled images.
        checksums: one per image; see `benchmark.data.splits.checksum`.
        open: gives access to its images.
        factors: further labels by name, each `(N,)`.
    """

    labels: Tensor
    checksums: list[bytes]
    open: OpenImages
    factors: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A dataset as its loader returns it.

    Attributes:
        classes: names, in the order of the labels.
        image_size: the input size in pixels.
        side: side in pixels of the images that `open` gives.
        train: the training and validation splits are cut from it.
        test: the whole test split.
        unlabelled: images without labels, or None.
    """

    classes: tuple[str, ...]
    image_size: int
    side: int
    train: RawSplit
    test: RawSplit
    unlabelled: RawSplit | None = None


def array_split(pixels_N3HW: Tensor, labels_N: Tensor, side: int, factors: dict[str, Tensor] | None = None) -> RawSplit:
    """A split whose images are in one uint8 tensor `(N, 3, H, W)`; they are resized to `side` when opened."""

    def open_images(indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
        del resident, progress  # the images are in memory already
        return ResidentImages(resized(pixels_N3HW[indices], side))

    return RawSplit(labels_N.long(), array_checksums(pixels_N3HW), open_images, factors or {})
