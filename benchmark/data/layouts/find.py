"""Finds the layout of a path by asking all of them. Imports neither torch nor an image library."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from benchmark.data.hdf5.paths import SUFFIXES, split_paths
from benchmark.data.layouts.class_folders import CLASS_FOLDERS
from benchmark.data.layouts.contract import CERTAIN, GUESS, LIKELY, Found, Layout, Near
from benchmark.data.layouts.hugging_face import HUGGING_FACE
from benchmark.data.layouts.ilsvrc import ILSVRC
from benchmark.data.layouts.imagenet100 import IMAGENET100
from benchmark.data.layouts.names import contents, has_image, has_own_image, only_folder, walk
from benchmark.data.layouts.shards import SHARDS
from benchmark.data.layouts.tables import TABLES
from benchmark.data.layouts.tiny_imagenet import TINY_IMAGENET
from benchmark.data.listing import file_members
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.data.listing import Listing, Members

_ARCHIVES = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")


def _look_for_hdf5(path: Path) -> Found | Near | None:
    if path.suffix.lower() not in SUFFIXES and not (path.is_dir() and _holds_hdf5(path)):
        return None
    try:
        train, test = split_paths(path)
    except UserError as error:
        return Near(str(error).removeprefix(f"{path}: "), CERTAIN if path.suffix.lower() in SUFFIXES else GUESS)
    return Found(f"HDF5 files ({train.name}, {test.name})", not path.is_dir(), None, train)


def _holds_hdf5(folder: Path) -> bool:
    return any(child.suffix in SUFFIXES and child.stem.endswith("train") for child in folder.iterdir())


HDF5 = Layout("HDF5", "X.h5 for X-train.h5 and X-test.h5, as bench data convert writes", _look_for_hdf5)
LAYOUTS = (CLASS_FOLDERS, TINY_IMAGENET, IMAGENET100, ILSVRC, TABLES, HDF5, HUGGING_FACE, SHARDS)


def find_layout(path: Path) -> Found:
    """The layout of the images at a path, or in the only folder there, at any depth.

    Raises:
        UserError: there is nothing at the path, no layout fits (what was looked for is listed, and what is nearest), or
            several do.
    """
    if path.suffix.lower() not in SUFFIXES and not path.exists():
        raise UserError(f"{path}: no such folder or file")
    layouts = LAYOUTS if path.exists() else (HDF5,)  # X.h5 stands for two other files
    verdicts = [_verdict(layout, path) for layout in layouts]
    found = [verdict for verdict in verdicts if isinstance(verdict, Found)]
    near = [verdict for verdict in verdicts if isinstance(verdict, Near)]
    nearest = max(near, key=lambda verdict: verdict.closeness, default=None)  # the first of the closest ones
    fitting = [verdict for verdict in found if verdict.sure]
    if not fitting and not (nearest and nearest.closeness == CERTAIN):
        fitting = found
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        choices = "; ".join(f"{verdict.what}: --data {verdict.choose}" for verdict in fitting)
        raise UserError(f"{path}: holds several layouts of images; choose one. {choices}")
    if (nearest is None or nearest.closeness == GUESS) and (inside := _look_inside(path)):
        return inside
    if nearest:
        others = "" if nearest.closeness == CERTAIN else f" (looked for: {', '.join(each.name for each in layouts)})"
        raise UserError(f"{path}: {nearest.reason}{others}")
    if path.suffix.lower() in _ARCHIVES:
        raise UserError(f"{path}: is an archive; unpack it, and give the folder")
    found_there = f"has {', '.join(contents(path)) or 'nothing'}" if path.is_dir() else "is a file of another kind"
    expected = "\n".join(f"  {layout.name}: {layout.expected}" for layout in layouts)
    raise UserError(f"{path}: {found_there}; expected images in one of these layouts\n{expected}")


def _verdict(layout: Layout, path: Path) -> Found | Near | None:
    try:
        return layout.look(path)
    except UserError as error:  # a damaged table is no reason against the class folders beside it
        return Near(str(error).removeprefix(f"{path}: "), LIKELY)


def _look_inside(path: Path) -> Found | None:
    """The layout of the only folder in a folder; None where there is none such, or it can only be a class."""
    inner = only_folder(path) if path.is_dir() else None
    if inner is None or has_own_image(inner):
        return None
    try:
        found = find_layout(inner)
    except UserError:
        if has_image(inner):
            raise
        return None  # what there is in `path` says more
    what = f"{found.what}, in {inner.name}/"
    return replace(found, what=what, list=found.list and partial(_list_as, what, found.list))


def _list_as(what: str, list_them: Callable[[], Listing]) -> Listing:
    return replace(list_them(), layout=what)


def find_hdf5(path: Path) -> Found:
    """As `find_layout`, but HDF5 files come before whatever else is in a folder: what the dataset `hdf5` means."""
    if path.is_dir() and not _holds_hdf5(path):
        return find_layout(path)
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        return find_layout(path)
    train, test = split_paths(path)
    return Found(f"HDF5 files ({train.name}, {test.name})", True, None, path)


def list_images(path: Path) -> Listing:
    """The images at a path, listed; a `UserError` where no layout fits, or where they are in HDF5 files already."""
    found = find_layout(path)
    if found.list is None:
        raise UserError(f"{path}: its images lie in HDF5 files already")
    return found.list()


def every_image(path: Path) -> list[Members]:
    """All image files below a folder, whether a dataset has them or not, and the other images of a layout there.

    Raises:
        UserError: there are no image files, and no layout fits, or it is HDF5's.
    """
    paths = walk(path).images if path.is_dir() else []
    files = file_members([(file, "") for file in paths], [""])
    try:
        listing = list_images(path)
    except UserError:
        if not paths:
            raise
        return [files]
    known = set(files.names)
    parts = [part for part in (listing.train, listing.test) if part is not None]
    return [files, *(part.part([i for i, name in enumerate(part.names) if name not in known]) for part in parts)]
