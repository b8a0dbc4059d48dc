from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_folders import make_folder, only_resident, picture, pixel_set
from PIL import Image

from benchmark.data.datasets import Dataset, Split, first_images, load_dataset
from benchmark.data.decode import canonical, canonical_side, decode
from benchmark.data.images import LazyImages, ResidentImages
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

REAL = Path(__file__).resolve().parents[5] / "shared" / "data" / "cifar10-jpeg.tar.xz"
FOLDER = DatasetSpec(name="folder")


# Splits and their manifest


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


@pytest.mark.parametrize(("number", "key"), [(181, "train_images"), (9, "train_images"), (51, "test_images")])
def test_impossible_numbers_of_images(number: int, key: str) -> None:
    limit = 180 if key == "train_images" else 50
    spec = DatasetSpec(shapes_train=200, shapes_test=50, **{key: number})
    with pytest.raises(UserError, match=rf"'{key}' is {number}; expected 10 .* to {limit}"):
        load_dataset(spec, None)


def test_digits() -> None:
    data = load_dataset(DatasetSpec(name="digits"), None)
    assert sum(data.manifest.counts.values()) == 1797
    assert data.manifest.counts["test"] == 355
    pixels = only_resident(data.train).pixels
    assert pixels.shape[1:] == (3, 32, 32)
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    assert pixels.max() > 250
    assert data.classes == tuple("0123456789")
    assert load_dataset(DatasetSpec(name="digits", size=8), None).image_size == 8


# Image folders


def test_folder_at_native_size(tmp_path: Path) -> None:
    data = load_dataset(FOLDER, make_folder(tmp_path))
    assert data.classes == ("ant", "bee", "cat")
    assert data.image_size == 16
    assert data.manifest.counts == {"train": 27, "validation": 3, "test": 12}
    expected = {
        np.asarray(Image.open(path)).transpose(2, 0, 1).tobytes(): data.classes.index(path.parent.name)
        for path in (tmp_path / "test").rglob("*.png")
    }
    found = {
        image.numpy().tobytes(): label
        for image, label in zip(only_resident(data.test).pixels, data.test.labels.tolist(), strict=True)
    }
    assert found == expected


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


def test_val_serves_as_test_and_is_left_alone_beside_test(tmp_path: Path) -> None:
    make_folder(tmp_path, test=3, held_out="val")
    assert load_dataset(FOLDER, tmp_path).manifest.counts == {"train": 27, "validation": 3, "test": 9}
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    assert load_dataset(FOLDER, tmp_path).manifest.counts["test"] == 30


