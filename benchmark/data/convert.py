"""Writing HDF5 files of encoded images (`hdf5.py` describes them), one per split.

A file is written under a hidden name, read back, and only then given its own: what has the name is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import psutil
import torch
from torchvision.io import encode_jpeg, encode_png
from torchvision.transforms.v2 import functional as transforms

from benchmark.data.folder import class_files, split_folders
from benchmark.data.hdf5 import FORMAT, SUFFIXES, VERSION, Container, open_container
from benchmark.data.images import decode, in_order, read_bytes
from benchmark.data.manifest import CHECKSUM_BYTES, checksum
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from torch import Tensor

    from benchmark.data.datasets import Dataset
    from benchmark.data.images import Progress

    Say = Callable[[str], None]

_SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 14, 1 << 22  # bytes
_CHUNKS = 256  # so many a file, if they are no smaller and no larger than that: the last one has no empty rest


@dataclass(frozen=True)
class Reencode:
    """How images are made anew: short side in pixels (larger ones alone shrink), and JPEG quality."""

    short_side: int
    quality: int = 95

    def __post_init__(self) -> None:
        if self.short_side < 8:
            raise UserError(f"--resize is {self.short_side}; expected at least 8 pixels")
        if not 1 <= self.quality <= 100:
            raise UserError(f"--quality is {self.quality}; expected 1 to 100")

    def __call__(self, image_3HW: Tensor) -> Tensor:
        """The JPEG file of an image."""
        height, width = image_3HW.shape[-2:]
        short = min(height, width)
        if short > self.short_side:
            size = [max(self.short_side, round(length * self.short_side / short)) for length in (height, width)]
            image_3HW = transforms.resize(image_3HW, size, antialias=True)
        encoded: Tensor = encode_jpeg(image_3HW, quality=self.quality)
        return encoded


@dataclass(frozen=True)
class _Made:
    """One image ready to be written, or why it is none."""

    encoded: bytes
    size: tuple[int, int]
    error: str = ""


def convert_folder(
    folder: Path, out: Path, reencode: Reencode | None, *, skip: bool, progress: Progress, say: Say
) -> list[Path]:
    """Converts an image folder; files are taken as they are unless they are to be made anew. Each is decoded once.

    Args:
        folder: with `train/<class>/` and `test/<class>/` or `val/<class>/`.
        out: `X.h5`, for `X-train.h5` and `X-test.h5`.
        reencode: None keeps the files' bytes.
        skip: leave unreadable images out, and list them in the file, instead of ending.
        progress: called with (done, of how many).
        say: told about what is left out.

    Returns:
        The files written.

    Raises:
        UserError: an image is unreadable, a file is there already, or the disk is full; nothing half done is left.
    """
    classes, files = class_files(*split_folders(folder))
    with _Writers(out) as writers:
        for split, members in zip(("train", "test"), files, strict=True):
            labelled = [(path, label) for label, group in enumerate(members) for path in group]
            paths = [path for path, _ in labelled]
            writer = writers.open(split, classes, _total(paths))
            images = in_order(partial(_make, reencode=reencode), paths, progress)
            for (path, label), one in zip(labelled, images, strict=True):
                if one.error and not skip:
                    raise UserError(f"{one.error}; nothing was written (--on-error skip leaves such images out)")
                if one.error:
                    say(f"left out: {one.error}")
                    writer.skipped.append(path.relative_to(folder).as_posix())
                else:
                    writer.add(one.encoded, label, one.size)
            empty = sorted(set(range(len(classes))) - writer.labels_written)
            if empty:
                raise UserError(f"{folder}: no readable image of class '{classes[empty[0]]}' is left in {split}")
            writer.finish()
        return writers.publish()


def _make(path: Path, reencode: Reencode | None) -> _Made:
    try:
        encoded = read_bytes(path)
        image = decode(encoded, str(path))
    except UserError as error:
        return _Made(b"", (0, 0), str(error))
    if reencode is not None:
        encoded = bytes(reencode(image).numpy().tobytes())
        image = decode(encoded, str(path))
    return _Made(encoded, (image.shape[-2], image.shape[-1]))


def convert_dataset(dataset: Dataset, out: Path, *, progress: Progress) -> list[Path]:
    """Converts a loaded dataset to PNG, which loses nothing; train holds the validation split again.

    Raises:
        UserError: a file is there already, or the disk is full.
    """
    parts = {"train": (dataset.train, dataset.validation), "test": (dataset.test,)}
    with _Writers(out) as writers:
        for name, splits in parts.items():
            total = sum(len(split) for split in splits)
            writer = writers.open(name, dataset.classes, total * 3 * dataset.image_size**2)
            done = 0
            for split in splits:
                for indices in torch.split(torch.arange(len(split)), 512):
                    images = split.images.read(indices)
                    for image, index in zip(images, indices.tolist(), strict=True):
                        size = (image.shape[-2], image.shape[-1])
                        writer.add(bytes(encode_png(image).numpy().tobytes()), int(split.labels[index]), size)
                    done += len(indices)
                    progress(done, total)
            writer.factors = {
                name: np.concatenate([split.factors[name].float().numpy() for split in splits])
                for name in splits[0].factors
            }
            writer.finish()
        return writers.publish()


def _split_path(out: Path, split: str) -> Path:
    if out.suffix not in SUFFIXES:
        raise UserError(f"{out}: the file's name has to end in {' or '.join(SUFFIXES)}")
    return out.with_name(f"{out.stem}-{split}{out.suffix}")


def _total(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.exists())


class _Writers:
    """The files of all splits: they get their names together, or none does."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._open: list[_Writer] = []

    def __enter__(self) -> _Writers:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._open:
            writer.discard()

    def open(self, split: str, classes: Sequence[str], expected: int) -> _Writer:
        """A further split's file; see `_Writer`."""
        self._open.append(_Writer(_split_path(self._out, split), split, classes, expected))
        return self._open[-1]

    def publish(self) -> list[Path]:
        """Gives the finished files their names."""
        return [writer.publish() for writer in self._open]


