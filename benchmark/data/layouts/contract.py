"""The contract of layouts: a path is one of theirs, nearly one, or not one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.data.listing import Listing


GUESS, LIKELY, CERTAIN = 1, 2, 3


@dataclass(frozen=True)
class Found:
    """A path is of a layout.

    Attributes:
        what: the layout as found, in words: `class folders in train/ and val/`.
        sure: whether what was found can hardly be anything else. Where several layouts fit, a sure one wins.
        list: lists the images; raises a `UserError` where files or labels are missing. None for HDF5 files, which are
            a dataset of this suite already.
        choose: the path that names this layout alone, where several fit.
        train_folders: folders that hold all training images, where they can be counted without listing them.
    """

    what: str
    sure: bool
    list: Callable[[], Listing] | None
    choose: Path
    train_folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Near:
    """A path is nearly of a layout.

    Attributes:
        reason: what is missing or wrong, and what was expected.
        closeness: `GUESS`, `LIKELY` or `CERTAIN`: how sure the layout is, though something is missing. The closest
            reason is given; a certain one is given even where another layout might fit.
    """

    reason: str
    closeness: int = GUESS


@dataclass(frozen=True)
class Layout:
    """A way in which images and labels lie on a disk.

    Attributes:
        name: for messages and lists.
        expected: what it looks like, in a few words.
        look: judges a path that exists by names of files and folders, and at most the head of a file. Imports neither
            torch nor an image library.
    """

    name: str
    expected: str
    look: Callable[[Path], Found | Near | None]