def test_hidden_and_foreign_files_and_loops_are_left_out(tmp_path: Path) -> None:
    before = load_dataset(FOLDER, make_folder(tmp_path)).manifest
    ant = tmp_path / "train" / "ant"
    (ant / "notes.txt").write_text("no image")
    (ant / ".hidden.png").write_bytes(b"no image")
    (ant / ".cache").mkdir()
    (ant / ".cache" / "0.png").write_bytes(b"no image")
    (tmp_path / "train" / ".DS_Store").mkdir()
    (ant / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "train" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert load_dataset(FOLDER, tmp_path).manifest == before


def test_larger_images_become_squares(tmp_path: Path) -> None:
    make_folder(tmp_path, train=3, test=1, width=120, height=100)
    data = load_dataset(FOLDER, tmp_path)
    assert data.image_size == 224
    assert only_resident(data.train).pixels.shape == (6, 3, 256, 256)
    small = load_dataset(DatasetSpec(name="folder", size=56), tmp_path)
    assert small.image_size == 56
    assert only_resident(small.train).side == 64


def test_small_images_are_resized_whole(tmp_path: Path) -> None:
    data = load_dataset(DatasetSpec(name="folder", size=32), make_folder(tmp_path, train=3, test=1))
    assert data.image_size == 32
    assert only_resident(data.test).pixels.shape == (3, 3, 32, 32)


def test_lazy_images_are_the_resident_ones(tmp_path: Path) -> None:
    make_folder(tmp_path, train=4, test=2, width=40, height=30)
    spec = DatasetSpec(name="folder", size=28)
    resident, lazy = load_dataset(spec, tmp_path), load_dataset(spec, tmp_path, resident_limit=1000)
    assert isinstance(lazy.train.images, LazyImages)
    assert lazy.manifest == resident.manifest
    wanted = torch.tensor([5, 0, 5])
    assert torch.equal(lazy.train.images.read(wanted), resident.train.images.read(wanted))


def test_the_limit_is_on_all_splits_together(tmp_path: Path) -> None:
    make_folder(tmp_path)
    exact = 42 * 3 * 16 * 16
    assert isinstance(load_dataset(FOLDER, tmp_path, resident_limit=exact).test.images, ResidentImages)
    assert isinstance(load_dataset(FOLDER, tmp_path, resident_limit=exact - 1).test.images, LazyImages)


def test_canonical_square_is_the_middle() -> None:
    ramp = torch.arange(200, dtype=torch.uint8).expand(3, 100, 200)
    square = canonical(ramp, 100)
    assert square.shape == (3, 100, 100)
    assert square[0, 0, 0] == 50
    half = canonical(ramp, 50)
    assert half.shape == (3, 50, 50)
    assert half[0, 0, 0].item() == pytest.approx(50.5, abs=1)
    assert canonical(torch.zeros(3, 7, 300, dtype=torch.uint8), 64).shape == (3, 64, 64)
    assert [canonical_side(size) for size in (224, 160, 128, 96)] == [256, 183, 146, 110]


def encoded(image: Image.Image, path: Path, **options: Any) -> bytes:
    image.save(path, **options)
    return path.read_bytes()


@pytest.mark.parametrize(("mode", "suffix"), [("L", ".png"), ("L", ".jpg"), ("P", ".png"), ("CMYK", ".jpg")])
@pytest.mark.parametrize("colour", [(200, 60, 60), (10, 10, 10)])
def test_decoding_converts_to_rgb(mode: str, suffix: str, colour: tuple[int, int, int], tmp_path: Path) -> None:
    plain = Image.new("RGB", (9, 5), colour).convert(mode)
    image = decode(encoded(plain, tmp_path / f"x{suffix}", **({"quality": 95} if suffix == ".jpg" else {})), "x")
    assert image.shape == (3, 5, 9)
    expected = torch.tensor(plain.convert("RGB").getpixel((0, 0)))
    assert (image[:, 2, 4] - expected).abs().max() <= 4


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".png"])
def test_lossless_formats_decode_exactly(suffix: str, tmp_path: Path) -> None:
    image = decode(encoded(picture(1, 9, 5), tmp_path / f"x{suffix}", lossless=True), "x")
    assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(picture(1, 9, 5)))


def test_transparency_is_dropped_and_orientation_ignored(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (90, 120, 150, 0))
    assert decode(encoded(clear, tmp_path / "x.png"), "x")[:, 0, 0].tolist() == [90, 120, 150]
    turned = Image.Exif()
    turned[0x0112] = 6
    assert decode(encoded(picture(0, 12, 6), tmp_path / "x.jpg", exif=turned), "x").shape == (3, 6, 12)


def remove(*parts: str) -> Any:
    return lambda root: shutil.rmtree(root.joinpath(*parts))


def write(content: bytes, *parts: str) -> Any:
    return lambda root: root.joinpath(*parts).write_bytes(content)


def empty(*parts: str) -> Any:
    def clear(root: Path) -> None:
        for path in root.joinpath(*parts).iterdir():
            path.unlink() if path.is_file() else shutil.rmtree(path)

    return clear


