"""Encoded images in one HDF5 file per split: reading.

Layout, version 1 (`convert.py` writes it). Attributes of the file: `format`, `format_version`, `split`, `skipped`
(names that a conversion left out, JSON). Datasets: `bytes` uint8 `(T,)`, all encoded images one after the other,
chunked and not compressed, since they are compressed already; `lengths` uint32 `(N,)`; `labels` int32 `(N,)`; `sizes`
uint32 `(N, 2)`, height and width; `checksums` uint8 `(N, 16)`; `classes`, strings `(K,)`; `factors/<name>` float32
`(N,)` where scenes are known.

Because nothing is compressed, an image is read straight from the file at its place, by any number of threads and
processes at once, past HDF5's own lock.

Shape suffixes: N images, K classes, T bytes.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import h5py
import numpy as np
import torch

from benchmark.data.images import LARGEST_NATIVE, ImagesOnDemand, canonical_side
from benchmark.data.manifest import CHECKSUM_BYTES, checksum
from benchmark.data.source import RawSplit, Source
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from benchmark.data.images import Images, Progress

FORMAT, VERSION = "cnn-jepa-bench images", 1
SUFFIXES = (".h5", ".hdf5")
_TEST_NAMES = ("test", "val")
_ARRAYS = {"lengths": np.uint32, "labels": np.int32, "sizes": np.uint32, "checksums": np.uint8}
_FALLBACK_SIZE = 224
_log = logging.getLogger(__name__)


class Encoded(Protocol):
    """A split's encoded images, by number."""

    path: Path
    classes: tuple[str, ...]
    labels_N: NDArray[np.int32]
    sizes_N2: NDArray[np.uint32]
    factors: dict[str, NDArray[np.float32]]

    def __len__(self) -> int: ...

    def read(self, index: int) -> bytes:
        """The bytes of an image's file."""
        ...

    def checksums(self, progress: Progress | None = None) -> list[bytes]:
        """One an image."""
        ...


@dataclass(frozen=True)
class Container:
    """A file of this project's layout. Small: the images stay in the file until they are read.

    Attributes:
        path: of the file.
        split: its name.
        classes: in the order of the labels.
        labels_N: of the images.
        sizes_N2: height and width.
        offsets_N1: where each image begins among the bytes, and the end of the last.
        places: where each chunk lies in the file.
        chunk: bytes of a chunk.
        stored_N16: checksums as stored.
        skipped: what a conversion left out.
        factors: of scenes, by name.
    """

    path: Path
    split: str
    classes: tuple[str, ...]
    labels_N: NDArray[np.int32]
    sizes_N2: NDArray[np.uint32]
    offsets_N1: NDArray[np.int64]
    places: NDArray[np.int64]
    chunk: int
    stored_N16: NDArray[np.uint8]
    skipped: str = "[]"
    factors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}  # a spawned process opens the file for itself

    def __del__(self) -> None:
        for descriptor in self.__dict__.get("_open", {}).values():
            os.close(descriptor)

    def read(self, index: int) -> bytes:
        """The bytes of an image's file.

        Raises:
            UserError: the file is gone or cut off.
        """
        start, stop = int(self.offsets_N1[index]), int(self.offsets_N1[index + 1])
        parts = []
        while start < stop:
            number, inside = divmod(start, self.chunk)
            count = min(stop - start, self.chunk - inside)
            parts.append(os.pread(self._descriptor(), count, int(self.places[number]) + inside))
            if len(parts[-1]) < count:
                raise UserError(f"{self.path}: cut off inside image {index}; convert it again")
            start += count
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _descriptor(self) -> int:
        # Reading at a place moves no pointer, so that threads and forked processes may share it.
        if "file" not in self._open:
            try:
                self._open["file"] = os.open(self.path, os.O_RDONLY)
            except OSError as error:
                raise UserError(f"{self.path}: cannot be read ({error.strerror})") from None
        return self._open["file"]

    def checksums(self, progress: Progress | None = None) -> list[bytes]:
        """One an image, as stored."""
        del progress
        flat = self.stored_N16.tobytes()
        return [flat[start : start + CHECKSUM_BYTES] for start in range(0, len(flat), CHECKSUM_BYTES)]


