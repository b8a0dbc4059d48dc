"""The picture of a method's views."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from benchmark.errors import UserError
from benchmark.runs.gallery import write_gallery

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset


def test_a_row_is_an_image_and_three_draws_of_its_views(dataset: Dataset, tmp_path: Path) -> None:
    pictures = []
    for seed in (0, 0, 1):
        write_gallery(dataset, "simclr", "small", tmp_path / "views.png", seed=seed)
        pictures.append(np.asarray(Image.open(tmp_path / "views.png")))
    assert np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])
    height, width, channels = pictures[0].shape
    assert channels == 3 and height > 8 * 32 and width / height == pytest.approx(7 / 8, rel=0.1)


def test_methods_without_views_and_unknown_ones_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown method 'simcrl'; did you mean 'simclr'"):
        write_gallery(dataset, "simcrl", "small", tmp_path / "views.png")
    with pytest.raises(UserError, match="random_init sees no views"):
        write_gallery(dataset, "random_init", "small", tmp_path / "views.png")
