"""Decoded images of one size, in memory or on disk, and how they come to that size.

Shapes in the docstrings: n and N images, H W pixels; a single image is uint8 `(3, H, W)`.
"""

from __future__ import annotations

import io
import os
import re
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as transforms

from benchmark.errors import UserError
from benchmark.records import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import TypeVar

    Progress = Callable[[int, int], None]
    ItemT = TypeVar("ItemT")
    ResultT = TypeVar("ResultT")

LARGEST_NATIVE = 96
"""Side in pixels up to which images of one size are kept as they are."""

SMALL = 48
"""Side in pixels of stored images up to which the thread that reads a batch decodes it alone. On two cores, three
threads that take turns at Python's lock need twice its time for 32 px, and three times its processor time."""

THREADS_VARIABLE = "BENCH_DECODE_THREADS"
"""Environment variable with the number of decoding threads; without it, one more than there are cores, at most 16."""

_BATCH = 512
_TRIED, _QUICK = 32, 150e-6  # items that are tried, and seconds an item up to which other threads are not worth asking
_NEIGHBOURS = 16
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_THREADS = 256
_POOLS: dict[int, ThreadPoolExecutor] = {}


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


def _pool() -> ThreadPoolExecutor:
    # One a process: threads do not live on in a forked worker. Of several threads that come first all get the same one:
    # `setdefault` is one step, and a pool that nobody uses has no threads yet.
    process = os.getpid()
    pool = _POOLS.get(process)
    return pool or _POOLS.setdefault(process, ThreadPoolExecutor(_threads(), thread_name_prefix="decode"))


def _threads() -> int:
    """How many threads decode; what is asked for holds from the first image on.

    Raises:
        UserError: `BENCH_DECODE_THREADS` is no number of threads.
    """
    if asked := os.environ.get(THREADS_VARIABLE):
        if not (asked.isascii() and asked.isdecimal() and 1 <= int(asked) <= _MOST_THREADS):
            raise UserError(f"{THREADS_VARIABLE} is '{asked}'; expected 1 to {_MOST_THREADS} decoding threads")
        return int(asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, cores + 1)


def side_by_side(function: Callable[[int, ItemT], None], items: Sequence[ItemT]) -> None:
    """Calls the function with each item and its place, in threads, some neighbours in each task.

    Handing a task to a thread takes longer than decoding a small image.
    """
    share = max(1, min(_NEIGHBOURS, len(items) // (4 * _threads())))

    def some(start: int) -> None:
        for place in range(start, min(start + share, len(items))):
            function(place, items[place])

    for _ in _pool().map(some, range(0, len(items), share)):
        pass


def in_order(
    function: Callable[[ItemT], ResultT], items: Sequence[ItemT], progress: Progress | None = None
) -> Iterator[ResultT]:
    """The function's results in order, a batch of items at a time, so that only so many wait to be used.

    By threads, unless the first items are done sooner than they are handed to another.
    """
    start = time.perf_counter()
    tried = [function(item) for item in items[:_TRIED]]
    alone = time.perf_counter() - start < _QUICK * len(tried)
    yield from tried
    if progress is not None and 0 < len(items) <= len(tried):
        progress(len(tried), len(items))
    for first in range(len(tried), len(items), _BATCH):
        batch = items[first : first + _BATCH]
        yield from map(function, batch) if alone else _pool().map(function, batch)
        if progress is not None:
            progress(first + len(batch), len(items))


def decode(encoded: bytes, name: str) -> Tensor:
    """Decodes a JPEG, PNG, WebP or BMP file to RGB, uint8 `(3, H, W)`.

    Grey, palette and CMYK images are converted, transparency is dropped, and EXIF's orientation is ignored (as the
    published ImageNet pipelines do). torchvision's decoders come first; what they cannot read, Pillow tries. PNGs are
    Pillow's alone: libpng's error handling in torchvision ends the process where one is damaged.

    Args:
        encoded: the file's bytes.
        name: what to call the file in a message.

    Raises:
        UserError: nobody can decode it.
    """
    if not encoded.startswith(_PNG):
        try:
            data = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
            image: Tensor = decode_image(data, mode=ImageReadMode.RGB)
            if image.dtype == torch.uint8 and image.shape[0] == 3:
                return image
        except (RuntimeError, ValueError):
            pass
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            # Of 16-bit greys the upper 8 bits; Pillow's own conversion would cut them off at 255.
            deep = picture.mode.startswith("I")
            rgb = (picture.point(lambda value: value / 256).convert("L") if deep else picture).convert("RGB")
        flat = torch.frombuffer(bytearray(rgb.tobytes()), dtype=torch.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{name}: not a readable image ({_first_line(error)})") from None
    return flat.view(rgb.height, rgb.width, 3).permute(2, 0, 1).contiguous()


def read_bytes(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        UserError: it cannot be read; names it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def write_png(path: Path, image_3HW: Tensor) -> None:
    """Writes a uint8 image `(3, H, W)` as PNG, atomically.

    Raises:
        UserError: it cannot be written.
    """
    buffer = io.BytesIO()
    Image.fromarray(image_3HW.permute(1, 2, 0).contiguous().numpy()).save(buffer, format="PNG")
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def encoded_size(encoded: bytes, name: str) -> tuple[int, int]:
    """Width and height in pixels, from the file's header alone.

    Raises:
        UserError: the bytes are no image.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            return picture.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{name}: not a readable image ({_first_line(error)})") from None


def _first_line(error: BaseException) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"(image file )?<_io\.BytesIO object at 0x[0-9a-f]+>", "the file", line)


def resized(images: Tensor, side: int) -> Tensor:
    """Whole images `(..., 3, H, W)` resized to `side` x `side`, bilinear and antialiased; as they are if they fit."""
    if images.shape[-2:] == (side, side):
        return images
    result: Tensor = transforms.resize(images, [side, side], antialias=True)
    return result


def canonical(image: Tensor, side: int) -> Tensor:
    """The square in the middle: the short side resized to `side` (bilinear, antialiased), the long one cropped."""
    height, width = image.shape[-2:]
    short = min(height, width)
    target = [max(side, round(length * side / short)) for length in (height, width)]
    if target != [height, width]:
        image = transforms.resize(image, target, antialias=True)
    top, left = (target[0] - side) // 2, (target[1] - side) // 2
    return image[:, top : top + side, left : left + side]


def canonical_side(size: int) -> int:
    """Side of the square that images larger than `LARGEST_NATIVE` are kept as, for an input size: x 256/224."""
    return round(size * 256 / 224)
