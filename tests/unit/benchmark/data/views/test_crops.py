"""Images of several sizes that are not kept in memory are cropped by the reader, each as it was drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as reference
from image_folders import converted
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from view_images import ONE, ZERO, seeded

from benchmark.data import decode
from benchmark.data.datasets import Dataset, Split, load_dataset
from benchmark.data.images import ImagesOnDemand
from benchmark.data.loader import Batches, RawBatch
from benchmark.data.spec import DatasetSpec
from benchmark.data.views.augment import Augmenter
from benchmark.data.views.crops import cropped_by_reader, make_views, read_crops
from benchmark.errors import UserError
from methods.views import ViewSpec

if TYPE_CHECKING:
    from pathlib import Path


CPU = torch.device("cpu")


COLOURS = ViewSpec(jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2, blur=0.5)


SIZES = [(40, 30), (90, 64), (33, 120), (200, 50), (24, 24)]  # width, height


SPEC = DatasetSpec(name="folder", size=28)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 12), ("test", 3)):
        for label, name in enumerate(("ant", "bee")):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                width, height = SIZES[(index + label) % len(SIZES)]
                draw = np.random.default_rng([label, index, split == "test"])
                pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{index}.png")
    return root


def lazy(path: Path, **spec: Any) -> Dataset:
    return load_dataset(SPEC.model_copy(update=spec), path, resident_limit=0)


def on_demand(split: Split) -> ImagesOnDemand:
    assert isinstance(split.images, ImagesOnDemand)
    return split.images


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_views_are_torchvisions_on_the_whole_of_each_image(folder: Path, interpolation: Any) -> None:
    images = on_demand(lazy(folder).train)
    specs = [ViewSpec(interpolation=interpolation), ViewSpec(interpolation=interpolation, size=40)]
    augmenter = Augmenter(specs, 28, ZERO, ONE)
    everything = torch.arange(len(images))
    crops, drawn = read_crops(images, everything, augmenter, seeded(3))
    views = augmenter.finish(crops, drawn)
    beyond = 0
    for view, parameters, size in zip(views, drawn, (28, 40), strict=True):
        assert 0 < int(parameters.flip_B.sum()) < len(images)
        for index in range(len(images)):
            image = images.original(index)
            box = [int(getattr(parameters, f"{name}_B")[index]) for name in ("top", "left", "height", "width")]
            mode = InterpolationMode(interpolation)
            pixels = reference.resized_crop(image, *box, [size, size], mode, antialias=True)
            exact = reference.resized_crop(image.float(), *box, [size, size], mode, antialias=True)
            if parameters.flip_B[index]:
                pixels, exact = reference.horizontal_flip(pixels), reference.horizontal_flip(exact)
            assert (view[index] * 255 - pixels).abs().max() <= 2
            if interpolation == "bilinear":  # a bicubic crop overshoots, and is clamped between columns and rows
                assert (view[index] * 255 - exact).abs().max() <= 2
            short = min(image.shape[1:])
            beyond += box[0] + box[2] > (image.shape[1] + short) // 2 or box[1] + box[3] > (image.shape[2] + short) // 2
    assert beyond > 5  # the square in the middle is no border


def test_colours_follow_as_on_whole_images(folder: Path) -> None:
    images = on_demand(lazy(folder).train)
    augmenter = Augmenter([COLOURS], 28, (0.4, 0.5, 0.6), (0.2, 0.3, 0.2))
    crops, drawn = read_crops(images, torch.arange(22), augmenter, seeded(1))
    (view,) = augmenter.finish(crops, drawn)
    # The crops as images of their own, of which the whole is taken and nothing is flipped.
    zeros = torch.zeros(22, dtype=torch.long)
    whole = {"top_B": zeros, "left_B": zeros, "height_B": zeros + 28, "width_B": zeros + 28, "flip_B": zeros.bool()}
    (expected,) = augmenter(crops[0], [type(drawn[0])(**{**vars(drawn[0]), **whole})])
    torch.testing.assert_close(view, expected, atol=1e-5, rtol=0)


def batches_of(dataset: Dataset, **options: Any) -> Batches:
    augmenter = Augmenter([COLOURS, ViewSpec(size=20)], dataset.image_size, ZERO, ONE)
    return Batches(dataset.train, 8, 11, CPU, augmenter=augmenter, **options)


def equal(batch: RawBatch, other: RawBatch) -> bool:
    assert batch.drawn is not None and other.drawn is not None
    pairs: list[tuple[Tensor, Tensor]] = [*zip(batch.pixels, other.pixels, strict=True)]
    pairs += [(batch.labels_B, other.labels_B), (batch.sample_ids_B, other.sample_ids_B)]
    pairs += [(a.hue_B, b.hue_B) for a, b in zip(batch.drawn, other.drawn, strict=True)]
    return all(torch.equal(*pair) for pair in pairs)


def test_batches_depend_on_seed_and_step_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = lazy(folder)
    with batches_of(dataset) as straight:
        expected = [straight.fetch(step) for step in range(6)]
    assert [tuple(crops.shape) for crops in expected[0].pixels] == [(8, 3, 28, 28), (8, 3, 20, 20)]
    assert not equal(expected[0], expected[1])
    with batches_of(dataset, ahead=0) as late, batches_of(dataset, ahead=3) as resumed:
        assert all(equal(late.fetch(step), expected[step]) for step in (0, 1, 5, 2))
        assert all(equal(resumed.fetch(step), expected[step]) for step in (4, 5))
    for threads in (1, 5):
        decode._POOLS.clear()
        monkeypatch.setattr(decode, "_threads", lambda threads=threads: threads)
        with batches_of(dataset) as others:
            assert all(equal(others.fetch(step), expected[step]) for step in range(6))
    decode._POOLS.clear()


def test_ranks_crop_their_share_as_one_device_would(folder: Path) -> None:
    dataset = lazy(folder)
    with batches_of(dataset) as whole, batches_of(dataset, rank=1, ranks=2) as second:
        expected, part = whole.fetch(3), second.fetch(3)
    assert expected.drawn is not None and part.drawn is not None
    assert all(torch.equal(a[4:], b) for a, b in zip(expected.pixels, part.pixels, strict=True))
    assert torch.equal(expected.drawn[0].sigma_B[4:], part.drawn[0].sigma_B)


def test_folder_and_files_give_the_same_crops(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    for split in ("train", "test"):
        paths = [(path, label) for label, n in enumerate(("ant", "bee")) for path in (folder / split / n).iterdir()]
        with h5py.File(tmp_path / (split + ".h5"), "w") as file:
            for number, (path, label) in enumerate(paths):
                file[f"images/{number}"] = np.frombuffer(path.read_bytes(), dtype=np.uint8)
                file[f"labels/{number}"] = label
    with batches_of(lazy(folder)) as batches:
        expected = batches.fetch(1)
    for name in ("x.h5", "train.h5"):
        with batches_of(lazy(tmp_path / name, name="hdf5")) as batches:
            assert equal(batches.fetch(1), expected), name


def test_a_file_that_has_changed_is_named(folder: Path, tmp_path: Path) -> None:
    images = on_demand(lazy(folder).train)
    Image.new("RGB", (31, 17)).save(tmp_path / "new.png")
    images.encoded = lambda index: ((tmp_path / "new.png").read_bytes(), "new.png")
    augmenter = Augmenter([ViewSpec()], 28, ZERO, ONE)
    with pytest.raises(UserError, match=r"new\.png: is 17 x 31 pixels, but was .* when it was listed"):
        read_crops(images, torch.tensor([1, 0]), augmenter, seeded())


def test_the_reader_crops_images_of_several_sizes_on_demand(folder: Path, tmp_path: Path) -> None:
    assert cropped_by_reader(lazy(folder).train.images)
    assert not cropped_by_reader(load_dataset(SPEC, folder).train.images)  # in memory, as squares
    for split in ("train", "test"):
        for label, name in enumerate(("ant", "bee")):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(3):
                Image.new("RGB", (24, 24), (label * 90, index, 7)).save(tmp_path / split / name / f"{index}.png")
    small = lazy(tmp_path)
    assert not cropped_by_reader(small.train.images)  # small and alike: a batch of whole ones is no more
    # Pictures of views show whichever it is.
    augmenter = Augmenter([ViewSpec(size=12)], 28, ZERO, ONE)
    for dataset in (small, lazy(folder)):
        (view,) = make_views(dataset.train.images, torch.arange(2), augmenter, seeded(), CPU)
        assert view.shape == (2, 3, 12, 12)


def test_crops_of_another_size_are_refused() -> None:
    augmenter = Augmenter([ViewSpec(), ViewSpec(size=20)], 28, ZERO, ONE)
    drawn = augmenter.sample(2, (40, 40), seeded())
    with pytest.raises(UserError, match=r"expected \[\(2, 3, 28, 28\), \(2, 3, 20, 20\)\] in torch.uint8"):
        augmenter.finish([torch.zeros(2, 3, 28, 28, dtype=torch.uint8)] * 2, drawn)
