"""Writing HDF5 files of encoded images (`hdf5.py` describes them), one per split.

A file is written under a hidden name, read back, and only then given its own: what has the name is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from torchvision.io import encode_jpeg, encode_png
from torchvision.transforms.v2 import functional as transforms

from benchmark.data.folder import class_files, split_folders
from benchmark.data.hdf5 import FORMAT, SUFFIXES, VERSION, Container, open_container
from benchmark.data.images import decode, in_threads, read_bytes
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
_CHUNKS = 256  # about so many a file, so that the last one's empty rest is a small share


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
        return encode_jpeg(image_3HW, quality=self.quality)


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
    train, test = split_folders(folder)
    classes, files = class_files(train, test)
    made = []
    for root, members in zip((train, test), files, strict=True):
        paths = [path for group in members for path in group]
        labels = [label for label, group in enumerate(members) for _ in group]

        def make(path: Path) -> _Made:
            try:
                encoded = read_bytes(path)
                image = decode(encoded, str(path))
            except UserError as error:
                return _Made(b"", (0, 0), str(error))
            if reencode is not None:
                encoded = bytes(reencode(image).numpy().tobytes())
                image = decode(encoded, str(path))
            return _Made(encoded, (image.shape[-2], image.shape[-1]))

        split = "train" if root == train else "test"
        with _Writer(_split_path(out, split), split, classes, _total(paths)) as writer:
            for path, label, one in zip(paths, labels, in_threads(make, paths, progress), strict=True):
                if one.error and not skip:
                    raise UserError(f"{one.error}; nothing was written (--on-error skip leaves such images out)")
                if one.error:
                    say(f"left out: {one.error}")
                    writer.skipped.append(path.relative_to(folder).as_posix())
                else:
                    writer.add(one.encoded, label, one.size)
            made.append(writer.finish())
    return made


def convert_dataset(dataset: Dataset, out: Path, *, progress: Progress) -> list[Path]:
    """Converts a loaded dataset to PNG, which loses nothing; train holds the validation split again.

    Raises:
        UserError: a file is there already, or the disk is full.
    """
    parts = {"train": (dataset.train, dataset.validation), "test": (dataset.test,)}
    made = []
    for name, splits in parts.items():
        total = sum(len(split) for split in splits)
        with _Writer(_split_path(out, name), name, dataset.classes, total * 3 * dataset.image_size**2) as writer:
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
            made.append(writer.finish())
    return made


def _split_path(out: Path, split: str) -> Path:
    if out.suffix not in SUFFIXES:
        raise UserError(f"{out}: the file's name has to end in {' or '.join(SUFFIXES)}")
    return out.with_name(f"{out.stem}-{split}{out.suffix}")


def _total(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.exists())


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
        self._chunk = min(max(_SMALLEST_CHUNK, 1 << (expected // _CHUNKS).bit_length()), _LARGEST_CHUNK)
        self._waiting: list[bytes] = []
        self._lengths: list[int] = []
        self._labels: list[int] = []
        self._sizes: list[tuple[int, int]] = []
        self._checksums: list[bytes] = []
        self._written = self._held = 0

    def __enter__(self) -> _Writer:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for stale in self.path.parent.glob(f".{self.path.name}.*.tmp"):
                stale.unlink()  # of a conversion that was killed
            self._file = h5py.File(self._temporary, "w")
            self._bytes = self._file.create_dataset(
                "bytes", shape=(0,), maxshape=(None,), chunks=(self._chunk,), dtype=np.uint8
            )
        except OSError as error:
            raise self._failed(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Removes what was not finished."""
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

    def _flush(self) -> None:
        try:
            self._bytes.resize((self._written + self._held,))
            self._bytes[self._written :] = np.frombuffer(b"".join(self._waiting), dtype=np.uint8)
        except OSError as error:
            raise self._failed(error) from None
        self._written, self._held, self._waiting = self._written + self._held, 0, []

    def finish(self) -> Path:
        """Writes the rest, reads all of it back, and gives the file its name."""
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
            self._temporary.replace(self.path)
        except OSError as error:
            raise self._failed(error) from None
        return self.path

    def _failed(self, error: OSError) -> UserError:
        reason = os.strerror(error.errno) if error.errno else (str(error).splitlines() or ["unknown"])[0]
        return UserError(f"{self.path}: cannot be written ({reason}); nothing was kept")


def damaged(container: Container, progress: Progress | None = None) -> Iterable[int]:
    """The images whose bytes are not what their checksums say."""
    codes = container.checksums()
    for index in range(len(container)):
        if checksum(container.read(index)) != codes[index]:
            yield index
        if progress is not None and (index % 1000 == 999 or index + 1 == len(container)):
            progress(index + 1, len(container))
