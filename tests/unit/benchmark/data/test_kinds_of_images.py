"""What photographs come as: each kind gives the colours it means, or is refused by its name."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.data.datasets import load_dataset
from benchmark.data.decode import decode, encoded_size
from benchmark.data.images import ImagesOnDemand
from benchmark.data.spec import DatasetSpec
from benchmark.data.views.augment import Augmenter
from benchmark.data.views.crops import read_crops
from benchmark.errors import UserError
from methods.views import ViewSpec

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT = 60, 36
LEFT, RIGHT = (200, 60, 30), (20, 90, 210)


def photo() -> Image.Image:
    """Two colours, which tell left from right and up from down."""
    pixels = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[:, : WIDTH // 2], pixels[:, WIDTH // 2 :] = LEFT, RIGHT
    pixels[HEIGHT // 2 :] //= 2
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def deep_grey() -> Image.Image:
    return Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 257)


def deep_png() -> bytes:
    """RGB of 16 bits, which Pillow reads but does not write."""
    pixels = np.asarray(photo()).astype(">u2") * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


COLOURED = {
    "rgb.jpg": saved(photo(), "JPEG", quality=95),
    "progressive.jpg": saved(photo(), "JPEG", quality=95, progressive=True),
    "cmyk.jpg": saved(photo().convert("CMYK"), "JPEG", quality=95),
    "turned.jpg": saved(photo(), "JPEG", quality=95, exif=turned()),
    "rgb.png": saved(photo(), "PNG"),
    "rgba.png": saved(photo().convert("RGBA"), "PNG"),
    "palette.png": saved(photo().convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
    "deep.png": deep_png(),
    "turned.png": saved(photo(), "PNG", exif=turned()),
    "rgb.webp": saved(photo(), "WEBP", lossless=True),
    "turned.webp": saved(photo(), "WEBP", lossless=True, exif=turned()),
    "moving.webp": saved(photo(), "WEBP", lossless=True, save_all=True, append_images=[photo().rotate(180)]),
    "rgb.bmp": saved(photo(), "BMP"),
    "really-gif.jpg": saved(photo(), "GIF"),
}
GREY = {
    "grey.jpg": saved(photo().convert("L"), "JPEG", quality=95),
    "grey.png": saved(photo().convert("L"), "PNG"),
    "grey-alpha.png": saved(photo().convert("LA"), "PNG"),
    "deep-grey.png": saved(deep_grey(), "PNG"),
}


@pytest.mark.parametrize("name", [*COLOURED, *GREY])
def test_every_kind_has_its_colours_and_the_size_that_it_was_listed_with(name: str) -> None:
    content = {**COLOURED, **GREY}[name]
    image = decode(content, name)
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, HEIGHT, WIDTH))
    assert encoded_size(content, name) == (WIDTH, HEIGHT)  # as stored: nothing is turned
    reference = photo().convert("RGB" if name in COLOURED else "L").convert("RGB")
    for x, y in ((8, 6), (50, 6), (8, 30), (50, 30)):
        expected = torch.tensor(reference.getpixel((x, y)))
        assert (image[:, y, x].int() - expected).abs().max() <= 8, (x, y)


def test_a_folder_of_all_kinds_is_cropped_by_the_reader_and_kept_in_memory(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label, kinds in enumerate((COLOURED, GREY)):
            place = tmp_path / split / str(label)
            place.mkdir(parents=True)
            for name, content in kinds.items():
                (place / name).write_bytes(content)
    spec = DatasetSpec(name="folder", size=16)
    data, kept = (load_dataset(spec, tmp_path, resident_limit=limit) for limit in (0, 1 << 30))
    assert isinstance(data.train.images, ImagesOnDemand)
    everything = torch.arange(len(data.train))
    assert torch.equal(data.train.images.read(everything), kept.train.images.read(everything))
    augmenter = Augmenter([ViewSpec(crop_scale=(0.2, 1.0))], 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    (view,), _ = read_crops(data.train.images, everything, augmenter, torch.Generator().manual_seed(0))
    grey = data.train.labels == 1
    assert (view[grey].float().std(dim=1) == 0).all() and (view[~grey].float().std(dim=1).mean(dim=(1, 2)) > 5).all()


@pytest.mark.parametrize("name", ["rgb.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "rgb.webp", "rgb.bmp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_truncated_files_are_refused_by_name(name: str, share: float) -> None:
    content = COLOURED[name][: int(len(COLOURED[name]) * share)]
    with pytest.raises(UserError, match=rf"photos/{name}: not a readable image"):
        decode(content, f"photos/{name}")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBPVP8 ", b"\0" * 4096])
def test_what_is_no_image_is_refused_by_name(content: bytes) -> None:
    for ask in (decode, encoded_size):
        with pytest.raises(UserError, match=r"photos/x: not a readable image"):
            ask(content, "photos/x")
