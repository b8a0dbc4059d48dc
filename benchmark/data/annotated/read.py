"""Reads label maps, depths and boxes, and brings them onto the square that an image is kept as.

Shape suffixes: H W pixels, S pixels of a square's side, K objects.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as transforms

from benchmark.data.annotations import IGNORE, Objects
from benchmark.data.bad_images import BadImageError, check_pixels
from benchmark.errors import UserError
from benchmark.files.disk import read_bytes
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

_MILLIMETRES = 1000.0


def read_map(path: Path) -> Tensor:
    """The values of a label map's pixels, int64 `(H, W)`: of a grey or palette image, 8 or 16 bits deep.

    Raises:
        UserError: the file is no such image; names it.
    """
    try:
        with Image.open(io.BytesIO(read_bytes(path)), formats=("PNG", "TIFF", "BMP", "GIF")) as picture:
            check_pixels(picture.size, str(path))
            if picture.mode not in ("L", "P", "1", "I", "I;16", "I;16B"):
                raise UserError(
                    f"{path}: a label map in colours ({picture.mode}); expected one value a pixel (grey or palette)"
                )
            return torch.from_numpy(np.asarray(picture).astype(np.int64))
    except (UserError, BadImageError):
        raise
    except Exception as error:  # a damaged file can make Pillow fail in any way
        raise UserError(f"{path}: not a readable label map ({first_line(error)})") from None


def as_labels(values_HW: Tensor, values: Mapping[int, int] | None, count: int, path: Path) -> Tensor:
    """Labels uint8 `(H, W)` of a map's values; see `Annotated.values`.

    Raises:
        UserError: a value is no label.
    """
    if values is not None:
        table = torch.full((1 << 16,), IGNORE, dtype=torch.uint8)
        for value, label in values.items():
            table[value] = label
        return table[values_HW.clamp(0, (1 << 16) - 1)]
    wrong = values_HW[(values_HW >= count) & (values_HW != IGNORE)]
    if len(wrong):
        raise UserError(f"{path}: has the value {int(wrong[0])}; expected 0 to {count - 1}, or {IGNORE} to be ignored")
    return values_HW.to(torch.uint8)


def read_depth(path: Path) -> Tensor:
    """Depths float32 `(H, W)`, 0 where unknown: metres of a 16-bit PNG in millimetres, or whatever a `.npy` holds.

    Raises:
        UserError: the file holds no depths; names it.
    """
    if path.suffix == ".npy":
        try:
            values = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise UserError(f"{path}: not a readable array ({first_line(error)})") from None
        if values.ndim != 2 or not np.issubdtype(values.dtype, np.number):
            raise UserError(f"{path}: an array of {values.dtype} {values.shape}; expected numbers (rows, columns)")
        depth = torch.from_numpy(values.astype(np.float32))
    else:
        depth = read_map(path).float() / _MILLIMETRES
    return torch.where(depth.isfinite() & (depth > 0), depth, 0.0)


def on_square(map_HW: Tensor, side: int, *, whole: bool) -> Tensor:
    """A map on the square that its image is kept as, `(S, S)`; values are picked, not mixed.

    Args:
        whole: whether the image is resized as a whole (`resized`) instead of being cropped to its central square
            (`canonical`).
    """
    height, width = map_HW.shape
    short = min(height, width)
    target = [side, side] if whole else [max(side, round(length * side / short)) for length in (height, width)]
    if target != [height, width]:
        nearest = transforms.InterpolationMode.NEAREST_EXACT
        map_HW = transforms.resize(map_HW[None], target, interpolation=nearest)[0]
    top, left = (target[0] - side) // 2, (target[1] - side) // 2
    return map_HW[top : top + side, left : left + side]


def boxes_on_square(objects: Objects, size: tuple[int, int], side: int, *, whole: bool) -> Objects:
    """Objects on the square that their image of (height, width) is kept as; those outside of it are left out."""
    height, width = size
    short = min(height, width)
    target = (side, side) if whole else tuple(max(side, round(length * side / short)) for length in (height, width))
    scale = torch.tensor([target[1] / width, target[0] / height] * 2)
    shift = torch.tensor([(target[1] - side) // 2, (target[0] - side) // 2] * 2)
    boxes = (objects.boxes * scale - shift).clamp(0, side)
    kept = ((boxes[:, 2] - boxes[:, 0]) >= 1) & ((boxes[:, 3] - boxes[:, 1]) >= 1)
    masks = None
    if objects.masks is not None:
        squares = [on_square(mask.to(torch.uint8), side, whole=whole) for mask in objects.masks]
        masks = (torch.stack(squares) if squares else torch.zeros(0, side, side)).bool()[kept]
    crowd = None if objects.crowd is None else objects.crowd[kept]
    return Objects(boxes[kept], objects.labels[kept], masks, crowd)


def read_voc_objects(path: Path, names: Sequence[str]) -> Objects:
    """The objects of an image in Pascal VOC's XML; difficult ones count as crowds, which are not scored.

    Raises:
        UserError: the file is not such XML, or has an unknown name.
    """
    try:
        root = ElementTree.fromstring(read_bytes(path))
        boxes, labels, hard = [], [], []
        for node in root.iter("object"):
            corners = [float(node.findtext(f"bndbox/{name}", "")) for name in ("xmin", "ymin", "xmax", "ymax")]
            # Pixels are counted from 1, and the last ones belong to the box.
            boxes.append([corners[0] - 1, corners[1] - 1, corners[2], corners[3]])
            labels.append(names.index(node.findtext("name", "").strip()))
            hard.append(node.findtext("difficult", "0").strip() == "1")
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{path}: not boxes in Pascal VOC's form ({first_line(error)})") from None
    return Objects(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        crowd=torch.tensor(hard, dtype=torch.bool),
    )
