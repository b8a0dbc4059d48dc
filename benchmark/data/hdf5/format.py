"""Reads HDF5 files of encoded images, one file per split.

Layout, version 1 (`write.py` writes it). Attributes of the file:

- `format`, `format_version`, `split`, and `skipped` (names of images that a conversion left out, JSON);
- in newer files `digest` (see `split_digest`);
- how the images were made: `resize` and `quality` if they were re-encoded, `dataset` if they are PNGs of a named
  dataset; none of the three if they are the files' bytes.

Datasets: `bytes` uint8 `(T,)`, all encoded images one after the other, chunked and not compressed (they already are);
`lengths` uint32 `(N,)`; `labels` int32 `(N,)`; `sizes` uint32 `(N, 2)`, height and width; `checksums` uint8 `(N, 16)`;
`classes`, strings `(K,)`; `factors/<name>` float32 `(N,)` where scene factors are known.

Because nothing is compressed, images are read directly at their offset in the file, without HDF5 and its lock, by any
number of threads and processes.

Shape suffixes: N images, K classes, T bytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from benchmark.data.hdf5.paths import existing_file
from benchmark.data.splits import CHECKSUM_BYTES, build_manifest
from benchmark.errors import UserError
from benchmark.files.disk import NO_LOCKS, reading
from benchmark.files.parse import load_json
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmark.data.decode import Progress

FORMAT, VERSION = "cnn-jepa-bench images", 1
ARRAYS = {"lengths": np.uint32, "labels": np.int32, "sizes": np.uint32, "checksums": np.uint8}
MOST_CLASSES = 1_000_000
SMALLEST_IMAGE = 4
"""Bytes; an encoded image takes more in every format."""

_MOST_BYTES = 2**28  # of a file of one image, and of its label

_LARGEST_RATIO = 1032  # of gzip: bytes that one byte unfolds to

# A link that leads in a circle is a RuntimeError of h5py.
DAMAGED = (OSError, KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError, RuntimeError)


@dataclass(frozen=True)
class Container:
    """A file of this project's layout. The images stay in the file until they are read.

    Attributes:
        offsets_N1: the offset of each image in `bytes`, and the end of the last one.
        chunk_offsets: the offset of each chunk in the file.
        skipped: names of the images that the conversion left out.
        digest: of the content, as stored; empty in older files.
        resize: short side in pixels to which larger images were resized; None if nothing was re-encoded.
        quality: JPEG quality of re-encoded images, or None.
        dataset: the named dataset whose images were written as PNG; empty for an image folder's.
    """

    path: Path
    split: str
    classes: tuple[str, ...]
    labels_N: NDArray[np.int32]
    sizes_N2: NDArray[np.uint32]
    offsets_N1: NDArray[np.int64]
    chunk_offsets: NDArray[np.int64]
    chunk: int
    stored_N16: NDArray[np.uint8]
    skipped: list[str]
    factors: dict[str, NDArray[np.float32]]
    digest: str = ""
    resize: int | None = None
    quality: int | None = None
    dataset: str = ""

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getstate__(self) -> dict[str, Any]:
        # A spawned process opens the file for itself.
        return {name: value for name, value in self.__dict__.items() if name != "_descriptor"}

    def __del__(self) -> None:
        if "_descriptor" in self.__dict__:
            os.close(self._descriptor)

    def read(self, index: int) -> bytes:
        """The bytes of an image's file; a `UserError` if this file is missing or truncated."""
        start, stop = int(self.offsets_N1[index]), int(self.offsets_N1[index + 1])
        parts = []
        while start < stop:
            number, inside = divmod(start, self.chunk)
            count = min(stop - start, self.chunk - inside)
            parts.append(os.pread(self._descriptor, count, int(self.chunk_offsets[number]) + inside))
            if len(parts[-1]) < count:
                raise UserError(f"{self.path}: truncated inside image {index}; convert it again")
            start += count
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @cached_property
    def _descriptor(self) -> int:
        # `pread` moves no file position, so that threads and forked processes can share the descriptor.
        with reading(self.path):
            return os.open(self.path, os.O_RDONLY)

    def checksums(self, progress: Progress | None = None) -> list[bytes]:
        """One checksum per image, as stored."""
        del progress  # for files whose checksums have to be computed
        return [row.tobytes() for row in self.stored_N16]


