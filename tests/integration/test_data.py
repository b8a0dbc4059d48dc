"""`bench data`: a folder of images is converted, inspected, verified and trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.data import datasets
from benchmark.data import loader as batches
from benchmark.data.spec import DatasetSpec
from benchmark.errors import Interrupted
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import run_specs
from benchmark.experiment.spec import load_experiment
from benchmark.machine.interrupt import StopSignal
from benchmark.runs.progress import Reporter
from benchmark.runs.run import Run
from benchmark.training.loop import Callbacks, Training, train

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, number in (("train", 40), ("test", 10)):
        for label, name in enumerate(("ant", "bee")):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for index in range(number):
                draw = np.random.default_rng([label, index, split == "test"])
                pixels = draw.integers(0, 128, (32, 32, 3), dtype=np.uint8) + np.uint8(100 * label)
                Image.fromarray(pixels).save(place / f"{index}.png")
    return tmp_path / "images"


@pytest.mark.slow
def test_a_converted_file_gives_the_same_runs_as_its_folder(bench: Any, folder: Path, tmp_path: Path) -> None:
    code, printed = bench("data", "convert", folder, tmp_path / "x.h5")
    assert code == 0 and "x-train.h5" in printed and "x-test.h5" in printed, printed
    code, printed = bench("data", "inspect", tmp_path / "x-train.h5", "--sheet", tmp_path / "sheet.png")
    assert code == 0 and "80 of 2 classes" in printed and "ant 40, bee 40" in printed, printed
    assert "made as    the files' bytes, unchanged" in printed and "digest     " in printed, printed
    assert (tmp_path / "sheet.png").stat().st_size > 0
    code, printed = bench("data", "verify", tmp_path / "x-train.h5")
    assert code == 0 and "80 of 80 images are sound" in printed, printed

    out = tmp_path / "out"
    for name, path in (("folder", folder), ("hdf5", tmp_path / "x.h5")):
        config = bench.config(dataset={"name": name, "size": 32}, entries=["simclr", "random_init"])
        code, printed = bench("run", config, "--data", path, "--out", out)
        assert code == 0, printed
    assert "nothing to do" in printed  # the same images are the same runs
    code, printed = bench("data", "convert", folder, tmp_path / "x.h5")
    assert code == 2 and "exists already" in printed


def test_a_bad_image_is_named(bench: Any, folder: Path, tmp_path: Path) -> None:
    (folder / "train" / "bee" / "7.png").write_bytes(b"")
    code, printed = bench("data", "convert", folder, tmp_path / "x.h5")
    assert code == 2 and "7.png" in printed and "--on-error skip" in printed
    assert not list(tmp_path.glob("*.h5"))
    code, printed = bench("data", "convert", folder, tmp_path / "x.h5", "--on-error", "skip")
    assert code == 0 and "left out" in printed
    train = tmp_path / "x-train.h5"
    content = bytearray(train.read_bytes())
    start = content.find(b"\x89PNG")
    content[start + 60] ^= 255
    train.write_bytes(content)
    code, printed = bench("data", "verify", train)
    assert code == 1 and "bad: image 0 (class 'ant')" in printed and "78 of 79 images are sound" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "nowhere", "x.h5"), "nowhere: no such folder"),
        (("convert", "digits", "x.png"), "has to end in .h5"),
        (("convert", "digits", "x.h5", "--resize", "64"), "--resize is for image folders"),
        (("convert", "digits", "x.h5", "--on-error", "ignore"), "choices: fail, skip"),
        (("convert", "digits", "x.h5", "--on-error", "skip"), "--on-error is for image folders"),
        (("convert", "digits", "x.h5", "--quality", "90"), "it needs --resize"),
        (("convert", "imagenette", "x.h5"), "bench data convert data/imagenette2-160 x.h5"),
        (("convert", "folder", "x.h5", "--data", "images"), "bench data convert FOLDER X.h5"),
        (("convert", "hdf5", "x.h5", "--data", "y.h5"), "lie in HDF5 files already"),
        (("convert", "images", "x.h5", "--data", "images"), "--data says where a named dataset lies"),
        (("inspect", "nowhere.h5"), "no such file"),
        (("views", "--method", "simcl", "--out", "x.png"), "did you mean 'simclr'?"),
        (("views", "--method", "random_init", "--out", "x.png"), "sees no views"),
        (("views", "--method", "simclr", "--dataset", "shape", "--out", "x.png"), "did you mean 'shapes'?"),
    ],
)
def test_bad_input(bench: Any, tmp_path: Path, monkeypatch: Any, arguments: Any, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed = bench("data", *arguments)
    assert code == 2 and message in printed, printed


def test_converting_stl10_says_that_unlabelled_images_are_left_out(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = datasets.load_dataset(DatasetSpec(name="digits"), None)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: digits)
    code, printed = bench("data", "convert", "stl10", tmp_path / "x.h5", "--data", tmp_path)
    assert code == 0 and "unlabelled images are left out" in printed, printed
    code, printed = bench("data", "inspect", tmp_path / "x-train.h5")
    assert code == 0 and "made as    PNG of dataset 'digits'" in printed, printed


@pytest.mark.parametrize("method", ["simclr", "byol", "vicreg", "cnn_jepa", "ijepa", "supervised"])
def test_views_are_drawn(bench: Any, tmp_path: Path, method: str) -> None:
    code, printed = bench("data", "views", "--method", method, "--dataset", "digits", "--out", tmp_path / "views.png")
    assert code == 0, printed
    with Image.open(tmp_path / "views.png") as picture:
        assert picture.height == 8 * 100 - 4 and picture.width > 3 * 100
        assert len(set(picture.convert("L").getdata())) > 10


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """JPEGs of many sizes."""
    for split, number in (("train", 24), ("test", 6)):
        for label, name in enumerate(("ant", "bee")):
            place = tmp_path / "photos" / split / name
            place.mkdir(parents=True)
            for index in range(number):
                draw = np.random.default_rng([label, index, split == "test"])
                shape = (40 + 9 * (index % 4), 70 - 8 * (index % 5), 3)
                pixels = draw.integers(0, 128, shape, dtype=np.uint8) + np.uint8(100 * label)
                Image.fromarray(pixels).save(place / f"{index}.jpg")
    return tmp_path / "photos"


class _Stopping(Callbacks):
    """Callbacks that save, and stop before a step."""

    def __init__(self, run: Run, stop: int | None) -> None:
        self.run, self.stop = run, stop

    def save(self, training: Training) -> None:
        self.run.save(training)

    def stop_requested(self) -> bool:
        assert self.run.training is not None
        return self.run.training.step == self.stop


@pytest.mark.slow
@pytest.mark.parametrize(("size", "other"), [(32, 16), (16, 24)])
def test_reading_ahead_and_interruptions_do_not_change_runs_whose_reader_crops(
    bench: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, other: int
) -> None:
    """The two views differ in size: a large crop at the input size, a small one at another."""
    views = [{"crop_scale": [0.3, 1.0], "jitter": 0.8, "hue": 0.1}, {"size": other, "crop_scale": [0.05, 0.3]}]
    entry = {"method": "vicreg", "overrides": {"views": views, "projector_hidden": 32, "output_dim": 32}}
    path = bench.config(dataset={"name": "folder", "size": size}, budget={"steps": 8}, entries=[entry])
    experiment, source = load_experiment(str(path), settings=["precision=32"])
    dataset = datasets.load_dataset(experiment.dataset, photos, resident_limit=0)
    (plan,) = run_specs(experiment, resolve_entries(experiment, source), dataset.image_size)
    found = {}
    for name, ahead, stops in (("ahead", 2, ()), ("late", 0, ()), ("parts", 2, (3, 4)), ("late parts", 0, (5,))):
        monkeypatch.setattr(batches, "AHEAD", ahead)
        for stop in (*stops, None):
            reporter: Any = Reporter
            run = Run(plan, dataset, torch.device("cpu"), tmp_path / name, reporter, StopSignal(print))
            assert run.training is not None
            if stop is None:
                assert train(run.training, _Stopping(run, None), points=8) == "completed"
            else:
                with pytest.raises(Interrupted):
                    train(run.training, _Stopping(run, stop), points=8)
                assert run.training.step == stop
            run.close()
        found[name] = [line for line in run.training.history if line["kind"] == "train"]
        weights = run.method.state_dict()
        found[name] += [{key: value.double().sum().item() for key, value in weights.items()}]
    assert len(found["ahead"]) == 9
    assert found["ahead"] == found["late"] == found["parts"] == found["late parts"]


@pytest.mark.slow
def test_records_say_who_crops(bench: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = bench.config(dataset={"name": "folder", "size": 16}, entries=["random_init"])
    for out, limit, crops in (("memory", 1 << 30, "device"), ("disk", 0, "reader")):
        monkeypatch.setattr(datasets, "RESIDENT_BYTES", limit)
        code, printed = bench("run", config, "--data", photos, "--out", tmp_path / out)
        assert code == 0, printed
        assert bench.records(tmp_path / out)["random_init"].crops == crops
    code, printed = bench(
        "data", "views", "--dataset", "folder", "--data", photos, "--method", "simclr", "--out", tmp_path / "v.png"
    )
    assert code == 0 and (tmp_path / "v.png").stat().st_size > 0, printed
