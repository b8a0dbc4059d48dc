"""Writing the files that `hdf5.py` describes, one per split.

A file is written under a hidden name, read back, and only then given its own: what has the name is whole.
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
import psutil

from benchmark.data.hdf5.format import FORMAT, SUFFIXES, VERSION, open_container, split_digest
from benchmark.data.splits import CHECKSUM_BYTES, checksum
from benchmark.errors import UserError
from benchmark.files import cannot_be_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmark.data.hdf5.format import Container
    from benchmark.data.images import Progress

    Say = Callable[[str], None]

SPLITS = ("train", "test")

_NOTHING_KEPT = "nothing was kept"

_SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 14, 1 << 22  # bytes
_CHUNKS = 256  # so many a file, if they are no smaller and no larger than that: the last one has no empty rest


class Writers:
    """The files of both splits: they get their names together, or none does.

    Args:
        out: `X.h5`, for `X-train.h5` and `X-test.h5`.
        made: attributes of the files that say how the images were made.
        say: told about what an interrupted conversion has left, which is removed.

    Raises:
        UserError: a file is there already, or another process is writing it.
    """

    def __init__(self, out: Path, made: Mapping[str, int | str], say: Say) -> None:
        if out.suffix not in SUFFIXES:
            raise UserError(f"{out}: the file's name has to end in {' or '.join(SUFFIXES)}")
        self._paths = {split: out.with_name(f"{out.stem}-{split}{out.suffix}") for split in SPLITS}
        self._made, self._open = made, list[Writer]()
        try:
            self._make_way(say)
        except OSError as error:
            raise cannot_be_written(out, error, _NOTHING_KEPT) from None

    def _make_way(self, say: Say) -> None:
        there = [path for path in self._paths.values() if path.exists()]
        if len(there) == 1:
            (missing,) = set(self._paths.values()) - set(there)
            raise UserError(
                f"{there[0]}: is there without {missing.name}, as a conversion leaves it that is interrupted between "
                "naming the two; remove it and convert again, or choose another name"
            )
        if there:
            raise UserError(f"{there[0]}: is there already; remove it, or choose another name")
        left = [file for path in self._paths.values() for file in _left_behind(path)]
        for file in left:
            file.unlink()
        if left:
            say("removed what an interrupted conversion left; starting again")

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._open:
            writer.discard()

    def open(self, split: str, classes: Sequence[str], expected: int) -> Writer:
        """A further split's file; see `Writer`."""
        self._open.append(Writer(self._paths[split], split, classes, expected, self._made))
        return self._open[-1]

    def publish(self) -> list[Path]:
        """Gives the finished files their names.

        Raises:
            UserError: the system refuses one; the others lose theirs again.
        """
        named: list[Path] = []
        try:
            for writer in self._open:
                named.append(writer.publish())
        except OSError as error:
            for path in named:
                path.unlink(missing_ok=True)
            raise cannot_be_written(self._open[len(named)].path, error, _NOTHING_KEPT) from None
        return named


def _left_behind(path: Path) -> Iterator[Path]:
    """What conversions to a path have left that were killed.

    Raises:
        UserError: one of them is still going on.
    """
    for file in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = file.name.split(".")[-2]
        if not process.isdecimal():
            continue  # not ours
        if int(process) != os.getpid() and _is_at_work(int(process), file):
            raise UserError(f"{path}: process {process} is converting to it; wait for that one")
        yield file


def _is_at_work(number: int, temporary: Path) -> bool:
    """Whether a process writes to a file; its number may have gone to another one since."""
    try:
        process = psutil.Process(number)
        started_before = process.create_time() <= temporary.stat().st_mtime + 1.0
        return started_before and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


