"""Names of files and folders: images, splits, and what operating systems leave behind."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.files.disk import reading
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXTENSIONS = tuple(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .gif .tif .tiff .avif .ppm .pgm .pbm .pnm".split()  # noqa: SIM905
)
"""Endings of the files that are taken for images. torchvision or Pillow decodes them."""

TRAIN = ("train", "training")
HELD_OUT = ("test", "testing", "val", "valid", "validation", "dev")
"""Names of splits that can be the test split, the first that is labelled first."""

TRAIN_FOLDERS = (*TRAIN, "train_set", "training_set")
HELD_OUT_FOLDERS = (
    *("test", "testing", "test_set", "testing_set", "val", "valid", "validation", "val_set", "validation_set"),
    *("dev", "eval", "evaluation"),
)
"""As above, of folders of class folders: these names are no others than splits there."""

# Left by operating systems, network disks and notebooks; names that begin with a dot are hidden anyway.
_JUNK = {
    *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle", "$recycle.bin", "lost+found"),
    *("system volume information", "icon\r", "__pycache__"),
}
_MOST_LOOKED_AT = 2000  # entries of a folder that are looked at for a first image


@dataclass
class Walked:
    """The image files below a folder, sorted folder by folder, and the other files."""

    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def is_ignored(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by an operating system."""
    return name.startswith(".") or name.lower() in _JUNK


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does."""
    return name.lower().endswith(EXTENSIONS)


def folders_in(root: Path) -> list[Path]:
    """The visible folders in a folder, sorted by name, links included; without links back to it or its parents."""
    trail = _trail(root)
    with reading(root), os.scandir(root) as entries:
        return [
            Path(entry.path)
            for entry in sorted(entries, key=lambda entry: entry.name)
            if not is_ignored(entry.name) and entry.is_dir() and _identity(entry) not in trail
        ]


def walk(*roots: Path) -> Walked:
    """The files below some folders. Links are followed, as torchvision does, but none back to a parent."""
    walked = Walked()
    for root in roots:
        _visit(root, _trail(root), walked)
    return walked


def _visit(folder: Path, trail: frozenset[tuple[int, int]], walked: Walked) -> None:
    below = []
    with reading(folder), os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not is_ignored(entry.name)), key=lambda entry: entry.name)
    for entry in visible:
        if entry.is_dir():
            below.append(entry)
        elif is_image(entry.name):
            # No pipes. A broken link is an image that cannot be read, which is said later.
            if entry.is_file() or entry.is_symlink():
                walked.images.append(Path(entry.path))
        elif entry.is_file():
            walked.others.append(Path(entry.path))
    for entry in below:
        identity = _identity(entry)
        if identity not in trail:
            _visit(Path(entry.path), trail | {identity}, walked)


def has_image(folder: Path) -> bool:
    """Whether an image is among the first files below a folder."""
    looked_at = 0
    for _, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not is_ignored(name))
        if any(is_image(name) and not is_ignored(name) for name in names):
            return True
        looked_at += len(names) + len(folders)
        if looked_at > _MOST_LOOKED_AT:
            break
    return False


def only_folder(root: Path) -> Path | None:
    """The only visible folder in a folder; None where there are several, or images beside it."""
    below = folders_in(root)
    return below[0] if len(below) == 1 and not has_own_image(root) else None


def has_own_image(folder: Path) -> bool:
    """Whether an image lies in a folder itself, not deeper."""
    with reading(folder), os.scandir(folder) as entries:
        return any(is_image(entry.name) and not is_ignored(entry.name) for entry in entries)


def unwrapped(folder: Path) -> Path:
    """A folder, or the first one below it that holds several folders, if there are only single folders between."""
    inner: Path | None = folder
    while inner is not None:
        if len(folders_in(inner)) > 1:
            return inner
        inner = only_folder(inner)
    return folder


def _trail(root: Path) -> frozenset[tuple[int, int]]:
    """The identities of a folder and its parents."""
    real = root.resolve()
    return frozenset((status.st_dev, status.st_ino) for status in (path.stat() for path in (real, *real.parents)))


def _identity(entry: os.DirEntry[str]) -> tuple[int, int]:
    status = entry.stat()
    return status.st_dev, status.st_ino


def left_out(others: Sequence[Path], root: Path, expected: Sequence[str] = ()) -> str:
    """A sentence that counts and names the files that are not read as images; empty where there are none.

    Files with an ending among `expected` belong to the layout.
    """
    foreign = [path for path in others if path.suffix.lower() not in expected]
    if not foreign:
        return ""
    counts = Counter(path.suffix.lower() or "without an ending" for path in foreign)
    kinds = listing(f"{count:,} {suffix}" for suffix, count in counts.most_common(4))
    more = sum(count for _, count in counts.most_common()[4:])
    example = foreign[0].relative_to(root) if foreign[0].is_relative_to(root) else foreign[0].name
    what = "file of a type that is not read here" if len(foreign) == 1 else "files of types that are not read here"
    return f"left out: {len(foreign):,} {what} ({kinds}{f', {more:,} others' if more else ''}), such as {example}"


def split_of(stem: str) -> str | None:
    """The split that a file's name states, in lower case: `train` in `train-00000-of-00002`; None where it has none."""
    words = re.split(r"[^a-z]+", stem.lower())
    return next((word for word in words if word in (*TRAIN, *HELD_OUT)), None)


def by_split(files: Sequence[Path], where: Path) -> tuple[list[Path], list[Path] | None, list[str]]:
    """The files of train, those of test (None where there are none), and notes about others, by names of files.

    Files of which none states a split are all for training.
    """
    groups: dict[str | None, list[Path]] = {}
    for path in files:
        groups.setdefault(split_of(path.stem), []).append(path)
    if set(groups) == {None}:
        return list(files), None, []
    train = [path for name in TRAIN for path in groups.get(name, [])]
    if not train:
        raise UserError(f"{where}: no file of train among {_names(list(files))}; expected names such as train-0")
    held_out = [name for name in HELD_OUT if name in groups]
    others = [path for name, paths in groups.items() if name not in (*TRAIN, *held_out[:1]) for path in paths]
    notes = [f"{_names(others)} left alone"] if others else []
    return train, groups[held_out[0]] if held_out else None, notes


def _names(paths: Sequence[Path]) -> str:
    return listing(path.name for path in paths[:4]) + (", ..." if len(paths) > 4 else "")


def check_utf8(names: Sequence[str], root: Path) -> None:
    """Refuses names of classes that cannot be written."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{root}: class folder {name!r} is not named in UTF-8; rename it") from None


def contents(folder: Path) -> Iterator[str]:
    """The first visible names in a folder, folders with a slash, for messages."""
    with reading(folder):
        children = sorted(child for child in folder.iterdir() if not is_ignored(child.name))
    yield from (child.name + "/" * child.is_dir() for child in children[:5])
    if len(children) > 5:
        yield "..."
