"""Which dataset is asked for: what is refused before anything is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchmark.data.spec import DatasetSpec, check_request, most_training_images
from benchmark.errors import UserError


def test_wrong_names_and_missing_files_are_refused_without_torch(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from benchmark.data.registry import dataset_names
from benchmark.data.spec import DatasetSpec, check_request
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
