"""The loaders of annotated images: folders and files, Pascal VOC 2012, COCO and NYU Depth V2.

Shape suffixes: N images.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torchvision import datasets as published

from benchmark.data.annotated.coco import find_coco
from benchmark.data.annotated.contract import Annotated, Item
from benchmark.data.annotated.find import find_annotated
from benchmark.data.annotated.nyu import load_nyu
from benchmark.data.annotated.read import (
    as_labels,
    boxes_on_square,
    on_square,
    read_depth,
    read_map,
    read_voc_objects,
)
from benchmark.data.annotations import IGNORE, Annotations, Objects
from benchmark.data.decode import encoded_size, in_order
from benchmark.data.folder import listed_source
from benchmark.data.listing import UNCLASSIFIED, file_listing
from benchmark.data.spec import not_found
from benchmark.errors import UserError
from benchmark.files.disk import read_bytes
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from benchmark.data.decode import Progress
    from benchmark.data.sources import RawSplit, Source
    from benchmark.data.spec import LoadRequest

VOC_NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def load_annotated(request: LoadRequest) -> Source:
    """Annotated images in a folder or file of the user's, in one of the layouts of `find_annotated`."""
    found = find_annotated(request.path)
    return load_nyu(request) if found is None else annotated_source(found, request)


def load_voc(request: LoadRequest) -> Source:
    """Pascal VOC 2012 through torchvision: train and val as the test split, with label maps and boxes.

    `voc2012` has the images with label maps, 1,464 and 1,449; `voc2012-detection` all with boxes, 5,717 and 5,823.
    """
    maps = request.spec.name == "voc2012"
    kind = published.VOCSegmentation if maps else published.VOCDetection
    parts = []
    for split in ("train", "val"):
        try:
            raw = kind(str(request.path), year="2012", image_set=split, download=request.download and split == "train")
        except (RuntimeError, OSError) as error:
            if not request.download:
                raise not_found(request) from None
            raise UserError(f"dataset '{request.spec.name}' could not be fetched ({first_line(error)})") from None
        folder = request.path / "VOCdevkit" / "VOC2012" / "Annotations"
        images = [folder.parent / "JPEGImages" / name.rpartition("/")[2] for name in raw.images]
        targets = [folder.parent / "SegmentationClass" / f"{image.stem}.png" if maps else None for image in images]
        parts.append(
            tuple(
                Item(image, label_map=target, objects=folder / f"{image.stem}.xml")
                for image, target in zip(images, targets, strict=True)
            )
        )
    names = ("background", *VOC_NAMES) if maps else ()
    train, test = parts
    found = Annotated(request.path, "Pascal VOC 2012", train, test, label_names=names, object_names=VOC_NAMES)
    return annotated_source(found, request)


def load_coco(request: LoadRequest) -> Source:
    """COCO 2017 as torchvision's dataset reads it: train and val as the test split, with boxes and masks.

    Raises:
        UserError: pycocotools is not installed, or the files are not there; nothing is downloaded.
    """
    found = find_coco(request)
    return annotated_source(found, request)


def annotated_source(found: Annotated, request: LoadRequest) -> Source:
    """The images of a layout with their annotations, read when they are asked for."""
    listing = file_listing(
        found.root,
        found.what,
        [(item.image, UNCLASSIFIED) for item in found.train],
        None if found.test is None else [(item.image, UNCLASSIFIED) for item in found.test],
        classes=(UNCLASSIFIED,),
    )
    source = listed_source(listing, request.spec, request.progress)
    items = [*found.train, *(found.test or ())]
    names = found.label_names or _numbered(items, request.progress)
    by_name = {str(item.image): item for item in items}
    return attached(source, by_name, replace(found, label_names=names))


def attached(source: Source, items: Mapping[str, Item], found: Annotated) -> Source:
    """The source with the annotations of its images; also without some of them, where these are bad."""
    whole = source.side == source.image_size

    def split_with(split: RawSplit) -> RawSplit:
        assert split.name is not None, "files have names"
        prefix = found.root if found.root.is_dir() else found.root.parent
        mine = [items[str(prefix / split.name(number))] for number in range(len(split.labels))]
        factors = dict(split.factors)
        if mine and all(item.count is not None for item in mine):
            factors["count"] = torch.tensor([item.count for item in mine], dtype=torch.float32)
        return replace(split, factors=factors, annotations=_annotations(mine, found, source.side, whole=whole))

    again = source.without
    return replace(
        source,
        train=split_with(source.train),
        test=split_with(source.test),
        without=None if again is None else lambda bad: attached(again(bad), items, found),
    )


def _annotations(items: Sequence[Item], found: Annotated, side: int, *, whole: bool) -> Annotations:
    def label_map(item: Item) -> Tensor:
        assert item.label_map is not None
        values_HW = _fitting(read_map(item.label_map), item, item.label_map)
        labels = as_labels(values_HW, found.values, len(found.label_names), item.label_map)
        return on_square(labels, side, whole=whole)

    def depth(item: Item) -> Tensor:
        assert item.depth is not None
        return on_square(_fitting(read_depth(item.depth), item, item.depth), side, whole=whole)

    def objects(item: Item) -> Objects:
        width, height = encoded_size(read_bytes(item.image), str(item.image))
        if found.read_objects is not None:
            known = found.read_objects(item.image)
        else:
            assert item.objects is not None
            known = read_voc_objects(item.objects, found.object_names)
        return boxes_on_square(known, (height, width), side, whole=whole)

    def stacked(read: Callable[[Item], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda indices: torch.stack(list(in_order(read, [items[number] for number in indices.tolist()])))

    def listed(indices: Tensor) -> list[Objects]:
        return list(in_order(objects, [items[number] for number in indices.tolist()]))

    return Annotations(
        found.label_names,
        stacked(label_map) if all(item.label_map for item in items) else None,
        stacked(depth) if all(item.depth for item in items) else None,
        found.object_names,
        listed if found.read_objects is not None or all(item.objects for item in items) else None,
    )


def _fitting(map_HW: Tensor, item: Item, path: Path) -> Tensor:
    """The map, which has to be as large as its image."""
    width, height = encoded_size(read_bytes(item.image), str(item.image))
    if map_HW.shape != (height, width):
        rows, columns = map_HW.shape
        raise UserError(f"{path}: is {columns} x {rows} pixels; expected {width} x {height}, the size of {item.image}")
    return map_HW


def _numbered(items: Sequence[Item], progress: Progress | None) -> tuple[str, ...]:
    """Names of labels that have none: their numbers, up to the highest in any label map. Reads all of them."""
    maps = [item.label_map for item in items if item.label_map is not None]

    def highest(path: Path) -> int:
        values_HW = read_map(path)
        return int(values_HW.masked_fill(values_HW == IGNORE, 0).max())

    most = max(in_order(highest, maps, progress), default=-1)
    if most > IGNORE:
        raise UserError(f"a label map has the value {most}; expected labels from 0 to {IGNORE - 1}")
    return tuple(map(str, range(most + 1)))
