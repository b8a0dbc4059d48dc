"""`segmentation-v1` and `segmentation-stages-v1`: a linear head on frozen feature maps.

Shape suffixes: B images of a batch, N images, D channels, h w cells, S pixels of a side, P sampled pixels, K labels,
M candidates.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from benchmark.data.annotations import IGNORE
from benchmark.evaluation.dense.maps import (
    SHOWN,
    annotations_of,
    at_pixels,
    feature_maps,
    keep_label_maps,
    lacking,
    last_map,
    place_maps,
    rows_at_once,
    stage_maps,
    statistics,
    upsampled,
)
from benchmark.evaluation.features import full_precision
from benchmark.randomness import generator, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmark.data.datasets import Split
    from benchmark.evaluation.dense.store import Store
    from benchmark.evaluation.subject import Subject
    from methods.base import Encoder

EPOCHS, BATCH, PIXELS = 20, 32, 64
LEARNING_RATES = (0.1, 1.0, 3.0)
STRENGTHS = (0.0, 1e-4, 1e-3)
CHANNELS = 128
"""With more channels, rates are smaller in proportion: a step then changes the logits as much on every network."""

MOMENTUM = 0.9


@dataclass(frozen=True)
class Labelled:
    """Feature maps `(N, D, h, w)` of a split, and its label maps `(N, S, S)`."""

    maps: Store
    labels: Store


def segmentation(subject: Subject) -> dict[str, float]:
    """`segmentation-v1`: mIoU and pixel accuracy on test, of a linear head on the last feature map. See `_score`."""
    return _score(subject, last_map)


def segmentation_stages(subject: Subject) -> dict[str, float]:
    """`segmentation-stages-v1`: the same on all stages of a CNN, on the grid of the last but one (`stage_maps`)."""
    return _score(subject, stage_maps)


def labelled_split(subject: Subject, split: Split, make: Callable[[Encoder, Tensor], Tensor] = last_map) -> Labelled:
    """Feature maps and label maps of a split.

    Raises:
        NotApplicableError: the dataset has no label maps, or none of a pixel that counts, or the encoder no such map.
    """
    read = annotations_of(subject, split).label_map
    if read is None:
        raise lacking(subject, "label maps")
    labels = place_maps(subject, split, read)
    if not any(bool((rows != IGNORE).any()) for _, rows in labels.batches(256)):
        raise lacking(subject, "labelled pixels in every split")
    return Labelled(feature_maps(subject, split, make), labels)


def label_count(subject: Subject) -> int:
    """K: how many labels there are."""
    return len(annotations_of(subject, subject.data.train).label_names)


def metrics(labels: int) -> MetricCollection:
    """Mean intersection over union and pixel accuracy; what has the label `IGNORE` does not count.

    A label that neither truth nor prediction has anywhere is left out of the mean.
    """
    return MetricCollection(
        {
            "miou": MulticlassJaccardIndex(labels, average="macro", ignore_index=IGNORE, validate_args=False),
            "pixel_accuracy": MulticlassAccuracy(labels, average="micro", ignore_index=IGNORE, validate_args=False),
        }
    )


def percents(collection: MetricCollection) -> dict[str, float]:
    """The scores of `metrics`, in percent."""
    return {name: 100.0 * float(value) for name, value in collection.compute().items()}


def most_frequent(labels: Store, count: int) -> int:
    """The label that most pixels have, of those that count."""
    frequency_K = torch.zeros(256, dtype=torch.int64)
    for _, rows in labels.batches(256):
        frequency_K += rows.flatten().long().bincount(minlength=256)
    return int(frequency_K[:count].argmax())


def floor_scores(test: Store, label: int, count: int) -> dict[str, float]:
    """What predicting one label everywhere scores."""
    collection = metrics(count)
    for _, rows in test.batches(256):
        collection.update(torch.full_like(rows, label).long(), rows.long())
    return {f"{name}_floor": value for name, value in percents(collection).items()}


def _score(subject: Subject, make: Callable[[Encoder, Tensor], Tensor]) -> dict[str, float]:
    """Scores in percent: `miou`, `pixel_accuracy`, the same of the most frequent label (`_floor`), and the choice.

    Batch norm without weights, whose statistics are those of all cells of train, then a 1x1 convolution, interpolated
    (bilinear) to the image's size. Cross-entropy at 64 random pixels of each image in every step; SGD with momentum
    0.9, batch 32, cosine over 20 epochs. Three learning rates and three L2 strengths at once, of which the validation
    split chooses by mIoU. A linear head on frozen features as in DINOv2 (2304.07193, section 7.4), whose schedule is
    longer. The settings are ours, and the same for every entry.

    Raises:
        NotApplicableError: see `labelled_split`.
    """
    data, count = subject.data, label_count(subject)
    train = labelled_split(subject, data.train, make)
    heads = Heads(train, count, subject)
    heads.train()
    validation = labelled_split(subject, data.validation, make)
    scores_M = heads.score(validation, range(len(heads.candidates)))
    best = max(range(len(scores_M)), key=lambda index: scores_M[index]["miou"])
    test = labelled_split(subject, data.test, make)
    kept: list[Tensor] = []
    (scores,) = heads.score(test, [best], kept)
    keep_label_maps(subject, test.labels, torch.cat(kept))
    lr, strength = heads.candidates[best]
    chosen = {"miou_validation": scores_M[best]["miou"], "lr": lr, "strength": strength}
    return {**scores, **floor_scores(test.labels, most_frequent(train.labels, count), count), **chosen}


class Heads:
    """Linear heads on standardised features, one for each learning rate and L2 strength, trained side by side.

    Attributes:
        candidates: learning rate and strength of each.
    """

    def __init__(self, train: Labelled, labels: int, subject: Subject) -> None:
        dimension = train.maps.rows.shape[1]
        rates = tuple(lr * min(1.0, CHANNELS / dimension) for lr in LEARNING_RATES)
        self.candidates = tuple(product(rates, STRENGTHS))
        self.labels, self.size = labels, subject.dataset.image_size
        self._data, self._seed, self._watch, self._device = train, subject.seed, subject.watch, subject.device
        with seeded(subject.seed, "segmentation head"):
            first = nn.Linear(dimension, labels)
        # No head differs from another but by its settings.
        self.heads = [copy.deepcopy(first).to(self._device) for _ in self.candidates]
        mean_D, deviation_D = statistics(train.maps)
        self._mean_D11, self._scale_D11 = (
            part.float().to(self._device)[:, None, None] for part in (mean_D, 1.0 / deviation_D)
        )

    def standard(self, maps_BDhw: Tensor) -> Tensor:
        """Feature maps after batch norm, on the device."""
        standard_BDhw: Tensor = (maps_BDhw.to(self._device) - self._mean_D11) * self._scale_D11
        return standard_BDhw

    def train(self) -> None:
        """Minimises each head's cross-entropy. Order and pixels are drawn with the run's seed."""
        groups = [
            {"params": [parameter], "lr": lr, "weight_decay": strength if parameter.ndim > 1 else 0.0}
            for head, (lr, strength) in zip(self.heads, self.candidates, strict=True)
            for parameter in head.parameters()
        ]
        optimizer = torch.optim.SGD(groups, lr=LEARNING_RATES[0], momentum=MOMENTUM)
        per_epoch = max(1, len(self._data.maps) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * per_epoch)
        with full_precision():
            for step, indices in enumerate(self._order(per_epoch)):
                optimizer.zero_grad()
                self._loss(indices, step).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                if (step + 1) % per_epoch == 0:
                    self._watch(f"segmentation, epoch {(step + 1) // per_epoch} of {EPOCHS}", 0)

    def _order(self, per_epoch: int) -> Iterator[Tensor]:
        for epoch in range(EPOCHS):
            order = torch.randperm(len(self._data.maps), generator=generator(self._seed, "segmentation order", epoch))
            for number in range(per_epoch):
                yield order[number * BATCH : (number + 1) * BATCH].sort().values

    def _loss(self, indices: Tensor, step: int) -> Tensor:
        """The sum over heads of the mean cross-entropy at sampled pixels; the heads share no weights."""
        draw = generator(self._seed, "segmentation pixels", step)
        pixels_BP2 = torch.randint(self.size, (len(indices), PIXELS, 2), generator=draw)
        rows = torch.arange(len(indices))[:, None]
        labels_BP = self._data.labels.read(indices)[rows, pixels_BP2[..., 1], pixels_BP2[..., 0]].long()
        maps_BDhw = self.standard(self._data.maps.read(indices))
        features_BPD = at_pixels(maps_BDhw, pixels_BP2.to(self._device), self.size)
        weights, biases = (torch.cat([getattr(head, name) for head in self.heads]) for name in ("weight", "bias"))
        logits_BPX = F.linear(features_BPD, weights, biases)
        logits_BPMK = logits_BPX.view(*logits_BPX.shape[:2], len(self.heads), self.labels)
        expected = labels_BP.to(self._device)[..., None].expand(logits_BPMK.shape[:-1])
        total = F.cross_entropy(logits_BPMK.flatten(0, 2), expected.flatten(), ignore_index=IGNORE, reduction="sum")
        return total / (labels_BP != IGNORE).sum().clamp_min(1).to(self._device)

    @torch.no_grad()
    def score(
        self, split: Labelled, chosen: Sequence[int], predictions: list[Tensor] | None = None
    ) -> list[dict[str, float]]:
        """The scores of some heads on a split.

        Args:
            predictions: receives the first head's label maps of the first images.
        """
        collections = [metrics(self.labels) for _ in chosen]
        with full_precision():
            for indices, maps_BDhw in split.maps.batches(rows_at_once(self.labels, self.size)):
                standard_BDhw = self.standard(maps_BDhw)
                labels_BSS = split.labels.read(indices).long()
                for collection, index in zip(collections, chosen, strict=True):
                    predicted_BSS = self._predicted(index, standard_BDhw)
                    collection.update(predicted_BSS, labels_BSS)
                    if predictions is not None and indices[0] < SHOWN:
                        predictions.append(predicted_BSS)
        return [percents(collection) for collection in collections]

    def _predicted(self, index: int, standard_BDhw: Tensor) -> Tensor:
        head = self.heads[index]
        logits_BKhw = F.conv2d(standard_BDhw, head.weight[:, :, None, None], head.bias)
        return upsampled(logits_BKhw, self.size).argmax(dim=1).cpu()