class _Writer:
    """One split's file, written image by image; bounded in memory but for a few numbers an image.

    Args:
        path: of the finished file.
        split: its name.
        classes: in the order of the labels.
        expected: bytes of all images, about.
    """

    def __init__(self, path: Path, split: str, classes: Sequence[str], expected: int) -> None:
        if path.exists():
            raise UserError(f"{path}: is there already; remove it, or choose another name")
        self.path, self.split, self.classes = path, split, classes
        self.skipped: list[str] = []
        self.factors: dict[str, Any] = {}
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._chunk = min(max(_SMALLEST_CHUNK, -(-expected // _CHUNKS)), _LARGEST_CHUNK)
        self._waiting: list[bytes] = []
        self._lengths: list[int] = []
        self._labels: list[int] = []
        self._sizes: list[tuple[int, int]] = []
        self._checksums: list[bytes] = []
        self._written = self._held = 0

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._clear()
            self._file = h5py.File(self._temporary, "w")
            self._bytes = self._file.create_dataset(
                "bytes", shape=(0,), maxshape=(None,), chunks=(self._chunk,), dtype=np.uint8
            )
        except OSError as error:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            raise self._failed(error) from None

    def _clear(self) -> None:
        """Removes what a conversion that was killed has left."""
        for stale in self.path.parent.glob(f".{self.path.name}.*.tmp"):
            process = stale.name.split(".")[-2]
            if not process.isdecimal():
                continue  # not ours
            if int(process) != os.getpid() and _is_at_work(int(process), stale):
                raise UserError(f"{self.path}: process {process} is converting to it; wait for that one")
            stale.unlink()

    def discard(self) -> None:
        """Removes what was not published."""
        with contextlib.suppress(OSError, RuntimeError):  # nothing that could not be written is missed
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def add(self, encoded: bytes, label: int, size: tuple[int, int]) -> None:
        """Adds an image: its file's bytes, label, height and width."""
        self._waiting.append(encoded)
        self._held += len(encoded)
        self._lengths.append(len(encoded))
        self._labels.append(label)
        self._sizes.append(size)
        self._checksums.append(checksum(encoded))
        if self._held >= _LARGEST_CHUNK:
            self._flush()

    @property
    def labels_written(self) -> set[int]:
        """The classes that have an image."""
        return set(self._labels)

    def _flush(self) -> None:
        try:
            self._bytes.resize((self._written + self._held,))
            self._bytes[self._written :] = np.frombuffer(b"".join(self._waiting), dtype=np.uint8)
        except OSError as error:
            raise self._failed(error) from None
        self._written, self._held, self._waiting = self._written + self._held, 0, []

    def finish(self) -> None:
        """Writes the rest, and reads all of it back."""
        if not self._lengths:
            raise UserError(f"{self.path}: no readable image is left for this split")
        self._flush()
        try:
            arrays = {
                "lengths": np.array(self._lengths, dtype=np.uint32),
                "labels": np.array(self._labels, dtype=np.int32),
                "sizes": np.array(self._sizes, dtype=np.uint32),
            }
            for name, values in arrays.items():
                self._file.create_dataset(name, data=values, compression="gzip", shuffle=True)
            codes = np.frombuffer(b"".join(self._checksums), dtype=np.uint8).reshape(-1, CHECKSUM_BYTES)
            self._file.create_dataset("checksums", data=codes)
            self._file.create_dataset("classes", data=list(self.classes), dtype=h5py.string_dtype())
            for name, values in self.factors.items():
                self._file.create_dataset(f"factors/{name}", data=values.astype(np.float32))
            self._file.attrs.update(
                {"format": FORMAT, "format_version": VERSION, "split": self.split, "skipped": json.dumps(self.skipped)}
            )
            self._file.close()
            bad = next(iter(damaged(open_container(self._temporary))), None)
            if bad is not None:
                raise UserError(f"{self.path}: image {bad} reads back otherwise than it was written; nothing was kept")
            with self._temporary.open("rb") as written:
                os.fsync(written.fileno())
        except OSError as error:
            raise self._failed(error) from None

    def publish(self) -> Path:
        """Gives the file its name."""
        self._temporary.replace(self.path)
        return self.path

    def _failed(self, error: OSError) -> UserError:
        reason = os.strerror(error.errno) if error.errno else (str(error).splitlines() or ["unknown"])[0]
        return UserError(f"{self.path}: cannot be written ({reason}); nothing was kept")


def _is_at_work(process: int, temporary: Path) -> bool:
    """Whether a process writes to a file; its number may have gone to another one since."""
    try:
        return psutil.Process(process).create_time() <= temporary.stat().st_mtime + 1.0
    except (psutil.Error, OSError):
        return False


def damaged(container: Container, progress: Progress | None = None) -> Iterable[int]:
    """The images whose bytes are not what their checksums say."""
    codes = container.checksums()
    for index in range(len(container)):
        if checksum(container.read(index)) != codes[index]:
            yield index
        if progress is not None and (index % 1000 == 999 or index + 1 == len(container)):
            progress(index + 1, len(container))
