"""Images that cannot be used: which, why, and the one message about all of them. Imports neither torch nor Pillow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_PIXELS = 178_956_970
"""Pixels of the largest image that is decoded, Pillow's limit: 537 MB as RGB, up to 4 GB while it is decoded."""

_JPEG, _PIXELS_OF_A_BYTE = b"\xff\xd8\xff", 512  # a block of 8 x 8 pixels has at least one bit
_SHOWN = 100


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be used: its name inside the dataset, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return on_one_line(f"{self.name}: {self.reason}")


class BadImageError(UserError):
    """One image cannot be used; the message names it and the reason."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.reason = reason


class BadImagesError(UserError):
    """Some of many images cannot be decoded: the reasons by the images' positions."""

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__(f"{len(reasons)} images cannot be decoded")
        self.reasons = dict(reasons)


def check_pixels(size: tuple[int, int], name: str) -> None:
    """Refuses an image whose header declares no pixels, or more than `MOST_PIXELS`; `size` is width and height."""
    width, height = size
    if not 0 < width * height <= MOST_PIXELS:
        raise BadImageError(name, f"declares {width:,} x {height:,} pixels; expected 1 to {MOST_PIXELS:,} in all")


def check_held(encoded: bytes, size: tuple[int, int], name: str) -> None:
    """Refuses a JPEG file that is too short for the pixels that its header declares, which decoders would make grey."""
    width, height = size
    if encoded.startswith(_JPEG) and width * height > _PIXELS_OF_A_BYTE * len(encoded):
        raise BadImageError(name, f"declares {width:,} x {height:,} pixels, which {len(encoded):,} bytes cannot hold")


def refusal(place: Path | str, bad: Sequence[BadImage], total: int, outcome: str) -> UserError:
    """The error that lists the bad images of a dataset of `total` images, and says what to do about them."""
    folder = place if isinstance(place, Path) else "FOLDER"
    return UserError(
        f"{place}: {len(bad):,} of {total:,} images cannot be used; {outcome}\n{listed(bad)}\n"
        f"replace or remove these files, or leave them out with --on-error skip; `bench data verify {folder}` decodes "
        "every image and lists all bad ones"
    )


def listed(bad: Sequence[BadImage]) -> str:
    """One indented line for each bad image; the number of the others after the first hundred."""
    lines = [f"  {image}" for image in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        lines.append(f"  and {len(bad) - _SHOWN:,} more")
    return "\n".join(lines)
