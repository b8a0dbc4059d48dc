"""Images in memory and on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from image_folders import make_folder, picture
from PIL import Image

from benchmark.data.bad_images import BadImagesError
from benchmark.data.datasets import load_dataset
from benchmark.data.images import FirstImages, ImagesOnDemand, ResidentImages
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError
from benchmark.files.disk import read_bytes

if TYPE_CHECKING:
    from pathlib import Path


def on_demand(paths: list[Path], side: int, **options: Any) -> ImagesOnDemand:
    def encoded(index: int) -> tuple[bytes, str]:
        return read_bytes(paths[index]), str(paths[index])

    return ImagesOnDemand(encoded, torch.arange(len(paths)), side, **options)


def test_lazy_images_are_the_resident_ones(tmp_path: Path) -> None:
    make_folder(tmp_path, train=4, test=2, width=40, height=30)
    spec = DatasetSpec(name="folder", size=28)
    resident, lazy = load_dataset(spec, tmp_path), load_dataset(spec, tmp_path, resident_limit=1000)
    assert isinstance(lazy.train.images, ImagesOnDemand)
    assert lazy.manifest == resident.manifest
    wanted = torch.tensor([5, 0, 5])
    assert torch.equal(lazy.train.images.read(wanted), resident.train.images.read(wanted))


def test_on_demand_each_image_is_read_by_its_position(tmp_path: Path) -> None:
    paths = [tmp_path / f"{value}.png" for value in (9, 4, 200)]
    for path in paths:
        Image.new("RGB", (30, 20), (int(path.stem),) * 3).save(path)
    images = on_demand(paths, 8)
    assert images.read(torch.tensor([2, 0, 2]))[:, 0, 0, 0].tolist() == [200, 9, 200]
    assert images.resident().pixels[:, 2, 7, 7].tolist() == [9, 4, 200]


def test_an_image_that_changed_its_size_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (30, 20)).save(path)
    images = on_demand([path], 8, sizes_N2=torch.tensor([[20, 30]]))
    assert images.original(0).shape == (3, 20, 30)
    Image.new("RGB", (20, 30)).save(path)
    with pytest.raises(UserError, match=r"a\.png: is 30 x 20 pixels, but was 20 x 30 when it was listed"):
        images.original(0)
    path.unlink()
    with pytest.raises(UserError, match=r"a\.png: cannot be read \(No such file or directory\)"):
        images.read(torch.tensor([0]))


def test_damage_that_only_decoding_shows_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    picture(0, 40, 40).save(path, lossless=True)
    path.write_bytes(path.read_bytes()[:40] + bytes(path.stat().st_size - 40))
    images = on_demand([path], 8, sizes_N2=torch.tensor([[40, 40]]))
    for read in (lambda: images.read(torch.tensor([0])), lambda: images.original(0)):
        with pytest.raises(UserError, match=r"a\.webp: not a readable image .*bench data verify FOLDER.*another --out"):
            read()
    with pytest.raises(BadImagesError) as refused:
        images.resident()
    assert list(refused.value.reasons) == [0]


def test_small_images_are_decoded_without_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(0).save(tmp_path / "a.png")
    small = on_demand([tmp_path / "a.png"], 16, native=True, sizes_N2=torch.tensor([[16, 16]]))
    large = on_demand([tmp_path / "a.png"], 16, native=True, sizes_N2=torch.tensor([[49, 49]]))
    monkeypatch.setattr("benchmark.data.images.in_threads", lambda *_: pytest.fail("the pool was used"))
    assert np.array_equal(small.read(torch.tensor([0]))[0].permute(1, 2, 0).numpy(), np.asarray(picture(0)))
    with pytest.raises(pytest.fail.Exception, match="the pool was used"):
        large.read(torch.tensor([0]))


def test_resident_images_are_uint8_in_three_channels() -> None:
    pixels = torch.arange(2 * 3 * 4 * 4).view(2, 3, 4, 4).to(torch.uint8)
    assert torch.equal(ResidentImages(pixels).read(torch.tensor([1])), pixels[1:])
    for wrong in (pixels.float(), pixels[:, :1], pixels[0]):
        with pytest.raises(ValueError, match=r"expected torch\.uint8 \(N, 3, H, W\)"):
            ResidentImages(wrong)


def test_indices_beyond_the_first_images_are_refused() -> None:
    first = FirstImages(ResidentImages(torch.zeros(5, 3, 4, 4, dtype=torch.uint8)), 2)
    assert len(first) == 2 and len(first.read(torch.tensor([0, 1, 1]))) == 3
    with pytest.raises(IndexError, match="image 2 of 2"):
        first.read(torch.tensor([0, 2]))
