"""Writing one split's file, and naming both splits' files together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from image_folders import converted, rewritten

from benchmark.data.hdf5 import write as hdf5_write
from benchmark.data.hdf5.format import open_container
from benchmark.data.hdf5.inspect import unsound
from benchmark.data.hdf5.write import Writer, Writers, damaged
from benchmark.data.splits import checksum
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / "x.h5", "train", ["ant", "bee"], 100, {"dataset": "mine"})
    yield writer
    writer.discard()


def test_what_is_written_is_read_back(writer: Writer) -> None:
    writer.add(b"first", 1, (2, 3))
    writer.add(b"second", 0, (4, 5))
    writer.factors = {"scale": np.array([0.5, 2.0])}
    writer.skipped.append("train/ant/bad.png")
    assert writer.labels_written() == {0, 1}
    calls: list[tuple[int, int]] = []
    writer.finish(lambda done, total: calls.append((done, total)))
    assert calls == [(2, 2)] and not writer.path.exists()
    container = open_container(writer.publish())
    assert [container.read(index) for index in (1, 0)] == [b"second", b"first"]
    assert (container.split, container.classes, container.dataset) == ("train", ("ant", "bee"), "mine")
    assert container.labels_N.tolist() == [1, 0] and container.sizes_N2.tolist() == [[2, 3], [4, 5]]
    assert container.checksums() == [checksum(b"first"), checksum(b"second")]
    assert container.factors["scale"].tolist() == [0.5, 2.0]
    assert container.skipped == ["train/ant/bad.png"]


def test_discarded_files_leave_nothing(writer: Writer, tmp_path: Path) -> None:
    writer.add(b"first", 1, (2, 3))
    assert len(list(tmp_path.iterdir())) == 1
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_split_without_images_is_refused(writer: Writer) -> None:
    with pytest.raises(UserError, match=r"x\.h5: there is no readable image for this split"):
        writer.finish()


def test_images_may_span_chunks(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_write, "_SMALLEST_CHUNK", 64)
    monkeypatch.setattr(hdf5_write, "_LARGEST_CHUNK", 64)
    converted(folder, tmp_path / "x.h5")
    assert open_container(tmp_path / "x-train.h5").chunk == 64
    assert not list(unsound(open_container(tmp_path / "x-train.h5")))


def test_a_full_disk_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, size: Any, axis: Any = None) -> None:
        raise OSError(28, "write failed")

    monkeypatch.setattr(h5py.Dataset, "resize", full)
    with pytest.raises(UserError, match="No space left on device"):
        converted(folder, tmp_path / "x.h5")
    assert [child.name for child in tmp_path.iterdir()] == ["images"]


def test_damaged_images_are_numbered(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    codes = open_container(tmp_path / "x-train.h5").stored_N16.copy()
    codes[[3, 7]] += 1
    rewritten(tmp_path / "x-train.h5", checksums=codes)
    assert list(damaged(open_container(tmp_path / "x-train.h5"))) == [3, 7]


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


def test_remains_of_killed_conversions_are_removed_and_finished_files_are_kept(folder: Path, tmp_path: Path) -> None:
    remains = [tmp_path / f".x-{split}.h5.99999999.tmp" for split in ("train", "test")]
    for stale in remains:
        stale.write_bytes(b"half")
    assert converted(folder, tmp_path / "x.h5") == ["removed what an interrupted conversion left; starting again"]
    assert not any(stale.exists() for stale in remains)
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


def test_one_file_without_the_other_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x-test.h5").touch()
    with pytest.raises(UserError, match=r"x-test\.h5: exists without x-train\.h5, .*remove it and convert again"):
        Writers(tmp_path / "x.h5", {}, print)
