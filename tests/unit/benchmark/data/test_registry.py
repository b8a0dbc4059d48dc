"""The registry of datasets: ours, and those of installed packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from packages import install_package
from pydantic import ValidationError

from benchmark.data.datasets import load_dataset
from benchmark.data.registry import dataset_info, dataset_names, describe_datasets
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
from benchmark.data.registry import DatasetInfo

MINE = DatasetInfo("mine", "two greys", f"{__name__}:load", location="embedded")

def load(request):
    import torch
    from benchmark.data.sources import Source, array_split

    labels = torch.arange(40) % 2
    pixels = torch.arange(40).repeat_interleave(3 * 64).view(40, 3, 8, 8).byte()
    return Source(("even", "odd"), 8, 8, array_split(pixels, labels, 8), array_split(pixels[:4] + 100, labels[:4], 8))
"""


class Install(Protocol):
    def __call__(self, package: str, points: str, code: str = ...) -> None: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a made-up package that registers entry points."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(package: str, points: str, code: str = GOOD) -> None:
        install_package(tmp_path, package, "cnn_jepa_bench.datasets", points, code)

    return write


def test_our_names_begin_with_the_default() -> None:
    ours = (
        "shapes",
        "shapes-depth",
        "digits",
        "cifar10",
        "cifar100",
        "stl10",
        "imagenette",
        "folder",
        "hdf5",
        "annotated",
        "voc2012",
        "voc2012-detection",
        "coco2017",
    )
    assert dataset_names() == ours
    assert DatasetSpec().name == ours[0]
    assert [name for name, _ in describe_datasets()] == list(ours)


def test_an_installed_dataset_is_listed_after_ours_and_loads(install: Install) -> None:
    install("data_good", "mine = data_good:MINE")
    assert dataset_names()[-1] == "mine"
    assert dict(describe_datasets())["mine"] == "two greys"
    dataset = load_dataset(DatasetSpec(name="mine"), None)
    assert (dataset.name, dataset.classes, dataset.image_size) == ("mine", ("even", "odd"), 8)
    assert dataset.manifest.counts == {"train": 36, "validation": 4, "test": 4}


@pytest.mark.parametrize(
    ("package", "code", "point", "message"),
    [
        ("data_gone", GOOD, "GONE", "importing data_gone:GONE gave AttributeError"),
        ("data_import", "import no_such_library", "MINE", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("data_value", "MINE = 3", "MINE", "is 3; expected a benchmark.data.registry.DatasetInfo"),
        ("data_name", GOOD.replace('"mine"', '"hers"'), "MINE", "has the name 'hers'; expected 'mine'"),
    ],
)
def test_a_package_that_brings_no_dataset_is_named(
    install: Install, package: str, code: str, point: str, message: str
) -> None:
    install(package, f"mine = {package}:{point}", code)
    with pytest.raises(ValidationError, match=f"dataset 'mine' of package {package} 1.2.*{message}"):
        DatasetSpec(name="mine")
    listed = dict(describe_datasets())
    assert message in listed["mine"] and listed["digits"].startswith("embedded")


@pytest.mark.parametrize(
    ("package", "code", "message"),
    [
        ("data_loader", GOOD.replace("def load(", "def other("), "importing data_loader:load gave AttributeError"),
        (
            "data_result",
            GOOD.replace("    import torch\n", "    return 3\n"),
            "data_result:load returned int; expected",
        ),
    ],
)
def test_a_broken_loader_is_named(install: Install, package: str, code: str, message: str) -> None:
    install(package, f"mine = {package}:MINE", code)
    with pytest.raises(UserError, match=f"dataset 'mine'.*{message}"):
        load_dataset(DatasetSpec(name="mine"), None)


def test_a_name_that_two_packages_bring_is_refused(install: Install) -> None:
    install("data_one", "mine = data_one:MINE")
    install("data_two", "mine = data_two:MINE\ndigits = data_two:MINE")
    with pytest.raises(ValueError, match=r"'mine' comes from data_one 1\.2 and from data_two 1\.2; uninstall one"):
        dataset_info("mine")
    with pytest.raises(ValueError, match=r"'digits' comes from this suite itself and from data_two 1\.2"):
        dataset_info("digits")
    assert dataset_names().count("digits") == 1
