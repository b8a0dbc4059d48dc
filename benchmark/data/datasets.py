"""Loaded datasets: their splits, identity and normalisation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from benchmark.data.bad_images import BadImagesError, listed, refusal
from benchmark.data.images import FirstImages, ResidentImages
from benchmark.data.inventory import inventory
from benchmark.data.listing import check_classes
from benchmark.data.registry import dataset_info
from benchmark.data.spec import SMALLEST_SIZE, check_request, load_source
from benchmark.data.splits import build_manifest, draw, in_canonical_order, stratified_quotas, validation_quotas
from benchmark.errors import UserError
from benchmark.records.schema import DatasetRecord
from benchmark.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from benchmark.data.annotations import Annotations
    from benchmark.data.bad_images import BadImage
    from benchmark.data.decode import Progress
    from benchmark.data.images import Images
    from benchmark.data.inventory import Inventory
    from benchmark.data.sources import RawSplit, Source
    from benchmark.data.spec import DatasetSpec
    from benchmark.data.splits import Manifest
    from methods.base import Method

    Selections = dict[str, tuple[RawSplit, Sequence[int]]]  # images by their numbers in a raw split, by split

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
RESIDENT_BYTES = 4 << 30
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """A part of a dataset.

    Attributes:
        labels: integers `(N,)`.
        factors: further labels by name, `(N,)` each, such as a scene's number of objects.
        annotations: what is known of the images by place; None where nothing is.
    """

    images: Images
    labels: Tensor
    factors: dict[str, Tensor] = field(default_factory=dict)
    annotations: Annotations | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A loaded dataset: its splits and its identity.

    The images of a split are in the order of their checksums, so that neither names nor locations of files decide what
    a seed draws.

    Attributes:
        name: in the registry; for a folder or an HDF5 file, its own name.
        image_size: the input size in pixels. Images larger than 96 px are kept as a square of 256/224 times that size.
        train: labelled, without the validation split.
        pretraining: the training images of methods that read no labels; with the unlabelled ones, whose labels are -1,
            if `pretrain` asks for them.
        validation: cut from train; everything that is selected is selected on it.
        test: scored once per run.
        mean: of the normalisation, by channel, for values in [0, 1]. All datasets use ImageNet's: with constants of its
            own, a dataset's rows would differ in one more way, and batch norm compensates for the difference.
        seen_test_images: number of test images that are also in the source's train split.
        layout: how the images lie on the disk, in words; empty for named datasets.
        sizes: the images' own sizes, in words.
        notes: what was left out or decided while the images were listed, a sentence each.
        left_out: images that cannot be used and were left out.
        inventory: the source's images by split and name; None where they have no names, or there are very many.
    """

    name: str
    classes: tuple[str, ...]
    image_size: int
    train: Split
    pretraining: Split
    validation: Split
    test: Split
    manifest: Manifest
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    seen_test_images: int = 0
    layout: str = ""
    sizes: str = ""
    notes: tuple[str, ...] = ()
    left_out: tuple[BadImage, ...] = ()
    inventory: Inventory | None = None

    def trained_on(self, method: type[Method[Any]]) -> Split:
        """The training images of a method: only the labelled ones if it reads labels."""
        return self.train if method.reads_labels else self.pretraining

    def record(self) -> DatasetRecord:
        """The dataset as records describe it; what no record can hold of names of files is escaped."""
        return DatasetRecord(
            name=on_one_line(self.name),
            manifest=self.manifest.digest,
            classes=len(self.classes),
            counts=self.manifest.counts,
            seen_test_images=self.seen_test_images,
            layout=self.layout,
            sizes=self.sizes,
            notes=[on_one_line(note) for note in self.notes],
            left_out={on_one_line(image.name): on_one_line(image.reason) for image in self.left_out},
        )

    def summary(self) -> str:
        """What was found, in a line: layout, classes, images by split, sizes."""
        names = ", ".join(self.classes[:3]) + (", ..." if len(self.classes) > 3 else "")
        counts = ", ".join(f"{count:,} {split}" for split, count in self.manifest.counts.items())
        return (
            f"{self.name}: {self.layout}; {len(self.classes):,} classes ({names}); {counts} images; "
            f"{self.sizes}, used at {self.image_size} px"
        )


