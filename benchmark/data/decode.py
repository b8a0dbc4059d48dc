"""Decodes images and resizes them, on several threads."""

from __future__ import annotations

import io
import os
import re
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as transforms

from benchmark.data.bad_images import MOST_PIXELS, BadImageError, check_held, check_pixels
from benchmark.data.structure import declared_size
from benchmark.errors import UserError
from benchmark.files.disk import write_atomically, writing
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import TypeVar

    Progress = Callable[[int, int], None]  # how many of how many are done

    ItemT = TypeVar("ItemT")
    ResultT = TypeVar("ResultT")

LARGEST_NATIVE = 96
"""Side in pixels up to which square images of one size are kept unchanged."""

SMALL = 48
"""Side in pixels of stored images up to which a batch is decoded by one thread. At 32 px on two cores, three threads
that wait for Python's lock take twice as long as one, and three times its processor time."""

THREADS_VARIABLE = "BENCH_DECODE_THREADS"
"""Environment variable with the number of decoding threads; without it, one more than there are cores, at most 16."""

_BATCH = 512
_TRIAL, _QUICK = 32, 150e-6  # items timed first, and seconds per item up to which further threads do not pay
_MOST_PER_TASK = 16
_LONGEST = 32  # times the short side: more of a long image is cut off before the rest is resized
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM")
_MOST_THREADS = 256
_POOLS: dict[int, ThreadPoolExecutor] = {}
warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd tags, and of large images: `check_pixels` has a limit


def _pool() -> ThreadPoolExecutor:
    # One pool per process, because threads do not survive a fork. Callers that race get the same pool: `setdefault` is
    # atomic, and a pool that nobody uses has started no threads.
    pool = _POOLS.get(os.getpid())
    return pool or _POOLS.setdefault(os.getpid(), ThreadPoolExecutor(_threads(), thread_name_prefix="decode"))


def _threads() -> int:
    """The number of decoding threads; the process's pool is made once, with the first number."""
    if setting := os.environ.get(THREADS_VARIABLE):
        if not (setting.isascii() and setting.isdecimal() and 1 <= int(setting) <= _MOST_THREADS):
            raise UserError(f"{THREADS_VARIABLE} is '{setting}'; expected 1 to {_MOST_THREADS} decoding threads")
        return int(setting)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, cores + 1)


