"""`bench data`: from a folder of images to runs on the file made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

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


def test_a_file_is_the_folder_it_was_made_of(bench: Any, folder: Path, tmp_path: Path) -> None:
    code, printed = bench("data", "convert", folder, tmp_path / "x.h5")
    assert code == 0 and "x-train.h5" in printed and "x-test.h5" in printed, printed
    code, printed = bench("data", "inspect", tmp_path / "x-train.h5", "--sheet", tmp_path / "sheet.png")
    assert code == 0 and "80 of 2 classes" in printed and "ant 40, bee 40" in printed, printed
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
    assert code == 2 and "is there already" in printed


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


@pytest.mark.parametrize("method", ["simclr", "byol", "vicreg", "cnn_jepa", "ijepa", "supervised"])
def test_views_are_drawn(bench: Any, tmp_path: Path, method: str) -> None:
    code, printed = bench("data", "views", "--method", method, "--dataset", "digits", "--out", tmp_path / "views.png")
    assert code == 0, printed
    with Image.open(tmp_path / "views.png") as picture:
        assert picture.height == 8 * 100 - 4 and picture.width > 3 * 100
        assert len(set(picture.convert("L").getdata())) > 10
