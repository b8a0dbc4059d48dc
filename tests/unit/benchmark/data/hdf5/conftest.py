"""An image folder for conversions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from image_folders import picture

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of several sizes and file types: 12 for training and 6 for validation, of two classes."""
    seed = 0
    for split, number in (("train", 6), ("val", 3)):
        for name in ("ant", "bee"):
            members = tmp_path / "images" / split / name
            members.mkdir(parents=True)
            for index in range(number):
                suffix = ("png", "jpg", "webp")[index % 3]
                picture(seed, 20 + 4 * index, 30).save(members / f"{index}.{suffix}")
                seed += 1
    return tmp_path / "images"
