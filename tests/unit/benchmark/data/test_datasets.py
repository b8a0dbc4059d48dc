"""Splits, their manifest, and what stays in memory."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from image_folders import converted, damage, make_folder, only_resident, pixel_set
from PIL import Image

from benchmark.data.datasets import Split, first_images, load_dataset
from benchmark.data.images import ImagesOnDemand, ResidentImages
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


FOLDER = DatasetSpec(name="folder")


def test_shapes_splits_are_stratified_and_carry_factors() -> None:
    spec = DatasetSpec(shapes_train=200, shapes_test=50)
    data = load_dataset(spec, None)
    assert data.manifest.counts == {"train": 180, "validation": 20, "test": 50}
    assert data.image_size == 32
    assert torch.bincount(data.validation.labels).tolist() == [2] * 10
    assert set(data.train.factors) == {"count", "scale", "x", "y"}
    assert data.train.factors["x"].shape == (180,)
    parts = [pixel_set(split) for split in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [180, 20, 50]
    assert len(set.union(*parts)) == 250


def test_factors_and_labels_follow_their_images() -> None:
    from benchmark.data.shapes.scenes import render_shapes

    scenes = render_shapes(0, "train", 60)
    place = {image.numpy().tobytes(): index for index, image in enumerate(scenes.pixels)}
    data = load_dataset(DatasetSpec(shapes_train=60, shapes_test=10), None)
    for index, image in enumerate(only_resident(data.train).pixels):
        original = place[image.numpy().tobytes()]
        assert data.train.labels[index] == scenes.labels[original]
        assert data.train.factors["scale"][index] == scenes.factors["scale"][original]


def test_split_seed_changes_the_split_and_the_digest() -> None:
    first, same, other = (
        load_dataset(DatasetSpec(shapes_train=200, shapes_test=10, split_seed=seed), None) for seed in (0, 0, 1)
    )
    assert first.manifest == same.manifest
    assert torch.equal(only_resident(first.train).pixels, only_resident(same.train).pixels)
    assert first.manifest.digest != other.manifest.digest
    assert pixel_set(first.validation) != pixel_set(other.validation)
    assert pixel_set(first.test) == pixel_set(other.test)


def test_fewer_train_images_keep_validation_and_nest() -> None:
    full, half, quarter = (
        load_dataset(DatasetSpec(shapes_train=200, shapes_test=40, train_images=number, test_images=20), None)
        for number in (None, 90, 45)
    )
    assert half.manifest.counts == {"train": 90, "validation": 20, "test": 20}
    assert torch.bincount(half.train.labels).tolist() == [9] * 10
    assert sorted(torch.bincount(quarter.train.labels).tolist()) == [4] * 5 + [5] * 5
    assert pixel_set(half.validation) == pixel_set(full.validation)
    assert pixel_set(quarter.train) < pixel_set(half.train) < pixel_set(full.train)


@pytest.mark.parametrize(("key", "limit"), [("train_images", 180), ("test_images", 50)])
def test_fewer_images_than_classes_are_refused_and_more_than_there_are_mean_all(key: str, limit: int) -> None:
    with pytest.raises(UserError, match=rf"'{key}' is 9; expected 10 .* to {limit}"):
        load_dataset(DatasetSpec(shapes_train=200, shapes_test=50, **{key: 9}), None)
    whole, more = (
        load_dataset(DatasetSpec(shapes_train=200, shapes_test=50, **{key: number}), None) for number in (None, 12_000)
    )
    assert more.manifest == whole.manifest
    assert (whole.notes, more.notes) == ((), (f"{key} is 12,000; there are {limit}, and all are taken",))


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "images")
    for path in [*(tmp_path / "images").glob("*/bee"), *(tmp_path / "images").glob("*/cat")]:
        shutil.rmtree(path)
    with pytest.raises(UserError, match=r"has a single class \('ant'\)"):
        load_dataset(FOLDER, tmp_path / "images")


def test_a_folder_is_described_in_a_line_and_in_the_record(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos", width=120, height=100)
    (folder / "train" / "ant" / "notes.txt").touch()
    data = load_dataset(DatasetSpec(name="folder", size=32), folder)
    assert data.summary() == (
        "photos: class folders in train/ and test/; 3 classes (ant, bee, cat); 27 train, 3 validation, 12 test images; "
        "120x100 px, used at 32 px"
    )
    record = data.record()
    assert (record.layout, record.sizes) == ("class folders in train/ and test/", "120x100 px")
    assert record.notes == ["left out: 1 file of a type that is not read here (1 .txt), such as train/ant/notes.txt"]
    named = load_dataset(DatasetSpec(name="digits"), None).record()
    assert set(named.model_dump()) == {"name", "manifest", "classes", "counts", "seen_test_images"}


def test_names_and_order_of_files_change_nothing(tmp_path: Path) -> None:
    first = load_dataset(FOLDER, make_folder(tmp_path / "a"))
    make_folder(tmp_path / "b")
    for path in list((tmp_path / "b").rglob("*.png")):
        path.rename(path.with_name(f"{97 - int(path.stem)}x.PNG"))
    second = load_dataset(FOLDER, tmp_path / "b")
    assert first.manifest == second.manifest
    for name in ("train", "validation", "test"):
        ours, theirs = getattr(first, name), getattr(second, name)
        assert torch.equal(ours.images.pixels, theirs.images.pixels)
        assert torch.equal(ours.labels, theirs.labels)


def test_one_changed_byte_changes_the_digest(tmp_path: Path) -> None:
    before = load_dataset(FOLDER, make_folder(tmp_path)).manifest
    with (tmp_path / "test" / "bee" / "0.png").open("ab") as file:
        file.write(b"\0")
    after = load_dataset(FOLDER, tmp_path).manifest
    assert before.counts == after.counts
    assert before.digest != after.digest


def test_the_limit_is_on_all_splits_together(tmp_path: Path) -> None:
    make_folder(tmp_path)
    exact = 42 * 3 * 16 * 16
    assert isinstance(load_dataset(FOLDER, tmp_path, resident_limit=exact).test.images, ResidentImages)
    assert isinstance(load_dataset(FOLDER, tmp_path, resident_limit=exact - 1).test.images, ImagesOnDemand)


def test_native_images_too_small(tmp_path: Path) -> None:
    make_folder(tmp_path, width=6, height=6)
    with pytest.raises(UserError, match="images are 6 px wide; set a size of at least 8"):
        load_dataset(FOLDER, tmp_path)
    assert load_dataset(DatasetSpec(name="folder", size=12), tmp_path).image_size == 12


def test_progress_counts_files_read_and_decoded(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    load_dataset(FOLDER, make_folder(tmp_path), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(42, 42), (27, 27), (3, 3), (12, 12)]


def test_images_in_both_splits_are_warned_about(tmp_path: Path, caplog: Any) -> None:
    folder = make_folder(tmp_path / "images", train=3, test=2)
    (folder / "test" / "ant" / "copy.png").write_bytes((folder / "train" / "ant" / "0.png").read_bytes())
    converted(folder, tmp_path / "x.h5")
    for name, path in (("folder", folder), ("hdf5", tmp_path / "x.h5")):
        caplog.clear()
        load_dataset(DatasetSpec(name=name), path)
        assert "1 of the 7 test images are in train, too" in caplog.text


def test_the_first_images_are_read_on_demand() -> None:
    reads: list[int] = []

    class Counted:
        def __len__(self) -> int:
            return 10

        def read(self, indices: torch.Tensor) -> torch.Tensor:
            reads.extend(indices.tolist())
            return torch.zeros(len(indices), 3, 2, 2, dtype=torch.uint8)

    split = Split(Counted(), torch.arange(10), {"scale": torch.arange(10)})
    first = first_images(split, 4)
    assert len(first) == 4 and first.labels.tolist() == [0, 1, 2, 3] == first.factors["scale"].tolist()
    assert reads == []
    assert first.images.read(torch.tensor([3, 1])).shape == (2, 3, 2, 2) and reads == [3, 1]
    with pytest.raises(IndexError):
        first.images.read(torch.tensor([4]))
    assert first_images(split, None) is split is first_images(split, 10)


@pytest.fixture
def webp_folder(tmp_path: Path) -> Path:
    root = make_folder(tmp_path / "images", train=20, test=4)
    for path in sorted(root.rglob("*.png")):
        with Image.open(path) as image:
            image.save(path.with_suffix(".webp"), lossless=True)
        path.unlink()
    return root


@pytest.mark.parametrize("train_images", [None, 40])
def test_skipped_images_leave_the_dataset_as_if_they_were_deleted(train_images: int | None, webp_folder: Path) -> None:
    spec = DatasetSpec(name="folder", train_images=train_images)
    truncated = [webp_folder / "train" / "ant" / "3.webp", webp_folder / "test" / "cat" / "0.webp"]
    damaged = [webp_folder / "train" / "bee" / f"{number}.webp" for number in range(5)]
    for path in truncated:
        path.write_bytes(path.read_bytes()[:50])
    for path in damaged:
        damage(path)
    with pytest.raises(UserError, match="2 of 72 images cannot be used" if train_images is None else "cannot be used"):
        load_dataset(spec, webp_folder, resident_limit=1)
    skipped = load_dataset(spec, webp_folder, skip_bad=True)
    names = {image.name for image in skipped.left_out}
    assert names >= {path.relative_to(webp_folder).as_posix() for path in truncated}
    if train_images is None:  # all were drawn, and so all were decoded
        assert len(names) == 7
    assert skipped.record().left_out["train/ant/3.webp"].startswith("not a readable image")
    assert load_dataset(spec, webp_folder, skip_bad=True).manifest == skipped.manifest
    for name in names:
        (webp_folder / name).unlink()
    deleted = load_dataset(spec, webp_folder)
    assert deleted.manifest == skipped.manifest and deleted.left_out == ()
    assert torch.equal(deleted.train.images.read(torch.arange(30)), skipped.train.images.read(torch.arange(30)))
    assert deleted.train.labels.tolist() == skipped.train.labels.tolist()


def test_a_skipped_image_does_not_decide_the_size(webp_folder: Path) -> None:
    Image.effect_noise((300, 200), 50).convert("RGB").save(webp_folder / "train" / "bee" / "large.webp", lossless=True)
    damage(webp_folder / "train" / "bee" / "large.webp")
    data = load_dataset(DatasetSpec(name="folder"), webp_folder, skip_bad=True)
    assert data.image_size == 16 and [image.name for image in data.left_out] == ["train/bee/large.webp"]


def test_too_few_images_without_the_bad_ones(webp_folder: Path) -> None:
    for path in [*(webp_folder / "train" / "bee").iterdir()]:
        damage(path)
    spec = DatasetSpec(name="folder")
    with pytest.raises(UserError, match="20 of 72 images cannot be used"):
        load_dataset(spec, webp_folder)
    with pytest.raises(UserError, match="class 'bee' has 0 images in train") as refused:
        load_dataset(spec, webp_folder, skip_bad=True)
    assert "left out as unreadable" in str(refused.value) and "train/bee/7.webp: not a" in str(refused.value)
    for path in webp_folder.rglob("*.webp"):
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="72 of 72 images cannot be used"):
        load_dataset(spec, webp_folder)
    with pytest.raises(UserError, match="no readable image in the test split"):
        load_dataset(spec, webp_folder, skip_bad=True)
