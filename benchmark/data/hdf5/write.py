"""Writes the files of both splits in the layout that `format.py` describes.

A file is written under a hidden name and read back, and only then gets its own name, so that a file with that name is
complete. The files of both splits get their names together, or neither does.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from benchmark.data.decode import in_order
from benchmark.data.hdf5.format import ARRAYS, FORMAT, VERSION, open_container, split_digest
from benchmark.data.hdf5.paths import NOTHING_KEPT, output_paths
from benchmark.data.splits import CHECKSUM_BYTES, checksum
from benchmark.errors import UserError
from benchmark.files.disk import cannot_be_written, is_writing, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmark.data.decode import Progress
    from benchmark.data.hdf5.format import Container

    Say = Callable[[str], None]

_SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 14, 1 << 22  # bytes
_CHUNKS = 256  # per file, within these limits; chunks of the largest size would waste space at the end of a small file


class Writers:
    """Writes the files of both splits; a context manager that removes what was not published.

    `out` is `X.h5`, for `X-train.h5` and `X-test.h5`. The attributes say in the files how the images were made.

    Raises:
        UserError: a file exists, or another process is writing it.
    """

    def __init__(self, out: Path, attributes: Mapping[str, int | str], say: Say) -> None:
        self._paths = output_paths(out)
        self._attributes, self._writers = attributes, list[Writer]()
        with writing(out, NOTHING_KEPT):
            remains = [file for path in self._paths.values() for file in _remains(path)]
            for file in remains:
                file.unlink()
        if remains:
            say("removed what an interrupted conversion left; starting again")

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.discard()

    def open(self, split: str, classes: Sequence[str], expected: int) -> Writer:
        """Starts the file of a split; see `Writer`."""
        self._writers.append(Writer(self._paths[split], split, classes, expected, self._attributes))
        return self._writers[-1]

    def publish(self) -> list[Path]:
        """Gives the finished files their names; if the system refuses one, removes the others and says so."""
        named: list[Path] = []
        try:
            for writer in self._writers:
                named.append(writer.publish())
        except OSError as error:
            for path in named:
                path.unlink(missing_ok=True)
            raise cannot_be_written(self._writers[len(named)].path, error, NOTHING_KEPT) from None
        return named


class _Temporary(io.FileIO):
    """A file for HDF5 that hides failed writes: after one, all writes do nothing, and `failure` holds the error.

    HDF5 buffers what it writes, much of it until a file is closed. An error at that point leaves its objects half
    closed, and the process crashes when it exits (seen with HDF5 2.0 through h5py 3.16).
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        self.failure: OSError | None = None
        self.given_up = False

    def write(self, content: Any) -> int:
        """Writes all of the content, in as many parts as the system needs."""
        with memoryview(content) as view:
            done = 0
            while done < view.nbytes and not self.given_up:
                done += self._attempt(super().write, view[done:])
            return view.nbytes

    def truncate(self, size: int | None = None) -> int:
        """Shortens or extends the file."""
        return 0 if self.given_up else self._attempt(super().truncate, size)

    def _attempt(self, call: Any, argument: Any) -> int:
        try:
            return int(call(argument))
        except OSError as error:
            self.failure = error.with_traceback(None)  # the traceback would keep HDF5's memory alive
            self.given_up = True
            return 0


class Writer:
    """Writes one split's file image by image, with little memory: a few numbers per image.

    `expected` is the approximate number of bytes of all images.
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
        self._rows: list[tuple[int, int, tuple[int, int], bytes]] = []  # length, label, size, checksum
        self._written = self._held = 0
        self._file: h5py.File | None = None
        with writing(path, NOTHING_KEPT):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary = _Temporary(self._hidden)
        chunk = min(max(_SMALLEST_CHUNK, -(-expected // _CHUNKS)), _LARGEST_CHUNK)
        try:
            with self._writing():
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
            cause = self._temporary.failure or error
            if not isinstance(cause, OSError):
                raise
            raise cannot_be_written(self.path, cause, NOTHING_KEPT) from None
        if self._temporary.failure is not None:
            raise cannot_be_written(self.path, self._temporary.failure, NOTHING_KEPT)

    def discard(self) -> None:
        """Closes and removes the file, unless it was published."""
        self._temporary.given_up = True
        if self._file is not None:
            self._file.close()
        self._temporary.close()
        self._hidden.unlink(missing_ok=True)

    def add(self, encoded: bytes, label: int, size: tuple[int, int]) -> None:
        """Adds an image: its file's bytes, label, height and width."""
        self._waiting.append(encoded)
        self._held += len(encoded)
        self._rows.append((len(encoded), label, size, checksum(encoded)))
        if self._held >= _LARGEST_CHUNK:
            self._flush()

    def labels_written(self) -> set[int]:
        """The labels that have an image."""
        return {label for _, label, _, _ in self._rows}

    def _flush(self) -> None:
        with self._writing():
            self._bytes.resize((self._written + self._held,))
            self._bytes[self._written :] = np.frombuffer(b"".join(self._waiting), dtype=np.uint8)
        self._written, self._held, self._waiting = self._written + self._held, 0, []

    def finish(self, progress: Progress | None = None) -> None:
        """Completes the file and reads all of it back; `progress` is called with (images read back, total).

        Raises:
            UserError: there are no images, the disk is full, or an image reads back changed.
        """
        if not self._rows:
            raise UserError(f"{self.path}: there is no readable image for this split")
        self._flush()
        assert self._file is not None
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
        lengths, labels, sizes, checksums = zip(*self._rows, strict=True)
        for name, values in (("lengths", lengths), ("labels", labels), ("sizes", sizes)):
            file.create_dataset(name, data=np.array(values, dtype=ARRAYS[name]), compression="gzip", shuffle=True)
        codes = np.frombuffer(b"".join(checksums), dtype=np.uint8).reshape(-1, CHECKSUM_BYTES)
        file.create_dataset("checksums", data=codes)
        file.create_dataset("classes", data=list(self.classes), dtype=h5py.string_dtype())
        for name, values in self.factors.items():
            file.create_dataset(f"factors/{name}", data=values.astype(np.float32))
        file.attrs.update(
            format=FORMAT,
            format_version=VERSION,
            split=self.split,
            skipped=json.dumps(self.skipped),
            digest=split_digest(self.split, self.classes, labels, checksums),
            **self._attributes,
        )

    def publish(self) -> Path:
        """Gives the file its name."""
        self._hidden.replace(self.path)
        return self.path


def damaged(container: Container, progress: Progress | None = None) -> Iterator[int]:
    """Numbers of the images whose bytes do not match their checksums."""
    codes = container.checksums()
    sound = in_order(lambda index: checksum(container.read(index)) == codes[index], range(len(container)), progress)
    return (index for index, is_sound in enumerate(sound) if not is_sound)


def _remains(path: Path) -> Iterator[Path]:
    """The temporary files of killed conversions to a path; refuses a path to which a conversion is running."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = file.name.split(".")[-2]
        if not process.isdecimal():
            continue  # not ours
        if int(process) != os.getpid() and is_writing(int(process), file):
            raise UserError(f"{path}: process {process} is converting to it; wait until it has finished")
        yield file
