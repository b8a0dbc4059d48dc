"""The ten outlines of the `shapes` dataset, as distance fields that are sampled at any rotation and scale.

Shape suffixes: N images, H W pixels, C outlines, R cells along a side of a field.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Points = NDArray[np.float64]

OUTLINES = ("disc", "ring", "square", "triangle", "star", "cross", "crescent", "heart", "arrow", "hourglass")
_CELLS = 128
_REACH = 1.5
_DETAIL = 3


def inside_outlines(x: Points, y: Points) -> dict[str, NDArray[np.bool_]]:
    """Whether points are inside each outline, by its name; the outlines' radius is about 1, and y points down.

    Radii are chosen so that all outlines cover similar areas, which then do not identify the class.
    """
    squared, aside, level = x * x + y * y, np.abs(x), np.abs(y)
    heart_x, heart_y = x / 0.84, (0.1 - y) / 0.84
    angles = [2 * math.pi * point / 5 for point in range(5)]
    half_planes = np.sum([x * math.sin(angle) + y * math.cos(angle) < 0.36 for angle in angles], axis=0)
    return {
        "disc": squared < 0.76**2,
        "ring": (squared < 0.95**2) & (squared > 0.5**2),
        "square": (aside < 0.68) & (level < 0.68),
        "triangle": (y < 0.66) & (aside < (y + 1.0) * 0.62),
        "star": half_planes >= 4,  # a pentagram is inside at least four of its five half-planes
        "cross": (np.maximum(aside, level) < 0.95) & (np.minimum(aside, level) < 0.3),
        "crescent": (squared < 1.0) & ((x - 0.48) ** 2 + y * y > 0.74**2),
        "heart": (heart_x * heart_x + heart_y * heart_y - 0.7) ** 3 < 1.3 * heart_x * heart_x * heart_y**3,
        "arrow": ((level < 0.26) & (x > -1.0) & (x < 0.1)) | ((x >= 0.0) & (level < 0.85 * (1.0 - x))),
        "hourglass": (level < 0.9) & (aside < 0.06 + 0.82 * level),
    }


@lru_cache(maxsize=1)
def distance_fields() -> Floats:
    """Signed distance to each of `OUTLINES` on [-1.5, 1.5] x [-1.5, 1.5], `(C, R, R)`, negative inside, in radii.

    All classes are drawn from these fields by the same operations, and so have the same kind of edges. Values are
    rounded, so that images do not depend on a math library's last digit.
    """
    fine = _CELLS * _DETAIL
    ticks = ((np.arange(fine) + 0.5) / fine * 2 - 1) * _REACH
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    masks, fields = inside_outlines(x, y), []
    for name in OUTLINES:
        inside = masks[name]
        distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
        coarse = distance.reshape(_CELLS, _DETAIL, _CELLS, _DETAIL).mean(axis=(1, 3))
        fields.append(np.round(coarse * (2 * _REACH / fine), 4))
    return np.array(fields, dtype=np.float32)


def outline_distance(labels_N: NDArray[np.int64], u_NHW: Floats, v_NHW: Floats) -> Floats:
    """Signed distance `(N, H, W)` of points to each image's outline, in radii; bilinear between the field's cells.

    `labels_N` are indices into `OUTLINES`. u and v are the points' coordinates in the outline's frame, in radii,
    clamped to 1.5.
    """
    flat = distance_fields().reshape(-1)
    scale, last = np.float32(_CELLS / (2 * _REACH)), np.float32(_CELLS - 1.001)
    column_NHW, row_NHW = (
        np.clip((points + np.float32(_REACH)) * scale - np.float32(0.5), np.float32(0), last)
        for points in (u_NHW, v_NHW)
    )
    left, top = column_NHW.astype(np.int32), row_NHW.astype(np.int32)
    at = (labels_N * _CELLS**2).astype(np.int32)[:, None, None] + top * np.int32(_CELLS) + left
    right, down = column_NHW - left.astype(np.float32), row_NHW - top.astype(np.float32)
    above = flat[at] + (flat[at + 1] - flat[at]) * right
    at += np.int32(_CELLS)
    below = flat[at] + (flat[at + 1] - flat[at]) * right
    distance: Floats = above + (below - above) * down
    return distance
