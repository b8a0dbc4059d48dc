"""What is said and drawn of an HDF5 file, and what verification finds."""

from __future__ import annotations

import io
import os
import shutil
from typing import TYPE_CHECKING

import h5py
from image_folders import converted, rewritten
from PIL import Image

from benchmark.data.hdf5.convert import Reencode
from benchmark.data.hdf5.format import open_container
from benchmark.data.hdf5.inspect import contact_sheet, describe_contents, differs_from_digest, unsound
from benchmark.data.hdf5.source import open_any

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_describes_its_origin_and_its_content(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    converted(folder, tmp_path / "y.h5", Reencode(24, 90))
    shutil.copytree(folder, tmp_path / "named otherwise")
    (tmp_path / "named otherwise" / "train" / "ant" / "0.png").rename(tmp_path / "named otherwise/train/ant/9.png")
    converted(tmp_path / "named otherwise", tmp_path / "z.h5")
    unchanged, anew, renamed = (open_container(tmp_path / f"{name}-train.h5") for name in "xyz")
    assert (unchanged.resize, unchanged.quality, anew.resize, anew.quality) == (None, None, 24, 90)
    assert ("made as", "the files' bytes, unchanged") in describe_contents(unchanged)
    facts = dict(describe_contents(anew))
    assert facts["made as"] == "JPEG of quality 90, larger images resized to a short side of 24 px"
    assert facts["digest"] == anew.digest
    # Of the content alone: neither names nor order of the files.
    assert unchanged.checksums() != renamed.checksums() and unchanged.digest == renamed.digest != anew.digest
    assert len(unchanged.digest) == 64 and unchanged.digest != open_container(tmp_path / "x-test.h5").digest
    assert not differs_from_digest(unchanged)
    rewritten(tmp_path / "x-train.h5", labels=1 - unchanged.labels_N)
    swapped = open_container(tmp_path / "x-train.h5")
    assert not list(unsound(swapped)) and differs_from_digest(swapped)


def test_older_files_have_no_digest(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    with h5py.File(tmp_path / "x-train.h5", "r+") as file:
        del file.attrs["digest"]
    container = open_container(tmp_path / "x-train.h5")
    facts = dict(describe_contents(container))
    assert facts["made as"] == "not stored" and "not stored" in facts["digest"]
    assert not differs_from_digest(container)


def test_one_changed_byte_is_found_and_named(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    container = open_container(tmp_path / "x-train.h5")
    with (tmp_path / "x-train.h5").open("r+b") as file:
        file.seek(int(container.chunk_offsets[0]) + int(container.offsets_N1[7]) + 40)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 255]))
    (line,) = unsound(container)
    assert "image 7 (class 'bee')" in line and "checksum" in line


def test_a_wrong_size_is_found(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    rewritten(tmp_path / "x-train.h5", sizes=open_container(tmp_path / "x-train.h5").sizes_N2 + 1)
    lines = list(unsound(open_container(tmp_path / "x-train.h5")))
    assert len(lines) == 12 and "is 20x30 px, but the file stores another size" in lines[0]


def test_a_contact_sheet_has_a_row_for_each_class(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    contact_sheet(open_any(tmp_path / "x-train.h5"), tmp_path / "sheet.png")
    with Image.open(io.BytesIO((tmp_path / "sheet.png").read_bytes())) as sheet:
        assert sheet.size == (8 * 66 - 2, 2 * 66 - 2)
