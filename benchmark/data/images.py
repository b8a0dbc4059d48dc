"""Decoded images of one size, in memory or decoded from files on demand.

Shapes in the docstrings: n and N images, H W pixels; a single image is uint8 `(3, H, W)`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from benchmark.data.bad_images import BadImageError, BadImagesError
from benchmark.data.decode import SMALL, canonical, decode, in_order, in_threads, resized
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.data.decode import Progress


class Images(Protocol):
    """Random access to decoded images of one size."""

    def __len__(self) -> int: ...

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` `(n,)` as uint8 `(n, 3, H, W)`."""
        ...


class FirstImages:
    """The first `count` of other images, without copying them."""

    def __init__(self, images: Images, count: int) -> None:
        self.images, self.count = images, count

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` `(n,)`; an `IndexError` for an index that is not below `count`."""
        if len(indices) and int(indices.max()) >= self.count:
            raise IndexError(f"image {int(indices.max())} of {self.count}")
        return self.images.read(indices)


class ResidentImages:
    """Decoded images in memory, uint8 `(N, 3, H, W)`."""

    def __init__(self, pixels: Tensor) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
            raise ValueError(f"pixels are {pixels.dtype} {tuple(pixels.shape)}; expected torch.uint8 (N, 3, H, W)")
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` `(n,)` as uint8 `(n, 3, H, W)`."""
        return self.pixels[indices]


class ImagesOnDemand:
    """Images that are decoded each time they are read.

    A pool of threads decodes them, because the decoders release Python's lock; small images are decoded by the caller.

    Args:
        encoded: returns the bytes of an image's file, and its name for messages.
        indices: which images these are, in the numbers that `encoded` takes, `(N,)`.
        side: side in pixels of the square that each image becomes; see `canonical`.
        native: whether images are resized as a whole rather than by `canonical`.
        sizes_N2: rows and columns of each of these images; None where they are not known.
    """

    def __init__(
        self,
        encoded: Callable[[int], tuple[bytes, str]],
        indices: Tensor,
        side: int,
        *,
        native: bool = False,
        sizes_N2: Tensor | None = None,
    ) -> None:
        self.encoded, self.side, self.native = encoded, side, native
        self.sizes_N2 = None if native else sizes_N2
        self._indices = indices.tolist()
        self._small = native and sizes_N2 is not None and sizes_N2.numel() > 0 and int(sizes_N2.max()) <= SMALL

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` `(n,)` as uint8 `(n, 3, side, side)`; a `UserError` names an unreadable file."""
        pixels = torch.empty(len(indices), 3, self.side, self.side, dtype=torch.uint8)
        rows = pixels.numpy()  # assigning to a row of the array costs half as much as to one of the tensor

        def load(row: int, position: int) -> None:
            with _advised():
                rows[row] = self._load(position).numpy()

        if self._small:
            for row, position in enumerate(indices.tolist()):
                load(row, position)
        else:
            in_threads(load, indices.tolist())
        return pixels

    def original(self, position: int) -> Tensor:
        """An image at its stored size, uint8 `(3, H, W)`; a `UserError` names an unreadable or changed file."""
        encoded, name = self.encoded(self._indices[position])
        with _advised():
            image = decode(encoded, name)
        if self.sizes_N2 is not None and list(image.shape[1:]) != self.sizes_N2[position].tolist():
            now, listed = (" x ".join(map(str, size)) for size in (image.shape[1:], self.sizes_N2[position].tolist()))
            raise UserError(f"{name}: is {now} pixels, but was {listed} when it was listed; it has been changed")
        return image

    def resident(self, progress: Progress | None = None) -> ResidentImages:
        """All images, decoded into memory; a `BadImagesError` has the positions of all that cannot be decoded."""
        pixels = torch.empty(len(self), 3, self.side, self.side, dtype=torch.uint8)
        reasons: dict[int, str] = {}
        for position, image in enumerate(in_order(self._load_or_reason, range(len(self)), progress)):
            if isinstance(image, str):
                reasons[position] = image
            else:
                pixels[position] = image
        if reasons:
            raise BadImagesError(reasons)
        return ResidentImages(pixels)

    def _load_or_reason(self, position: int) -> Tensor | str:
        try:
            return self._load(position)
        except BadImageError as error:
            return error.reason

    def _load(self, position: int) -> Tensor:
        image = decode(*self.encoded(self._indices[position]))
        return resized(image, self.side) if self.native else canonical(image, self.side)


@contextmanager
def _advised() -> Iterator[None]:
    """Adds to the error of an image that cannot be decoded how to find all such images."""
    try:
        yield
    except BadImageError as error:
        raise UserError(
            f"{error}; its markers are sound, so that only decoding shows the damage: `bench data verify FOLDER` "
            "decodes all images and lists the damaged ones. Without these it is another dataset: give another --out"
        ) from None
