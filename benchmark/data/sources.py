"""The result of a dataset's loader, before splits are drawn: labels, checksums, and images not decoded yet.

Shape suffixes: N images, H W pixels.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch

from benchmark.data.bad_images import BadImage
from benchmark.data.decode import LARGEST_NATIVE, canonical_side, resized
from benchmark.data.images import ImagesOnDemand, ResidentImages
from benchmark.data.splits import array_checksums

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from benchmark.data.annotations import Annotations
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
        name: of an image inside the dataset; None where images have no names.
        annotations: what is known of the images by place; None where nothing is.
    """

    labels: Tensor
    checksums: list[bytes]
    open: OpenImages
    factors: dict[str, Tensor] = field(default_factory=dict)
    name: Callable[[int], str] | None = None
    annotations: Annotations | None = None


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
        problem: why no test split could be cut; empty where there is one.
        bad: images that cannot be used; they are in none of the splits.
        without: the source without further images, whose names it takes with the reasons; None where every image can
            be used.
    """

    classes: tuple[str, ...]
    image_size: int
    side: int
    train: RawSplit
    test: RawSplit
    unlabelled: RawSplit | None = None
    _: KW_ONLY
    layout: str = ""
    sizes: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""
    bad: tuple[BadImage, ...] = ()
    without: Callable[[Mapping[str, str]], Source] | None = None


def array_split(pixels_N3HW: Tensor, labels_N: Tensor, side: int, factors: dict[str, Tensor] | None = None) -> RawSplit:
    """A split whose images are in one uint8 tensor `(N, 3, H, W)`; they are resized to `side` when opened."""

    def open_images(indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
        del resident, progress  # the images are in memory already
        return ResidentImages(resized(pixels_N3HW[indices], side))

    return RawSplit(labels_N.long(), array_checksums(pixels_N3HW), open_images, factors or {})


@dataclass(frozen=True)
class EncodedSplit:
    """A split of image files, or of such files' bytes in a larger file; see `RawSplit`.

    Attributes:
        sizes_N2: rows and columns.
        encoded: returns the bytes of the image with a number, and its name for messages.
        name: the image's name inside the dataset; None for the split and the number.
        bad: why images cannot be used, by number; they are left out.
    """

    labels: Tensor
    checksums: list[bytes]
    sizes_N2: Tensor
    encoded: Callable[[int], tuple[bytes, str]]
    factors: dict[str, Tensor] = field(default_factory=dict)
    name: Callable[[int], str] | None = None
    bad: Mapping[int, str] = field(default_factory=dict)

    def named(self, split: str) -> EncodedSplit:
        """The same with names for its images: of the split and by number, where they have none."""
        return self if self.name is not None else replace(self, name=partial(_numbered, split))

    def name_of(self, number: int) -> str:
        """The name of an image; they need names (`named`)."""
        assert self.name is not None
        return self.name(number)

    def without(self, bad: Mapping[str, str]) -> EncodedSplit:
        """The split without further images: reasons by name."""
        names = map(self.name_of, range(len(self.labels)))
        return replace(
            self, bad={**self.bad, **{number: bad[name] for number, name in enumerate(names) if name in bad}}
        )

    def kept(self) -> Tensor:
        """The numbers of the images that can be used."""
        mask_N = torch.ones(len(self.labels), dtype=torch.bool)
        mask_N[list(self.bad)] = False
        return mask_N.nonzero().flatten()

    def part(self, indices: Sequence[int]) -> EncodedSplit:
        """Some of the images, in this order."""
        chosen, name = torch.tensor(indices, dtype=torch.int64), self.name
        return EncodedSplit(
            self.labels[chosen],
            [self.checksums[index] for index in indices],
            self.sizes_N2[chosen],
            lambda index: self.encoded(indices[index]),
            {factor: values[chosen] for factor, values in self.factors.items()},
            name=None if name is None else lambda index: name(indices[index]),
            bad={number: self.bad[index] for number, index in enumerate(indices) if index in self.bad},
        )


def sizes_text(sizes_N2: Tensor) -> str:
    """The images' sizes, width first: `64x64 px`, or `40x30 to 500x375 px` from the smallest to the largest image."""
    rows_N, columns_N = sizes_N2.long().unbind(1)
    order_N = (rows_N * columns_N << 32) + columns_N  # by area, then by width
    low, high = (f"{columns_N[i]}x{rows_N[i]}" for i in (order_N.argmin(), order_N.argmax()))
    return f"{low} px" if low == high else f"{low} to {high} px"


def encoded_source(
    classes: tuple[str, ...],
    size: int | None,
    train: EncodedSplit,
    test: EncodedSplit,
    *,
    layout: str = "",
    notes: tuple[str, ...] = (),
) -> Source:
    """A dataset of encoded images, which are decoded when they are read; those known to be bad are left out.

    Square images of one size of at most 96 px keep that size, or are resized to `size`. Of other images, the central
    square is kept, with a side of 256/224 times the input size (224 by default).
    """
    train, test = train.named("train"), test.named("test")
    sizes_N2 = torch.cat([split.sizes_N2[split.kept()] for split in (train, test)])
    # Where no image is left, any size will do: the splits are empty.
    rows, columns = sizes_N2[0].tolist() if len(sizes_N2) else (0, 0)
    native = bool((sizes_N2 == sizes_N2[:1]).all()) and rows == columns <= LARGEST_NATIVE
    image_size = size or (columns if native else _FALLBACK_SIZE) or _FALLBACK_SIZE
    side = image_size if native else canonical_side(image_size)

    def raw_split(split: EncodedSplit) -> RawSplit:
        kept = split.kept()

        def open_images(indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
            numbers = kept[indices]
            images = ImagesOnDemand(split.encoded, numbers, side, native=native, sizes_N2=split.sizes_N2[numbers])
            return images.resident(progress) if resident else images

        checksums = [split.checksums[number] for number in kept.tolist()] if split.bad else split.checksums
        factors = {name: values[kept] for name, values in split.factors.items()}
        return RawSplit(
            split.labels[kept], checksums, open_images, factors, lambda index: split.name_of(int(kept[index]))
        )

    def without(bad: Mapping[str, str]) -> Source:
        return encoded_source(classes, size, train.without(bad), test.without(bad), layout=layout, notes=notes)

    return Source(
        classes,
        image_size,
        side,
        raw_split(train),
        raw_split(test),
        layout=layout,
        sizes=sizes_text(sizes_N2) if len(sizes_N2) else "",
        notes=notes,
        bad=tuple(BadImage(split.name_of(number), why) for split in (train, test) for number, why in split.bad.items()),
        without=without,
    )


def _numbered(split: str, number: int) -> str:
    return f"{split} image {number}"
