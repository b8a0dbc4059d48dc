"""Places labels so that they hide neither each other nor the data; deterministic. Lengths are display pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.report import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

# Beside and above first: that is where a reader looks for a name.
_ANGLES = (0, 180, 30, 150, 330, 210, 60, 120, 300, 240, 90, 270, 15, 165, 345, 195, 75, 105, 285, 255)
_RADII = (6, 9, 13, 18, 25, 34, 45, 58, 72)  # points
_PARTS = 8  # of a line, at whose ends its name is tried out
_LEADER_FROM = 13  # points; a label farther off gets a thin line to its point


@dataclass(frozen=True)
class Box:
    """A rectangle in display coordinates."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, x: float, y: float, half: float) -> Box:
        """The square with this centre and half side length."""
        return cls(x - half, y - half, x + half, y + half)

    def overlap(self, other: Box) -> float:
        """The common area in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    def inside(self, other: Box) -> bool:
        """Whether it lies completely inside the other."""
        beside = other.left <= self.left and self.right <= other.right
        return beside and other.bottom <= self.bottom and self.top <= other.top


@dataclass(frozen=True)
class Label:
    """A text for the point at `(x, y)`, in data coordinates; or for a level line from there to `along`."""

    text: str
    x: float
    y: float
    colour: str
    along: float | None = None

    def points(self) -> list[tuple[float, float]]:
        """The points that the label may be next to: its point, or several on its line, from the left on."""
        if self.along is None:
            return [(self.x, self.y)]
        return [(self.x + (self.along - self.x) * part / _PARTS, self.y) for part in range(_PARTS + 1)]


@dataclass(frozen=True)
class Placement:
    """The place of a label: its box, and the weight of what it covers."""

    label: Label
    box: Box
    covered: float


def choose(
    width: float,
    height: float,
    point: tuple[float, float],
    scale: float,
    frame: Box,
    obstacles: Sequence[tuple[Box, float]],
) -> tuple[Box, float, float]:
    """The first place around a point where a label covers nothing, or the one where it covers least.

    Args:
        width: of the label; `height` likewise.
        point: in display coordinates.
        scale: pixels per point (1/72 inch).
        frame: the label stays inside it.
        obstacles: boxes to leave uncovered, each with the weight of a square pixel.

    Returns:
        The label's box, its distance from the point in points, and the weight of what it covers.
    """
    best: tuple[Box, float, float] | None = None
    for radius in _RADII:
        for angle in _ANGLES:
            box = _beside(width, height, point, radius * scale, math.radians(angle))
            if not box.inside(frame):
                continue
            covered = sum(weight * box.overlap(obstacle) for obstacle, weight in obstacles)
            if covered <= 0.0:
                return box, float(radius), 0.0
            if best is None or covered < best[2]:
                best = box, float(radius), covered
    if best is None:
        return _beside(width, height, point, _RADII[0] * scale, 0.0), float(_RADII[0]), 0.0
    return best


def _beside(width: float, height: float, point: tuple[float, float], distance: float, angle: float) -> Box:
    """The label's box with the middle of its near side, or its near corner, at a distance from the point."""
    dx, dy = math.cos(angle), math.sin(angle)
    centre_x = point[0] + distance * dx + width / 2 * max(-1.0, min(1.0, 1.6 * dx))
    centre_y = point[1] + distance * dy + height / 2 * max(-1.0, min(1.0, 1.2 * dy))
    return Box(centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2)


def segment(start: tuple[float, float], end: tuple[float, float], half_width: float) -> list[Box]:
    """Boxes that follow a line from one point to another, for use as obstacles."""
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    count = max(1, min(200, round(length / (2 * half_width))))
    boxes = []
    for i in range(count + 1):
        x = start[0] + (end[0] - start[0]) * i / count
        y = start[1] + (end[1] - start[1]) * i / count
        boxes.append(Box.around(x, y, half_width))
    return boxes


def place(
    axes: Axes, labels: Sequence[Label], obstacles: Sequence[tuple[Box, float]], size: float = 7
) -> list[Placement]:
    """Writes labels next to their points, from the top of the figure down, and returns their places in that order.

    The axes' limits have to be final. Obstacles are boxes in display coordinates that labels should not cover, with
    their weights; the font's size is in points.
    """
    scale, inverse = axes.figure.dpi / 72, axes.transData.inverted()
    frame = Box(*axes.get_window_extent().extents)
    taken = list(obstacles)
    done: list[Placement] = []
    for label in sorted(labels, key=lambda label: (-label.y, label.x, label.text)):
        text = axes.text(label.x, label.y, label.text, fontsize=size, color=label.colour, parse_math=False)
        drawn = text.get_window_extent()
        tried = []
        for number, point in enumerate(label.points()):
            x, y = axes.transData.transform(point)
            box, distance, covered = choose(drawn.width + 2, drawn.height, (float(x), float(y)), scale, frame, taken)
            tried.append((covered, distance, number, point, box))
        covered, distance, _, point, box = min(tried, key=lambda attempt: attempt[:3])
        x, y = inverse.transform(((box.left + box.right) / 2, (box.bottom + box.top) / 2))
        text.set_position((float(x), float(y)))
        text.set(ha="center", va="center", zorder=6)
        # A white ground rather than an outline: matplotlib writes outlined text into an SVG as shapes, not as text.
        text.set_bbox({"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.4})
        if distance >= _LEADER_FROM:
            x, y = axes.transData.transform(point)
            end = inverse.transform((min(max(x, box.left), box.right), min(max(y, box.bottom), box.top)))
            axes.plot(*zip(point, end, strict=True), color=style.FAINT, linewidth=0.4, zorder=2.5)
        taken.append((box, 8.0))
        done.append(Placement(label, box, covered))
    return done
