"""The registry of datasets. Imports neither torch nor any image library.

A dataset is one file with a loader, and one line in `_OURS` below. An installed package adds its own through an entry
point of group `cnn_jepa_bench.datasets` that names a `DatasetInfo`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

from benchmark.errors import UserError
from methods.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
DRAWN = ("shapes", SHAPES_IN_DEPTH)
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


def dataset_names() -> tuple[str, ...]:
    """All known datasets: ours first, beginning with the default, then those of installed packages."""
    return _PLUGINS.names()


def having_unlabelled() -> tuple[str, ...]:
    """Our datasets that have an unlabelled split."""
    return tuple(info.name for info in _OURS.values() if info.has_unlabelled)


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
        return f"is {loaded!r}; expected a benchmark.data.registry.DatasetInfo"
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


def resolve(info: DatasetInfo, target: str) -> Callable[..., Any]:
    """The function that `module:function` names, for a dataset.

    Raises:
        UserError: it cannot be imported.
    """
    try:
        resolved: Callable[..., Any] = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"dataset '{info.name}' cannot be loaded: importing {target} gave {type(error).__name__}: {error}"
        ) from error
    return resolved
