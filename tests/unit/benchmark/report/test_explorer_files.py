"""Reading what runs keep for the explorer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from made_glimpses import make_masks, make_point, write_glimpses

from benchmark.report.explorer_files import read_explorer_files

if TYPE_CHECKING:
    from pathlib import Path


def test_points_come_by_their_percent_with_masks_where_there_are_any(tmp_path: Path) -> None:
    assert read_explorer_files(tmp_path) is None
    write_glimpses(tmp_path, predicts=True, percents=(0, 40))
    files = read_explorer_files(tmp_path)
    assert files is not None and sorted(files.points) == [0, 40]
    assert np.array_equal(files.points[40]["similarity"], make_point(44)["similarity"])
    assert np.array_equal(files.masks["mask_draws"], make_masks()["mask_draws"])


def test_other_contents_are_named_and_no_code_is_run(tmp_path: Path) -> None:
    (tmp_path / "glimpses").mkdir()
    path = tmp_path / "glimpses" / "100.npz"
    whole = make_point(0, predicts=True)
    for wrong in (
        {**whole, "similarity": whole["similarity"][:, :3]},
        {**whole, "grid": np.array([2, 4])},
        {**whole, "plain": np.array([{"code": 1}], dtype=object)},
        {**whole, "neighbour_images": whole["neighbour_images"][:5]},
        {**whole, "predicted_cosine": whole["predicted_cosine"][:, :2]},
        {name: array for name, array in whole.items() if name != "plain_context"},
    ):
        np.savez(path, **wrong)
        with pytest.raises(ValueError, match=r"100\.npz: not a file of the explorer"):
            read_explorer_files(tmp_path)
    path.write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"100\.npz: not a file of the explorer"):
        read_explorer_files(tmp_path)
