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


def test_unreadable_images_end_a_conversion_or_are_left_out_and_listed(folder: Path, tmp_path: Path) -> None:
    sound = (folder / "val" / "bee" / "1.jpg").read_bytes()
    for split in ("val", "train"):
        (folder / split / "bee" / "1.jpg").write_bytes(b"no image")
        with pytest.raises(UserError, match=r"bee/1\.jpg: not a readable image.*--on-error skip"):
            converted(folder, tmp_path / "x.h5")
        assert [child.name for child in tmp_path.iterdir()] == ["images"]
    (folder / "val" / "bee" / "1.jpg").write_bytes(sound)
    assert [child.name for child in tmp_path.iterdir()] == ["images"]
    said = converted(folder, tmp_path / "x.h5", skip=True)
    assert len(said) == 1 and "1.jpg" in said[0]
    container = open_container(tmp_path / "x-train.h5")
    assert len(container) == 11 and container.skipped == ["train/bee/1.jpg"]
    assert ("left out", "1: train/bee/1.jpg") in describe_contents(container)


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
