"""HDF5 files of images: what goes in comes out, and what is not whole is refused by name."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.data.datasets import load_dataset
from benchmark.data.hdf5 import write as hdf5_writer
from benchmark.data.hdf5.convert import Reencode, convert_dataset, convert_folder
from benchmark.data.hdf5.format import open_container
from benchmark.data.hdf5.inspect import contact_sheet, describe_contents, differs_from_digest, unsound
from benchmark.data.hdf5.numbered import NumberedFiles
from benchmark.data.hdf5.paths import split_paths
from benchmark.data.hdf5.source import open_any
from benchmark.data.images import LazyImages
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError


def picture(seed: int, width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of several sizes and kinds."""
    seed = 0
    for split, number in (("train", 6), ("val", 3)):
        for name in ("ant", "bee"):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for index in range(number):
                suffix = ("png", "jpg", "webp")[index % 3]
                picture(seed, 20 + 4 * index, 30).save(place / f"{index}.{suffix}")
                seed += 1
    return tmp_path / "images"


def converted(folder: Path, out: Path, reencode: Reencode | None = None, *, skip: bool = False) -> list[str]:
    said: list[str] = []
    convert_folder(folder, out, reencode, skip=skip, progress=lambda done, total: None, say=said.append)
    return said


def all_pixels(split: Any) -> torch.Tensor:
    return split.images.read(torch.arange(len(split)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("lazy", [False, True])
def test_the_same_images_are_the_same_dataset_in_either_container(folder: Path, tmp_path: Path, lazy: bool) -> None:
    converted(folder, tmp_path / "x.h5")
    limit = 0 if lazy else 1 << 30
    one = load_dataset(DatasetSpec(name="folder", size=16), folder, resident_limit=limit)
    other = load_dataset(DatasetSpec(name="hdf5", size=16), tmp_path / "x.h5", resident_limit=limit)
    assert one.manifest == other.manifest and one.classes == other.classes
    for name in ("train", "validation", "test"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert torch.equal(mine.labels, theirs.labels)
        assert torch.equal(all_pixels(mine), all_pixels(theirs))


def test_the_bytes_are_those_of_the_files_and_cost_little_more(folder: Path, tmp_path: Path) -> None:
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


def test_chunks_are_no_borders(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_writer, "_SMALLEST_CHUNK", 64)
    monkeypatch.setattr(hdf5_writer, "_LARGEST_CHUNK", 64)
    converted(folder, tmp_path / "x.h5")
    assert open_container(tmp_path / "x-train.h5").chunk == 64
    assert not list(unsound(open_container(tmp_path / "x-train.h5")))


def test_made_anew_the_short_side_shrinks_and_two_conversions_are_equal(folder: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        converted(folder, tmp_path / f"{name}.h5", Reencode(24, 90))
    assert (tmp_path / "x-train.h5").read_bytes() == (tmp_path / "y-train.h5").read_bytes()
    sizes = open_container(tmp_path / "x-train.h5").sizes_N2
    assert sizes.min(axis=1).tolist() == [min(24, 20 + 4 * index) for index in range(6)] * 2


def test_a_file_says_how_it_was_made_and_what_it_holds(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    converted(folder, tmp_path / "y.h5", Reencode(24, 90))
    shutil.copytree(folder, tmp_path / "named otherwise")
    (tmp_path / "named otherwise" / "train" / "ant" / "0.png").rename(tmp_path / "named otherwise/train/ant/9.png")
    converted(tmp_path / "named otherwise", tmp_path / "z.h5")
    as_it_was, anew, other = (open_container(tmp_path / f"{name}-train.h5") for name in "xyz")
    assert (as_it_was.resize, as_it_was.quality, anew.resize, anew.quality) == (None, None, 24, 90)
    assert ("made as", "the files' bytes, unchanged") in describe_contents(as_it_was)
    facts = dict(describe_contents(anew))
    assert facts["made as"] == "JPEG of quality 90, larger images resized to a short side of 24 px"
    assert facts["digest"] == anew.digest
    # Of the content alone: neither names nor order of the files.
    assert as_it_was.checksums() != other.checksums() and as_it_was.digest == other.digest != anew.digest
    assert len(as_it_was.digest) == 64 and as_it_was.digest != open_container(tmp_path / "x-test.h5").digest
    assert not differs_from_digest(as_it_was)
    _rewritten(tmp_path / "x-train.h5", labels=1 - as_it_was.labels_N)
    swapped = open_container(tmp_path / "x-train.h5")
    assert not list(unsound(swapped)) and differs_from_digest(swapped)


def test_files_of_before_say_less_and_open(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    for split in ("train", "test"):
        with h5py.File(tmp_path / f"x-{split}.h5", "r+") as file:
            del file.attrs["digest"]
    container = open_container(tmp_path / "x-train.h5")
    facts = dict(describe_contents(container))
    assert facts["made as"] == "not stored" and "not stored" in facts["digest"] and not differs_from_digest(container)
    one, other = (load_dataset(DatasetSpec(name=n, size=16), p) for n, p in (("folder", folder), ("hdf5", tmp_path)))
    assert one.manifest == other.manifest


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
    assert len(container) == 11 and container.skipped == '["train/bee/1.jpg"]'
    assert ("left out", "1: train/bee/1.jpg") in describe_contents(container)


def test_a_full_disk_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, size: Any, axis: Any = None) -> None:
        raise OSError(28, "write failed")

    monkeypatch.setattr(h5py.Dataset, "resize", full)
    with pytest.raises(UserError, match="No space left on device"):
        converted(folder, tmp_path / "x.h5")
    assert [child.name for child in tmp_path.iterdir()] == ["images"]


def test_a_name_that_the_system_refuses_leaves_neither_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def refuse_test(self: Path, target: Path) -> Path:
        if target.name == "x-test.h5":
            raise OSError(13, "no")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse_test)
    with pytest.raises(UserError, match=r"x-test\.h5: cannot be written \(Permission denied\)"):
        converted(folder, tmp_path / "x.h5")
    assert [child.name for child in tmp_path.iterdir()] == ["images"]


def test_what_a_killed_conversion_left_is_cleared_and_what_is_there_is_kept(folder: Path, tmp_path: Path) -> None:
    left = [tmp_path / f".x-{split}.h5.99999999.tmp" for split in ("train", "test")]
    for stale in left:
        stale.write_bytes(b"half")
    assert converted(folder, tmp_path / "x.h5") == ["removed what an interrupted conversion left; starting again"]
    assert not any(stale.exists() for stale in left)
    busy = tmp_path / f".y-train.h5.{os.getppid()}.tmp"
    busy.write_bytes(b"half")
    with pytest.raises(UserError, match="is converting to it"):
        converted(folder, tmp_path / "y.h5")
    assert busy.exists()
    busy.unlink()
    before = (tmp_path / "x-train.h5").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        converted(folder, tmp_path / "x.h5")
    assert (tmp_path / "x-train.h5").read_bytes() == before
    with pytest.raises(UserError, match=r"has to end in \.h5"):
        converted(folder, tmp_path / "x.zip")


def _rewritten(path: Path, **changes: Any) -> None:
    """Replaces datasets and attributes of a file; None removes."""
    with h5py.File(path, "r+") as file:
        for name, value in changes.items():
            if name in file.attrs:
                file.attrs[name] = value
                continue
            del file[name]
            if value is not None:
                file[name] = value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "not a file that `bench data convert` wrote"),
        ({"format_version": 2}, "format version is 2; this program reads version 1"),
        ({"labels": None}, "has no dataset 'labels'"),
        ({"labels": np.full(12, 7, np.int32)}, "labels from 7 to 7, but there are 2 classes"),
        ({"labels": np.zeros(12)}, "'labels' holds float64, expected int32"),
        ({"labels": np.zeros(0, np.int32)}, "holds no images"),
        ({"checksums": np.zeros((3, 16), np.uint8)}, r"'checksums' has the shape \(3, 16\)"),
        ({"lengths": np.full(12, 9, np.uint32)}, "its images are 108 bytes long"),
    ],
)
def test_files_that_are_not_what_they_should_be(
    folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    converted(folder, tmp_path / "x.h5")
    _rewritten(tmp_path / "x-train.h5", **changes)
    with pytest.raises(UserError, match=message):
        open_container(tmp_path / "x-train.h5")


def test_files_that_are_cut_off_missing_or_none(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    train = tmp_path / "x-train.h5"
    with train.open("r+b") as file:
        file.truncate(train.stat().st_size // 2)
    with pytest.raises(UserError, match=r"x-train\.h5: cannot be opened; it is truncated"):
        load_dataset(DatasetSpec(name="hdf5"), tmp_path / "x.h5")
    train.write_bytes(b"something else")
    with pytest.raises(UserError, match="not an HDF5 file"):
        open_any(train)
    train.unlink()
    with pytest.raises(UserError, match=r"x-train\.h5 does not exist"):
        load_dataset(DatasetSpec(name="hdf5"), tmp_path / "x.h5")


def test_one_changed_byte_is_found_and_named(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    container = open_container(tmp_path / "x-train.h5")
    with (tmp_path / "x-train.h5").open("r+b") as file:
        file.seek(int(container.chunk_offsets[0]) + int(container.offsets_N1[7]) + 40)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 255]))
    (line,) = unsound(container)
    assert "image 7 (class 'bee')" in line and "checksum" in line


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_on_their_own(folder: Path, tmp_path: Path, method: str) -> None:
    converted(folder, tmp_path / "x.h5")
    container = open_container(tmp_path / "x-train.h5")
    expected = container.read(5)  # open in the parent before
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        assert pool.submit(container.read, 5).result() == expected
    assert pickle.loads(pickle.dumps(container)).read(3) == container.read(3)


def test_the_layout_of_cnn_jepas_converter_is_read_as_it_is(folder: Path, tmp_path: Path) -> None:
    for split, held in (("train", "train"), ("val", "val")):
        files = [(path, label) for label, n in enumerate(("ant", "bee")) for path in (folder / held / n).iterdir()]
        with h5py.File(tmp_path / f"{split}.h5", "w") as file:
            for number, (path, label) in enumerate(files):
                file[f"images/{number}"] = np.frombuffer(path.read_bytes(), dtype=np.uint8)
                file[f"labels/{number}"] = label
    assert split_paths(tmp_path) == (tmp_path / "train.h5", tmp_path / "val.h5")
    dataset = load_dataset(DatasetSpec(name="hdf5", size=16), tmp_path / "train.h5")
    same = load_dataset(DatasetSpec(name="folder", size=16), folder)
    assert dataset.classes == ("0", "1")
    assert torch.equal(all_pixels(dataset.test), all_pixels(same.test))
    numbered = open_any(tmp_path / "train.h5")
    assert isinstance(numbered, NumberedFiles) and not list(unsound(numbered))
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        for name in ("images/0", "images/1", "labels/0"):
            file[name] = np.zeros(1, dtype=np.uint8)
    with pytest.raises(UserError, match="2 images and 1 labels"):
        open_any(tmp_path / "odd.h5")


def test_a_dataset_without_files_is_written_without_loss(tmp_path: Path) -> None:
    shapes = load_dataset(DatasetSpec(name="shapes", shapes_train=60, shapes_test=20), None)
    convert_dataset(shapes, tmp_path / "s.h5", progress=lambda done, total: None, say=print)
    assert ("made as", "PNG of dataset 'shapes', as it is kept at this size") in describe_contents(
        open_container(tmp_path / "s-train.h5")
    )
    again = load_dataset(DatasetSpec(name="hdf5"), tmp_path / "s.h5")
    assert again.image_size == 32 and again.classes == shapes.classes
    pixels = {
        bytes(image.numpy().tobytes()) for split in (shapes.train, shapes.validation) for image in all_pixels(split)
    }
    assert pixels == {bytes(i.numpy().tobytes()) for s in (again.train, again.validation) for i in all_pixels(s)}
    assert sorted(again.test.factors["scale"].tolist()) == pytest.approx(sorted(shapes.test.factors["scale"].tolist()))


def test_images_in_both_splits_are_warned_about(folder: Path, tmp_path: Path, caplog: Any) -> None:
    (folder / "val" / "ant" / "copy.png").write_bytes((folder / "train" / "ant" / "0.png").read_bytes())
    converted(folder, tmp_path / "x.h5")
    for name, path in (("folder", folder), ("hdf5", tmp_path / "x.h5")):
        caplog.clear()
        load_dataset(DatasetSpec(name=name), path)
        assert "1 of the 7 test images are in train, too" in caplog.text


def test_a_contact_sheet_has_a_row_for_each_class(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    contact_sheet(open_any(tmp_path / "x-train.h5"), tmp_path / "sheet.png")
    with Image.open(io.BytesIO((tmp_path / "sheet.png").read_bytes())) as sheet:
        assert sheet.size == (8 * 66 - 2, 2 * 66 - 2)


def test_lazy_images_are_those_of_the_files(folder: Path) -> None:
    paths = sorted((folder / "train" / "ant").iterdir())
    lazy = LazyImages(paths, 12)
    assert torch.equal(lazy.read(torch.arange(len(paths))), lazy.resident().read(torch.arange(len(paths))))
