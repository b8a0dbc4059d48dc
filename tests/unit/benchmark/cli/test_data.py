from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from image_folders import make_folder
from PIL import Image

from benchmark.data import datasets
from benchmark.data.spec import DatasetSpec
from benchmark.runs import method_views

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def no_image_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a dataset fails the test."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a dataset was loaded")

    monkeypatch.setattr(datasets, "load_dataset", fail)


@pytest.mark.usefixtures("no_image_is_read")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("convert digits x.h5 --on-error skip", "--on-error is for image folders"),
        ("convert imagenette x.h5", "bench data convert data/imagenette2-160 x.h5"),
        ("convert folder x.h5 --data images", "bench data convert FOLDER X.h5"),
        ("convert hdf5 x.h5 --data y.h5", "lie in HDF5 files already"),
        ("convert images x.h5 --data images", "--data says where a named dataset lies"),
        ("convert digits there.h5", "there-train.h5: exists without there-test.h5"),
        ("convert digits x.h5 --data images", "--data does not apply to the embedded dataset 'digits'"),
        ("views --method random_init --out x.png", "random_init sees no views"),
    ],
)
def test_a_mistake_is_refused_before_images_are_read(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there-train.h5").touch()
    code, printed = bench("data", *arguments.split())
    assert code == 2
    assert message in printed


def test_a_folder_is_converted_inspected_and_verified(bench: Any, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for split, count in (("train", 3), ("test", 1)):
        for name in ("ant", "bee"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / name / f"{number}.png")
    code, printed = bench("data", "convert", tmp_path / "images", tmp_path / "x.h5")
    train, test = tmp_path / "x-train.h5", tmp_path / "x-test.h5"
    assert (code, printed.split()[-2:]) == (0, [str(train), str(test)])
    code, printed = bench("data", "inspect", train, "--sheet", tmp_path / "sheet.png")
    assert code == 0 and "6 of 2 classes" in printed and (tmp_path / "sheet.png").is_file()
    assert bench("data", "verify", train) == (0, "6 of 6 images are sound\n")
    lines = bench("data", "inspect", tmp_path / "x.h5")[1].splitlines()
    assert lines[0].startswith("x: HDF5 files (x-train.h5, x-test.h5); 2 classes (ant, bee); ")
    code, printed = bench("data", "inspect", tmp_path / "x.h5", "--sheet", tmp_path / "two.png")
    assert code == 2 and "--sheet is for a single HDF5 file" in printed
    content = bytearray(train.read_bytes())
    start = content.index(b"\x89PNG")
    content[start + 40 : start + 60] = bytes(20)
    train.write_bytes(content)
    code, printed = bench("data", "verify", train)
    assert code == 1 and "5 of 6 images are sound" in printed and "bad: " in printed


def test_views_are_drawn_with_the_methods_recipe(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    digits = datasets.load_dataset(DatasetSpec(name="digits"), None)
    monkeypatch.setattr(datasets, "load_dataset", lambda spec, *_, **__: replace(digits, name=spec.name))
    monkeypatch.setattr(
        method_views, "write_gallery", lambda *arguments: seen.update(arguments=arguments) or ["view 1"]
    )
    out = tmp_path / "views.png"
    assert bench("data", "views", "--method", "simclr", "--out", out) == (
        0,
        f"columns: image; then three times: view 1\n{out}\n",
    )
    assert seen["arguments"][0].name == "shapes"
    assert seen["arguments"][1:] == ("simclr", "small", out)


def test_bad_images_are_looked_at_or_left_out(
    bench: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "images", train=4, test=2, width=32, height=32)
    assert bench("data", "inspect", root)[0] == 0
    (root / "train" / "bee" / "0.png").write_bytes(b"")
    code, printed = bench("data", "inspect", root)
    assert code == 1 and "classes (ant, bee" in printed and "32x32 px" in printed, printed
    assert "1 of 18 images cannot be used; bench run needs --on-error skip" in printed
    assert "train/bee/0.png: not a readable image (the file is empty)" in caplog.text
    monkeypatch.setattr(method_views, "write_gallery", lambda *_: ["view 1"])
    views = ("data", "views", "--method", "simclr", "--dataset", "folder", "--data", root, "--out", tmp_path / "x.png")
    code, printed = bench(*views)
    assert code == 2 and "1 of 18 images cannot be used; nothing was drawn" in printed, printed
    assert bench(*views, "--on-error", "skip")[0] == 0
