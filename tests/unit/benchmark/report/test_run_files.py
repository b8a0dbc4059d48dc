from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.report.run_files import read_parts, read_run_files, read_views

if TYPE_CHECKING:
    from pathlib import Path

PARTS = {
    "data": 0.001,
    "views": 0.01,
    "forward": 0.05,
    "backward": 0.06,
    "optimizer": 0.002,
    "ema": 0.0,
    "other": 0.001,
}


def test_parts_are_read_and_a_hair_below_zero_is_zero(tmp_path: Path) -> None:
    path = tmp_path / "breakdown.json"
    assert read_parts(path) is None
    path.write_text(json.dumps({"steps": 20, "parts": {**PARTS, "other": -1e-9}}))
    assert read_parts(path) == {**PARTS, "other": 0.0}


@pytest.mark.parametrize("text", ["{", "[1]", '{"parts": {"data": "x"}}', '{"parts": {}}', '{"parts": {"a": NaN}}'])
def test_other_files_are_no_breakdown_and_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "breakdown.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"breakdown\.json: "):
        read_parts(path)


def test_a_glimpse_is_read_without_running_code(make_views: Any, tmp_path: Path) -> None:
    path = tmp_path / "glimpse.npz"
    np.savez(path, **make_views())
    assert set(read_views(path)) == set(make_views())
    for wrong in (
        {"images": np.array([{"code": 1}], dtype=object)},
        {"view_0": make_views()["view_0"]},
        {**make_views(), "context": np.ones((8, 2, 2))},
        {**make_views(), "view_1": np.zeros((3, 8, 8, 3), dtype=np.uint8)},
        {**make_views(), "target_pca": np.zeros((8, 2, 2, 4))},
    ):
        np.savez(path, **wrong)
        with pytest.raises(ValueError, match=r"glimpse\.npz: not a file of views"):
            read_views(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="not a file of views"):
        read_views(path)


def test_images_of_others_are_shown_only_when_asked(
    make_views: Any, make_record: Any, store: Any, tmp_path: Path
) -> None:
    found = []
    for name in ("shapes", "cifar10-jpeg"):
        record = make_record(dataset={"name": name}, experiment=name)
        path = store(tmp_path, record)
        np.savez(path.with_name("glimpse.npz"), **make_views())
        found.append((path, record))
    beside = read_run_files(found)
    assert list(beside.views) == [id(found[0][1])] and beside.withheld == {"cifar10-jpeg"}
    beside = read_run_files(found, pictures=True)
    assert len(beside.views) == 2 and beside.withheld == set()
    mine = make_record(dataset={"name": "my-photos"}, experiment="mine", config={"dataset": {"name": "folder"}})
    path = store(tmp_path, mine)
    np.savez(path.with_name("glimpse.npz"), **make_views())
    beside = read_run_files([(path, mine)])
    assert beside.own == {"my-photos"} and set(beside.views) == set(beside.folders) == {id(mine)}
    beside = read_run_files([*found, (path, mine)], pictures=False)
    assert beside.withheld == {"my-photos", "cifar10-jpeg"} and list(beside.views) == [id(found[0][1])]
    found[0][0].with_name("glimpse.npz").write_bytes(b"torn")
    (problem,) = read_run_files(found[:1]).problems
    assert "glimpse.npz: not a file of views" in problem


def test_a_compressed_glimpse_with_wrong_bytes_is_named_whatever_they_are(make_views: Any, tmp_path: Path) -> None:
    path = tmp_path / "glimpse.npz"
    np.savez_compressed(path, **make_views())
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        torn = bytearray(whole)
        for place in draw.integers(0, len(torn), 3):
            torn[place] ^= 0xFF
        path.write_bytes(bytes(torn))
        try:
            read_views(path)
        except ValueError:  # nothing else may come
            refused += 1
    assert refused > 100


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 10**13), st.booleans())
def test_views_are_compared_with_what_the_file_holds_before_they_are_read(
    tmp_path_factory: pytest.TempPathFactory, count: int, first: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "declared.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("images", "view_1"):
            header = io.BytesIO()
            shape = (count if (name == "images") == first else 1, 8, 8, 3)
            np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(192))
    with pytest.raises(ValueError, match=r"declared\.npz: not a file of views \('.*' declares [\d,]+ bytes, and holds"):
        read_views(path)


def test_views_of_very_many_bytes_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "glimpse.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as file:
        for _ in range(257):
            file.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(ValueError, match="declares 269,484,032 bytes; expected at most 268,435,456"):
        read_views(path)
