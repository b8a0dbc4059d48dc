"""The registry of datasets: ours, those of installed packages, and what is refused before anything is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest
from packages import install_package
from pydantic import ValidationError

from benchmark.data.datasets import load_dataset
from benchmark.data.spec import (
    DatasetSpec,
    check_request,
    dataset_info,
    dataset_names,
    describe_datasets,
    most_training_images,
)
from benchmark.errors import UserError

GOOD = """
from benchmark.data.spec import DatasetInfo

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


def test_wrong_names_and_missing_files_are_refused_without_torch(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from benchmark.data.spec import DatasetSpec, check_request, dataset_names
from benchmark.errors import UserError

for name in dataset_names():
    spec = DatasetSpec(name=name)
    try:
        check_request(spec, None if name in ("shapes", "shapes-depth", "digits") else Path({str(tmp_path / "none")!r}))
    except UserError as error:
        print(error)
heavy = {{"torch", "torchvision", "h5py", "PIL", "sklearn", "scipy", "numpy"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 10  # all but the three embedded ones


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "shape"}, "unknown dataset 'shape'; did you mean 'shapes'"),
        ({"name": "digits", "pretrain": "train+unlabelled"}, "digits has no unlabelled split; stl10 has one"),
        ({"name": "digits", "shapes_train": 10}, "'shapes_train' does not apply to digits"),
        ({"validation_share": 0.0}, "greater than 0"),
        ({"train": 3}, "Extra inputs"),
    ],
)
def test_bad_configuration(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DatasetSpec(**values)


@pytest.mark.parametrize(
    ("spec", "path", "download", "message"),
    [
        (DatasetSpec(name="digits", size=7), None, False, "size is 7; expected 8 to 4096 pixels"),
        (DatasetSpec(name="shapes"), Path(), False, "--data does not apply to the embedded dataset 'shapes'"),
        (DatasetSpec(name="digits"), None, True, "--download does not apply to the embedded dataset 'digits'"),
        (DatasetSpec(name="folder"), None, False, "'folder' needs --data PATH: class folders, a CSV file"),
        (DatasetSpec(name="hdf5"), None, False, "'hdf5' needs --data PATH: X.h5 for X-train.h5"),
        (DatasetSpec(name="cifar10"), Path("nowhere"), False, "'cifar10' is not at nowhere, .*pass --download"),
        (DatasetSpec(name="folder"), Path("nowhere"), False, "nowhere: no such folder"),
        (DatasetSpec(name="hdf5"), Path("x.h5"), False, r"x\.h5: x-train\.h5 does not exist"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_read(
    spec: DatasetSpec, path: Path | None, download: bool, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_request(spec, path, download)


def test_files_are_looked_for_in_the_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_request(DatasetSpec(name="cifar10"), None, download=True).path == Path("data")
    (tmp_path / "data").mkdir()
    assert not check_request(DatasetSpec(name="cifar10"), None).download


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
        ("data_value", "MINE = 3", "MINE", "is 3; expected a benchmark.data.spec.DatasetInfo"),
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


def test_training_images_are_bounded_without_reading_any(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / "train" / "ant").mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / "ant" / f"{number}.png").touch()
    (tmp_path / "test").mkdir()
    folder = check_request(DatasetSpec(name="folder"), tmp_path)
    assert [most_training_images(folder, enough) for enough in (3, 9)] == [3, 5]
    few = check_request(DatasetSpec(name="folder", train_images=2), tmp_path)
    assert most_training_images(few, 9) == 2
    assert most_training_images(check_request(DatasetSpec(shapes_train=70), None), 9) == 70
    assert most_training_images(check_request(DatasetSpec(name="digits"), None), 9) is None
