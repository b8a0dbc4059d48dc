"""Describes an HDF5 file of images, draws a contact sheet of it, and verifies its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.utils import make_grid

from benchmark.data.decode import canonical, decode, in_order, write_png
from benchmark.data.hdf5.format import Container, split_digest
from benchmark.data.splits import checksum
from benchmark.errors import UserError
from benchmark.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmark.data.decode import Progress
    from benchmark.data.hdf5.source import Encoded

_ROWS, _COLUMNS, _SIDE, _GAP = 10, 8, 64, 2


def describe_contents(encoded: Encoded) -> list[tuple[str, str]]:
    """The file's properties as pairs of name and value, for a table."""
    counts = np.bincount(encoded.labels_N, minlength=len(encoded.classes))
    shown = ", ".join(f"{name} {count}" for name, count in list(zip(encoded.classes, counts, strict=True))[:10])
    facts = [
        ("file", f"{encoded.path} ({encoded.path.stat().st_size / 2**20:,.1f} MiB)"),
        ("images", f"{len(encoded):,} of {len(encoded.classes):,} classes"),
        ("by class", shown + (", ..." if len(encoded.classes) > 10 else "")),
    ]
    if not isinstance(encoded, Container):
        layout = "one dataset per image, named by number (CNN-JEPA's converter)"
        return [*facts, ("layout", f"{layout}; the images were not looked at: `bench data verify` does")]
    heights, widths = encoded.sizes_N2[:, 0], encoded.sizes_N2[:, 1]
    total, skipped = int(encoded.offsets_N1[-1]), encoded.skipped
    left_out = ", ".join([*map(on_one_line, skipped[:3]), *["..."] * (len(skipped) > 3)])
    return [
        *facts,
        ("layout", f"this project's, split '{encoded.split}'"),
        ("sizes", f"{widths.min()} to {widths.max()} px wide, {heights.min()} to {heights.max()} px high"),
        ("bytes", f"{total:,} in all, {total / len(encoded):,.0f} an image"),
        ("left out", f"{len(skipped)}: {left_out}" if skipped else "0"),
        ("made as", _made(encoded)),
        ("digest", encoded.digest or "not stored: the file is older than digests"),
    ]


def _made(container: Container) -> str:
    if container.resize is not None:
        return f"JPEG of quality {container.quality}, larger images resized to a short side of {container.resize} px"
    if container.dataset:
        return f"PNG of dataset '{container.dataset}' at this size"
    return "the files' bytes, unchanged" if container.digest else "not stored"


def differs_from_digest(encoded: Encoded) -> bool:
    """Whether labels, classes or checksums have changed since the file was written; False if it has no digest."""
    if not isinstance(encoded, Container) or not encoded.digest:
        return False
    labels = encoded.labels_N.tolist()
    return encoded.digest != split_digest(encoded.split, encoded.classes, labels, encoded.checksums())


def contact_sheet(encoded: Encoded, path: Path) -> None:
    """Writes a PNG of the first images of the first classes, one row per class."""
    rows = min(_ROWS, len(encoded.classes))
    tiles = torch.full((rows, _COLUMNS, 3, _SIDE, _SIDE), 255, dtype=torch.uint8)
    for row in range(rows):
        for column, index in enumerate(np.flatnonzero(encoded.labels_N == row)[:_COLUMNS].tolist()):
            image = decode(encoded.read(index), f"{encoded.path}, image {index}")
            tiles[row, column] = canonical(image, _SIDE)
    sheet = make_grid(tiles.flatten(0, 1), nrow=_COLUMNS, padding=_GAP, pad_value=255)
    write_png(path, sheet[:, _GAP:-_GAP, _GAP:-_GAP])


def unsound(encoded: Encoded, progress: Progress | None = None) -> Iterator[str]:
    """Checks every image's checksum and decodes it; yields a message for each bad image."""
    codes = encoded.checksums()

    def examine(index: int) -> str:
        name = f"image {index} (class '{encoded.classes[int(encoded.labels_N[index])]}')"
        try:
            content = encoded.read(index)
            if checksum(content) != codes[index]:
                return f"{name}: its bytes do not match the checksum"
            image = decode(content, name)
        except UserError as error:
            return str(error)
        if isinstance(encoded, Container) and tuple(encoded.sizes_N2[index]) != tuple(image.shape[-2:]):
            return f"{name}: is {image.shape[-1]}x{image.shape[-2]} px, but the file stores another size"
        return ""

    yield from filter(None, in_order(examine, range(len(encoded)), progress))
