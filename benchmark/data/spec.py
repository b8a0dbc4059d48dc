"""Which dataset an experiment takes, and where its files are. Imports neither torch nor any image library."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from benchmark.data.registry import DRAWN, dataset_info, having_unlabelled, resolve
from benchmark.errors import UserError
from methods.config import Config, Count

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.data.sources import Source

DEFAULT_ROOT = Path("data")
SMALLEST_SIZE, LARGEST_SIZE = 8, 4096
MOST_SHAPES = 2_000_000
"""Images that `shapes` draws for a split: 6 GB of memory at 32 px."""


class DatasetSpec(Config):
    """Which images, at what size, and how they are split.

    Attributes:
        name: one of `dataset_names()`.
        size: the input size in pixels. None takes 32 for shapes, digits and CIFAR, 96 for STL-10, 128 for
            Imagenette, and for a folder the images' own size where all are square, equal and at most 96 px, else 224.
        train_images: largest number of training images, drawn class by class from what the validation split leaves;
            None takes all, and so does a larger number than there are.
        test_images: largest number of test images, drawn likewise.
        validation_share: share of train that becomes the validation split.
        test_share: share of each class that becomes the test split, for images of yours that have no labelled one.
        split_seed: seed of these draws.
        pretrain: splits that methods without labels are trained on; probes always use the labelled train split.
        shapes_train: images that `shapes` draws for train, including the validation split.
        shapes_test: images that `shapes` draws for the test split.
        shapes_seed: seed of the images that `shapes` draws.
    """

    name: str = "shapes"
    size: int | None = None
    train_images: Count | None = None
    test_images: Count | None = None
    validation_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    test_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    split_seed: int = 0
    pretrain: Literal["train", "train+unlabelled"] = "train"
    shapes_train: Annotated[Count, Field(le=MOST_SHAPES)] = 6000
    shapes_test: Annotated[Count, Field(le=MOST_SHAPES)] = 2000
    shapes_seed: int = 0

    @model_validator(mode="after")
    def _fits(self) -> DatasetSpec:
        info = dataset_info(self.name)
        if self.pretrain != "train" and not info.has_unlabelled:
            fits = ", ".join(having_unlabelled())
            raise ValueError(f"pretrain is '{self.pretrain}', but {self.name} has no unlabelled split; {fits} has one")
        for key in ("shapes_train", "shapes_test", "shapes_seed"):
            if self.name not in DRAWN and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"'{key}' does not apply to {self.name}, only to {' and '.join(DRAWN)}")
        return self


@dataclass(frozen=True)
class LoadRequest:
    """What a dataset's loader receives.

    Attributes:
        path: where the files are; `data/` where the user names no other place. Embedded datasets ignore it.
        download: whether the loader may fetch missing files.
        progress: called with (done, total) while files are read.
    """

    spec: DatasetSpec
    path: Path
    download: bool = False
    progress: Callable[[int, int], None] | None = None


def check_request(spec: DatasetSpec, path: Path | None, download: bool = False) -> LoadRequest:
    """Resolves where a dataset's files are, and refuses what can be refused without torch and without reading images.

    The path is as given by `--data`, or None for the dataset's default.

    Raises:
        UserError: the size is too small, an option does not apply, or the dataset's files are missing.
    """
    info = dataset_info(spec.name)
    if spec.size is not None and not SMALLEST_SIZE <= spec.size <= LARGEST_SIZE:
        raise UserError(
            f"dataset '{spec.name}': size is {spec.size}; expected {SMALLEST_SIZE} to {LARGEST_SIZE} pixels"
        )
    if info.location == "embedded" and (path is not None or download):
        option = "--data" if path is not None else "--download"
        raise UserError(
            f"{option} does not apply to the embedded dataset '{spec.name}'; for your own images take an experiment "
            "on a folder (such as cpu), or --set dataset.name=folder"
        )
    if info.location == "path" and path is None:
        raise UserError(f"dataset '{spec.name}' needs --data PATH: {info.path_help}")
    request = LoadRequest(spec, path or DEFAULT_ROOT, download)
    if info.location == "root" and not download and not request.path.is_dir():
        raise not_found(request)
    if info.check:
        resolve(info, info.check)(request.path)
    return request


def not_found(request: LoadRequest) -> UserError:
    """The error for a downloadable dataset whose files are missing or incomplete."""
    return UserError(
        f"dataset '{request.spec.name}' is not at {request.path}, or not whole; "
        "pass --download to fetch it, or --data PATH to say where it is"
    )


def most_training_images(request: LoadRequest, enough: int) -> int | None:
    """An upper bound on the training images, without reading any; None where none is known.

    Files are not counted beyond `enough`.
    """
    spec = request.spec
    info = dataset_info(spec.name)
    found = resolve(info, info.check)(request.path) if info.check else None
    if folders := getattr(found, "train_folders", ()):
        files = (name for folder in folders for _, _, names in os.walk(folder, followlinks=True) for name in names)
        available = sum(1 for _ in islice(files, enough))
    elif spec.name in DRAWN:
        available = spec.shapes_train
    else:
        return spec.train_images
    return available if spec.train_images is None else min(available, spec.train_images)


def load_source(request: LoadRequest) -> Source:
    """The images and labels of a dataset, as its loader gives them.

    Raises:
        UserError: the loader cannot be imported, returns something else, or refuses the files.
    """
    from benchmark.data.sources import Source

    info = dataset_info(request.spec.name)
    source = resolve(info, info.loader)(request)
    if not isinstance(source, Source):
        kind = type(source).__name__
        raise UserError(f"dataset '{info.name}': {info.loader} returned {kind}; expected benchmark.data.sources.Source")
    return source