def open_container(path: Path) -> Container:
    """Opens a file of this project's layout and checks that it is complete.

    Raises:
        UserError: it is not HDF5, truncated, inconsistent, or of another layout or version.
    """
    try:
        return _open_container(path)
    except DAMAGED as error:
        raise UserError(f"{path}: is damaged, or not of the format that it states ({first_line(error)})") from None


def _open_container(path: Path) -> Container:
    with open_file(path) as file:
        if file.attrs.get("format") != FORMAT:
            raise UserError(f"{path}: HDF5, but not a file that `bench data convert` wrote")
        version = int(file.attrs.get("format_version", 0))
        if version != VERSION:
            raise UserError(f"{path}: format version is {version}; this program reads version {VERSION}")
        stored = _dataset(file, path, "bytes")
        tables = {name: _dataset(file, path, name) for name in (*ARRAYS, "classes")}
        values = dict(file["factors"].items()) if "factors" in file else {}
        _check_declared(path, stored, tables, values)
        chunk_offsets, chunk = _chunks(path, stored)
        arrays = {name: np.asarray(tables[name][()]) for name in ARRAYS}
        classes = tuple(name.decode() for name in tables["classes"][()])
        offsets = np.concatenate(([0], arrays["lengths"].astype(np.int64).cumsum()))
        _check_content(path, arrays, classes, int(offsets[-1]), stored.shape[0])
        return Container(
            path,
            str(file.attrs.get("split", "")),
            classes,
            arrays["labels"],
            arrays["sizes"],
            offsets,
            chunk_offsets,
            chunk,
            arrays["checksums"],
            _names(load_json(str(file.attrs.get("skipped", "[]")))),
            {name: part[()] for name, part in values.items()},
            digest=str(file.attrs.get("digest", "")),
            dataset=str(file.attrs.get("dataset", "")),
            **{name: int(file.attrs[name]) for name in ("resize", "quality") if name in file.attrs},
        )


def split_digest(split: str, classes: Sequence[str], labels: Sequence[int], checksums: Sequence[bytes]) -> str:
    """A split's identity: a hexadecimal hash over its name, its classes, and the sorted checksums with labels."""
    return build_manifest(classes, {split: (labels, checksums)}).digest


def open_file(path: Path) -> h5py.File:
    """Opens an HDF5 file for reading; a `UserError` if it is missing, truncated or not HDF5."""
    existing_file(path)
    try:
        try:
            return h5py.File(path, "r")
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return h5py.File(path, "r", locking=False)  # a network disk without locks
    except OSError as error:
        text = str(error)
        reason = "it is truncated" if "truncated" in text else "it is not an HDF5 file" if "signature" in text else text
        raise UserError(f"{path}: cannot be opened; {reason}") from None