def first_images(split: Split, count: int | None) -> Split:
    """The first `count` images of a split, which are a random sample because checksums order them; None takes all."""
    if count is None or count >= len(split):
        return split
    images = split.images
    first = ResidentImages(images.pixels[:count]) if isinstance(images, ResidentImages) else FirstImages(images, count)
    factors = {name: values[:count] for name, values in split.factors.items()}
    return Split(first, split.labels[:count], factors, split.annotations)


def load_dataset(
    spec: DatasetSpec,
    path: Path | None,
    download: bool = False,
    *,
    progress: Progress | None = None,
    resident_limit: int | None = None,
    skip_bad: bool = False,
    outcome: str = "nothing was trained",
) -> Dataset:
    """Loads a dataset and cuts its splits.

    Decoded images of a folder or file are kept in memory up to `resident_limit` bytes (`RESIDENT_BYTES` by default).
    Above it, training crops of images of several sizes are drawn from each whole image.

    Images that cannot be used are refused, all at once; with `skip_bad` they are left out instead, and the dataset is
    the one that it would be without these files. They are found while checksums are read, as far as their markers show
    (`benchmark.data.examine`), and where images are decoded into memory. The refusal says `outcome`, too.

    Raises:
        UserError: the data is missing, damaged or too small for the configuration.
    """
    source = load_source(replace(check_request(spec, path, download), progress=progress))
    place = path or f"dataset '{spec.name}'"
    limit = RESIDENT_BYTES if resident_limit is None else resident_limit
    source, selections, splits = _open(spec, source, place, limit, progress, skip_bad=skip_bad, outcome=outcome)
    if source.bad:
        _log.warning("%s: left out %d of %d images\n%s", place, len(source.bad), _total(source), listed(source.bad))
    content = {
        name: (splits[name].labels.tolist(), [raw.checksums[index] for index in indices])
        for name, (raw, indices) in selections.items()
    }
    manifest = build_manifest(source.classes, content)
    train = pretraining = splits["train"]
    if "unlabelled" in splits:
        train, pretraining = _join(train, splits["unlabelled"])
    return Dataset(
        name=path.resolve().stem if path and dataset_info(spec.name).location == "path" else spec.name,
        classes=source.classes,
        image_size=source.image_size,
        train=train,
        pretraining=pretraining,
        validation=splits["validation"],
        test=splits["test"],
        manifest=manifest,
        seen_test_images=_count_seen_test_images(source),
        layout=source.layout,
        sizes=source.sizes,
        notes=(*source.notes, *_capped(spec, manifest.counts)),
        left_out=source.bad,
        inventory=inventory(source),
    )


def _open(
    spec: DatasetSpec,
    source: Source,
    place: Path | str,
    limit: int,
    progress: Progress | None,
    *,
    skip_bad: bool,
    outcome: str,
) -> tuple[Source, Selections, dict[str, Split]]:
    """Selects and opens the splits; returns them with the source, without the images that could not be decoded.

    Without these, other images may be drawn, which may be bad, too. If bad images are not to be skipped, one look is
    enough to refuse all that it shows.
    """
    while True:
        try:
            _check(spec, source, place)
            selections = _select(spec, source)
        except UserError as error:  # what is too few may be so for want of the bad images
            if source.bad and skip_bad:
                raise UserError(f"{error}; left out as unreadable:\n{listed(source.bad)}") from None
            raise refusal(place, source.bad, _total(source), outcome) if source.bad else error from None
        resident = sum(len(indices) for _, indices in selections.values()) * 3 * source.side**2 <= limit
        splits, bad = {}, dict[str, str]()
        for name, (raw, indices) in selections.items():
            indices_N = torch.tensor(indices)
            try:
                images = raw.open(indices_N, resident=resident, progress=progress)
            except BadImagesError as error:
                assert raw.name is not None, "only encoded images can be bad, which have names"
                bad |= {raw.name(indices[position]): reason for position, reason in error.reasons.items()}
                continue
            factors = {factor: values[indices_N] for factor, values in raw.factors.items()}
            annotations = None if raw.annotations is None else raw.annotations.at(indices_N)
            splits[name] = Split(images, raw.labels[indices_N], factors, annotations)
        if bad:
            assert source.without is not None
            source = source.without(bad)
        if source.bad and not skip_bad:
            raise refusal(place, source.bad, _total(source), outcome)
        if not bad:
            return source, selections, splits


