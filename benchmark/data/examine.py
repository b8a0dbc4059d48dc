"""Examines encoded images: cheaply by their markers while checksums are read, or by decoding every one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from benchmark.data.bad_images import BadImage, BadImageError, check_held, check_pixels
from benchmark.data.decode import decode, encoded_size, in_order
from benchmark.data.splits import CHECKSUM_BYTES, checksum
from benchmark.data.structure import outline
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmark.data.decode import Progress
    from benchmark.data.listing import Members


class Examined(NamedTuple):
    """Checksum, width and height of an encoded image; `reason` says why it cannot be used, and is empty otherwise."""

    checksum: bytes
    size: tuple[int, int]
    reason: str = ""


def examine(read: Callable[[], bytes], name: str, *, thorough: bool = False) -> Examined:
    """Reads an image and examines it without decoding it, if its markers show that it is whole; others are decoded.

    With `thorough`, all are decoded.

    What the markers do not show, such as damage between them, is found when the image is decoded. No image is refused
    that could be decoded. One that cannot be read is a bad image, too.
    """
    code = bytes(CHECKSUM_BYTES)
    try:
        encoded = read()
        code = checksum(encoded)
        return Examined(code, _decoded_size(encoded, name) if thorough else _checked_size(encoded, name))
    except UserError as error:
        return Examined(code, (0, 0), _reason(error, name))


def _checked_size(encoded: bytes, name: str) -> tuple[int, int]:
    size, whole = outline(encoded)
    if size is not None:
        check_pixels(size, name)
        check_held(encoded, size, name)
    return (size or encoded_size(encoded, name)) if whole else _decoded_size(encoded, name)


def _decoded_size(encoded: bytes, name: str) -> tuple[int, int]:
    image = decode(encoded, name)
    return image.shape[-1], image.shape[-2]


def examine_all(
    parts: Sequence[Members], progress: Progress | None = None, *, thorough: bool = False
) -> Iterator[Examined]:
    """As `examine`, for the images of some parts, one part after the other."""
    numbered = [(part, index) for part in parts for index in range(len(part))]

    def look(item: tuple[Members, int]) -> Examined:
        part, index = item
        return examine(partial(part.read, index), part.names[index], thorough=thorough)

    return in_order(look, numbered, progress)


def undecodable(parts: Sequence[Members], prefix: str, progress: Progress | None = None) -> Iterator[BadImage]:
    """Decodes every image of some parts; yields those where that fails, named without a prefix (see `prefix_of`)."""
    names = (name for part in parts for name in part.names)
    examined = zip(names, examine_all(parts, progress, thorough=True), strict=True)
    return (BadImage(name.removeprefix(prefix), found.reason) for name, found in examined if found.reason)


def _reason(error: UserError, name: str) -> str:
    return error.reason if isinstance(error, BadImageError) else str(error).removeprefix(f"{name}: ")
