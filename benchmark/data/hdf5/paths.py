"""Finds the two HDF5 files of a dataset. Imports neither torch nor h5py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".h5", ".hdf5")
_TEST_NAMES = ("test", "val")


def split_paths(path: Path) -> tuple[Path, Path]:
    """The files of the train and test splits, from the path that the user gives.

    Args:
        path: `X.h5` for `X-train.h5` and `X-test.h5` (or `-val`); one of these two; or a folder that holds
            `train.h5` and `test.h5`, or one such pair.

    Raises:
        UserError: they do not exist.
    """
    if path.is_dir():
        trains = sorted(child for child in path.iterdir() if _sibling(child, "test") is not None)
        if len(trains) != 1:
            candidates = ", ".join(child.name for child in trains) or "none"
            raise UserError(f"{path}: expected one X-train.h5 with its X-test.h5 in this folder, found {candidates}")
        train = trains[0]
    elif _sibling(path, "test") is not None:
        train = path
    else:
        train = path.with_name(f"{path.stem}-train{path.suffix or SUFFIXES[0]}")
    tests = [sibling for name in _TEST_NAMES if (sibling := _sibling(train, name)) is not None]
    test = next((sibling for sibling in tests if sibling.is_file()), None)
    if not train.is_file() or test is None:
        missing = train if not train.is_file() else tests[0]
        raise UserError(f"{path}: {missing} does not exist; `bench data convert` writes both splits")
    return train, test


def _sibling(path: Path, split: str) -> Path | None:
    """The file of another split next to `train.h5` or `X-train.h5`; None where the path has no such name."""
    stem, joint, last = path.stem.rpartition("-")
    if path.suffix not in SUFFIXES or last != "train":
        return None
    return path.with_name(f"{stem}{joint}{split}{path.suffix}")
