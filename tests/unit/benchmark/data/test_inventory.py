"""A dataset's images by name, and what changed among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from image_folders import make_folder, picture

from benchmark.data import inventory as inventories
from benchmark.data.datasets import load_dataset
from benchmark.data.inventory import INVENTORY_FILE, changes, keep_inventory
from benchmark.data.spec import DatasetSpec

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from benchmark.data.inventory import Inventory

FOLDER = DatasetSpec(name="folder")


def images_of(folder: Path) -> Inventory:
    images = load_dataset(FOLDER, folder).inventory
    assert images is not None
    return images


def test_images_are_named_within_their_folder(tmp_path: Path) -> None:
    images = images_of(make_folder(tmp_path, train=3, test=1))
    assert len(images) == 12 and images["train/bee/2.png"].endswith(" bee") and len(images["test/ant/0.png"]) == 36


def test_gone_new_and_changed_images_are_named(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", train=6, test=1)
    keep_inventory(tmp_path, images_of(root), renew=True)
    assert "the files are the same" in changes(tmp_path, images_of(root))
    for number in range(4):
        (root / "train" / "ant" / f"{number}.png").unlink()
    picture(99).save(root / "train" / "bee" / "new.png")
    (root / "test" / "cat" / "0.png").write_bytes((root / "train" / "cat" / "0.png").read_bytes())
    assert changes(tmp_path, images_of(root)) == (
        "since then, of 21 images, "
        "4 are gone (train/ant/0.png, train/ant/1.png, train/ant/2.png, ...), 1 is new (train/bee/new.png) and "
        "1 is of other content or another class (test/cat/0.png)"
    )


def test_an_inventory_is_kept_until_it_is_to_be_renewed(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", train=3, test=1)
    keep_inventory(tmp_path, images_of(root), renew=False)
    (root / "train" / "ant" / "0.png").unlink()
    keep_inventory(tmp_path, images_of(root), renew=False)
    assert "of 12 images, 1 is gone (train/ant/0.png)" in changes(tmp_path, images_of(root))
    keep_inventory(tmp_path, images_of(root), renew=True)
    assert "the files are the same" in changes(tmp_path, images_of(root))


def test_without_an_inventory_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder(tmp_path / "images", train=3, test=1)
    assert changes(tmp_path, images_of(root)) == ""
    keep_inventory(tmp_path, images_of(root), renew=True)
    assert changes(tmp_path, None) == ""
    assert changes(tmp_path, {"elsewhere/ant/0.png": "0 ant"}) == "no file has the name of one that was there before"
    (tmp_path / INVENTORY_FILE).write_bytes(b"damaged")
    assert changes(tmp_path, images_of(root)) == ""
    monkeypatch.setattr(inventories, "_MOST", 11)
    assert load_dataset(FOLDER, root).inventory is None
    assert load_dataset(DatasetSpec(name="digits"), None).inventory is None
