"""Loaders of the embedded datasets (`shapes`, `digits`) and of those that torchvision reads and downloads.

Shape suffixes: N images, H W pixels.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision import datasets as published

from benchmark.data.decode import canonical_side
from benchmark.data.folder import list_folders
from benchmark.data.shapes.scenes import CLASSES, render_shapes
from benchmark.data.sources import RawSplit, Source, array_split
from benchmark.data.spec import not_found
from benchmark.errors import UserError
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmark.data.spec import LoadRequest

DIGITS_SIZE = 32
IMAGENETTE_SIZE = 128
_DIGITS_TEST_EVERY = 5


def load_shapes(request: LoadRequest) -> Source:
    """Draws the embedded procedural shapes; see `benchmark.data.shapes`."""
    spec = request.spec
    side = spec.size or 32
    splits = []
    for name, count in (("train", spec.shapes_train), ("test", spec.shapes_test)):
        scenes = render_shapes(spec.shapes_seed, name, count, side, request.progress)
        splits.append(array_split(scenes.pixels, scenes.labels, side, scenes.factors))
    return Source(CLASSES, side, side, splits[0], splits[1])


def load_digits(request: LoadRequest) -> Source:
    """scikit-learn's 1,797 handwritten digits, 8x8 in 17 greys, as three equal channels.

    The test split is every fifth image of each digit, in scikit-learn's order.
    """
    from sklearn.datasets import load_digits as read_digits

    raw = read_digits()
    grey_NHW = torch.from_numpy(np.asarray(raw.images)).mul(255 / 16).round().to(torch.uint8)
    pixels_N3HW = grey_NHW.unsqueeze(1).expand(-1, 3, -1, -1).contiguous()
    labels = torch.from_numpy(np.asarray(raw.target)).long()
    rank_in_class = torch.empty_like(labels)
    for label in range(10):
        members = (labels == label).nonzero().squeeze(1)
        rank_in_class[members] = torch.arange(len(members))
    held_out = rank_in_class % _DIGITS_TEST_EVERY == _DIGITS_TEST_EVERY - 1
    side = request.spec.size or DIGITS_SIZE
    train, test = (array_split(pixels_N3HW[part], labels[part], side) for part in (~held_out, held_out))
    return Source(tuple(map(str, range(10))), side, side, train, test)


def load_cifar(request: LoadRequest) -> Source:
    """CIFAR-10 or CIFAR-100 (32 px), from torchvision's files."""
    name = request.spec.name
    kind = {"cifar10": published.CIFAR10, "cifar100": published.CIFAR100}[name]
    side = request.spec.size or 32
    splits = []
    for train in (True, False):
        raw = _published(request, partial(kind, request.path, train=train, download=request.download))
        pixels_N3HW = torch.from_numpy(np.ascontiguousarray(np.asarray(raw.data).transpose(0, 3, 1, 2)))
        splits.append(array_split(pixels_N3HW, torch.tensor(raw.targets), side))
    return Source(tuple(raw.classes), side, side, splits[0], splits[1])


def load_stl10(request: LoadRequest) -> Source:
    """STL-10 (96 px): 5,000 train, 8,000 test, and if `pretrain` asks for them, 100,000 unlabelled images."""
    side = request.spec.size or 96

    def split(name: str) -> tuple[RawSplit, Any]:
        raw = _published(request, partial(published.STL10, request.path, split=name, download=request.download))
        pixels_N3HW = torch.from_numpy(np.ascontiguousarray(raw.data))
        labels: Tensor = torch.full((len(pixels_N3HW),), -1)
        if name != "unlabeled":
            labels = torch.from_numpy(np.asarray(raw.labels))
        return array_split(pixels_N3HW, labels, side), raw

    train, raw = split("train")
    test, _ = split("test")
    extra = split("unlabeled")[0] if request.spec.pretrain == "train+unlabelled" else None
    return Source(tuple(raw.classes), side, side, train, test, extra)


def load_imagenette(request: LoadRequest) -> Source:
    """Imagenette, in the smallest published size whose short side is at least the side of the kept square."""
    image_size = request.spec.size or IMAGENETTE_SIZE
    side = canonical_side(image_size)
    edition = "160px" if side <= 160 else "320px" if side <= 320 else "full"

    def split(name: str) -> Any:
        try:
            return published.Imagenette(request.path, split=name, size=edition)
        except RuntimeError:
            # Some versions of torchvision refuse to download files that exist: look first.
            return published.Imagenette(request.path, split=name, size=edition, download=request.download)

    raw = _published(request, lambda: split("train"))
    root = request.path / {"160px": "imagenette2-160", "320px": "imagenette2-320", "full": "imagenette2"}[edition]
    folders = sorted(child.name for child in (root / "train").iterdir() if child.is_dir())
    names = [dict(zip(raw.wnids, raw.classes, strict=True))[folder][0] for folder in folders]
    return list_folders(root / "train", root / "val", image_size, request.progress, names)


def _published(request: LoadRequest, read: Callable[[], Any]) -> Any:
    """Reads a torchvision dataset.

    Raises:
        UserError: it is missing, incomplete, or cannot be downloaded.
    """
    try:
        return read()
    except (RuntimeError, OSError, EOFError) as error:
        if request.download:
            reason = first_line(error)
            raise UserError(
                f"dataset '{request.spec.name}' could not be fetched to {request.path} ({reason})"
            ) from None
        raise not_found(request) from None