def open_container(path: Path) -> Container:
    """Opens a file of this project's layout, and checks that it is whole.

    Raises:
        UserError: it is not HDF5, cut off, of another layout or a newer version, or says what cannot be.
    """
    with _file(path) as file:
        if file.attrs.get("format") != FORMAT:
            raise UserError(f"{path}: HDF5, but not a file that `bench data convert` wrote")
        version = int(file.attrs.get("format_version", 0))
        if version != VERSION:
            raise UserError(f"{path}: format version is {version}; this program reads version {VERSION}")
        arrays = {name: _array(file, path, name, kind) for name, kind in _ARRAYS.items()}
        names = _dataset(file, path, "classes")
        if h5py.check_string_dtype(names.dtype) is None:
            raise UserError(f"{path}: 'classes' holds {names.dtype}, expected text")
        classes = tuple(name.decode() for name in names[()])
        stored = _dataset(file, path, "bytes")
        offsets = np.concatenate(([0], arrays["lengths"].astype(np.int64).cumsum()))
        _check_content(path, arrays, classes, int(offsets[-1]), stored.shape[0])
        places, chunk = _places(path, stored)
        factors = {name: part[()] for name, part in file["factors"].items()} if "factors" in file else {}
        return Container(
            path,
            str(file.attrs.get("split", "")),
            classes,
            arrays["labels"],
            arrays["sizes"],
            offsets,
            places,
            chunk,
            arrays["checksums"],
            str(file.attrs.get("skipped", "[]")),
            factors,
        )


def _file(path: Path) -> h5py.File:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        text = str(error)
        reason = "it is cut off" if "truncated" in text else "it is no HDF5 file" if "signature" in text else text
        raise UserError(f"{path}: cannot be opened; {reason}") from None


