"""Images in one folder with their labels in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from made_layouts import put

from benchmark.data.layouts.flat import labelled_files
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_labels_go_to_images_by_their_stems(tmp_path: Path) -> None:
    for name in ("b.JPEG", "a.JPEG"):
        put(tmp_path / "val" / name)
    labels = {"a": "ant", "b": "bee"}
    found = labelled_files(tmp_path / "val", labels, tmp_path / "labels.txt")
    assert [(path.name, label) for path, label in found] == [("a.JPEG", "ant"), ("b.JPEG", "bee")]
    with pytest.raises(UserError, match=r"labels\.txt: has no label for 1 of the 2 images in .*val, such as b\.JPEG"):
        labelled_files(tmp_path / "val", {"a": "ant"}, tmp_path / "labels.txt")
    with pytest.raises(UserError, match=r"labels\.txt: names 1 images that are not in .*val, such as c"):
        labelled_files(tmp_path / "val", {**labels, "c": "cat"}, tmp_path / "labels.txt")
