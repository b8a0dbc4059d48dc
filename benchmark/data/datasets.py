"""The registry of datasets, and their splits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Images(Protocol):
    """Random access to decoded images of one size."""

    def __len__(self) -> int: ...

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` `(n,)` as uint8 `(n, 3, H, W)`."""
        ...


@dataclass(frozen=True)
class Split:
    """A part of a dataset: images, integer labels `(N,)`, and extra labels by name (a scene's factors)."""

    images: Images
    labels: Tensor
    factors: dict[str, Tensor] = field(default_factory=dict)
