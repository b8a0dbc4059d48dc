"""Embedded datasets, and torchvision's in files of its layouts that are made here."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from image_folders import only_resident, picture, pixel_set
from torchvision import datasets as published

from benchmark.data.datasets import load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError
from methods.registry import method_class

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10", "imagenette"])
def test_missing_data_says_what_to_do(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"dataset '{name}' is not at .*pass --download to fetch it, or --data PATH"):
        load_dataset(DatasetSpec(name=name), tmp_path / "nowhere")


def test_a_failed_download_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(published.cifar, "download_and_extract_archive", refuse)
    with pytest.raises(UserError, match=r"'cifar10' could not be fetched to .* \(no route to host\)"):
        load_dataset(DatasetSpec(name="cifar10"), tmp_path, download=True)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torchvision without the checksums of its downloads."""
    for module in (published.cifar, published.stl10):
        monkeypatch.setattr(module, "check_integrity", lambda path, *_: Path(path).exists())
    yield


def write_cifar(root: Path, kind: Any, key: str, meta: str, classes: int) -> np.ndarray[Any, Any]:
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = []
    for files, per_class in ((kind.train_list, 4), (kind.test_list, 2)):
        for name, _ in files:
            labels = [label for label in range(classes) for _ in range(per_class)]
            data = generator.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
            rows.append(data)
            (folder / name).write_bytes(pickle.dumps({"data": data, key: labels}))
    names = [f"class {label}" for label in range(classes)]
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({meta: names}))
    return np.concatenate(rows)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("name", "classes", "train"), [("cifar10", 10, 200), ("cifar100", 100, 400)])
def test_cifar(name: str, classes: int, train: int, tmp_path: Path) -> None:
    kind = {"cifar10": published.CIFAR10, "cifar100": published.CIFAR100}[name]
    key, meta = ("labels", "label_names") if name == "cifar10" else ("fine_labels", "fine_label_names")
    rows = write_cifar(tmp_path, kind, key, meta, classes)
    data = load_dataset(DatasetSpec(name=name), tmp_path)
    held = classes * max(1, round(train / classes * 0.1))
    assert data.manifest.counts == {"train": train - held, "validation": held, "test": classes * 2}
    assert data.classes[:2] == ("class 0", "class 1")
    # A row holds red, green and blue planes: exactly the layout of an image here.
    assert pixel_set(data.test) == {row.tobytes() for row in rows[train:]}


def write_stl10(root: Path) -> dict[str, np.ndarray[Any, Any]]:
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    (folder / "class_names.txt").write_text("".join(f"class {label}\n" for label in range(10)))
    generator = np.random.default_rng(0)
    images = {}
    for name, number in (("train", 30), ("test", 20), ("unlabeled", 7)):
        # On disk each plane is stored column by column.
        images[name] = generator.integers(0, 256, (number, 3, 96, 96), dtype=np.uint8)
        (folder / f"{name}_X.bin").write_bytes(images[name].transpose(0, 1, 3, 2).tobytes())
        labels = np.arange(number, dtype=np.uint8) % 10 + 1
        if name != "unlabeled":
            (folder / f"{name}_y.bin").write_bytes(labels.tobytes())
    return images


@pytest.mark.usefixtures("unchecked")
def test_stl10_and_its_unlabelled_split(tmp_path: Path) -> None:
    images = write_stl10(tmp_path)
    plain = load_dataset(DatasetSpec(name="stl10"), tmp_path)
    assert plain.pretraining is plain.train
    assert plain.image_size == 96
    assert pixel_set(plain.test) == {image.tobytes() for image in images["test"]}
    assert torch.bincount(plain.test.labels).tolist() == [2] * 10
    more = load_dataset(DatasetSpec(name="stl10", pretrain="train+unlabelled"), tmp_path)
    assert more.manifest.counts == {"train": 20, "validation": 10, "test": 20, "unlabelled": 7}
    assert len(more.pretraining) == 27
    assert pixel_set(more.pretraining) == pixel_set(plain.train) | {image.tobytes() for image in images["unlabeled"]}
    assert only_resident(more.pretraining).pixels.data_ptr() == only_resident(more.train).pixels.data_ptr()
    assert more.pretraining.labels.tolist()[20:] == [-1] * 7
    assert more.trained_on(method_class("byol")) is more.pretraining
    assert more.trained_on(method_class("supervised")) is more.train  # there is nothing to learn from a label of -1


def test_imagenette(tmp_path: Path) -> None:
    root = tmp_path / "imagenette2-160"
    wnids = sorted(published.Imagenette._WNID_TO_CLASS)
    for split, number in (("train", 3), ("val", 1)):
        for place, wnid in enumerate(wnids):
            (root / split / wnid).mkdir(parents=True)
            for index in range(number):
                picture(place * 10 + index, 170, 160).save(root / split / wnid / f"{index}.JPEG")
    data = load_dataset(DatasetSpec(name="imagenette"), tmp_path)
    assert data.image_size == 128
    assert data.manifest.counts == {"train": 20, "validation": 10, "test": 10}
    assert data.classes[:2] == ("tench", "English springer")
    assert only_resident(data.test).pixels.shape[-1] == 146
    with pytest.raises(UserError, match="'imagenette' is not at"):
        load_dataset(DatasetSpec(name="imagenette", size=224), tmp_path)
