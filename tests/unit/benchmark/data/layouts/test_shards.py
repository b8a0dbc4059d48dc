"""WebDataset's shards."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from made_layouts import encoded, shards

from benchmark.data.layouts.find import list_images
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def shard(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_images_are_read_at_their_place(tmp_path: Path) -> None:
    listing = list_images(shards(tmp_path))
    assert listing.test is not None
    assert (len(listing.train), len(listing.test), listing.classes) == (60, 18, ("0", "1", "2"))
    assert listing.train.read(0) == encoded(0, 0)
    assert listing.train.read(30) == encoded(0, 1)  # the first of the second shard
    assert listing.train.names[0] == f"{tmp_path}/photos-train-000000.tar: 000000.png"


def test_labels_may_be_in_json_and_keys_in_folders(tmp_path: Path) -> None:
    files = {"a/0.jpg": b"x", "a/0.json": b'{"label": "ant"}', "b/0.jpg": b"y", "b/0.json": b'{"cls": 3}'}
    listing = list_images(shard(tmp_path / "x.tar", files))
    assert listing.classes == ("3", "ant")
    assert (listing.train.labels, listing.train.read(1)) == ([1, 0], b"y")


@pytest.mark.parametrize(
    ("files", "mode", "message"),
    [
        (
            {"0.jpg": b"", "0.cls": b"1", "1.jpg": b""},
            "w",
            r"1\.jpg has no label; expected 1\.cls, or 'cls' in 1\.json",
        ),
        ({"0.jpg": b"", "0.json": b"{}"}, "w", r"0\.jpg has no label"),
        ({"0.jpg": b"", "0.png": b"", "0.cls": b"1"}, "w", r"the sample 0 has two images, 0\.jpg and 0\.png"),
        ({"0.jpg": b"", "0.cls": b"1"}, "w", "has a single class"),
        ({"train/ant/0.jpg": b""}, "w", r"has no \.cls or \.json beside its images.*train/ant/0\.jpg.*unpack it"),
        ({"0.jpg": b"", "0.cls": b"1"}, "w:gz", "is not an uncompressed tar file"),
    ],
)
def test_wrong_shards_are_refused(tmp_path: Path, files: dict[str, bytes], mode: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list_images(shard(tmp_path / "x.tar", files, mode))


def test_a_cut_shard_is_refused(tmp_path: Path) -> None:
    path = shards(tmp_path) / "photos-train-000001.tar"
    path.write_bytes(path.read_bytes()[:-12_000])
    with pytest.raises(UserError, match=r"photos-train-000001\.tar: is damaged|has no label"):
        list_images(tmp_path)