def _total(source: Source) -> int:
    """The number of all images, bad ones included."""
    return len(source.train.labels) + len(source.test.labels) + len(source.bad)


def _check(spec: DatasetSpec, source: Source, place: Path | str) -> None:
    """Refuses a source of one class, whose images are too small, or that has none to test on."""
    check_classes(source.classes, place)
    if source.problem:
        raise UserError(source.problem)
    if not len(source.test.labels):
        raise UserError("there is no readable image in the test split")
    if source.image_size < SMALLEST_SIZE:
        raise UserError(
            f"dataset '{spec.name}': its images are {source.image_size} px wide; set a size of at least {SMALLEST_SIZE}"
        )


def _count_seen_test_images(source: Source) -> int:
    """How many test images are also in train, which makes the test easier than it should be; logs a warning."""
    train_checksums = set(source.train.checksums)
    seen = sum(checksum in train_checksums for checksum in source.test.checksums)
    if seen:
        _log.warning("%d of the %d test images are in train, too", seen, len(source.test.checksums))
    return seen


def _capped(spec: DatasetSpec, counts: dict[str, int]) -> list[str]:
    """Which splits are smaller than the configuration says, because there are fewer images."""
    return [
        f"{name}_images is {total:,}; there are {counts[name]:,}, and all are taken"
        for name, total in (("train", spec.train_images), ("test", spec.test_images))
        if total is not None and total > counts[name]
    ]


def _select(spec: DatasetSpec, source: Source) -> Selections:
    """The raw split and the image indices that make each split, in canonical order."""
    labels, checksums = source.train.labels.tolist(), source.train.checksums
    quotas = validation_quotas(labels, source.classes, spec.validation_share)
    validation, train = draw(range(len(labels)), quotas, labels, checksums, f"{spec.split_seed}/validation")
    selections: Selections = {
        "train": (source.train, train),
        "validation": (source.train, validation),
        "test": (source.test, range(len(source.test.labels))),
    }
    if source.unlabelled is not None:
        selections["unlabelled"] = (source.unlabelled, range(len(source.unlabelled.labels)))
    for name, total in (("train", spec.train_images), ("test", spec.test_images)):
        raw, indices = selections[name]
        if total is not None and total <= len(indices):
            labels = raw.labels.tolist()
            own_labels = [labels[index] for index in indices]
            quotas = stratified_quotas(own_labels, len(source.classes), total, f"{name}_images")
            selections[name] = raw, draw(indices, quotas, labels, raw.checksums, f"{spec.split_seed}/{name}")[0]
    return {
        name: (raw, in_canonical_order(indices, raw.labels.tolist(), raw.checksums))
        for name, (raw, indices) in selections.items()
    }


def _join(train: Split, unlabelled: Split) -> tuple[Split, Split]:
    """Train alone and with the unlabelled images. Both share one tensor, so that no image is held twice."""
    parts = [split.images for split in (train, unlabelled)]
    pixels = torch.cat([part.pixels for part in parts if isinstance(part, ResidentImages)])
    both = Split(ResidentImages(pixels), torch.cat([train.labels, unlabelled.labels]))
    return replace(train, images=ResidentImages(pixels[: len(train)])), both
