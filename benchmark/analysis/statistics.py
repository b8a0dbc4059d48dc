"""What several seeds say together: means, intervals and the Pareto front. Accuracies are in percent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import ndtri, stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Mean and spread of some values, in their unit.

    Attributes:
        n: how many values there are.
        mean: None without values.
        sd: standard deviation with n - 1 in the denominator; None for fewer than two values.
        ci95: half the width of the 95% interval of the mean (Student t); None for fewer than two values.
    """

    n: int
    mean: float | None
    sd: float | None
    ci95: float | None


def student_half_width(sd: float, n: int) -> float:
    """Half the width of the 95% interval of a mean, by Student's t.

    Args:
        sd: standard deviation of the values (n - 1 in the denominator).
        n: number of values, at least 2.

    Raises:
        ValueError: fewer than two values have no interval.
    """
    if n < 2:
        raise ValueError(f"n is {n}; an interval needs at least 2 values")
    return float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * sd / math.sqrt(n)


def summarise(values: Sequence[float | None]) -> Summary:
    """Mean, standard deviation and interval of what was measured; None values are left out."""
    known = [value for value in values if value is not None]
    n = len(known)
    if n == 0:
        return Summary(0, None, None, None)
    mean = math.fsum(known) / n
    if n == 1:
        return Summary(1, mean, None, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (n - 1))
    return Summary(n, mean, sd, student_half_width(sd, n))


def sampling_half_width(accuracy: float, images: int) -> float:
    """The sampling error of a test split: what another draw of as many images could change.

    Half the width of Wilson's 95% score interval. Away from 0 and 100% it is 1.96 sqrt(p (1 - p) / images) to within
    a few per cent; at 0 and 100% it does not become zero, as that formula would.

    Args:
        accuracy: in percent.
        images: number of images in the test split, at least 1.

    Returns:
        Percentage points.

    Raises:
        ValueError: an accuracy outside 0 to 100, or no images.
    """
    if not 0.0 <= accuracy <= 100.0:
        raise ValueError(f"accuracy is {accuracy}; expected percent, 0 to 100")
    if images < 1:
        raise ValueError(f"images is {images}; a test split has at least 1")
    z = float(ndtri(0.5 + CONFIDENCE / 2))
    p = accuracy / 100.0
    spread = math.sqrt(p * (1 - p) / images + z * z / (4 * images * images))
    return 100.0 * z * spread / (1 + z * z / images)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points that no other point beats: none is both as cheap and as accurate, and better in one.

    Args:
        points: (cost, accuracy) pairs; less cost and more accuracy are better.

    Returns:
        Indices by rising cost; of equal points the first alone.
    """
    front: list[int] = []
    best = -math.inf
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i)):
        if points[index][1] > best:
            front.append(index)
            best = points[index][1]
    return front
