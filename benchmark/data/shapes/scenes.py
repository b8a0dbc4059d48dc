"""The embedded dataset `shapes`: procedural scenes whose class is the outline of the drawn objects.

A scene has one to three copies of one outline, rotated, scaled, coloured and textured at random, on a random
background, among small marks that belong to no class. In `shapes-depth`, copies are at depths of their own: nearer ones
are larger and brighter, and hide parts of others. Every draw is a hash of (seed, split, name of the draw, index), so
that an image depends on its index only, and more images leave the first ones unchanged. Pixels are computed from sums,
products, comparisons and rounded tables, and so have the same bytes on all machines with IEEE 754 floats.

Shape suffixes: N images, H W pixels, 3 colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark.data.shapes.draws import Draws
from benchmark.data.shapes.outlines import OUTLINES
from benchmark.data.shapes.placement import SLOTS, Copies, cover, frame, place, place_in_depth
from benchmark.data.shapes.truth import shape_annotations
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from benchmark.data.annotations import Annotations

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]

CLASSES = OUTLINES
SMALLEST, LARGEST = 32, 96
_MARKS = 4
_HUES = 3
_CHUNK = 256
_CLOUD_CELLS = 5


@dataclass(frozen=True)
class Scenes:
    """Images, uint8 `(N, 3, H, W)`, with their labels (indices into `CLASSES`) and scene factors.

    Factors are float32 `(N,)` each: `count` (copies, 1 to 3), `scale` (their mean radius), `x` and `y` (their mean
    centre, from the upper left corner). Lengths are shares of the image's side. Annotations are computed when they are
    read.
    """

    pixels: Tensor
    labels: Tensor
    factors: dict[str, Tensor]
    annotations: Annotations


def render_shapes(
    seed: int,
    split: str,
    count: int,
    size: int = 32,
    progress: Callable[[int, int], None] | None = None,
    *,
    deep: bool = False,
) -> Scenes:
    """Draws the first `count` images of a split. Classes alternate, so that they are balanced.

    Each split is an independent sequence of images. Except for the grain, scenes are the same at every size.

    Args:
        deep: the scenes of `shapes-depth`, which are others than those of `shapes`.

    Raises:
        UserError: the size is out of range, or `count` is below 1.
    """
    name = "shapes-depth" if deep else "shapes"
    if not SMALLEST <= size <= LARGEST:
        raise UserError(f"dataset '{name}': size is {size}; expected {SMALLEST} to {LARGEST} pixels")
    if count < 1:
        raise UserError(f"dataset '{name}': {count} images in '{split}'; expected at least 1")

    def scenes(indices: Integers) -> tuple[Draws, Copies]:
        draws = Draws(seed, f"{name}/{split}", indices)
        return draws, (place_in_depth if deep else place)(draws)

    pixels_N3HW = np.empty((count, 3, size, size), dtype=np.uint8)
    parts: list[dict[str, Floats]] = []
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        draws, copies = scenes(np.arange(start, stop))
        pixels_N3HW[start:stop] = _paint(draws, copies, size)
        parts.append(copies.factors())
        if progress is not None:
            progress(stop, count)
    factors = {name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in parts[0]}
    labels = torch.arange(count) % len(CLASSES)
    return Scenes(torch.from_numpy(pixels_N3HW), labels, factors, shape_annotations(scenes, size, deep=deep))


def _paint(draws: Draws, copies: Copies, size: int) -> NDArray[np.uint8]:
    """Draws background, marks, copies and grain: uint8 `(N, 3, H, W)`."""
    canvas = _background(draws, size)
    for mark in range(_MARKS):
        _add_mark(canvas, draws, f"mark{mark}")
    for slot in range(SLOTS):
        _add_copy(canvas, draws, copies, slot)
    grain = draws.table("grain", size * size, -1.0, 1.0) * draws.uniform("grain strength", 0.0, 0.06)[:, None]
    canvas += grain.reshape(-1, 1, size, size)
    levels = np.clip(canvas * 255 + 0.5, 0, 255)
    pixels: NDArray[np.uint8] = levels.astype(np.uint8)
    return pixels


def _hsv(hue: Floats, saturation: Floats, value: Floats) -> Floats:
    """Colours `(N, 3)` from hue (in turns), saturation and value."""
    sixths = (hue - np.floor(hue)) * 6
    channels = (np.abs(sixths - 3) - 1, 2 - np.abs(sixths - 2), 2 - np.abs(sixths - 4))
    pure = np.clip(np.stack(channels, axis=1), 0, 1)
    colours: Floats = value[:, None] * (1 - saturation[:, None] * (1 - pure))
    return colours


def _texture(kinds_N: Integers, u_NHW: Floats, v_NHW: Floats, frequency: Floats, phase: Floats) -> Floats:
    """A texture `(N, H, W)` in [0, 1]: 0 plain, 1 gradient along u, 2 stripes across u, 3 checks, 4 or more plain."""
    texture = np.zeros_like(u_NHW)
    for kind in (1, 2, 3):
        chosen = np.flatnonzero(kinds_N == kind)
        u, v = u_NHW[chosen], v_NHW[chosen]
        times, start = frequency[chosen, None, None], phase[chosen, None, None]
        if kind == 1:
            values = u * 0.5
        elif kind == 2:
            values = _wave(u * times + start) * 1.5
        else:
            values = _wave(u * times + start) * _wave(v * times + start) * 4
        texture[chosen] = np.clip(values + 0.5, 0, 1)
    return texture


def _wave(points: Floats) -> Floats:
    """A triangular wave of period 1 between -1 and 1."""
    wave: Floats = 4 * np.abs(points - np.floor(points) - 0.5) - 1
    return wave


def _clouds(draws: Draws, size: int) -> Floats:
    """Smooth noise `(N, H, W)` in [0, 1]: random heights on a coarse grid, bilinear between them."""
    heights = draws.table("clouds", _CLOUD_CELLS**2).reshape(-1, _CLOUD_CELLS, _CLOUD_CELLS)
    points = (np.arange(size, dtype=np.float32) + 0.5) / np.float32(size) * np.float32(_CLOUD_CELLS - 1)
    low = points.astype(np.int64)
    share = points - low.astype(np.float32)
    rows = heights[:, low] + (heights[:, low + 1] - heights[:, low]) * share[None, :, None]
    clouds: Floats = rows[:, :, low] + (rows[:, :, low + 1] - rows[:, :, low]) * share
    return clouds


def _hue(draws: Draws) -> Floats:
    """The background's hue `(N,)`, one of a few: if hues were continuous, colour alone would identify an image."""
    return draws.choice("hue", (1 / _HUES,) * _HUES).astype(np.float32) / np.float32(_HUES)