def _dataset(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    if not isinstance(file.get(name), h5py.Dataset):
        raise UserError(f"{path}: has no dataset '{name}'; there are: {', '.join(sorted(file)) or 'none'}")
    return file[name]


def _array(file: h5py.File, path: Path, name: str, kind: Any) -> NDArray[Any]:
    found = _dataset(file, path, name)[()]
    if found.dtype != kind:
        raise UserError(f"{path}: '{name}' holds {found.dtype}, expected {np.dtype(kind)}")
    return np.asarray(found)


def _check_content(
    path: Path, arrays: dict[str, NDArray[Any]], classes: tuple[str, ...], ends: int, total: int
) -> None:
    labels = arrays["labels"]
    count = len(labels)
    if not count:
        raise UserError(f"{path}: holds no images")
    shapes = {"lengths": (count,), "sizes": (count, 2), "checksums": (count, CHECKSUM_BYTES)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise UserError(f"{path}: '{name}' has the shape {arrays[name].shape}, expected {shape}")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise UserError(f"{path}: labels from {labels.min()} to {labels.max()}, but there are {len(classes)} classes")
    if ends != total:
        raise UserError(f"{path}: its images are {ends} bytes long, 'bytes' has {total}; convert it again")


def _places(path: Path, stored: h5py.Dataset) -> tuple[NDArray[np.int64], int]:
    """Where the chunks lie in the file, and their size."""
    if stored.chunks is None:
        return np.array([stored.id.get_offset()], dtype=np.int64), max(1, stored.shape[0])
    if stored.compression is not None or stored.shuffle or stored.fletcher32:
        raise UserError(f"{path}: 'bytes' is compressed; it has to be stored as it is")
    chunk = int(stored.chunks[0])
    places = np.full(-(-stored.shape[0] // chunk), -1, dtype=np.int64)

    def note(info: Any) -> None:
        places[info.chunk_offset[0] // chunk] = info.byte_offset

    if hasattr(stored.id, "chunk_iter"):  # since HDF5 1.12.3; in one pass
        stored.id.chunk_iter(note)
    else:
        for number in range(stored.id.get_num_chunks()):
            note(stored.id.get_chunk_info(number))
    if (places < 0).any():
        raise UserError(f"{path}: {int((places < 0).sum())} of its chunks were never written; convert it again")
    return places, chunk


class NumberedFiles:
    """The layout of CNN-JEPA's own converter: groups `images` and `labels`, one dataset per image, named by number.

    Reading goes through HDF5, one image at a time for the whole process. Classes have no names there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.factors: dict[str, NDArray[np.float32]] = {}
        self._opened: tuple[int, h5py.File] | None = None
        with _file(path) as file:
            for name in ("images", "labels"):
                if not isinstance(file.get(name), h5py.Group):
                    raise UserError(f"{path}: has no group '{name}'; there are: {', '.join(sorted(file)) or 'none'}")
            count = len(file["images"])
            if not count or len(file["labels"]) != count:
                raise UserError(f"{path}: {count} images and {len(file['labels'])} labels; expected as many, and some")
            try:
                labels = [int(np.asarray(file["labels"][str(number)][()]).item()) for number in range(count)]
                file["images"][str(count - 1)]
            except (KeyError, ValueError, TypeError) as error:
                raise UserError(f"{path}: images and labels have to be numbered from 0 ({error})") from None
        self.labels_N = np.array(labels, dtype=np.int32)
        if self.labels_N.min() < 0:
            raise UserError(f"{path}: labels from {self.labels_N.min()}; expected 0 or more")
        self.classes = tuple(map(str, range(int(self.labels_N.max()) + 1)))
        self.sizes_N2 = np.zeros((0, 2), dtype=np.uint32)  # not stored there

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def read(self, index: int) -> bytes:
        """The bytes of an image's file."""
        if self._opened is None or self._opened[0] != os.getpid():  # HDF5's state does not outlive a fork
            self._opened = (os.getpid(), _file(self.path))
        return np.asarray(self._opened[1]["images"][str(index)][()]).tobytes()

    def checksums(self, progress: Progress | None = None) -> list[bytes]:
        """One an image, of its bytes; reads the whole file."""
        found = []
        for index in range(len(self)):
            found.append(checksum(self.read(index)))
            if progress is not None and (index % 1000 == 999 or index + 1 == len(self)):
                progress(index + 1, len(self))
        return found


class ContainerImages(ImagesOnDemand):
    """Some of a file's images, decoded each time they are read."""

    def __init__(self, encoded: Encoded, indices: Sequence[int], side: int, *, native: bool) -> None:
        super().__init__(len(indices), side, native=native)
        self.source, self.indices = encoded, tuple(indices)

    def encoded(self, position: int) -> tuple[bytes, str]:
        """The bytes of an image's file, and what to call it in a message."""
        index = self.indices[position]
        return self.source.read(index), f"{self.source.path}, image {index}"


def open_any(path: Path) -> Encoded:
    """A file of this project's layout or of CNN-JEPA's converter.

    Raises:
        UserError: it is neither; see `open_container`.
    """
    with _file(path) as file:
        numbered = "format" not in file.attrs and ("images" in file or "labels" in file)
    return NumberedFiles(path) if numbered else open_container(path)


def split_paths(path: Path) -> tuple[Path, Path]:
    """The files of train and test split that a path stands for.

    Args:
        path: `X.h5` for `X-train.h5` and `X-test.h5` (or `-val`); one of these two; or a folder that holds
            `train.h5` and `test.h5`, or one such pair.

    Raises:
        UserError: they are not there.
    """
    if path.is_dir():
        stems = {child.with_name(child.name.replace("train", "{}")) for child in path.iterdir() if _is_train(child)}
        if len(stems) != 1:
            found = f"{len(stems)} pairs" if stems else "none"
            raise UserError(f"{path}: expected one X-train.h5 with its X-test.h5 in this folder, found {found}")
        pattern = str(next(iter(stems)))
    elif _is_train(path):
        pattern = str(path.with_name(path.name.replace("train", "{}")))
    else:
        pattern = str(path.with_name(f"{path.stem}-{{}}{path.suffix or '.h5'}"))
    train = Path(pattern.format("train"))
    test = next((Path(pattern.format(name)) for name in _TEST_NAMES if Path(pattern.format(name)).is_file()), None)
    for file, name in ((train if train.is_file() else None, "train"), (test, "test")):
        if file is None:
            raise UserError(f"{path}: {pattern.format(name)} is not there; `bench data convert` writes both splits")
    assert test is not None
    return train, test


def _is_train(path: Path) -> bool:
    return path.suffix in SUFFIXES and "train" in path.name and "{" not in path.name


def load_hdf5(path: Path, size: int | None, progress: Progress | None = None) -> Source:
    """A dataset in HDF5 files; sizes are chosen as for a folder of the same images.

    Args:
        path: see `split_paths`.
        size: the input size in pixels; None takes the images' own where all are square, equal and small, else 224.
        progress: called with (done, of how many) where the files have to be read through.

    Raises:
        UserError: a file is missing, damaged, or its classes are not the other's.
    """
    train, test = (open_any(part) for part in split_paths(path))
    if train.classes != test.classes and isinstance(train, Container):
        raise UserError(f"{train.path} and {test.path}: their classes differ; convert them together")
    sizes = np.unique(np.concatenate([train.sizes_N2, test.sizes_N2]), axis=0)
    native = len(sizes) == 1 and sizes[0, 0] == sizes[0, 1] <= LARGEST_NATIVE
    image_size = size or (int(sizes[0, 0]) if native else _FALLBACK_SIZE)
    side = image_size if native else canonical_side(image_size)
    splits = [_raw_split(part, side, native=native, progress=progress) for part in (train, test)]
    classes = max((train.classes, test.classes), key=len)
    return Source(classes, image_size, side, splits[0], splits[1])


def _raw_split(part: Encoded, side: int, *, native: bool, progress: Progress | None) -> RawSplit:
    def open_images(indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
        images = ContainerImages(part, indices.tolist(), side, native=native)
        return images.resident(progress) if resident else images

    labels = torch.from_numpy(part.labels_N.astype(np.int64))
    factors = {name: torch.from_numpy(values) for name, values in part.factors.items()}
    return RawSplit(labels, part.checksums(progress), open_images, factors)
