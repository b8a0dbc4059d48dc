"""Finds the two HDF5 files of a dataset. Imports neither torch nor h5py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.files.disk import writing

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".h5", ".hdf5")
SPLITS = ("train", "test")
NOTHING_KEPT = "nothing was kept"
_TEST_NAMES = ("test", "val")


def split_paths(path: Path) -> tuple[Path, Path]:
    """The files of the train and test splits, from the path that the user gives.

    The path is `X.h5` for `X-train.h5` and `X-test.h5` (or `-val`); the first of these two; or a folder that holds
    `train.h5` and `test.h5`, or one such pair. A `UserError` names a missing file.
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


def stands_for_two(path: Path) -> bool:
    """Whether a path is `X.h5`, which does not exist, for `X-train.h5` and `X-test.h5`, which do."""
    if path.suffix not in SUFFIXES or path.exists():
        return False
    try:
        split_paths(path)
    except UserError:
        return False
    return True


def existing_file(path: Path) -> None:
    """Refuses a missing path, or a folder."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder; expected one HDF5 file")
    if not path.is_file():
        split = path.with_name(f"{path.stem}-train{path.suffix}")
        raise UserError(f"{path}: no such file" + (f"; did you mean {split}?" if split.is_file() else ""))


def output_paths(out: Path) -> dict[str, Path]:
    """The files that a conversion to `X.h5` writes, by split: `X-train.h5` and `X-test.h5`; refuses existing ones."""
    if out.suffix not in SUFFIXES:
        raise UserError(f"{out}: the file's name has to end in {' or '.join(SUFFIXES)}")
    paths = {split: out.with_name(f"{out.stem}-{split}{out.suffix}") for split in SPLITS}
    with writing(out, NOTHING_KEPT):
        existing = [path for path in paths.values() if path.exists()]
    if len(existing) == 1:
        (missing,) = set(paths.values()) - set(existing)
        raise UserError(
            f"{existing[0]}: exists without {missing.name}, as after a conversion that was interrupted between "
            "naming the two; remove it and convert again, or choose another name"
        )
    if existing:
        raise UserError(f"{existing[0]}: exists already; remove it, or choose another name")
    return paths


def _sibling(path: Path, split: str) -> Path | None:
    """The file of another split next to `train.h5` or `X-train.h5`; None where the path has no such name."""
    stem, joint, last = path.stem.rpartition("-")
    if path.suffix not in SUFFIXES or last != "train":
        return None
    return path.with_name(f"{stem}{joint}{split}{path.suffix}")
