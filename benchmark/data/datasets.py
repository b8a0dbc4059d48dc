"""Loaded datasets: their splits, identity and normalisation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from benchmark.data.images import FirstImages, Images, LazyImages, ResidentImages
from benchmark.data.spec import SMALLEST_SIZE, check_request, dataset_info, load_source
from benchmark.data.splits import (
    Manifest,
    build_manifest,
    draw,
    in_canonical_order,
    stratified_quotas,
    validation_quotas,
)
from benchmark.errors import UserError
from benchmark.records.schema import DatasetRecord

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from benchmark.data.images import Progress
    from benchmark.data.sources import RawSplit, Source
    from benchmark.data.spec import DatasetSpec
    from methods.base import Method

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Dataset",
    "Images",
    "LazyImages",
    "ResidentImages",
    "Split",
    "load_dataset",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
RESIDENT_BYTES = 4 << 30
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """A part of a dataset: images, integer labels `(N,)`, and extra labels by name (a scene's factors)."""

    images: Images
    labels: Tensor
    factors: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Images, split and identified.

    The images of a split are in the order of their checksums, so that neither names nor places of files decide what
    a seed draws.

    Attributes:
        name: in the registry; of a folder or file, its own name.
        classes: their names, in the order of the labels.
        image_size: the input size in pixels. Images larger than 96 px are kept as a square of 256/224 times that.
        train: labelled, without the validation split.
        validation: cut from train; whatever is chosen is chosen on it.
        test: touched once a run.
        unlabelled: more images for pretraining, labels -1; None unless asked for.
        manifest: what the splits are made of.
        mean: of the normalisation, by channel, for values in [0, 1]. ImageNet's for every dataset and method: a
            constant of the dataset would be one more thing to tell rows apart by, and batch norm makes up for it.
        std: likewise.
        joined: train and unlabelled as one split, where that is what methods are trained on.
        seen_test_images: test images of the source that lie in its train, too.
    """

    name: str
    classes: tuple[str, ...]
    image_size: int
    train: Split
    validation: Split
    test: Split
    unlabelled: Split | None
    manifest: Manifest
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    joined: Split | None = None
    seen_test_images: int = 0

    @property
    def pretraining(self) -> Split:
        """What methods are trained on that read no labels."""
        return self.joined or self.train

    def trained_on(self, method: type[Method[Any]]) -> Split:
        """What a method is trained on: where it reads labels, the labelled images alone."""
        return self.train if method.reads_labels else self.pretraining

    def record(self) -> DatasetRecord:
        """The dataset as records hold it."""
        return DatasetRecord(
            name=self.name,
            manifest=self.manifest.digest,
            classes=len(self.classes),
            counts=self.manifest.counts,
            seen_test_images=self.seen_test_images,
        )


def first_images(split: Split, count: int | None) -> Split:
    """The first images of a split, all of them for None. Their order is that of checksums, which is a random one."""
    if count is None or count >= len(split):
        return split
    held = split.images
    images = ResidentImages(held.pixels[:count]) if isinstance(held, ResidentImages) else FirstImages(held, count)
    factors = {name: values[:count] for name, values in split.factors.items()}
    return Split(images, split.labels[:count], factors)


def load_dataset(
    spec: DatasetSpec,
    path: Path | None,
    download: bool = False,
    *,
    progress: Progress | None = None,
    resident_limit: int | None = None,
) -> Dataset:
    """Reads a dataset and cuts its splits.

    Args:
        spec: which one.
        path: where it lies; None takes `data/` (and is an error for `folder`). `shapes` and `digits` lie nowhere.
        download: whether torchvision may fetch what is not there.
        progress: called with (done, of how many) while files are read and decoded.
        resident_limit: bytes up to which decoded images of a folder or file are kept in memory; None for
            `RESIDENT_BYTES`. Beyond it, training crops of images of many sizes are drawn from the whole of each.

    Raises:
        UserError: the data is missing, damaged or too small for what is asked; says where and what.
    """
    source = load_source(replace(check_request(spec, path, download), progress=progress))
    if source.image_size < SMALLEST_SIZE:
        raise UserError(
            f"dataset '{spec.name}': its images are {source.image_size} px wide; set a size of at least {SMALLEST_SIZE}"
        )
    seen = _seen_test_images(source)
    chosen = _choose(spec, source)
    total = sum(len(indices) for _, indices in chosen.values())
    limit = RESIDENT_BYTES if resident_limit is None else resident_limit
    resident = total * 3 * source.side**2 <= limit
    splits = {name: _open(*part, resident=resident, progress=progress) for name, part in chosen.items()}
    content = {}
    for name, (raw, indices) in chosen.items():
        labels = raw.labels.tolist()
        content[name] = ([labels[i] for i in indices], [raw.checksums[i] for i in indices])
    manifest = build_manifest(source.classes, content)
    train, unlabelled, joined = splits["train"], splits.get("unlabelled"), None
    if unlabelled is not None:
        train, unlabelled, joined = _join(train, unlabelled)
    return Dataset(
        name=path.resolve().stem if path and dataset_info(spec.name).location == "path" else spec.name,
        classes=source.classes,
        image_size=source.image_size,
        train=train,
        validation=splits["validation"],
        test=splits["test"],
        unlabelled=unlabelled,
        manifest=manifest,
        joined=joined,
        seen_test_images=seen,
    )


def _seen_test_images(source: Source) -> int:
    """How many test images lie in train, too, which makes the test easier than it looks; warned about."""
    known = set(source.train.checksums)
    both = sum(code in known for code in source.test.checksums)
    if both:
        _log.warning("%d of the %d test images are in train, too", both, len(source.test.checksums))
    return both


def _choose(spec: DatasetSpec, source: Source) -> dict[str, tuple[RawSplit, list[int]]]:
    """Which images of which raw split make each split, in canonical order."""
    labels, codes = source.train.labels.tolist(), source.train.checksums
    everything = range(len(codes))
    validation, train = draw(
        everything,
        validation_quotas(labels, source.classes, spec.validation_share),
        labels,
        codes,
        f"{spec.split_seed}/validation",
    )
    train = _subset(spec, "train", train, source.train, spec.train_images, len(source.classes))
    test = list(range(len(source.test.checksums)))
    test = _subset(spec, "test", test, source.test, spec.test_images, len(source.classes))
    chosen = {
        "train": (source.train, train),
        "validation": (source.train, validation),
        "test": (source.test, test),
    }
    if source.unlabelled is not None:
        chosen["unlabelled"] = (source.unlabelled, list(range(len(source.unlabelled.checksums))))
    return {
        name: (raw, in_canonical_order(indices, raw.labels.tolist(), raw.checksums))
        for name, (raw, indices) in chosen.items()
    }


def _subset(
    spec: DatasetSpec, name: str, indices: list[int], raw: RawSplit, total: int | None, classes: int
) -> list[int]:
    if total is None:
        return indices
    labels = raw.labels.tolist()
    # The commonest mistake: a folder that is smaller than the experiment expects.
    most = "all that the validation split leaves; null takes these" if name == "train" else "all there are"
    quotas = stratified_quotas([labels[i] for i in indices], classes, total, f"{name}_images", most)
    return draw(indices, quotas, labels, raw.checksums, f"{spec.split_seed}/{name}")[0]


def _open(raw: RawSplit, indices: list[int], *, resident: bool, progress: Progress | None) -> Split:
    places = torch.tensor(indices)
    images = raw.open(places, resident=resident, progress=progress)
    return Split(images, raw.labels[places], {name: values[places] for name, values in raw.factors.items()})


def _join(train: Split, unlabelled: Split) -> tuple[Split, Split, Split]:
    """Both parts as views of one tensor, and the whole: no image is held twice."""
    parts = [split.images for split in (train, unlabelled)]
    pixels = torch.cat([part.pixels for part in parts if isinstance(part, ResidentImages)])
    border = len(train)
    first = Split(ResidentImages(pixels[:border]), train.labels, train.factors)
    second = Split(ResidentImages(pixels[border:]), unlabelled.labels)
    return first, second, Split(ResidentImages(pixels), torch.cat([train.labels, unlabelled.labels]))
