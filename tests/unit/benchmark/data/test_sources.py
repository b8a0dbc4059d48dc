"""Splits made of tensors, and datasets of encoded images."""

from __future__ import annotations

import pytest
import torch

from benchmark.data.bad_images import BadImage
from benchmark.data.sources import EncodedSplit, array_split, encoded_source, sizes_text
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


def test_bad_images_are_in_no_split_and_decide_nothing() -> None:
    sizes_N2 = torch.tensor([[20, 20], [0, 0], [20, 20], [300, 200]])
    train = EncodedSplit(torch.tensor([0, 1, 1, 0]), [b"a", b"b", b"c", b"d"], sizes_N2, lambda index: (b"", ""),
                         {"scale": torch.arange(4.0)}, bad={1: "truncated"})  # fmt: skip
    test = EncodedSplit(torch.tensor([0, 1]), [b"e", b"f"], sizes_N2[[0, 2]], lambda index: (b"", ""))
    source = encoded_source(("ant", "bee"), None, train, test)
    assert source.bad == (BadImage("train image 1", "truncated"),) and source.image_size == 224
    assert source.without is not None and source.train.name is not None
    assert source.train.name(2) == "train image 3"  # numbers count the bad ones, too
    less = source.without({"train image 3": "no image", "test image 0": "no image"})
    assert [str(image) for image in less.bad] == [
        "train image 1: truncated", "train image 3: no image", "test image 0: no image"
    ]  # fmt: skip
    assert less.image_size == 20 and less.train.checksums == [b"a", b"c"] and less.test.checksums == [b"f"]
    assert less.train.labels.tolist() == [0, 1] and less.train.factors["scale"].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ([(20, 24), (20, 24)], "24x20 px"),
        ([(32, 32), (20, 70000)], "32x32 to 70000x20 px"),
        ([(40, 30), (30, 40)], "30x40 to 40x30 px"),
    ],
)
def test_the_sizes_that_are_named_are_those_of_images(sizes: list[tuple[int, int]], text: str) -> None:
    for rows in (sizes, sizes[::-1]):
        assert sizes_text(torch.tensor(rows, dtype=torch.int32)) == text
