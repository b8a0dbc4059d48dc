"""Splits made of tensors, and datasets of encoded images."""

from __future__ import annotations

import pytest
import torch

from benchmark.data.sources import EncodedSplit, array_split, encoded_source
from benchmark.data.splits import checksum


def test_a_tensor_becomes_a_split_with_checksums_of_its_images() -> None:
    pixels = torch.randint(0, 256, (5, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    split = array_split(pixels, torch.arange(5, dtype=torch.int32), 8, {"scale": torch.arange(5.0)})
    assert split.labels.dtype == torch.int64 and split.factors["scale"].tolist() == [0, 1, 2, 3, 4]
    assert split.checksums == [checksum(image.numpy().tobytes()) for image in pixels]
    images = split.open(torch.tensor([3, 1]), resident=False)
    assert torch.equal(images.read(torch.tensor([1, 0])), pixels[[1, 3]])


def test_images_are_resized_when_they_are_opened() -> None:
    split = array_split(torch.full((2, 3, 8, 8), 7, dtype=torch.uint8), torch.zeros(2), 16)
    pixels = split.open(torch.tensor([0]), resident=True).read(torch.tensor([0]))
    assert pixels.shape == (1, 3, 16, 16) and (pixels == 7).all()


@pytest.mark.parametrize(
    ("sizes", "size", "expected"),
    [
        ([(20, 20), (20, 20)], None, (20, 20)),
        ([(20, 20), (20, 20)], 16, (16, 16)),
        ([(20, 24), (20, 24)], None, (224, 256)),
        ([(20, 20), (24, 24)], 28, (28, 32)),
        ([(97, 97), (97, 97)], None, (224, 256)),
    ],
)
def test_only_small_square_images_of_one_size_keep_it(
    sizes: list[tuple[int, int]], size: int | None, expected: tuple[int, int]
) -> None:
    train, test = (EncodedSplit(torch.zeros(1), [b""], torch.tensor([rows]), lambda index: (b"", "")) for rows in sizes)
    source = encoded_source(("ant",), size, train, test)
    assert (source.image_size, source.side) == expected
