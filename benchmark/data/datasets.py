"""The registry of datasets, and their splits."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field, model_validator

from benchmark.data.builtin import load_cifar, load_digits, load_imagenette, load_shapes, load_stl10
from benchmark.data.folder import load_folder
from benchmark.data.hdf5.source import load_hdf5
from benchmark.data.images import FirstImages, Images, LazyImages, ResidentImages
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
from methods.config import Config, Count, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmark.data.images import Progress
    from benchmark.data.sources import RawSplit, Source
    from methods.base import Method

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Dataset",
    "DatasetSpec",
    "Images",
    "LazyImages",
    "ResidentImages",
    "Split",
    "dataset_names",
    "load_dataset",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEFAULT_ROOT = Path("data")
RESIDENT_BYTES = 4 << 30
_SMALLEST = 8
_log = logging.getLogger(__name__)
_WITH_UNLABELLED = ("stl10",)
_EMBEDDED = ("shapes", "digits")
_NAMED_BY_PATH = ("folder", "hdf5")


class DatasetSpec(Config):
    """Which images, at what size, and how they are split.

    Attributes:
        name: one of `dataset_names()`.
        size: the input size in pixels. None takes 32 for shapes, digits and CIFAR, 96 for STL-10, 128 for
            Imagenette, and for a folder the images' own size where all are square, equal and at most 96 px, else 224.
        train_images: train on this many images, drawn class by class; the validation split is cut before, and stays.
        test_images: test on this many.
        validation_share: of train, cut off for validation.
        split_seed: of these draws.
        pretrain: what methods are trained on; probes always use the labelled train split.
        shapes_train: images that `shapes` draws, validation included.
        shapes_test: images that `shapes` draws for the test split.
        shapes_seed: of the drawing of `shapes`.
    """

    name: str = "shapes"
    size: int | None = None
    train_images: Count | None = None
    test_images: Count | None = None
    validation_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    split_seed: int = 0
    pretrain: Literal["train", "train+unlabelled"] = "train"
    shapes_train: Count = 6000
    shapes_test: Count = 2000
    shapes_seed: int = 0

    @model_validator(mode="after")
    def _fits(self) -> DatasetSpec:
        if self.name not in _LOADERS:
            raise ValueError(f"unknown dataset '{self.name}'; {nearest(self.name, _LOADERS)}")
        if self.pretrain != "train" and self.name not in _WITH_UNLABELLED:
            fits = ", ".join(_WITH_UNLABELLED)
            raise ValueError(f"pretrain is '{self.pretrain}', but {self.name} has no unlabelled split; {fits} has one")
        for key in ("shapes_train", "shapes_test", "shapes_seed"):
            if self.name != "shapes" and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"'{key}' does not apply to {self.name}, only to shapes")
        return self


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


def dataset_names() -> tuple[str, ...]:
    """The registry's names, the default first."""
    return tuple(_LOADERS)


def first_images(split: Split, count: int | None) -> Split:
    """The first images of a split, all of them for None. Their order is that of checksums, which is a random one."""
    if count is None or count >= len(split):
        return split
    held = split.images
    images = ResidentImages(held.pixels[:count]) if isinstance(held, ResidentImages) else FirstImages(held, count)
    factors = {name: values[:count] for name, values in split.factors.items()}
    return Split(images, split.labels[:count], factors)


def describe_datasets() -> list[tuple[str, str]]:
    """Names and a line about each, for lists."""
    return list(_DESCRIPTIONS.items())


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
    if spec.size is not None and spec.size < _SMALLEST:
        raise UserError(f"dataset '{spec.name}': size is {spec.size}; expected at least {_SMALLEST} pixels")
    if spec.name in _EMBEDDED and (path is not None or download):
        option = "--data" if path is not None else "--download"
        raise UserError(
            f"{option} does not apply to the embedded dataset '{spec.name}'; for your own images take an experiment "
            "on a folder (such as cpu), or --set dataset.name=folder"
        )
    source = _LOADERS[spec.name](spec, path, download, progress)
    if source.image_size < _SMALLEST:
        raise UserError(
            f"dataset '{spec.name}': its images are {source.image_size} px wide; set a size of at least {_SMALLEST}"
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
        name=path.resolve().stem if spec.name in _NAMED_BY_PATH and path is not None else spec.name,
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


def _folder(spec: DatasetSpec, path: Path | None, download: bool, progress: Progress | None) -> Source:
    del download
    if path is None:
        raise UserError("dataset 'folder' needs --data PATH: a folder with train/<class>/ and test/<class>/")
    return load_folder(path, spec.size, progress)


def _hdf5(spec: DatasetSpec, path: Path | None, download: bool, progress: Progress | None) -> Source:
    del download
    if path is None:
        raise UserError(
            "dataset 'hdf5' needs --data PATH: X.h5 for X-train.h5 and X-test.h5, as bench data convert writes"
        )
    return load_hdf5(path, spec.size, progress)


def _cifar(spec: DatasetSpec, path: Path | None, download: bool, progress: Progress | None) -> Source:
    del progress
    return load_cifar(spec.name, path or DEFAULT_ROOT, spec.size, download=download)


def _stl10(spec: DatasetSpec, path: Path | None, download: bool, progress: Progress | None) -> Source:
    del progress
    wanted = spec.pretrain == "train+unlabelled"
    return load_stl10(path or DEFAULT_ROOT, spec.size, download=download, unlabelled=wanted)


_LOADERS: dict[str, Callable[[DatasetSpec, Path | None, bool, Progress | None], Source]] = {
    "shapes": lambda spec, _path, _download, progress: load_shapes(
        spec.shapes_seed, spec.shapes_train, spec.shapes_test, spec.size, progress
    ),
    "digits": lambda spec, _path, _download, _progress: load_digits(spec.size),
    "cifar10": _cifar,
    "cifar100": _cifar,
    "stl10": _stl10,
    "imagenette": lambda spec, path, download, progress: load_imagenette(
        path or DEFAULT_ROOT, spec.size, download=download, progress=progress
    ),
    "folder": _folder,
    "hdf5": _hdf5,
}

_DESCRIPTIONS = {
    "shapes": "embedded: ten procedural shapes under nuisance, 32 to 96 px (the default)",
    "digits": "embedded: scikit-learn's handwritten digits, 8x8, resized to 32 px",
    "cifar10": "CIFAR-10 through torchvision, 32 px",
    "cifar100": "CIFAR-100 through torchvision, 32 px",
    "stl10": "STL-10 through torchvision, 96 px, with its unlabelled split",
    "imagenette": "Imagenette through torchvision, 128 px",
    "folder": "any folder of images with train/<class>/ and test/<class>/ or val/<class>/ (--data PATH)",
    "hdf5": "files that `bench data convert` wrote (--data X.h5 for X-train.h5 and X-test.h5)",
}
