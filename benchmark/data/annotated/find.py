"""Finds annotated images below a path by names of files and folders. Imports neither torch nor an image library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.data.annotated.contract import Annotated, Item
from benchmark.data.annotated.counts import clevr, fsc147, table_of_counts
from benchmark.data.layouts.names import HELD_OUT, TRAIN, contents, is_image, walk
from benchmark.data.layouts.rows import TEXT_SUFFIXES
from benchmark.errors import UserError
from benchmark.files.disk import reading

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MASKS = ("masks", "annotations", "labels", "segmentation")
DEPTHS = ("depth", "depths")
LABEL_NAMES = "labels.txt"
EXPECTED = (
    "images/ beside masks/ (PNG, a value a pixel) or depth/ (16-bit PNG in millimetres, or .npy), each with or without "
    "train/ and val/; ADE20K's or Cityscapes' folders; a CSV file of paths and counts; CLEVR's or FSC-147's folder; "
    "NYU Depth V2's labelled .mat"
)
_ADE_LABELS = 150
_CITYSCAPES = {
    **{7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9},
    **{23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18},
}
_CITYSCAPES_NAMES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)


def find_annotated(path: Path) -> Annotated | None:
    """The annotated images at a path; None for a `.mat` file, which holds the images themselves.

    Raises:
        UserError: no layout fits, or an image lacks its mask or depth.
    """
    if not path.exists():
        raise UserError(f"{path}: no such folder or file")
    if path.is_file():
        if path.suffix.lower() == ".mat":
            return None
        if path.suffix.lower() in TEXT_SUFFIXES:
            return table_of_counts(path)
        raise UserError(f"{path}: is a file of another kind; expected {EXPECTED}")
    for look in (clevr, fsc147, _ade20k, _cityscapes, _folders):
        if (found := look(path)) is not None:
            return found
    raise UserError(f"{path}: has {', '.join(contents(path)) or 'nothing'}; expected {EXPECTED}")


def _ade20k(root: Path) -> Annotated | None:
    """ADE20K as in the scene parsing challenge: labels 1 to 150, and 0 for what is none of them."""
    images, masks = root / "images", root / "annotations"
    if not (images / "training").is_dir() or not (masks / "training").is_dir():
        return None
    train, test = (_paired(images / split, {"label_map": masks / split}) for split in ("training", "validation"))
    names = tuple(map(str, range(1, _ADE_LABELS + 1)))
    values = {value: value - 1 for value in range(1, _ADE_LABELS + 1)}
    return Annotated(root, "ADE20K's images/ and annotations/", train, test, names, values)


def _cityscapes(root: Path) -> Annotated | None:
    """Cityscapes: the 19 labels that are scored."""
    images, masks = root / "leftImg8bit", root / "gtFine"
    if not images.is_dir() or not masks.is_dir():
        return None

    def items(split: str) -> tuple[Item, ...]:
        found = []
        for image in walk(images / split).images:
            name = image.name.replace("_leftImg8bit", "_gtFine_labelIds")
            found.append(Item(image, masks / split / image.parent.name / name))
        return _there(found, root)

    what = "Cityscapes' leftImg8bit/ and gtFine/"
    return Annotated(root, what, items("train"), items("val"), _CITYSCAPES_NAMES, _CITYSCAPES)


def _folders(root: Path) -> Annotated | None:
    """`images/` beside `masks/` or `depth/`, with the splits inside or outside of them, or none."""
    if (root / "images").is_dir():
        others = _beside(root)
        if not others:
            return None
        splits = {name: root / "images" / name for name in (*TRAIN, *HELD_OUT) if (root / "images" / name).is_dir()}
        parts = {
            name: _paired(images, {kind: folder / name for kind, folder in others.items()})
            for name, images in splits.items()
        }
        whole = None if splits else _paired(root / "images", others)
    else:
        inner = {name: root / name for name in (*TRAIN, *HELD_OUT) if (root / name / "images").is_dir()}
        parts = {name: _paired(folder / "images", _beside(folder)) for name, folder in inner.items() if _beside(folder)}
        whole, others = None, _beside(next(iter(inner.values()))) if inner else {}
    if whole is None and not parts:
        return None
    train = whole or next((parts[name] for name in TRAIN if name in parts), None)
    test = next((parts[name] for name in HELD_OUT if name in parts), None)
    if train is None:
        raise UserError(f"{root}: has {', '.join(parts)}, but no training split ({' or '.join(TRAIN)})")
    kinds = {"label_map": "masks", "depth": "depths"}
    what = f"images with {' and '.join(kinds[kind] for kind in others)}"
    return Annotated(root, what, train, test, _label_names(root))


def _beside(folder: Path) -> dict[str, Path]:
    """The folders of masks and depths in a folder, by what they hold."""
    kinds = {"label_map": MASKS, "depth": DEPTHS}
    return {
        kind: next(folder / name for name in names if (folder / name).is_dir())
        for kind, names in kinds.items()
        if any((folder / name).is_dir() for name in names)
    }


def _label_names(root: Path) -> tuple[str, ...]:
    """The names of labels from 0, a line each, where there is a file of them."""
    path = root / LABEL_NAMES
    if not path.is_file():
        return ()
    with reading(path):
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def _paired(images: Path, others: dict[str, Path]) -> tuple[Item, ...]:
    """Images with the files of the same name, but for the ending, in other folders."""
    files = {
        kind: {path.relative_to(folder).with_suffix(""): path for path in folder.rglob("*") if _is_target(path)}
        for kind, folder in others.items()
    }
    found = []
    for image in walk(images).images:
        name = image.relative_to(images).with_suffix("")
        partners = {kind: files[kind].get(name, others[kind] / f"{name}.png") for kind in others}
        found.append(Item(image, partners.get("label_map"), partners.get("depth")))
    return _there(found, images)


def _is_target(path: Path) -> bool:
    return is_image(path.name) or path.suffix == ".npy"


def _there(items: Iterable[Item], root: Path) -> tuple[Item, ...]:
    """The items, whose files are all there."""
    checked = tuple(items)
    missing = [
        path for item in checked for path in (item.label_map, item.depth) if path is not None and not path.is_file()
    ]
    if missing:
        raise UserError(
            f"{root}: {len(missing):,} of {len(checked):,} images lack their mask or depth, such as {missing[0]}"
        )
    return checked
