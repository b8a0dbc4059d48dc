"""Converting folders and datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from image_folders import all_pixels, converted, picture
from PIL import Image

from benchmark.data.datasets import load_dataset
from benchmark.data.hdf5.convert import Reencode, convert_dataset
from benchmark.data.hdf5.format import open_container
from benchmark.data.hdf5.inspect import describe_contents
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_files_bytes_are_kept_with_little_overhead(folder: Path, tmp_path: Path) -> None:
    for index in range(40):
        picture(100 + index, 120, 120).save(folder / "train" / "ant" / f"large-{index}.jpg", quality=95)
    converted(folder, tmp_path / "x.h5")
    container = open_container(tmp_path / "x-train.h5")
    files = [path for name in ("ant", "bee") for path in sorted((folder / "train" / name).iterdir())]
    assert [container.read(index) for index in range(len(container))] == [path.read_bytes() for path in files]
    assert container.sizes_N2.tolist() == [list(Image.open(path).size[::-1]) for path in files]
    encoded = sum(path.stat().st_size for path in files)
    assert (tmp_path / "x-train.h5").stat().st_size <= 1.02 * encoded + 30_000  # HDF5's own tables
    assert sorted(child.name for child in tmp_path.iterdir()) == ["images", "x-test.h5", "x-train.h5"]


def test_reencoding_shrinks_the_short_side_and_repeats_to_the_byte(folder: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        converted(folder, tmp_path / f"{name}.h5", Reencode(24, 90))
    assert (tmp_path / "x-train.h5").read_bytes() == (tmp_path / "y-train.h5").read_bytes()
    sizes = open_container(tmp_path / "x-train.h5").sizes_N2
    assert sizes.min(axis=1).tolist() == [min(24, 20 + 4 * index) for index in range(6)] * 2


def test_unreadable_images_end_a_conversion_all_listed_or_are_left_out(folder: Path, tmp_path: Path) -> None:
    sound = (folder / "val" / "bee" / "1.jpg").read_bytes()
    for split in ("val", "train"):
        (folder / split / "bee" / "1.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"2 of 18 images cannot be used; nothing was kept") as refused:
        converted(folder, tmp_path / "x.h5")
    lines = str(refused.value).splitlines()
    assert [line.partition(":")[0] for line in lines[1:3]] == ["  train/bee/1.jpg", "  val/bee/1.jpg"]
    assert "--on-error skip" in lines[3]
    assert [child.name for child in tmp_path.iterdir()] == ["images"]
    (folder / "val" / "bee" / "1.jpg").write_bytes(sound)
    said = converted(folder, tmp_path / "x.h5", skip=True)
    assert len(said) == 1 and "1.jpg" in said[0]
    container = open_container(tmp_path / "x-train.h5")
    assert len(container) == 11 and container.skipped == ["train/bee/1.jpg"]
    assert ("left out", "1: train/bee/1.jpg") in describe_contents(container)


def test_an_image_too_long_for_jpeg_is_named(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (70_000, 20)).save(folder / "train" / "ant" / "long.png")
    Image.new("RGB", (40, 100_000)).save(folder / "val" / "ant" / "high.png")
    with pytest.raises(UserError, match="2 of 20 images cannot be used") as refused:
        converted(folder, tmp_path / "x.h5", Reencode(30))
    assert "train/ant/long.png: would be 70,000 x 20 pixels; a JPEG file has at most 65,500" in str(refused.value)
    assert "val/ant/high.png: would be 30 x 75,000 pixels" in str(refused.value)
    said = converted(folder, tmp_path / "x.h5", Reencode(30), skip=True)
    assert len(said) == 2 and len(open_container(tmp_path / "x-train.h5")) == 12
    said = converted(folder, tmp_path / "y.h5")  # as they are, they fit
    assert not said and len(open_container(tmp_path / "y-train.h5")) == 13


def test_a_dataset_without_files_is_written_without_loss(tmp_path: Path) -> None:
    shapes = load_dataset(DatasetSpec(name="shapes", shapes_train=60, shapes_test=20), None)
    convert_dataset(shapes, tmp_path / "s.h5", progress=lambda done, total: None, say=print)
    assert ("made as", "PNG of dataset 'shapes' at this size") in describe_contents(
        open_container(tmp_path / "s-train.h5")
    )
    again = load_dataset(DatasetSpec(name="hdf5"), tmp_path / "s.h5")
    assert again.image_size == 32 and again.classes == shapes.classes
    pixels = {
        bytes(image.numpy().tobytes()) for split in (shapes.train, shapes.validation) for image in all_pixels(split)
    }
    assert pixels == {bytes(i.numpy().tobytes()) for s in (again.train, again.validation) for i in all_pixels(s)}
    assert sorted(again.test.factors["scale"].tolist()) == pytest.approx(sorted(shapes.test.factors["scale"].tolist()))


def test_a_class_without_readable_images_is_named(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "train" / "bee").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="train has no readable image of class 'bee'"):
        converted(folder, tmp_path / "x.h5", skip=True)
    assert [child.name for child in tmp_path.iterdir()] == ["images"]


@pytest.mark.parametrize(
    ("short_side", "quality", "message"),
    [(7, 95, "--resize is 7; expected at least 8"), (8, 0, "--quality is 0; expected 1 to 100"), (8, 101, "is 101")],
)
def test_bad_options_of_encoding(short_side: int, quality: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Reencode(short_side, quality)