class _Temporary(io.FileIO):
    """What HDF5 writes to. It never hears of a write that failed: all later ones do nothing, and the writer asks.

    HDF5 holds back what it writes, much of it until a file is closed. An error in there leaves its objects half closed,
    and the process crashes at its end (HDF5 2.0 does so, through h5py 3.16).

    Attributes:
        failure: why a write failed, as the system said it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        self.failure: OSError | None = None
        self._given_up = False

    def give_up(self) -> None:
        """Writes nothing from now on."""
        self._given_up = True

    def write(self, content: Any) -> int:
        """All of the content, in as many parts as the system takes it in."""
        with memoryview(content) as view:
            done = 0
            while done < view.nbytes and not self._given_up:
                done += self._attempt(super().write, view[done:])
            return view.nbytes

    def truncate(self, size: int | None = None) -> int:
        """Cuts the file off, or makes it longer."""
        return 0 if self._given_up else self._attempt(super().truncate, size)

    def _attempt(self, call: Any, argument: Any) -> int:
        try:
            return int(call(argument))
        except OSError as error:
            self.failure = error.with_traceback(None)  # which would hold on to memory of HDF5's
            self._given_up = True
            return 0


class Writer:
    """One split's file, written image by image; bounded in memory but for a few numbers an image.

    Args:
        path: of the finished file.
        split: its name.
        classes: in the order of the labels.
        expected: bytes of all images, about.
        made: further attributes of the file.
    """

    def __init__(
        self, path: Path, split: str, classes: Sequence[str], expected: int, made: Mapping[str, int | str]
    ) -> None:
        self.path, self.split, self.classes = path, split, classes
        self.skipped: list[str] = []
        self.factors: dict[str, Any] = {}
        self._made = made
        self._place = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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
                self._temporary = _Temporary(self._place)
                self._file = h5py.File(self._temporary, "w")
                self._bytes = self._file.create_dataset(
                    "bytes", shape=(0,), maxshape=(None,), chunks=(chunk,), dtype=np.uint8
                )
        except BaseException:
            self.discard()
            raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns what the system refuses into a message."""
        try:
            yield
        except Exception as error:  # HDF5 may miss what was not written
            cause = self._failure or error
            if not isinstance(cause, OSError):
                raise
            raise cannot_be_written(self.path, cause, _NOTHING_KEPT) from None
        if self._failure is not None:
            raise cannot_be_written(self.path, self._failure, _NOTHING_KEPT)

    @property
    def _failure(self) -> OSError | None:
        return None if self._temporary is None else self._temporary.failure

    def discard(self) -> None:
        """Removes what was not published."""
        if self._temporary is None:
            return
        self._temporary.give_up()
        if self._file is not None:
            self._file.close()
        self._temporary.close()
        self._place.unlink(missing_ok=True)

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
        with self._writing():
            self._bytes.resize((self._written + self._held,))
            self._bytes[self._written :] = np.frombuffer(b"".join(self._waiting), dtype=np.uint8)
        self._written, self._held, self._waiting = self._written + self._held, 0, []

    def finish(self, progress: Progress | None = None) -> None:
        """Writes the rest, and reads all of it back.

        Args:
            progress: called with (read back, of how many) now and then.

        Raises:
            UserError: there are no images, the disk is full, or what is read back is not what was written.
        """
        if not self._lengths:
            raise UserError(f"{self.path}: no readable image is left for this split")
        self._flush()
        assert self._file is not None and self._temporary is not None
        with self._writing():
            self._write_tables(self._file)
            self._file.close()
        with self._writing():
            os.fsync(self._temporary.fileno())
            self._temporary.close()
            bad = next(iter(damaged(open_container(self._place), progress)), None)
        if bad is not None:
            raise UserError(f"{self.path}: image {bad} reads back otherwise than it was written; nothing was kept")

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
                **self._made,
            }
        )

    def publish(self) -> Path:
        """Gives the file its name."""
        self._place.replace(self.path)
        return self.path


def damaged(container: Container, progress: Progress | None = None) -> Iterable[int]:
    """The images whose bytes are not what their checksums say."""
    codes = container.checksums()
    for index in range(len(container)):
        if checksum(container.read(index)) != codes[index]:
            yield index
        if progress is not None and (index % 1000 == 999 or index + 1 == len(container)):
            progress(index + 1, len(container))
