"""Class folders: `train/<class>/` with or without a labelled test split, or `<class>/` alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmark.data.layouts.contract import LIKELY, Found, Layout, Near
from benchmark.data.layouts.names import (
    EXTENSIONS,
    HELD_OUT_FOLDERS,
    TRAIN_FOLDERS,
    check_utf8,
    folders_in,
    has_image,
    has_own_image,
    is_image,
    left_out,
    unwrapped,
    walk,
)
from benchmark.data.listing import Listing, file_listing, nearest_class
from benchmark.errors import UserError
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_COMPARED = 20  # folders that are compared, which is enough to see what they are
_ENDINGS = ", ".join(EXTENSIONS)


def look(path: Path) -> Found | Near | None:
    """Whether a folder holds class folders."""
    if not path.is_dir():
        return None
    folders = {folder.name.lower(): folder for folder in reversed(folders_in(path))}
    train = next((unwrapped(folders[name]) for name in TRAIN_FOLDERS if name in folders), None)
    held_out = [unwrapped(folders[name]) for name in HELD_OUT_FOLDERS if name in folders]
    if train is None:
        return _look_unsplit(path, list(folders.values()), held_out)
    classes = [folder.name for folder in folders_in(train)]
    if not classes:
        return Near(f"{train.name}/ has no class folders; expected {train.name}/<class>/<image>", LIKELY)
    test, notes = _test_folder(path, train, classes, held_out)
    if test is None:
        what = f"class folders in {_name(train, path)}, without a labelled test split"
    else:
        what = f"class folders in {_name(train, path)} and {_name(test, path)}"
    return Found(what, test is not None, partial(list_split, path, what, [train], test, notes), train, (train,))


def _test_folder(
    root: Path, train: Path, classes: Sequence[str], held_out: Sequence[Path]
) -> tuple[Path | None, list[str]]:
    """The folder of the test split, the first labelled one, and what is said about the others."""
    labelled: list[Path] = []
    mismatched: list[Path] = []
    flat: list[Path] = []
    for folder in held_out:
        names = {child.name for child in folders_in(folder)}
        kind = labelled if names == set(classes) else mismatched if len(names) > 1 or names & set(classes) else flat
        kind.append(folder)
    if not labelled and mismatched:
        return mismatched[0], []  # listing it says which classes differ
    train_name = _name(train, root)
    notes = [f"{_name(folder, root)} has no class folders and is left alone" for folder in flat]
    notes += [f"{_name(folder, root)} has other classes than {train_name} and is left alone" for folder in mismatched]
    if not labelled:
        return None, notes
    spare = f"is left alone: the validation split is cut from {train_name}"
    notes += [f"{_name(folder, root)} {spare}" for folder in labelled[1:]]
    return labelled[0], notes


def _name(folder: Path, root: Path) -> str:
    return f"{folder.relative_to(root).as_posix()}/"


def _look_unsplit(path: Path, folders: Sequence[Path], held_out: Sequence[Path]) -> Found | Near | None:
    if held_out:
        return Near(f"has {held_out[0].name}/, but no train/; expected train/<class>/ and test/<class>/", LIKELY)
    with_images = [folder for folder in folders if has_image(folder)]
    if len(with_images) > 1:
        if alike := _look_side_by_side(path, with_images):
            return alike
        what = "class folders without a split"
        return Found(what, False, partial(_list_unsplit, path, what), path, (path,))
    if with_images:
        inner = with_images[0]
        if len(folders) > 1 and isinstance(look(inner), Found):
            return Near(f"has one folder with images, {inner.name}/, which is a dataset: --data {inner}", LIKELY)
        return Near(
            f"has a single class ('{inner.name}'); at least 2 class folders are needed, or every accuracy would be 100%"
        )
    if has_own_image(path):
        return Near("holds images without labels; expected class folders, or a CSV file with paths and labels", LIKELY)
    return None


def _look_side_by_side(path: Path, folders: Sequence[Path]) -> Near | None:
    """Whether folders hold the same class folders, as splits and datasets side by side do, and classes do not."""
    some = sorted(folders)[:_COMPARED]
    inner = {folder: {child.name for child in folders_in(unwrapped(folder)) if has_image(child)} for folder in some}
    nested = [folder for folder in some if len(inner[folder]) > 1]
    if len(nested) < 2 or 2 * len(nested) < len(some):
        return None
    common = set.intersection(*(inner[folder] for folder in nested))
    if len(common) < 2 or 2 * len(common) < len(set.union(*(inner[folder] for folder in nested))):
        return None
    first, second = (f"{folder.name}/" for folder in nested[:2])
    names = ", ".join(f"{name}/" for name in sorted(common)[:3]) + (", ..." if len(common) > 3 else "")
    return Near(
        f"{first} and {second} hold the same folders of images ({names}), so that they look like splits or datasets "
        f"side by side, not like classes; give one of them (--data {nested[0]}), or rename them to train/ and test/. "
        "If they are classes, give a table of paths and labels",
        LIKELY,
    )


def list_split(root: Path, what: str, trains: Sequence[Path], test: Path | None, notes: Sequence[str]) -> Listing:
    """Lists class folders in one or several folders of train, and in that of test."""
    classes = class_names(*trains)
    if test is not None:
        _check_same(trains[0], classes, test, class_names(test))
    parts, others, deep = [], [], []
    for parents in (trains, [test] if test is not None else []):
        part = []
        for name in classes:
            places = [parent / name for parent in parents if (parent / name).is_dir()]
            walked = walk(*places)
            if places and not walked.images:
                raise UserError(f"{places[0]}: no images in this class folder; expected files ending in {_ENDINGS}")
            part += [(path, name) for path in walked.images]
            others += walked.others
            if walked.images and not any(map(has_own_image, places)):
                deep.append(walked.images[0].parent)
        parts.append(part)
    all_notes = [*notes, left_out(others, root), _note_on_depth(deep, root)]
    return file_listing(
        root,
        what,
        parts[0],
        parts[1] if test is not None else None,
        classes=classes,
        notes=list(filter(None, all_notes)),
    )


def _list_unsplit(root: Path, what: str) -> Listing:
    part, others, empty, deep = [], [], [], []
    for folder in folders_in(root):
        walked = walk(folder)
        part += [(path, folder.name) for path in walked.images]
        others += walked.others
        if not walked.images:
            empty.append(f"{folder.name}/")
        elif not has_own_image(folder):
            deep.append(walked.images[0].parent)
    stray = [child for child in sorted(root.iterdir()) if child.is_file() and is_image(child.name)]
    notes = [
        left_out(others, root),
        _note_on_depth(deep, root),
        f"left out: {listing(empty[:3])}{', ...' if len(empty) > 3 else ''}, without images" if empty else "",
        f"left out: {len(stray):,} images outside class folders, such as {stray[0].name}" if stray else "",
    ]
    classes = sorted({name for _, name in part})
    check_utf8(classes, root)
    return file_listing(root, what, part, None, classes=classes, notes=list(filter(None, notes)))


def _note_on_depth(deep: Sequence[Path], root: Path) -> str:
    """A sentence about class folders that hold images only in deeper folders: the first of these for each."""
    if not deep:
        return ""
    holds = "1 class folder holds" if len(deep) == 1 else f"{len(deep):,} class folders hold"
    return f"{holds} images only in deeper folders, such as {_name(deep[0], root)}; these are images of the class"


def class_images(root: Path, classes: Sequence[str]) -> tuple[list[tuple[Path, str]], list[Path]]:
    """The images of each class folder of a folder with their classes, and the files that are no images."""
    walked = [(name, walk(root / name)) for name in classes]
    images = [(path, name) for name, found in walked for path in found.images]
    return images, [path for _, found in walked for path in found.others]


def class_names(*roots: Path) -> list[str]:
    """The names of the class folders in some folders, sorted; a `UserError` where there are none."""
    names = sorted({folder.name for root in roots for folder in folders_in(root)})
    if not names:
        raise UserError(f"{roots[0]}: has no class folders; expected {roots[0].name}/<class>/<image>")
    check_utf8(names, roots[0])
    return names


def _check_same(train: Path, classes: Sequence[str], test: Path, others: Sequence[str]) -> None:
    only_train, only_test = {*classes} - {*others}, {*others} - {*classes}
    for root, other, extra, spare in ((train, test, only_train, only_test), (test, train, only_test, only_train)):
        if extra:
            listed = ", ".join(f"'{name}'" for name in sorted(extra)[:5]) + (", ..." if len(extra) > 5 else "")
            near = nearest_class(sorted(extra), spare)
            raise UserError(f"{root}: class {listed} is missing from {other}{near}; both need the same classes")


CLASS_FOLDERS = Layout(
    "class folders", "train/<class>/ and test/<class>/ (or val/, valid/, validation/), or <class>/ alone", look
)
