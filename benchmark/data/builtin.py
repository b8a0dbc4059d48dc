"""Loaders of the embedded datasets (`shapes`, `digits`) and of those that torchvision reads and downloads.

Shape suffixes: N images, H W pixels, K classes.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision import datasets as published

from benchmark.data.decode import canonical_side
from benchmark.data.folder import listed_source
from benchmark.data.layouts.class_folders import list_split
from benchmark.data.registry import SHAPES_IN_DEPTH
from benchmark.data.shapes.scenes import CLASSES, render_shapes
from benchmark.data.sources import Source, array_split
from benchmark.data.spec import not_found
from benchmark.errors import UserError
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.data.spec import LoadRequest

_DIGITS_TEST_EVERY = 5


def load_shapes(request: LoadRequest) -> Source:
    """Draws the embedded procedural shapes, flat or in depth; see `benchmark.data.shapes`."""
    spec = request.spec
    side = spec.size or 32
    splits = []
    for name, count in (("train", spec.shapes_train), ("test", spec.shapes_test)):
        deep = spec.name == SHAPES_IN_DEPTH
        scenes = render_shapes(spec.shapes_seed, name, count, side, request.progress, deep=deep)
        split = array_split(scenes.pixels, scenes.labels, side, scenes.factors)
        splits.append(replace(split, annotations=scenes.annotations))
    return Source(CLASSES, side, side, *splits)


def load_digits(request: LoadRequest) -> Source:
    """scikit-learn's 1,797 handwritten digits, 8x8 in 17 greys, as three equal channels.

    The test split is every fifth image of each digit, in scikit-learn's order.
    """
    from sklearn.datasets import load_digits as read_digits

    raw = read_digits()
    grey_NHW = torch.from_numpy(np.asarray(raw.images)).mul(255 / 16).round().to(torch.uint8)
    pixels_N3HW = grey_NHW.unsqueeze(1).expand(-1, 3, -1, -1).contiguous()
    labels_N = torch.from_numpy(np.asarray(raw.target)).long()
    count_so_far_NK = torch.nn.functional.one_hot(labels_N).cumsum(dim=0)
    held_out_N = count_so_far_NK.gather(1, labels_N[:, None])[:, 0] % _DIGITS_TEST_EVERY == 0
    side = request.spec.size or 32
    train, test = (array_split(pixels_N3HW[part_N], labels_N[part_N], side) for part_N in (~held_out_N, held_out_N))
    return Source(tuple(map(str, range(10))), side, side, train, test)


def load_cifar(request: LoadRequest) -> Source:
    """CIFAR-10 or CIFAR-100 (32 px), from torchvision's files."""
    kind = {"cifar10": published.CIFAR10, "cifar100": published.CIFAR100}[request.spec.name]
    side = request.spec.size or 32
    splits = []
    for train in (True, False):
        with _fetching(request):
            raw = kind(request.path, train=train, download=request.download)
        pixels_N3HW = torch.from_numpy(np.ascontiguousarray(raw.data.transpose(0, 3, 1, 2)))
        splits.append(array_split(pixels_N3HW, torch.tensor(raw.targets), side))
    return Source(tuple(raw.classes), side, side, *splits)


def load_stl10(request: LoadRequest) -> Source:
    """STL-10 (96 px): 5,000 train, 8,000 test, and if `pretrain` asks for them, 100,000 unlabelled images."""
    side = request.spec.size or 96
    names = ["train", "test"] + ["unlabeled"] * (request.spec.pretrain == "train+unlabelled")
    splits = []
    for name in names:
        with _fetching(request):
            raw = published.STL10(request.path, split=name, download=request.download)
        pixels_N3HW = torch.from_numpy(np.ascontiguousarray(raw.data))
        splits.append(array_split(pixels_N3HW, torch.from_numpy(np.asarray(raw.labels)), side))
    return Source(tuple(raw.classes), side, side, *splits)


def load_imagenette(request: LoadRequest) -> Source:
    """Imagenette, in the smallest published size whose short side is at least the side of the kept square."""
    image_size = request.spec.size or 128
    side = canonical_side(image_size)
    edition = "160px" if side <= 160 else "320px" if side <= 320 else "full"
    with _fetching(request):
        try:
            raw = published.Imagenette(request.path, split="train", size=edition)
        except RuntimeError:
            # Some versions of torchvision refuse to download files that exist: look first.
            raw = published.Imagenette(request.path, split="train", size=edition, download=request.download)
    root = request.path / {"160px": "imagenette2-160", "320px": "imagenette2-320", "full": "imagenette2"}[edition]
    folders = list_split(root, "", [root / "train"], root / "val", ())
    names = dict(zip(raw.wnids, raw.classes, strict=True))
    listing = replace(folders, classes=tuple(names[folder][0] for folder in folders.classes))
    return listed_source(listing, request.spec.model_copy(update={"size": image_size}), request.progress)


@contextmanager
def _fetching(request: LoadRequest) -> Iterator[None]:
    """Turns torchvision's errors for missing, incomplete and unavailable files into `UserError`s."""
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        if not request.download:
            raise not_found(request) from None
        message = f"dataset '{request.spec.name}' could not be fetched to {request.path} ({first_line(error)})"
        raise UserError(message) from None
