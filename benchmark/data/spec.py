"""Which dataset an experiment takes, and the registry of datasets. Imports neither torch nor any image library.

A dataset is one file with a loader, and one line in `_OURS` below. An installed package adds its own through an entry
point of group `cnn_jepa_bench.datasets` that names a `DatasetInfo`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from benchmark.errors import UserError
from methods.config import Config, Count
from methods.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.data.sources import Source

DEFAULT_ROOT = Path("data")
SMALLEST_SIZE, LARGEST_SIZE = 8, 4096
MOST_SHAPES = 2_000_000
"""Images that `shapes` draws for a split: 6 GB of memory at 32 px."""


@dataclass(frozen=True)
class DatasetInfo:
    """What the suite knows of a dataset without reading it.

    Attributes:
        description: one line for `bench list datasets`.
        loader: `module:function`; the function takes a `LoadRequest` and returns a `benchmark.data.sources.Source`. The
            module is imported when the dataset is loaded.
        location: `embedded` datasets have no files; `root` ones are in a folder, `data/` unless `--data` names another;
            `path` ones need `--data`, and their records take its name.
        path_help: what `--data` has to name, for datasets that need it.
        check: `module:function`, called with the path before anything heavy is imported. The function raises
            `UserError` where the dataset's files are missing, and must not import torch. If what it returns has
            `train_folders`, the files in these are an upper bound on the training images. Empty for no check.
        classified: whether its images have classes. Others serve further protocols alone: nothing is trained on them.
        has_unlabelled: whether the loader gives an unlabelled split when `pretrain` is `train+unlabelled`.
    """

    name: str
    description: str
    loader: str
    location: Literal["embedded", "root", "path"] = "root"
    path_help: str = ""
    check: str = ""
    has_unlabelled: bool = False
    classified: bool = True


SHAPES_IN_DEPTH = "shapes-depth"
_DRAWN = ("shapes", SHAPES_IN_DEPTH)
_BUILTIN = "benchmark.data.builtin"
_ANNOTATED = "benchmark.data.annotated.load"
_OURS = {
    info.name: info
    for info in (
        DatasetInfo(
            "shapes",
            "embedded: ten procedural shapes under nuisance, 32 to 96 px (the default)",
            f"{_BUILTIN}:load_shapes",
            location="embedded",
        ),
        DatasetInfo(
            SHAPES_IN_DEPTH,
            "embedded: the shapes at depths of their own, nearer ones larger, brighter and in front; 32 to 96 px",
            f"{_BUILTIN}:load_shapes",
            location="embedded",
        ),
        DatasetInfo(
            "digits",
            "embedded: scikit-learn's handwritten digits, 8x8, resized to 32 px",
            f"{_BUILTIN}:load_digits",
            location="embedded",
        ),
        DatasetInfo("cifar10", "CIFAR-10 through torchvision, 32 px", f"{_BUILTIN}:load_cifar"),
        DatasetInfo("cifar100", "CIFAR-100 through torchvision, 32 px", f"{_BUILTIN}:load_cifar"),
        DatasetInfo(
            "stl10",
            "STL-10 through torchvision, 96 px, with its unlabelled split",
            f"{_BUILTIN}:load_stl10",
            has_unlabelled=True,
        ),
        DatasetInfo("imagenette", "Imagenette through torchvision, 128 px", f"{_BUILTIN}:load_imagenette"),
        DatasetInfo(
            "folder",
            "images of yours, in whatever layout they lie (--data PATH): class folders, a CSV file, HDF5 and others",
            "benchmark.data.folder:load_folder",
            location="path",
            path_help="class folders, a CSV file of paths and labels, X.h5 or others (docs/data.md)",
            check="benchmark.data.layouts.find:find_layout",
        ),
        DatasetInfo(
            "hdf5",
            "files that `bench data convert` wrote (--data X.h5 for X-train.h5 and X-test.h5)",
            "benchmark.data.folder:load_folder",
            location="path",
            path_help="X.h5 for X-train.h5 and X-test.h5, as bench data convert writes",
            check="benchmark.data.layouts.find:find_hdf5",
        ),
        DatasetInfo(
            "annotated",
            "images of yours with masks, depths or counts (--data PATH), for bench evaluate: images/ and masks/, "
            "ADE20K, Cityscapes, NYU Depth V2, a CSV file of counts, CLEVR, FSC-147",
            f"{_ANNOTATED}:load_annotated",
            location="path",
            path_help="images/ beside masks/ or depth/, a CSV file of counts, or others (docs/data.md)",
            check="benchmark.data.annotated.find:find_annotated",
            classified=False,
        ),
        DatasetInfo(
            "voc2012",
            "Pascal VOC 2012 with label maps and boxes through torchvision, for bench evaluate",
            f"{_ANNOTATED}:load_voc",
            classified=False,
        ),
        DatasetInfo(
            "voc2012-detection",
            "all images of Pascal VOC 2012 with boxes through torchvision, for bench evaluate",
            f"{_ANNOTATED}:load_voc",
            classified=False,
        ),
        DatasetInfo(
            "coco2017",
            "COCO 2017 with boxes and masks (train2017/, val2017/, annotations/), for bench evaluate",
            f"{_ANNOTATED}:load_coco",
            classified=False,
        ),
    )
}
_PLUGINS = Plugins("dataset", "cnn_jepa_bench.datasets", _OURS)


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
            fits = ", ".join(ours.name for ours in _OURS.values() if ours.has_unlabelled)
            raise ValueError(f"pretrain is '{self.pretrain}', but {self.name} has no unlabelled split; {fits} has one")
        for key in ("shapes_train", "shapes_test", "shapes_seed"):
            if self.name not in _DRAWN and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"'{key}' does not apply to {self.name}, only to {' and '.join(_DRAWN)}")
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


def dataset_names() -> tuple[str, ...]:
    """All known datasets: ours first, beginning with the default, then those of installed packages."""
    return _PLUGINS.names()


def describe_datasets() -> Iterator[tuple[str, str]]:
    """Names and a line about each, for lists. A package's broken dataset hides no other."""
    for name in dataset_names():
        try:
            yield name, dataset_info(name).description
        except ValueError as error:
            yield name, f"unusable: {error}"


