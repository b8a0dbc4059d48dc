"""Opening HDF5 files of images: what is damaged is refused by name."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import tracemalloc
import zlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_folders import converted, rewritten

from benchmark.data.hdf5.format import open_container
from benchmark.errors import UserError


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
def test_inconsistent_files_are_refused(folder: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    converted(folder, tmp_path / "x.h5")
    rewritten(tmp_path / "x-train.h5", **changes)
    with pytest.raises(UserError, match=message):
        open_container(tmp_path / "x-train.h5")


def test_files_that_are_truncated_or_missing_or_of_another_kind(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    train = tmp_path / "x-train.h5"
    with pytest.raises(UserError, match=r"x\.h5: no such file; did you mean .*x-train\.h5"):
        open_container(tmp_path / "x.h5")
    with train.open("r+b") as file:
        file.truncate(train.stat().st_size // 2)
    with pytest.raises(UserError, match=r"x-train\.h5: cannot be opened; it is truncated"):
        open_container(train)
    train.write_bytes(b"something else")
    with pytest.raises(UserError, match="not an HDF5 file"):
        open_container(train)
    with pytest.raises(UserError, match="is a folder; expected one HDF5 file"):
        open_container(tmp_path)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_on_their_own(folder: Path, tmp_path: Path, method: str) -> None:
    converted(folder, tmp_path / "x.h5")
    container = open_container(tmp_path / "x-train.h5")
    expected = container.read(5)  # open in the parent before
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        assert pool.submit(container.read, 5).result() == expected
    assert pickle.loads(pickle.dumps(container)).read(3) == container.read(3)


def _never_written(path: Path, name: str, count: int, *, chunks: bool = True) -> None:
    with h5py.File(path, "r+") as file:
        kind, shape = file[name].dtype, file[name].shape
        del file[name]
        file.create_dataset(name, (count, *shape[1:]), dtype=kind, chunks=True if chunks else None)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["lengths", "labels", "sizes", "checksums", "classes", "bytes"]),
    st.integers(13, 10**13),
    st.booleans(),
)
def test_what_is_declared_is_compared_with_what_the_file_holds(
    folder: Path, tmp_path: Path, name: str, count: int, chunks: bool
) -> None:
    if not (tmp_path / "x-train.h5").exists():
        converted(folder, tmp_path / "x.h5")
    path = Path(shutil.copy(tmp_path / "x-train.h5", tmp_path / "copy.h5"))
    _never_written(path, name, count, chunks=chunks)
    with pytest.raises(UserError, match=rf"copy\.h5: is damaged.*'/{name}' declares [\d,]+ bytes"):
        open_container(path)


@pytest.mark.parametrize("name", ["lengths", "labels", "sizes", "checksums", "classes", "factors/x"])
def test_compressed_tables_are_refused_before_they_unfold(folder: Path, tmp_path: Path, name: str) -> None:
    converted(folder, tmp_path / "x.h5")
    path = tmp_path / "x-train.h5"
    count = 2_000_000  # at least 8 MB, of which the file holds a thousandth
    with h5py.File(path, "r+") as file:
        kind = file[name].dtype if name in file else np.float32
        shape = (count, *file[name].shape[1:]) if name in file else (count,)
        if name in file:
            del file[name]
        table = file.create_dataset(name, shape, dtype=kind, chunks=(count, *shape[1:]), compression="gzip")
        table.id.write_direct_chunk([0] * len(shape), zlib.compress(bytes(table.nbytes)))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"x-train\.h5: .*(declares|does not have one number per image|the shape)"):
            open_container(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("link", [h5py.SoftLink, partial(h5py.ExternalLink, "x-train.h5")])
@pytest.mark.parametrize("name", ["bytes", "labels", "classes", "factors"])
def test_links_that_lead_in_circles_are_refused(folder: Path, tmp_path: Path, name: str, link: Any) -> None:
    converted(folder, tmp_path / "x.h5")
    path = tmp_path / "x-train.h5"
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file[name], file["loop"] = link("/loop"), link(f"/{name}")
    with pytest.raises(UserError, match=r"x-train\.h5: (is damaged|has no dataset)"):
        open_container(path)


@pytest.mark.parametrize("skipped", ["[" * 30_000, "{", '{"a": 1}', "[1]", "3", '["\\ud800"]', "9" * 5000])
def test_a_list_of_left_out_images_that_is_none_is_refused(folder: Path, tmp_path: Path, skipped: str) -> None:
    converted(folder, tmp_path / "x.h5")
    with h5py.File(tmp_path / "x-train.h5", "r+") as file:
        file.attrs["skipped"] = skipped
    with pytest.raises(UserError, match=r"x-train\.h5: is damaged"):
        open_container(tmp_path / "x-train.h5")
