"""Who is probed, and on what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from benchmark.evaluation.features import extract

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from benchmark.data.datasets import Dataset, Split
    from benchmark.evaluation.protocols import ProbeData
    from methods.base import Encoder

    Labelled = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Subject:
    """A finished run's primary encoder before further protocols.

    Attributes:
        encoder: needs no recalibration any more; stays as it is.
        dataset: what is probed on.
        data: its splits, and how they are read.
        seed: of the run; of what a protocol draws for this run alone (heads, crops).
        precision: of the run's training; in force where a protocol trains the network itself.
        device: where all of it runs.
    """

    encoder: Encoder
    dataset: Dataset
    data: ProbeData
    seed: int
    precision: Literal["32", "bf16"]
    device: torch.device

    @cached_property
    def train(self) -> Labelled:
        """Frozen float32 features `(N, D)` of the train split, and labels `(N,)`; read once for all protocols."""
        return self._features(self.data.train)

    @cached_property
    def validation(self) -> Labelled:
        """Likewise, of the validation split."""
        return self._features(self.data.validation)

    @cached_property
    def test(self) -> Labelled:
        """Likewise, of the test split."""
        return self._features(self.data.test)

    def _features(self, split: Split) -> Labelled:
        features_ND = extract(self.encoder, split.images, self.data.normalise, self.device, precision="32")
        return features_ND, split.labels.cpu().long()
