"""What a dataset's loader hands over before splits are drawn: labels, checksums, and images yet to be decoded.

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

    from benchmark.data.images import Images, Progress


class Open(Protocol):
    """Gives access to some images of a split."""

    def __call__(self, indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
        """The images at `indices`, decoded into memory at once if `resident`."""
        ...


@dataclass(frozen=True)
class RawSplit:
    """A split as it comes.

    Attributes:
        labels: int64 `(N,)`.
        checksums: one an image; see `benchmark.data.manifest.checksum`.
        open: gives access to images of it.
        factors: extra labels by name, each `(N,)`.
    """

    labels: Tensor
    checksums: list[bytes]
    open: Open
    factors: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A dataset as it comes.

    Attributes:
        classes: their names, in the order of the labels.
        image_size: the input size in pixels.
        side: of the images that `open` gives, in pixels.
        train: what training and validation are cut from.
        test: left whole.
        unlabelled: images of no known class, or None.
    """

    classes: tuple[str, ...]
    image_size: int
    side: int
    train: RawSplit
    test: RawSplit
    unlabelled: RawSplit | None = None


def array_split(pixels_N3HW: Tensor, labels_N: Tensor, side: int, factors: dict[str, Tensor] | None = None) -> RawSplit:
    """A split whose images lie in one uint8 tensor `(N, 3, H, W)`; they are resized to `side` when opened."""

    def open_images(indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
        del resident, progress  # They are in memory already.
        return ResidentImages(resized(pixels_N3HW[indices], side))

    return RawSplit(labels_N.long(), array_checksums(pixels_N3HW), open_images, factors or {})
