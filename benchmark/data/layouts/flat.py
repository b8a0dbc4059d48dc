"""Images in one folder whose labels are in a file beside it, by the images' names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.data.layouts.names import walk
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def labelled_files(folder: Path, labels: Mapping[str, str], source: Path) -> list[tuple[Path, str]]:
    """The images below a folder with their labels, which `source` gives by the files' stems.

    Raises:
        UserError: an image has no label, or a label no image.
    """
    images = walk(folder).images
    without = [path for path in images if path.stem not in labels]
    if without:
        raise UserError(
            f"{source}: has no label for {len(without):,} of the {len(images):,} images in {folder}, "
            f"such as {without[0].name}"
        )
    missing = sorted(set(labels) - {path.stem for path in images})
    if missing:
        raise UserError(f"{source}: names {len(missing):,} images that are not in {folder}, such as {missing[0]}")
    return [(path, labels[path.stem]) for path in images]