def keep_one(root: Path) -> None:
    for path in list((root / "train" / "bee").iterdir())[1:]:
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove(), "data: no such folder"),
        (empty(), r"data: has no train/ \(it has: nothing\)"),
        (remove("train"), r"data: has no train/ \(it has: test\)"),
        (remove("test"), "data: has neither test/ nor val/"),
        (empty("train"), "train: has no class folders"),
        (empty("train", "bee"), "train/bee: no images in this class folder"),
        (empty("test", "bee"), "test/bee: no images in this class folder"),
        (remove("test", "bee"), "train: class 'bee' is missing from .*test"),
        (remove("train", "cat"), "test: class 'cat' is missing from .*train"),
        (write(b"no image", "train", "bee", "3.png"), "train/bee/3.png: not a readable image"),
        (write(b"", "test", "ant", "1.png"), "test/ant/1.png: not a readable image"),
        (keep_one, "class 'bee' has 1 image in train; at least 2"),
    ],
)
def test_bad_folders(damage: Any, message: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data")
    damage(root)
    with pytest.raises(UserError, match=message):
        load_dataset(FOLDER, root)


@pytest.mark.parametrize("limit", [1 << 30, 1])
def test_a_truncated_image_is_named(limit: int, tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    path = root / "test" / "cat" / "2.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"test/cat/2\.png: not a readable image"):
        data = load_dataset(FOLDER, root, resident_limit=limit)
        data.test.images.read(torch.arange(len(data.test)))


def test_native_images_too_small(tmp_path: Path) -> None:
    make_folder(tmp_path, width=6, height=6)
    with pytest.raises(UserError, match="images are 6 px wide; set a size of at least 8"):
        load_dataset(FOLDER, tmp_path)
    assert load_dataset(DatasetSpec(name="folder", size=12), tmp_path).image_size == 12


def test_progress_counts_files_read_and_decoded(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    load_dataset(FOLDER, make_folder(tmp_path), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(42, 42), (27, 27), (3, 3), (12, 12)]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="cifar10-jpeg is not at ../shared/data")
def test_cifar10_jpeg(tmp_path: Path) -> None:
    with tarfile.open(REAL) as archive:
        wanted = [member for member in archive if member.isfile() and member.name.endswith("01.jpg")]
        archive.extractall(tmp_path, wanted, filter="data")
    roots = [path.parent for path in tmp_path.rglob("train")]
    data: Dataset = load_dataset(FOLDER, roots[0])
    assert data.image_size == 32
    assert data.classes[0] == "airplane"
    assert data.manifest.counts == {"train": 450, "validation": 50, "test": 100}
    means = data.train.images.read(torch.arange(450)).float().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.491, 0.482, 0.447], abs=0.03)


def test_a_damaged_png_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    picture(0, 40, 30).save(tmp_path / "x.png")
    content = bytearray((tmp_path / "x.png").read_bytes())
    for place in (60, len(content) // 2, len(content) - 30):
        damaged = bytearray(content)
        damaged[place] ^= 255
        with pytest.raises(UserError, match="x: not a readable image"):
            decode(bytes(damaged), "x")


def test_sixteen_bit_greys_keep_their_upper_eight_bits(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "deep.png")
    image = decode((tmp_path / "deep.png").read_bytes(), "deep")
    assert image.shape == (3, 8, 8)
    assert (image[0].int() - torch.from_numpy((values >> 8).astype(np.int32))).abs().max() <= 1


def test_the_first_images_of_a_set_on_disk_stay_there() -> None:
    asked: list[int] = []

    class Counted:
        def __len__(self) -> int:
            return 10

        def read(self, indices: torch.Tensor) -> torch.Tensor:
            asked.extend(indices.tolist())
            return torch.zeros(len(indices), 3, 2, 2, dtype=torch.uint8)

    split = Split(Counted(), torch.arange(10), {"scale": torch.arange(10)})
    first = first_images(split, 4)
    assert len(first) == 4 and first.labels.tolist() == [0, 1, 2, 3] == first.factors["scale"].tolist()
    assert asked == []
    assert first.images.read(torch.tensor([3, 1])).shape == (2, 3, 2, 2) and asked == [3, 1]
    with pytest.raises(IndexError):
        first.images.read(torch.tensor([4]))
    assert first_images(split, None) is split is first_images(split, 10)
