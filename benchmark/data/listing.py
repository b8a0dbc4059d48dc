"""What a layout finds: the encoded images of each split with their labels, not read yet. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.files.disk import read_bytes
from benchmark.text import listing

UNCLASSIFIED = "image"
"""The only class of datasets whose images have none: they have label maps, depths, objects or numbers instead."""

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    Labelled = Sequence[tuple[Path, str]]  # image files, each with the name of its class


@dataclass(frozen=True)
class Members:
    """The encoded images of a split.

    Attributes:
        labels: numbers of classes, one per image.
        names: of the images, for messages: a file's path, or its place in a larger file.
        read: the bytes of the image with a number.
        total_bytes: about how many bytes all images have.
    """

    labels: list[int]
    names: Sequence[str]
    read: Callable[[int], bytes]
    total_bytes: Callable[[], int]

    def __len__(self) -> int:
        return len(self.labels)

    def encoded(self, index: int) -> tuple[bytes, str]:
        """The bytes of an image, and its name for messages."""
        return self.read(index), self.names[index]

    def part(self, indices: Sequence[int]) -> Members:
        """Some of the images, in this order."""
        return Members(
            [self.labels[index] for index in indices],
            [self.names[index] for index in indices],
            lambda index: self.read(indices[index]),
            lambda: self.total_bytes() * len(indices) // max(1, len(self)),
        )


@dataclass(frozen=True)
class Listing:
    """A dataset before its images are read.

    Attributes:
        root: the path that the user gave.
        layout: what was found there, in words.
        test: None where the data has no labelled test split, so that one is drawn from `train`.
        notes: what was left out or left alone, in sentences without paths above `root`.
    """

    root: Path
    layout: str
    classes: tuple[str, ...]
    train: Members
    test: Members | None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_classes(self.classes, self.root)

    def noting(self, *notes: str) -> Listing:
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *(note for note in notes if note)))


def prefix_of(root: Path) -> str:
    """What the names of images begin with that lie in a folder, or beside or in a file."""
    folder = root if root.is_dir() else root.parent
    # The current folder, which paths in it do not begin with, and the root have no name.
    return f"{folder}/" if folder.name else str(folder).removesuffix(".")


def check_classes(classes: Sequence[str], where: object) -> None:
    """Refuses a dataset of one class, unless its images are annotated otherwise (`UNCLASSIFIED`)."""
    if len(classes) < 2 and tuple(classes) != (UNCLASSIFIED,):
        only = f"'{classes[0]}'" if classes else "none"
        raise UserError(f"{where}: has a single class ({only}); at least 2 are needed, or every accuracy would be 100%")


def file_members(files: Labelled, classes: Sequence[str]) -> Members:
    """Image files as the members of a split."""
    numbers = {name: number for number, name in enumerate(classes)}
    paths = [path for path, _ in files]
    return Members(
        [numbers[name] for _, name in files],
        [str(path) for path in paths],
        partial(_read, paths),
        lambda: sum(path.stat().st_size for path in paths if path.exists()),
    )


def file_listing(
    root: Path,
    layout: str,
    train: Labelled,
    test: Labelled | None,
    *,
    classes: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Listing:
    """A listing of image files; `classes` are those of train, sorted (`in_order_of_names`), unless given."""
    names = tuple(classes or in_order_of_names(name for _, name in train))
    more = note_on_classes(names, None if test is None else {name for _, name in test}, root)
    members = None if test is None else file_members(test, names)
    return Listing(root, layout, names, file_members(train, names), members, (*notes, *more))


def note_on_classes(train: Sequence[str], test: set[str] | None, where: object) -> list[str]:
    """Refuses classes that only test has; a note about those that only train has."""
    if test is None:
        return []
    if unknown := sorted(test - set(train)):
        near = nearest_class(unknown, set(train) - test)
        raise UserError(f"{where}: test has the class {_some(unknown)}, which train does not have{near}")
    absent = [name for name in train if name not in test]
    if not absent:
        return []
    one = len(absent) == 1
    return [f"{len(absent)} class{'' if one else 'es'} {'has' if one else 'have'} no test image: {_some(absent)}"]


def nearest_class(missing: Iterable[str], there: Iterable[str]) -> str:
    """A clause that names the nearest class for the first missing one that has one, whatever the case; else empty."""
    by_lower = {name.lower(): name for name in there}
    for name in missing:
        if close := get_close_matches(name.lower(), by_lower, n=1):
            return f" (the nearest to '{name}' there is '{by_lower[close[0]]}')"
    return ""


def in_order_of_names(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names, sorted: by their number where all are numbers."""
    distinct = set(names)
    numeric = all(name.isascii() and name.isdecimal() for name in distinct)
    return tuple(sorted(distinct, key=lambda name: (int(name), name) if numeric else (0, name)))


def _some(names: Sequence[str]) -> str:
    return listing(f"'{name}'" for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _read(paths: Sequence[Path], index: int) -> bytes:
    return read_bytes(paths[index])