def _dataset(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    if not isinstance(file.get(name), h5py.Dataset):
        raise UserError(f"{path}: has no dataset '{name}'; there are: {', '.join(sorted(file)) or 'none'}")
    return file[name]


def whole(stored: h5py.Dataset) -> h5py.Dataset:
    """The dataset of one image or label, if it was written as it is declared: one may declare more than memory holds.

    Raises:
        ValueError: it is too large, or the file holds less than it declares.
    """
    check_written(stored)
    if stored.nbytes > _MOST_BYTES:
        raise ValueError(f"'{stored.name}' declares {stored.nbytes:,} bytes; expected at most {_MOST_BYTES:,}")
    return stored


def check_written(stored: h5py.Dataset) -> None:
    """Raises a `ValueError` where a dataset declares more than the file holds of it."""
    if not isinstance(stored, h5py.Dataset):
        raise TypeError(f"'{stored.name}' is a group, expected a dataset")
    held, is_filtered = stored.id.get_storage_size(), stored.id.get_create_plist().get_nfilters() > 0
    if stored.nbytes > held * (_LARGEST_RATIO if is_filtered else 1):
        raise ValueError(f"'{stored.name}' declares {stored.nbytes:,} bytes, and the file holds {held:,} of them")


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("'skipped' is not a list of names")
    return value


def _check_declared(
    path: Path, stored: h5py.Dataset, tables: Mapping[str, h5py.Dataset], factors: Mapping[str, Any]
) -> None:
    """Checks kinds, shapes and sizes as declared, before anything is read: compressed tables can unfold to gigabytes.

    Args:
        stored: the images' bytes. They are not compressed, so that their number limits that of images.
        tables: by name, those of `ARRAYS` and the classes.
        factors: by name, one table each.
    """
    if stored.dtype != np.uint8 or stored.ndim != 1:
        raise UserError(f"{path}: 'bytes' holds {stored.dtype} of {stored.ndim} dimensions, expected uint8 of one")
    for part in (stored, *tables.values(), *factors.values()):
        check_written(part)
    for name, kind in ARRAYS.items():
        if tables[name].dtype != kind:
            raise UserError(f"{path}: '{name}' holds {tables[name].dtype}, expected {np.dtype(kind)}")
    names = tables["classes"]
    if h5py.check_string_dtype(names.dtype) is None or names.ndim != 1:
        raise UserError(f"{path}: 'classes' holds {names.dtype} of {names.ndim} dimensions, expected text of one")
    if len(names) > MOST_CLASSES:
        raise UserError(f"{path}: declares {len(names):,} classes; expected at most {MOST_CLASSES:,}")
    if tables["labels"].ndim != 1:
        raise UserError(f"{path}: 'labels' has more than one dimension")
    if not (count := len(tables["labels"])):
        raise UserError(f"{path}: holds no images")
    if count * SMALLEST_IMAGE > len(stored):
        raise UserError(f"{path}: declares {count:,} images, and 'bytes' has {len(stored):,}; convert it again")
    shapes = {"lengths": (count,), "sizes": (count, 2), "checksums": (count, CHECKSUM_BYTES)}
    for name, shape in shapes.items():
        if tables[name].shape != shape:
            raise UserError(f"{path}: '{name}' has the shape {tables[name].shape}, expected {shape}")
    for name, part in factors.items():
        if not isinstance(part, h5py.Dataset) or part.shape != (count,) or part.dtype.kind != "f":
            raise UserError(f"{path}: 'factors/{name}' does not have one number per image")


def _check_content(
    path: Path, arrays: Mapping[str, NDArray[Any]], classes: tuple[str, ...], ends: int, total: int
) -> None:
    labels = arrays["labels"]
    if len(set(classes)) < len(classes):
        raise UserError(f"{path}: two classes have one name")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise UserError(f"{path}: labels from {labels.min()} to {labels.max()}, but there are {len(classes)} classes")
    if ends != total:
        raise UserError(f"{path}: its images are {ends} bytes long, 'bytes' has {total}; convert it again")


def _chunks(path: Path, stored: h5py.Dataset) -> tuple[NDArray[np.int64], int]:
    """The chunks' offsets in the file, and their size."""
    if stored.chunks is None:
        return np.array([stored.id.get_offset()], dtype=np.int64), max(1, stored.shape[0])
    if stored.compression is not None or stored.shuffle or stored.fletcher32:
        raise UserError(f"{path}: 'bytes' is compressed; expected uncompressed")
    chunk = int(stored.chunks[0])
    offsets = np.full(-(-stored.shape[0] // chunk), -1, dtype=np.int64)

    def note(info: Any) -> None:
        offsets[info.chunk_offset[0] // chunk] = info.byte_offset

    if hasattr(stored.id, "chunk_iter"):  # since HDF5 1.12.3; in one pass
        stored.id.chunk_iter(note)
    else:
        for number in range(stored.id.get_num_chunks()):
            note(stored.id.get_chunk_info(number))
    if (offsets < 0).any():
        raise UserError(f"{path}: {int((offsets < 0).sum())} of its chunks were never written; convert it again")
    return offsets, chunk
