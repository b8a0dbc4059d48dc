"""Decoded images of one size, in memory or on disk, and how they come to that size.

Shapes in the docstrings: n and N images, H W pixels; a single image is uint8 `(3, H, W)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from benchmark.data.decode import SMALL, canonical, decode, in_order, read_bytes, resized, side_by_side
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import TypeVar

    Progress = Callable[[int, int], None]
    ItemT = TypeVar("ItemT")
    ResultT = TypeVar("ResultT")


class Images(Protocol):
    """Random access to decoded images of one size."""

    def __len__(self) -> int: ...

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` `(n,)` as uint8 `(n, 3, H, W)`."""
        ...


class FirstImages:
    """The first of other images, read when they are asked for.

    Args:
        images: all of them.
        count: how many are to be seen.
    """

    def __init__(self, images: Images, count: int) -> None:
        self.images, self.count = images, count

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` `(n,)`, as they are there.

        Raises:
            IndexError: an index is beyond the first images.
        """
        if len(indices) and int(indices.max()) >= self.count:
            raise IndexError(f"image {int(indices.max())} of {self.count}")
        return self.images.read(indices)


class ResidentImages:
    """Images that lie decoded in memory.

    Attributes:
        pixels: uint8 `(N, 3, H, W)`.
    """

    def __init__(self, pixels: Tensor) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
            raise ValueError(f"pixels are {pixels.dtype} {tuple(pixels.shape)}; expected torch.uint8 (N, 3, H, W)")
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def side(self) -> int:
        """Side of the stored images in pixels."""
        return int(self.pixels.shape[-1])

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` `(n,)` as uint8 `(n, 3, H, W)`."""
        return self.pixels[indices]


class ImagesOnDemand(ABC):
    """Images that are decoded each time they are read.

    All but small ones by a pool of threads, as the decoders let go of Python's lock.

    Args:
        count: how many there are.
        side: what they are brought to, in pixels; see `canonical`.
        native: resized as a whole rather than by `canonical`.
        sizes_N2: rows and columns of each as it is stored; None where they are not known.
    """

    def __init__(self, count: int, side: int, *, native: bool = False, sizes_N2: Tensor | None = None) -> None:
        self.count, self.side, self.native = count, side, native
        self.sizes_N2 = None if native else sizes_N2
        self._small = native and sizes_N2 is not None and sizes_N2.numel() > 0 and int(sizes_N2.max()) <= SMALL

    def __len__(self) -> int:
        return self.count

    @abstractmethod
    def encoded(self, position: int) -> tuple[bytes, str]:
        """The bytes of an image's file, and what to call it in a message."""

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` `(n,)` as uint8 `(n, 3, side, side)`.

        Raises:
            UserError: a file is gone or cannot be decoded; names it.
        """
        pixels = torch.empty(len(indices), 3, self.side, self.side, dtype=torch.uint8)
        places = pixels.numpy()  # writes to a part of it at half the price

        def load(place: int, position: int) -> None:
            places[place] = self._load(position).numpy()

        if self._small:
            for place, position in enumerate(indices.tolist()):
                load(place, position)
        else:
            side_by_side(load, indices.tolist())
        return pixels

    def original(self, position: int) -> Tensor:
        """An image as it is stored, uint8 `(3, H, W)`.

        Raises:
            UserError: its file is gone, cannot be decoded, or has another size than it was listed with; names it.
        """
        encoded, name = self.encoded(position)
        image = decode(encoded, name)
        if self.sizes_N2 is not None and list(image.shape[1:]) != self.sizes_N2[position].tolist():
            found, listed = (" x ".join(map(str, size)) for size in (image.shape[1:], self.sizes_N2[position].tolist()))
            raise UserError(f"{name}: is {found} pixels, but was {listed} when it was listed; it has been changed")
        return image

    def resident(self, progress: Progress | None = None) -> ResidentImages:
        """All of them, decoded into memory."""
        pixels = torch.empty(len(self), 3, self.side, self.side, dtype=torch.uint8)
        for place, image in enumerate(in_order(self._load, range(len(self)), progress)):
            pixels[place] = image
        return ResidentImages(pixels)

    def _load(self, position: int) -> Tensor:
        image = decode(*self.encoded(position))
        return resized(image, self.side) if self.native else canonical(image, self.side)


class LazyImages(ImagesOnDemand):
    """Image files.

    Attributes:
        paths: the files.
    """

    def __init__(
        self, paths: Sequence[Path], side: int, *, native: bool = False, sizes_N2: Tensor | None = None
    ) -> None:
        super().__init__(len(paths), side, native=native, sizes_N2=sizes_N2)
        self.paths = tuple(paths)

    def encoded(self, position: int) -> tuple[bytes, str]:
        """The bytes of a file, and its path."""
        path = self.paths[position]
        return read_bytes(path), str(path)
