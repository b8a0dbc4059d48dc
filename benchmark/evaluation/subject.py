"""The encoder that protocols score, and the splits of a dataset that they score it on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

from benchmark.data.views.augment import center_view
from benchmark.evaluation.features import extract

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from benchmark.data.datasets import Dataset, Split
    from benchmark.data.images import Images
    from methods.base import Encoder

    Labelled = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ProbeData:
    """The splits that encoders are scored on.

    Attributes:
        pretraining: for the batch-norm statistics of encoders that need recalibration.
        train: fits the probe; is the bank of neighbours.
        validation: chooses the strength; scored during training.
        test: scored once, at the end.
        num_classes: K.
        normalise: turns uint8 images `(B, 3, H, W)` into the encoder's input `(B, 3, S, S)`.
    """

    pretraining: Images
    train: Split
    validation: Split
    test: Split
    num_classes: int
    normalise: Callable[[Tensor], Tensor]


def probe_data(dataset: Dataset, image_size: int) -> ProbeData:
    """A dataset's splits for encoders that take images of `image_size` pixels."""
    normalise = partial(center_view, image_size=image_size, mean=dataset.mean, std=dataset.std)
    return ProbeData(
        pretraining=dataset.pretraining.images,
        train=dataset.train,
        validation=dataset.validation,
        test=dataset.test,
        num_classes=len(dataset.classes),
        normalise=normalise,
    )


@dataclass(frozen=True, kw_only=True)
class FrozenSubject:
    """A frozen encoder and the data to score it on. The features of a split are extracted once, at first use.

    Attributes:
        encoder: already recalibrated; it is not changed.
        data: the splits, and how images are normalised.
        device: where features are extracted and probes are fitted.
        split: the split to score; on `validation`, the test split is never read.
    """

    encoder: Encoder
    data: ProbeData
    device: torch.device
    split: Literal["validation", "test"] = "test"

    @cached_property
    def train(self) -> Labelled:
        """Frozen float32 features `(N, D)` of the train split, and its labels `(N,)`."""
        return self._features(self.data.train)

    @cached_property
    def validation(self) -> Labelled:
        """Likewise, of the validation split."""
        return self._features(self.data.validation)

    @cached_property
    def test(self) -> Labelled:
        """Likewise, of the test split."""
        assert self.split == "test", "the test split is not to be read"
        return self._features(self.data.test)

    def _features(self, split: Split) -> Labelled:
        return extract(self.encoder, split.images, self.data.normalise, self.device), split.labels.cpu().long()


@dataclass(frozen=True, kw_only=True)
class Subject(FrozenSubject):
    """A finished run's primary encoder, for the protocols that are run on request.

    Attributes:
        dataset: what `data` is of.
        seed: the run's; heads and crops of a protocol that trains are drawn with it.
        precision: of the run's training; used where a protocol trains the network itself.
    """

    dataset: Dataset
    seed: int
    precision: Literal["32", "bf16"]
