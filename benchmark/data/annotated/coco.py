"""COCO 2017: boxes and masks of objects, in one file for each split."""

from __future__ import annotations

import contextlib
import io
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.datasets import CocoDetection

from benchmark.data.annotated.contract import Annotated, Item
from benchmark.data.annotations import Objects
from benchmark.errors import UserError
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmark.data.spec import LoadRequest

    Known = Mapping[str, tuple[Any, int]]


def find_coco(request: LoadRequest) -> Annotated:
    """The images of both splits that have an entry, and a reader of their objects.

    Raises:
        UserError: pycocotools is not installed, or a file is missing or damaged.
    """
    if find_spec("pycocotools") is None:
        raise UserError("dataset 'coco2017' needs pycocotools: pip install 'cnn-jepa-bench[detection]'")
    known: dict[str, tuple[Any, int]] = {}
    parts: list[tuple[Item, ...]] = []
    names: dict[int, str] = {}
    for split in ("train2017", "val2017"):
        folder, file = request.path / split, request.path / "annotations" / f"instances_{split}.json"
        if not folder.is_dir() or not file.is_file():
            raise UserError(
                f"dataset 'coco2017' is not at {request.path}, or not whole: there is no {folder.name}/ with "
                f"{file.parent.name}/{file.name}; say with --data where it is (it is not downloaded)"
            )
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
                raw = CocoDetection(str(folder), str(file))
            images = {str(folder / raw.coco.imgs[number]["file_name"]): (raw.coco, number) for number in raw.ids}
            names |= {number: str(kind["name"]) for number, kind in raw.coco.cats.items()}
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise UserError(f"{file}: not COCO's annotations ({first_line(error)})") from None
        known |= images
        parts.append(tuple(Item(folder / raw.coco.imgs[number]["file_name"]) for number in raw.ids))
    kinds = sorted(names)
    labels = {number: label for label, number in enumerate(kinds)}
    return Annotated(
        request.path,
        "COCO 2017",
        parts[0],
        parts[1],
        object_names=tuple(names[number] for number in kinds),
        read_objects=lambda image: _objects(known, labels, image),
    )


def _objects(known: Known, labels: Mapping[int, int], image: Path) -> Objects:
    coco, number = known[str(image)]
    found = [one for one in coco.imgToAnns[number] if one["bbox"][2] > 0 and one["bbox"][3] > 0]
    boxes = torch.tensor([one["bbox"] for one in found], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]  # from width and height to the far corner
    height, width = coco.imgs[number]["height"], coco.imgs[number]["width"]
    masks = np.stack([np.zeros((height, width), np.uint8), *(coco.annToMask(one) for one in found)])[1:]
    return Objects(
        boxes,
        torch.tensor([labels[one["category_id"]] for one in found], dtype=torch.int64),
        torch.from_numpy(masks).bool(),
        torch.tensor([bool(one.get("iscrowd", 0)) for one in found], dtype=torch.bool),
    )
