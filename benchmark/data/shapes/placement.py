"""Where the copies of a scene of `shapes` lie, and which pixels each one covers.

Images, label maps, depths and boxes all come from the functions here, so that they agree to the pixel.

Shape suffixes: N images, n of them, H W pixels, 3 copies at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.data.shapes.outlines import OUTLINES, outline_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmark.data.shapes.draws import Draws

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]

SLOTS = 3
NEAREST, FARTHEST, WALL = 1.0, 2.5, 4.0
"""Depths of `shapes-depth`: of copies, and of the background behind them. The unit is the nearest copy's distance."""

_FLAT_COUNTS = (0.7, 0.2, 0.1)
_DEEP_COUNTS = (0.2, 0.4, 0.4)
_RADIUS_AT_NEAREST = 0.30
_TURN = 0.09
_DARKEST = 0.5


@dataclass(frozen=True)
class Copies:
    """The copies of each scene: their number `(N,)`; centres, radii and depths `(N, 3)`, the first `count` in use.

    Lengths are shares of the image's side. A later copy hides an earlier one. `depth` is None where scenes are flat.
    """

    count: Integers
    x: Floats
    y: Floats
    radius: Floats
    depth: Floats | None = None

    def factors(self) -> dict[str, Floats]:
        """The factors of `Scenes`."""
        shown = (np.arange(SLOTS) < self.count[:, None]).astype(np.float32)
        number = self.count.astype(np.float32)

        def mean(values: Floats) -> Floats:
            # Three terms in a fixed order, because a library's sum may group them differently.
            parts: Floats = values * shown
            return (parts[:, 0] + parts[:, 1] + parts[:, 2]) / number

        return {"count": number, "scale": mean(self.radius), "x": mean(self.x), "y": mean(self.y)}

    def brightness(self, slot: int) -> Floats | None:
        """How much light a copy gives back, `(N,)`: 1 for the nearest, half of it for the farthest; None if flat."""
        if self.depth is None:
            return None
        away: Floats = (self.depth[:, slot] - np.float32(NEAREST)) / np.float32(FARTHEST - NEAREST)
        return np.float32(1) - np.float32(1 - _DARKEST) * away


def place(draws: Draws) -> Copies:
    """Places one copy anywhere, but two or three in separate quarters, so that they hardly ever overlap."""
    count = draws.choice("count", _FLAT_COUNTS) + 1
    alone = (count == 1)[:, None]
    radius = np.where(alone, draws.table("large", SLOTS, 0.30, 0.44), draws.table("small", SLOTS, 0.21, 0.26))
    quarter = np.argsort(draws.table("quarter", 4), axis=1, kind="stable")[:, :SLOTS]
    slack = np.where(alone, 0.5 - 0.9 * radius, 0.27 - radius)
    x, y = (
        np.where(alone, np.float32(0.5), 0.25 + 0.5 * bit.astype(np.float32))
        + slack * draws.table(name, SLOTS, -1.0, 1.0)
        for name, bit in (("x", quarter % 2), ("y", quarter // 2))
    )
    return Copies(count, x, y, radius)


def place_in_depth(draws: Draws) -> Copies:
    """Places one to three copies at depths of their own, the farthest first, so that nearer ones hide parts of them.

    All have one size, so that a copy's radius in the picture is proportional to 1 / depth. Centres lie in separate
    quarters of a square that is itself somewhere, so far from each other that no copy is hidden altogether.
    """
    count = draws.choice("count", _DEEP_COUNTS) + 1
    drawn = draws.table("depth", SLOTS, NEAREST, FARTHEST)
    unused = np.arange(SLOTS) >= count[:, None]
    order = np.argsort(np.where(unused, np.float32(0), drawn), axis=1, kind="stable")[:, ::-1]
    depth: Floats = np.take_along_axis(drawn, order, axis=1)
    radius: Floats = np.float32(_RADIUS_AT_NEAREST) / depth
    quarter = np.argsort(draws.table("quarter", 4), axis=1, kind="stable")[:, :SLOTS]
    x, y = (
        np.float32(0.33)
        + np.float32(0.34) * bit.astype(np.float32)
        + draws.table(name, SLOTS, -0.06, 0.06)
        + draws.table(f"scene {name}", 1, -0.1, 0.1)
        for name, bit in (("x", quarter % 2), ("y", quarter // 2))
    )
    return Copies(count, x, y, radius, depth)


@dataclass(frozen=True)
class Cover:
    """One copy in the images that have it.

    Attributes:
        images: their positions, `(n,)`.
        distance_px: signed distance of each pixel's centre to the outline, `(n, H, W)`, negative inside.
        u, v: the pixels' coordinates in the copy's frame, `(n, H, W)`, in radii.
    """

    images: Integers
    distance_px: Floats
    u: Floats
    v: Floats


def cover(draws: Draws, copies: Copies, slot: int, size: int) -> Cover:
    """Where the copy in a slot is, in images of `size` pixels. It covers the pixels at a negative distance."""
    chosen = np.flatnonzero(copies.count > slot)
    cosine, sine = draws.direction(f"turn{slot}", _TURN)
    radius = copies.radius[chosen, slot]
    turn = (cosine[chosen], sine[chosen])
    u, v = frame(size, copies.x[chosen, slot], copies.y[chosen, slot], radius, turn)
    distance = outline_distance(draws.indices[chosen] % len(OUTLINES), u, v)
    return Cover(chosen, distance * (radius * np.float32(size))[:, None, None], u, v)


def frame(size: int, x: Floats, y: Floats, scale: Floats, turn: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """The pixels' coordinates `(N, H, W)` in a frame at (x, y), turned, whose unit is `scale` of the image's side."""
    ticks = (np.arange(size, dtype=np.float32) + 0.5) / np.float32(size)
    across = (ticks[None, :] - x[:, None]) / scale[:, None]
    down = (ticks[None, :] - y[:, None]) / scale[:, None]
    cosine, sine = turn[0][:, None], turn[1][:, None]
    u: Floats = (across * cosine)[:, None, :] + (down * sine)[:, :, None]
    v: Floats = (down * cosine)[:, :, None] - (across * sine)[:, None, :]
    return u, v
