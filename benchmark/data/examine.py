"""Examines encoded images: cheaply by their markers while checksums are read, or by decoding every one of a folder."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from benchmark.data.bad_images import BadImage, check_pixels
from benchmark.data.decode import decode, encoded_size, in_order, read_bytes
from benchmark.data.splits import CHECKSUM_BYTES, checksum
from benchmark.data.structure import outline
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmark.data.decode import Progress


class Examined(NamedTuple):
    """Checksum, width and height of an encoded image; `reason` says why it cannot be used, and is empty otherwise."""

    checksum: bytes
    size: tuple[int, int]
    reason: str = ""


def examine(read: Callable[[], bytes], name: str) -> Examined:
    """Reads an image and examines it without decoding it, if its markers show that it is whole; others are decoded.

    What the markers do not show, such as damage between them, is found when the image is decoded. No image is refused
    that could be decoded. One that cannot be read is a bad image, too.
    """
    code = bytes(CHECKSUM_BYTES)
    try:
        encoded = read()
        code = checksum(encoded)
        return Examined(code, _checked_size(encoded, name))
    except UserError as error:
        return Examined(code, (0, 0), _reason(error, name))


def examine_file(path: Path) -> Examined:
    """As `examine`, for a file."""
    return examine(partial(read_bytes, path), str(path))


def _checked_size(encoded: bytes, name: str) -> tuple[int, int]:
    size, whole = outline(encoded)
    if size is not None:
        check_pixels(size, name)
    if not whole:
        image = decode(encoded, name)
        return image.shape[-1], image.shape[-2]
    return size or encoded_size(encoded, name)


def undecodable(root: Path, paths: Sequence[Path], progress: Progress | None = None) -> Iterator[BadImage]:
    """Decodes each of some files; yields those where that fails, with their names relative to `root`."""

    def decode_file(path: Path) -> str:
        try:
            decode(read_bytes(path), str(path))
        except UserError as error:
            return _reason(error, str(path))
        return ""

    reasons = in_order(decode_file, paths, progress)
    return (
        BadImage(path.relative_to(root).as_posix(), reason)
        for path, reason in zip(paths, reasons, strict=True)
        if reason
    )


def _reason(error: UserError, name: str) -> str:
    return str(error).removeprefix(f"{name}: ")