def dataset_info(name: str) -> DatasetInfo:
    """The registry's entry of a dataset.

    Raises:
        ValueError: there is no such dataset (the nearest is named), several packages bring it, or the one that does
            cannot be loaded or brings something else.
    """
    point = _PLUGINS.find(name)
    if point is None:
        return _OURS[name]
    info: DatasetInfo = _PLUGINS.load(point, _problem)
    return info


def _problem(loaded: Any, name: str) -> str | None:
    """Why what a package brings is no dataset of this name; None where it is one."""
    if not isinstance(loaded, DatasetInfo):
        return f"is {loaded!r}; expected a benchmark.data.spec.DatasetInfo"
    return f"has the name '{loaded.name}'; expected '{name}'" if loaded.name != name else None


def check_classified(name: str) -> None:
    """Refuses a dataset whose images have no classes, for whatever is trained or scored by them.

    Raises:
        ValueError: says what it is for.
    """
    if not dataset_info(name).classified:
        raise ValueError(
            f"'{name}' has no classes to train on or to probe; it is for finished runs: bench evaluate RESULTS "
            f"--protocols dense --dataset {name}"
        )


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
        _resolve(info, info.check)(request.path)
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
    found = _resolve(info, info.check)(request.path) if info.check else None
    if folders := getattr(found, "train_folders", ()):
        files = (name for folder in folders for _, _, names in os.walk(folder, followlinks=True) for name in names)
        available = sum(1 for _ in islice(files, enough))
    elif spec.name in _DRAWN:
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
    source = _resolve(info, info.loader)(request)
    if not isinstance(source, Source):
        kind = type(source).__name__
        raise UserError(f"dataset '{info.name}': {info.loader} returned {kind}; expected benchmark.data.sources.Source")
    return source


def _resolve(info: DatasetInfo, target: str) -> Callable[..., Any]:
    """The function that `module:function` names."""
    try:
        resolved: Callable[..., Any] = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"dataset '{info.name}' cannot be loaded: importing {target} gave {type(error).__name__}: {error}"
        ) from error
    return resolved
