"""Random numbers for procedural images, computed by hashing, in bulk, and equal on every machine.

Shape suffixes: N images.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from benchmark.randomness import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]

_DIRECTIONS = 1024


class Draws:
    """Uniform numbers by name, each a hash of (seed, stream, name, index, column), for images of some indices `(N,)`.

    NumPy's generators guarantee neither equal numbers in every version, nor one image's numbers without the others'.
    """

    def __init__(self, seed: int, stream: str, indices: Integers) -> None:
        self.seed, self.stream, self.indices = seed, stream, indices

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> Floats:
        """Uniform in [low, high), `(N,)`."""
        return self.table(name, 1, low, high)[:, 0]

    def table(self, name: str, columns: int, low: float = 0.0, high: float = 1.0) -> Floats:
        """Uniform in [low, high), `(N, columns)`, in steps of 2^-24 of the range."""
        key = np.uint64(derive_seed(self.seed, f"{self.stream}/{name}"))
        positions = self.indices.astype(np.uint64)[:, None] * np.uint64(1 << 20) + np.arange(columns, dtype=np.uint64)
        bits = _mix(_mix((positions + key).astype(np.uint64)) ^ key)
        unit = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        values: Floats = np.float32(low) + unit * np.float32(high - low)
        return values

    def choice(self, name: str, weights: tuple[float, ...]) -> Integers:
        """Indices into `weights`, drawn in proportion to them, `(N,)`."""
        edges = [math.fsum(weights[:count]) / math.fsum(weights) for count in range(1, len(weights))]
        return np.searchsorted(np.asarray(edges, dtype=np.float32), self.uniform(name), side="right")

    def direction(self, name: str, turns: float = 0.5) -> tuple[Floats, Floats]:
        """Cosine and sine of a uniform angle of up to `turns` to either side, each `(N,)`."""
        steps = np.floor(self.uniform(name, -turns, turns) * np.float32(_DIRECTIONS)).astype(np.int64)
        table = _directions()[steps % _DIRECTIONS]
        return table[:, 0], table[:, 1]


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014, section 5): a bijection that scatters the bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed


@lru_cache(maxsize=1)
def _directions() -> Floats:
    """Cosine and sine of evenly spread angles, rounded so that no math library's last digit matters."""
    angles = (2 * math.pi * step / _DIRECTIONS for step in range(_DIRECTIONS))
    return np.array([(round(math.cos(angle), 6), round(math.sin(angle), 6)) for angle in angles], dtype=np.float32)