def _background(draws: Draws, size: int) -> Floats:
    """A texture of two tones with similar hues, `(N, 3, H, W)`; darker than the copies."""
    hue = _hue(draws)
    near, far = (
        _hsv(
            hue + draws.uniform(f"{tone} hue", -0.03, 0.03),
            draws.uniform(f"{tone} saturation", 0.45, 0.65),
            draws.uniform(f"{tone} value", 0.15, 0.42),
        )
        for tone in ("near", "far")
    )
    kinds = draws.choice("background", (0.2, 0.3, 0.05, 0.05, 0.4))
    half = np.full(len(hue), 0.5, dtype=np.float32)
    u, v = frame(size, half, half, half, draws.direction("background turn"))
    texture = _texture(kinds, u, v, draws.uniform("period", 0.8, 2.2), draws.uniform("background phase"))
    cloudy = kinds == 4
    texture[cloudy] = _clouds(draws, size)[cloudy]
    canvas: Floats = near[:, :, None, None] + (far - near)[:, :, None, None] * texture[:, None]
    return canvas


def _blend(canvas: Floats, chosen: Integers, distance_px: Floats, colours: Floats) -> None:
    """Paints colours `(n, 3, 1 or H, 1 or W)` over the chosen images, with edges one pixel wide."""
    cover = np.clip(0.5 - distance_px, 0, 1)[:, None]
    under = canvas[chosen]
    canvas[chosen] = under + (colours - under) * cover


def _add_mark(canvas: Floats, draws: Draws, name: str) -> None:
    """Adds a small dot or dash of any colour, unrelated to the class, with edges and contrast like the copies'."""
    size = canvas.shape[-1]
    chosen = np.flatnonzero(draws.uniform(f"{name} there") < 0.25)
    x, y = (draws.uniform(f"{name} {axis}")[chosen] for axis in "xy")
    cosine, sine = draws.direction(f"{name} turn")
    u, v = frame(size, x, y, np.ones_like(x), (cosine[chosen], sine[chosen]))
    length = draws.uniform(f"{name} length", 0.02, 0.12)[chosen, None, None]
    breadth = draws.uniform(f"{name} breadth", 0.015, 0.035)[chosen, None, None]
    distance = np.maximum(np.abs(u) - length, np.abs(v) - breadth) * np.float32(size)
    brightness = draws.uniform(f"{name} brightness", 0.5, 1.0)
    colours = _hsv(draws.uniform(f"{name} hue"), draws.uniform(f"{name} strength", 0.2, 0.9), brightness)
    _blend(canvas, chosen, distance, colours[chosen][:, :, None, None])


def _add_copy(canvas: Floats, draws: Draws, copies: Copies, slot: int) -> None:
    """Adds one copy of the outline, in the scene's colours and texture, with its own rotation."""
    where = cover(draws, copies, slot, canvas.shape[-1])
    chosen = where.images
    hue = _hue(draws) + 0.5 + draws.uniform(f"shade{slot}", -0.04, 0.04)
    tones = [
        _hsv(
            hue + draws.uniform(f"{tone} shift", -0.06, 0.06),
            draws.uniform(f"{tone} strength", 0.25, 0.5),
            draws.uniform(f"{tone} brightness", 0.72, 1.0),
        )[chosen][:, :, None, None]
        for tone in ("first", "second")
    ]
    kinds = draws.choice("texture", (0.5, 0.4, 0.06, 0.04))[chosen]
    texture = _texture(
        kinds, where.u, where.v, draws.uniform("weave", 1.0, 2.0)[chosen], draws.uniform("phase")[chosen]
    )
    colours = tones[0] + (tones[1] - tones[0]) * texture[:, None]
    if (brightness := copies.brightness(slot)) is not None:
        colours = colours * brightness[chosen][:, None, None, None]
    _blend(canvas, chosen, where.distance_px, colours)