def in_threads(function: Callable[[int, ItemT], None], items: Sequence[ItemT]) -> None:
    """Calls the function with each position and item, in threads.

    A task holds several neighbours, because handing a task to a thread takes longer than decoding a small image.
    """
    share = max(1, min(_MOST_PER_TASK, len(items) // (4 * _threads())))

    def call(start: int) -> None:
        for position in range(start, min(start + share, len(items))):
            function(position, items[position])

    for _ in _pool().map(call, range(0, len(items), share)):
        pass


def in_order(
    function: Callable[[ItemT], ResultT], items: Sequence[ItemT], progress: Progress | None = None
) -> Iterator[ResultT]:
    """The function's results in order, computed a batch of items at a time to bound the memory.

    Threads compute them, unless the first items take less time than handing an item to a thread.
    """
    start = time.perf_counter()
    trial = [function(item) for item in items[:_TRIAL]]
    quick = time.perf_counter() - start < _QUICK * len(trial)
    yield from trial
    if progress is not None and 0 < len(items) <= len(trial):
        progress(len(trial), len(items))
    for first in range(len(trial), len(items), _BATCH):
        batch = items[first : first + _BATCH]
        yield from map(function, batch) if quick else _pool().map(function, batch)
        if progress is not None:
            progress(first + len(batch), len(items))


def decode(encoded: bytes, name: str) -> Tensor:
    """Decodes an image file to RGB, uint8 `(3, H, W)`, of the size that `encoded_size` reads in its header.

    Grey, palette and CMYK images are converted, transparency is dropped, animations give their first image, and EXIF's
    orientation is ignored (as in published ImageNet pipelines). torchvision decodes JPEG and WebP; Pillow decodes what
    torchvision cannot, and all other formats: a damaged PNG ends the process in torchvision (libpng's error handling),
    and a GIF has all its images decoded there. Memory: up to 14 bytes for each pixel,
    22 for animated WebP.

    Raises:
        BadImageError: neither library can decode it, or it has more than `MOST_PIXELS`; names it.
    """
    if (size := declared_size(encoded)) is not None:  # of a JPEG or WebP
        check_pixels(size, name)
        check_held(encoded, size, name)
        try:
            data = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
            image: Tensor = decode_image(data, mode=ImageReadMode.RGB)
            if image.dtype == torch.uint8 and image.shape == (3, size[1], size[0]):
                return image
        except (RuntimeError, ValueError):
            pass
    with _opened(encoded, name) as picture:
        declared = picture.size
        # The upper 8 bits of 16-bit greys: Pillow's own conversion clips them at 255.
        deep = picture.mode.startswith("I")
        # Through 32 bits, because Pillow does not compute on big-endian 16-bit greys.
        grey = picture.convert("I").point(lambda value: value / 256).convert("L") if deep else picture
        rgb = grey if grey.mode == "RGB" else grey.convert("RGB")  # which would copy RGB, too
        flat = torch.frombuffer(bytearray(rgb.tobytes()), dtype=torch.uint8)
        if rgb.size != declared:
            raise ValueError(f"its header declares {declared[0]} x {declared[1]} pixels")
    return flat.view(rgb.height, rgb.width, 3).permute(2, 0, 1).contiguous()


def write_png(path: Path, image_3HW: Tensor) -> None:
    """Writes a uint8 image `(3, H, W)` as PNG, atomically; a `UserError` if it cannot be written."""
    buffer = io.BytesIO()
    Image.fromarray(image_3HW.permute(1, 2, 0).contiguous().numpy()).save(buffer, format="PNG")
    with writing(path):
        write_atomically(path, buffer.getvalue())


def encoded_size(encoded: bytes, name: str) -> tuple[int, int]:
    """Width and height in pixels, from the file's header alone; a `BadImageError` if the bytes are not an image."""
    with _opened(encoded, name) as picture:
        return picture.size


@cache
def _formats() -> tuple[str, ...]:
    """What Pillow may read: formats of images alone. Its reader of EPS would start another program."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@contextmanager
def _opened(encoded: bytes, name: str) -> Iterator[Image.Image]:
    """The image in Pillow, not decoded yet; whatever goes wrong with it becomes a `BadImageError` that names it."""
    if not encoded:
        raise BadImageError(name, "not a readable image (the file is empty)")
    try:
        with Image.open(io.BytesIO(encoded), formats=_formats()) as picture:
            check_pixels(picture.size, name)
            yield picture
    except BadImageError:
        raise
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        count = f"{int(pixels[0]):,}" if pixels else "more"
        raise BadImageError(name, f"declares {count} pixels; expected 1 to {MOST_PIXELS:,} in all") from None
    except Exception as error:  # a damaged file can make Pillow's decoders fail in any way
        problem = re.sub(r"(image file )?<_io\.BytesIO object at 0x[0-9a-f]+>", "the file", first_line(error))
        raise BadImageError(name, f"not a readable image ({problem})") from None


def resized(images: Tensor, side: int) -> Tensor:
    """Whole images `(..., 3, H, W)` resized to `side` x `side`, bilinear and antialiased; unchanged if they fit."""
    if images.shape[-2:] == (side, side):
        return images
    result: Tensor = transforms.resize(images, [side, side], antialias=True)
    return result


def canonical(image: Tensor, side: int) -> Tensor:
    """The central square: the short side resized to `side` (bilinear, antialiased), the long one cropped.

    Of an image more than 32 times as long as wide, only the middle is resized, so that a line of pixels does not become
    a picture of gigabytes.
    """
    height, width = image.shape[-2:]
    short = min(height, width)
    if max(height, width) > _LONGEST * short:
        image = transforms.center_crop(image, [min(length, _LONGEST * short) for length in (height, width)])
        height, width = image.shape[-2:]
    target = [max(side, round(length * side / short)) for length in (height, width)]
    if target != [height, width]:
        image = transforms.resize(image, target, antialias=True)
    top, left = (target[0] - side) // 2, (target[1] - side) // 2
    return image[:, top : top + side, left : left + side]


def canonical_side(size: int) -> int:
    """Side of the square that images larger than `LARGEST_NATIVE` are kept as, for an input size: x 256/224."""
    return round(size * 256 / 224)
