"""The files of both splits of a conversion: they get their names together, or neither does."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

import psutil

from benchmark.data.hdf5.paths import NOTHING_KEPT, output_paths
from benchmark.data.hdf5.write import Writer
from benchmark.errors import UserError
from benchmark.files import cannot_be_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    Say = Callable[[str], None]


class Writers:
    """Writes the files of both splits; a context manager that removes what was not published.

    Args:
        out: `X.h5`, for `X-train.h5` and `X-test.h5`.
        attributes: attributes of the files that say how the images were made.
        say: receives a message if remains of an interrupted conversion are removed.

    Raises:
        UserError: a file exists, or another process is writing it.
    """

    def __init__(self, out: Path, attributes: Mapping[str, int | str], say: Say) -> None:
        self._paths = output_paths(out)
        self._attributes, self._writers = attributes, list[Writer]()
        try:
            self._clear(say)
        except OSError as error:
            raise cannot_be_written(out, error, NOTHING_KEPT) from None

    def _clear(self, say: Say) -> None:
        """Removes the remains of killed conversions."""
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
        """Gives the finished files their names.

        Raises:
            UserError: the system refuses one; then the others are removed, too.
        """
        named: list[Path] = []
        try:
            for writer in self._writers:
                named.append(writer.publish())
        except OSError as error:
            for path in named:
                path.unlink(missing_ok=True)
            raise cannot_be_written(self._writers[len(named)].path, error, NOTHING_KEPT) from None
        return named


def _remains(path: Path) -> Iterator[Path]:
    """The temporary files of killed conversions to a path.

    Raises:
        UserError: a conversion to it is running.
    """
    for file in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = file.name.split(".")[-2]
        if not process.isdecimal():
            continue  # not ours
        if int(process) != os.getpid() and _is_writing(int(process), file):
            raise UserError(f"{path}: process {process} is converting to it; wait until it has finished")
        yield file


def _is_writing(process_id: int, temporary: Path) -> bool:
    """Whether the process that made a temporary file is running; its id may belong to a newer process."""
    try:
        process = psutil.Process(process_id)
        started_before = process.create_time() <= temporary.stat().st_mtime + 1.0
        return started_before and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False
