"""NYU Depth V2's labelled `.mat`, an HDF5 file of images, depths and labels.

Shape suffixes: N images, H W pixels, S pixels of a square's side.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import h5py
import numpy as np
import torch

from benchmark.data.annotated.read import on_square
from benchmark.data.annotations import Annotations
from benchmark.data.bad_images import MOST_PIXELS
from benchmark.data.decode import canonical, canonical_side
from benchmark.data.hdf5.format import check_written
from benchmark.data.images import ResidentImages
from benchmark.data.listing import UNCLASSIFIED
from benchmark.data.sources import RawSplit, Source
from benchmark.data.splits import checksum, cut_test
from benchmark.errors import UserError
from benchmark.text import first_line

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from benchmark.data.decode import Progress
    from benchmark.data.images import Images
    from benchmark.data.spec import LoadRequest

SPLITS = "splits.mat"
_DEFAULT_SIZE = 224
_MOST_IMAGES = 10_000


def load_nyu(request: LoadRequest) -> Source:
    """The 1,449 labelled images with their filled-in depths in metres.

    The split is that of `splits.mat` beside the file, where there is one; otherwise a test split is cut. MATLAB's
    arrays are transposed in HDF5: `images` is `(N, 3, W, H)` and `depths` `(N, W, H)`.

    Raises:
        UserError: the file is not HDF5, or lacks these arrays.
    """
    path = request.path
    size = request.spec.size or _DEFAULT_SIZE
    side = canonical_side(size)
    try:
        with h5py.File(path, "r") as file:
            images, depths = (file.get(name) for name in ("images", "depths"))
            _check(path, images, depths)
            pixels_N3SS, depths_NSS, codes = _squares(images, depths, side, request.progress)
    except OSError as error:
        raise UserError(f"{path}: not an HDF5 file, as NYU Depth V2's labelled .mat is ({first_line(error)})") from None
    labels = [0] * len(codes)
    train, test, note = _official(path, len(codes)) or (
        *cut_test(labels, codes, (UNCLASSIFIED,), request.spec.test_share, request.spec.split_seed),
        f"there is no {SPLITS} beside the file: {request.spec.test_share:.0%} became the test split",
    )

    def split(chosen: list[int]) -> RawSplit:
        numbers = torch.tensor(chosen)

        def open_images(indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
            del resident, progress  # the images are in memory already
            return ResidentImages(pixels_N3SS[numbers[indices]])

        known = Annotations(depth=lambda indices: depths_NSS[numbers[indices]])
        marks = [codes[number] for number in chosen]
        return RawSplit(torch.zeros(len(chosen), dtype=torch.int64), marks, open_images, annotations=known)

    source = Source((UNCLASSIFIED,), size, side, split(train), split(test), layout="NYU Depth V2's labelled images")
    return replace(source, notes=(note,) if note else ())


def _check(path: Path, images: object, depths: object) -> None:
    """Checks kinds, shapes and sizes as declared, before anything is read."""
    for name, array, dimensions in (("images", images, 4), ("depths", depths, 3)):
        if not isinstance(array, h5py.Dataset) or array.ndim != dimensions or array.dtype.kind not in "uif":
            raise UserError(f"{path}: has no array '{name}' of {dimensions} dimensions; expected NYU Depth V2's .mat")
        try:
            check_written(array)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None
        shape = " x ".join(f"{length:,}" for length in array.shape)
        if len(array) > _MOST_IMAGES or math.prod(array.shape[-2:]) > MOST_PIXELS:
            most = f"at most {_MOST_IMAGES:,} images of {MOST_PIXELS:,} pixels"
            raise UserError(f"{path}: '{name}' declares {shape} values; expected {most}")
    assert isinstance(images, h5py.Dataset)
    assert isinstance(depths, h5py.Dataset)
    count, channels, *sides = images.shape
    if (count, *sides) != depths.shape or channels != 3 or images.dtype != np.uint8:
        raise UserError(
            f"{path}: 'images' holds {images.dtype} of the shape {images.shape}, 'depths' has {depths.shape}; expected "
            "uint8 of N x 3 x W x H and N x W x H"
        )


def _squares(
    images: h5py.Dataset, depths: h5py.Dataset, side: int, progress: Progress | None
) -> tuple[Tensor, Tensor, list[bytes]]:
    """Images uint8 `(N, 3, S, S)`, depths float32 `(N, S, S)`, and checksums of the images as they are stored."""
    count = len(images)
    pixels_N3SS = torch.empty(count, 3, side, side, dtype=torch.uint8)
    depths_NSS = torch.empty(count, side, side)
    codes = []
    for number in range(count):
        stored = np.ascontiguousarray(images[number].transpose(0, 2, 1))
        codes.append(checksum(stored.tobytes()))
        pixels_N3SS[number] = canonical(torch.from_numpy(stored), side)
        depths_NSS[number] = on_square(torch.from_numpy(depths[number].T.astype(np.float32)), side, whole=False)
        if progress is not None:
            progress(number + 1, count)
    return pixels_N3SS, depths_NSS, codes


def _official(path: Path, count: int) -> tuple[list[int], list[int], str] | None:
    """The published split, whose numbers count from 1; None where its file is not there."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    splits = path.with_name(SPLITS)
    if not splits.is_file():
        return None
    try:
        data = loadmat(splits)
        train, test = ((data[name].reshape(-1).astype(int) - 1).tolist() for name in ("trainNdxs", "testNdxs"))
    except (KeyError, ValueError, NotImplementedError, OSError, MatReadError) as error:
        raise UserError(f"{splits}: not the split of NYU Depth V2 ({first_line(error)})") from None
    if not train or not test or min(*train, *test) < 0 or max(*train, *test) >= count:
        raise UserError(f"{splits}: has images outside of 1 to {count}")
    return train, test, ""
