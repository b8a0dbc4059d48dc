"""Tiny-ImageNet's layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_layouts import put, tiny_imagenet, unsplit

from benchmark.data.layouts.find import list_images
from benchmark.data.layouts.tiny_imagenet import TINY_IMAGENET
from benchmark.errors import UserError


def test_labels_come_from_the_annotations(tmp_path: Path) -> None:
    listing = list_images(tiny_imagenet(tmp_path))
    assert listing.test is not None
    assert listing.classes == ("ant", "bee", "cat")
    by_name = {Path(name).name: label for name, label in zip(listing.test.names, listing.test.labels, strict=True)}
    assert [by_name[f"val_{number}.JPEG"] for number in (0, 5, 6, 17)] == [0, 0, 1, 2]
    assert listing.notes == ("test/ has no labels and is left alone; val/ is the test split",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("val_3.JPEG\tdog\t0\n", "line 19 has the class 'dog', which train/ does not have"),
        ("val_3.JPEG\n", "line 19 has 'val_3.JPEG'; expected FILE, a tab"),
        ("val_3.JPEG\tbee\t0\n", "line 19: val_3.JPEG appears twice, with two classes"),
    ],
)
def test_wrong_annotations_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tiny_imagenet(tmp_path) / "val" / "val_annotations.txt"
    put(path, path.read_text() + line)
    with pytest.raises(UserError, match=message):
        list_images(tmp_path)


def test_other_folders_are_not_its(tmp_path: Path) -> None:
    assert TINY_IMAGENET.look(unsplit(tmp_path)) is None
