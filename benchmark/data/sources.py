"""The result of a dataset's loader, before splits are drawn: labels, checksums, and images not decoded yet.

Shape suffixes: N images, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch

from benchmark.data.decode import LARGEST_NATIVE, canonical_side, resized
from benchmark.data.images import ImagesOnDemand, ResidentImages
from benchmark.data.splits import array_checksums

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from benchmark.data.decode import Progress
    from benchmark.data.images import Images

_FALLBACK_SIZE = 224


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
        layout: how the images lie on the disk, in words; empty for named datasets.
        sizes: the images' own sizes, in words.
        notes: what was left out or decided while the images were listed.
    """

    classes: tuple[str, ...]
    image_size: int
    side: int
    train: RawSplit
    test: RawSplit
    unlabelled: RawSplit | None = None
    layout: str = field(default="", kw_only=True)
    sizes: str = field(default="", kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)


def array_split(pixels_N3HW: Tensor, labels_N: Tensor, side: int, factors: dict[str, Tensor] | None = None) -> RawSplit:
    """A split whose images are in one uint8 tensor `(N, 3, H, W)`; they are resized to `side` when opened."""

    def open_images(indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
        del resident, progress  # the images are in memory already
        return ResidentImages(resized(pixels_N3HW[indices], side))

    return RawSplit(labels_N.long(), array_checksums(pixels_N3HW), open_images, factors or {})


@dataclass(frozen=True)
class EncodedSplit:
    """A split of image files, or of such files' bytes in a larger file; see `RawSplit`.

    Sizes are rows and columns. `encoded` returns the bytes of the image with a number, and its name for messages.
    """

    labels: Tensor
    checksums: list[bytes]
    sizes_N2: Tensor
    encoded: Callable[[int], tuple[bytes, str]]
    factors: dict[str, Tensor] = field(default_factory=dict)

    def part(self, indices: Sequence[int]) -> EncodedSplit:
        """Some of the images, in this order."""
        chosen = torch.tensor(indices)
        return EncodedSplit(
            self.labels[chosen],
            [self.checksums[index] for index in indices],
            self.sizes_N2[chosen],
            lambda index: self.encoded(indices[index]),
            {name: values[chosen] for name, values in self.factors.items()},
        )


def sizes_text(sizes_N2: Tensor) -> str:
    """The images' sizes, width first: `64x64 px`, or `40x30 to 500x375 px` from the smallest to the largest sides."""
    low, high = (values.flip(0).tolist() for values in (sizes_N2.amin(0), sizes_N2.amax(0)))
    text = "x".join(map(str, low))
    return f"{text} px" if low == high else f"{text} to {'x'.join(map(str, high))} px"


def encoded_source(
    classes: tuple[str, ...],
    size: int | None,
    train: EncodedSplit,
    test: EncodedSplit,
    *,
    layout: str = "",
    notes: tuple[str, ...] = (),
) -> Source:
    """A dataset of encoded images, which are decoded when they are read.

    Square images of one size of at most 96 px keep that size, or are resized to `size`. Of other images, the central
    square is kept, with a side of 256/224 times the input size (224 by default).
    """
    sizes_N2 = torch.cat([train.sizes_N2, test.sizes_N2])
    rows, columns = sizes_N2[0].tolist()
    native = bool((sizes_N2 == sizes_N2[0]).all()) and rows == columns <= LARGEST_NATIVE
    image_size = size or (columns if native else _FALLBACK_SIZE)
    side = image_size if native else canonical_side(image_size)

    def raw_split(split: EncodedSplit) -> RawSplit:
        def open_images(indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
            images = ImagesOnDemand(split.encoded, indices, side, native=native, sizes_N2=split.sizes_N2[indices])
            return images.resident(progress) if resident else images

        return RawSplit(split.labels, split.checksums, open_images, split.factors)

    splits = (raw_split(train), raw_split(test))
    return Source(classes, image_size, side, *splits, layout=layout, sizes=sizes_text(sizes_N2), notes=notes)
