"""What runs keep for the explorer, made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = 8


def make_point(seed: int, grid: tuple[int, int] = (4, 4), *, predicts: bool = False) -> dict[str, Any]:
    """The arrays of one point: random features, and as masks the upper half hidden, in two blocks."""
    draw = np.random.default_rng(seed)
    cells = grid[0] * grid[1]
    unit_BND = draw.normal(size=(IMAGES, cells, 6)) + 0.5
    unit_BND /= np.linalg.norm(unit_BND, axis=-1, keepdims=True)
    pixels = np.random.default_rng(7).integers(0, 255, (IMAGES, 16, 16, 3), dtype=np.uint8)
    arrays = {
        "plain": pixels,
        "similarity": np.rint(127 * unit_BND @ unit_BND.transpose(0, 2, 1)).astype(np.int8),
        "grid": np.array(grid),
        "neighbours": draw.integers(8, 256, (IMAGES, 3)),
        "neighbour_similarity": np.sort(draw.integers(0, 127, (IMAGES, 3)).astype(np.int8))[:, ::-1],
        "neighbour_same_class": draw.random((IMAGES, 3)) < 0.5,
        "neighbour_images": draw.integers(0, 255, (IMAGES * 3, 16, 16, 3), dtype=np.uint8),
    }
    if predicts:
        targets = np.zeros((IMAGES, 2, *grid), dtype=bool)
        targets[:, 0, : grid[0] // 2, : grid[1] // 2] = targets[:, 1, : grid[0] // 2, grid[1] // 2 :] = True
        cosine = draw.uniform(-1, 1, (IMAGES, *grid)).astype(np.float16)
        arrays["predicted_cosine"] = np.where(targets.any(1), cosine, np.float16("nan"))
        arrays["plain_targets"], arrays["plain_context"] = targets, ~targets.any(1)
    return arrays


def make_masks(grid: tuple[int, int] = (4, 4)) -> dict[str, Any]:
    """Draws for shares of a quarter, of a half and of three quarters, and for one and two blocks."""
    draws = np.ones((3, 2, 2, *grid), dtype=np.uint8)
    for i in range(3):
        draws[i, :, :, : (i + 1) * grid[0] // 4] = 2
    draws[:, 1, :, 0, 0] = 4
    draws[2, 1] = 0  # cannot be drawn
    return {"mask_shares": np.array([0.25, 0.5, 0.75]), "mask_blocks": np.array([1, 2]), "mask_draws": draws}


def write_glimpses(
    run: Path, grid: tuple[int, int] = (4, 4), *, predicts: bool = False, percents: tuple[int, ...] = (0, 50, 100)
) -> dict[int, dict[str, Any]]:
    """Writes `glimpses/` into a run's folder; returns the points by their percent."""
    (run / "glimpses").mkdir()
    points = {percent: make_point(percent + grid[0], grid, predicts=predicts) for percent in percents}
    for percent, arrays in points.items():
        np.savez(run / "glimpses" / f"{percent:03d}.npz", **arrays)
    if predicts:
        np.savez(run / "glimpses" / "masks.npz", **make_masks(grid))
    return points
