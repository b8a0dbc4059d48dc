"""Writes one split's file in the layout that `format.py` describes.

A file is written under a hidden name and read back, and only then gets its own name, so that a file with that name is
complete.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from benchmark.data.hdf5.format import FORMAT, VERSION, open_container, split_digest
from benchmark.data.hdf5.paths import NOTHING_KEPT
from benchmark.data.splits import CHECKSUM_BYTES, checksum
from benchmark.errors import UserError
from benchmark.files import cannot_be_written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmark.data.decode import Progress
    from benchmark.data.hdf5.format import Container

_SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 14, 1 << 22  # bytes
_CHUNKS = 256  # per file, within these limits; chunks of the largest size would waste space at the end of a small file


class _Temporary(io.FileIO):
    """A file for HDF5 that hides failed writes: after one, all writes do nothing, and `failure` holds the error.

    HDF5 buffers what it writes, much of it until a file is closed. An error at that point leaves its objects half
    closed, and the process crashes when it exits (seen with HDF5 2.0 through h5py 3.16).

    Attributes:
        failure: the system's error of the first failed write.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        self.failure: OSError | None = None
        self._given_up = False

    def give_up(self) -> None:
        """Writes nothing from now on."""
        self._given_up = True

    def write(self, content: Any) -> int:
        """Writes all of the content, in as many parts as the system needs."""
        with memoryview(content) as view:
            done = 0
            while done < view.nbytes and not self._given_up:
                done += self._attempt(super().write, view[done:])
            return view.nbytes

    def truncate(self, size: int | None = None) -> int:
        """Shortens or extends the file."""
        return 0 if self._given_up else self._attempt(super().truncate, size)

    def _attempt(self, call: Any, argument: Any) -> int:
        try:
            return int(call(argument))
        except OSError as error:
            self.failure = error.with_traceback(None)  # the traceback would keep HDF5's memory alive
            self._given_up = True
            return 0


class Writer:
    """Writes one split's file image by image, with little memory: a few numbers per image.

    Args:
        path: of the finished file.
        split: its name.
        classes: in the order of the labels.
        expected: approximate bytes of all images.
        attributes: further attributes of the file.
    """

    def __init__(
        self, path: Path, split: str, classes: Sequence[str], expected: int, attributes: Mapping[str, int | str]
    ) -> None:
        self.path, self.split, self.classes = path, split, classes
        self.skipped: list[str] = []
        self.factors: dict[str, Any] = {}
        self._attributes = attributes
        self._hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._waiting: list[bytes] = []
        self._lengths: list[int] = []
        self._labels: list[int] = []
        self._sizes: list[tuple[int, int]] = []
        self._checksums: list[bytes] = []
        self._written = self._held = 0
        self._temporary: _Temporary | None = None
        self._file: h5py.File | None = None
        chunk = min(max(_SMALLEST_CHUNK, -(-expected // _CHUNKS)), _LARGEST_CHUNK)
        try:
            with self._writing():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._temporary = _Temporary(self._hidden)
                self._file = h5py.File(self._temporary, "w")
                self._bytes = self._file.create_dataset(
                    "bytes", shape=(0,), maxshape=(None,), chunks=(chunk,), dtype=np.uint8
                )
        except BaseException:
            self.discard()
            raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns the system's errors into messages."""
        try:
            yield
        except Exception as error:  # HDF5 may fail later, for want of what was not written
            cause = self._failure or error
            if not isinstance(cause, OSError):
                raise
            raise cannot_be_written(self.path, cause, NOTHING_KEPT) from None
        if self._failure is not None:
            raise cannot_be_written(self.path, self._failure, NOTHING_KEPT)

    @property
    def _failure(self) -> OSError | None:
        return None if self._temporary is None else self._temporary.failure

    def discard(self) -> None:
        """Closes and removes the file, unless it was published."""
        if self._temporary is None:
            return
        self._temporary.give_up()
        if self._file is not None:
            self._file.close()
        self._temporary.close()
        self._hidden.unlink(missing_ok=True)

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
        """The labels that have an image."""
        return set(self._labels)

    def _flush(self) -> None:
        with self._writing():
            self._bytes.resize((self._written + self._held,))
            self._bytes[self._written :] = np.frombuffer(b"".join(self._waiting), dtype=np.uint8)
        self._written, self._held, self._waiting = self._written + self._held, 0, []

    def finish(self, progress: Progress | None = None) -> None:
        """Completes the file and reads all of it back.

        Args:
            progress: called with (images read back, total).

        Raises:
            UserError: there are no images, the disk is full, or an image reads back changed.
        """
        if not self._lengths:
            raise UserError(f"{self.path}: there is no readable image for this split")
        self._flush()
        assert self._file is not None and self._temporary is not None
        with self._writing():
            self._write_tables(self._file)
            self._file.close()
        with self._writing():
            os.fsync(self._temporary.fileno())
            self._temporary.close()
            bad = next(damaged(open_container(self._hidden), progress), None)
        if bad is not None:
            raise UserError(f"{self.path}: image {bad} reads back changed; {NOTHING_KEPT}")

    def _write_tables(self, file: h5py.File) -> None:
        arrays = {
            "lengths": np.array(self._lengths, dtype=np.uint32),
            "labels": np.array(self._labels, dtype=np.int32),
            "sizes": np.array(self._sizes, dtype=np.uint32),
        }
        for name, values in arrays.items():
            file.create_dataset(name, data=values, compression="gzip", shuffle=True)
        codes = np.frombuffer(b"".join(self._checksums), dtype=np.uint8).reshape(-1, CHECKSUM_BYTES)
        file.create_dataset("checksums", data=codes)
        file.create_dataset("classes", data=list(self.classes), dtype=h5py.string_dtype())
        for name, values in self.factors.items():
            file.create_dataset(f"factors/{name}", data=values.astype(np.float32))
        digest = split_digest(self.split, self.classes, self._labels, self._checksums)
        file.attrs.update(
            {
                "format": FORMAT,
                "format_version": VERSION,
                "split": self.split,
                "skipped": json.dumps(self.skipped),
                "digest": digest,
                **self._attributes,
            }
        )

    def publish(self) -> Path:
        """Gives the file its name."""
        self._hidden.replace(self.path)
        return self.path


def damaged(container: Container, progress: Progress | None = None) -> Iterator[int]:
    """Numbers of the images whose bytes do not match their checksums."""
    codes = container.checksums()
    for index in range(len(container)):
        if checksum(container.read(index)) != codes[index]:
            yield index
        if progress is not None and (index % 1000 == 999 or index + 1 == len(container)):
            progress(index + 1, len(container))
