"""The encoder that protocols score, and the splits of a dataset that they score it on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

from benchmark.data.views.augment import center_view
from benchmark.evaluation.features import extract, unwatched
from benchmark.evaluation.logistic import STRENGTHS, fit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch
    from torch import Tensor

    from benchmark.data.datasets import Dataset, Split
    from benchmark.data.images import Images
    from benchmark.evaluation.features import Watch
    from benchmark.evaluation.logistic import LinearFit
    from methods.base import Encoder

    Labelled = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ProbeData:
    """The splits that encoders are scored on.

    `pretraining` gives the batch-norm statistics of encoders that need recalibration. `normalise` turns uint8 images
    `(B, 3, H, W)` into the encoder's input `(B, 3, S, S)`.
    """

    pretraining: Images
    train: Split
    validation: Split
    test: Split
    num_classes: int
    normalise: Callable[[Tensor], Tensor]


def uncharged(seconds: float) -> None:
    """Counts nothing."""


def unkept(arrays: dict[str, Tensor]) -> None:
    """Keeps nothing."""


def probe_data(dataset: Dataset, image_size: int) -> ProbeData:
    """A dataset's splits for encoders that take images of `image_size` pixels."""
    normalise = partial(center_view, image_size=image_size, mean=dataset.mean, std=dataset.std)
    splits = (dataset.pretraining.images, dataset.train, dataset.validation, dataset.test)
    return ProbeData(*splits, num_classes=len(dataset.classes), normalise=normalise)


@dataclass(frozen=True, kw_only=True)
class FrozenSubject:
    """A frozen, recalibrated encoder and the data to score it on. A split's features are extracted once, at first use.

    `split` is the one to score; on `validation`, the test split is never read.

    Attributes:
        watch: is told what is being done, for a display.
        before: the same encoder on the same validation split and on the first images of the train split, or all of
            them: what was computed there is taken over.
    """

    encoder: Encoder
    data: ProbeData
    device: torch.device
    split: Literal["validation", "test"] = "test"
    watch: Watch = unwatched
    before: FrozenSubject | None = None

    @cached_property
    def train(self) -> Labelled:
        """Frozen float32 features `(N, D)` of the train split, and its labels `(N,)`."""
        return self._features(self.data.train, None if self.before is None else self.before.train)

    @cached_property
    def validation(self) -> Labelled:
        """Likewise, of the validation split."""
        return self._features(self.data.validation, None if self.before is None else self.before.validation)

    @cached_property
    def test(self) -> Labelled:
        """Likewise, of the test split."""
        assert self.split == "test", "the test split is not to be read"
        return self._features(self.data.test)

    @cached_property
    def linear_fit(self) -> LinearFit:
        """The classifiers of `linear-v1` on the train split, one for each strength."""
        if self.before is not None and len(self.before.data.train) == len(self.data.train):
            return self.before.linear_fit

        def watch(solved: int) -> None:
            self.watch(f"linear classifiers, {solved} of {len(STRENGTHS)} fitted", 0)

        return fit(*self.train, self.data.num_classes, device=self.device, watch=watch)

    def _features(self, split: Split, known: Labelled | None = None) -> Labelled:
        features_ND = extract(
            self.encoder,
            split.images,
            self.data.normalise,
            self.device,
            known=None if known is None else known[0],
            watch=self.watch,
        )
        return features_ND, split.labels.cpu().long()


@dataclass(frozen=True, kw_only=True)
class Subject(FrozenSubject):
    """A finished run's primary encoder, for the protocols that are run on request.

    Heads and crops of a protocol that trains are drawn with the run's seed. `precision` is that of the run's training,
    used where a protocol trains the network itself.

    Attributes:
        keep: receives what a protocol leaves beside its scores, arrays by name: predictions for a few test images.
        folder: where a protocol may save the state of an unfinished training; None for nowhere.
        charge: is told the seconds that earlier calls spent on what this one goes on with.
    """

    dataset: Dataset
    seed: int
    precision: Literal["32", "bf16"]
    keep: Callable[[dict[str, Tensor]], None] = unkept
    folder: Path | None = None
    charge: Callable[[float], None] = uncharged
