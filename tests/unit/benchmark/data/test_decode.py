"""Each kind of image file gives the colours it means, or is refused by name; and the pool of decoding threads."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from image_folders import picture
from PIL import Image

from benchmark.data import decode as decoding
from benchmark.data.bad_images import BadImageError
from benchmark.data.datasets import load_dataset
from benchmark.data.decode import canonical, canonical_side, decode, encoded_size
from benchmark.data.images import ImagesOnDemand
from benchmark.data.spec import DatasetSpec
from benchmark.data.views.augment import Augmenter
from benchmark.data.views.crops import read_crops
from benchmark.errors import UserError
from methods.views import ViewSpec

if TYPE_CHECKING:
    from concurrent.futures import Executor
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
    # As many frames as an image has channels.
    "three-frames.gif": saved(photo(), "GIF", save_all=True, append_images=[photo().rotate(90), photo().rotate(180)]),
    "rgb.tif": saved(photo(), "TIFF", compression="tiff_lzw"),
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
            folder = tmp_path / split / str(label)
            folder.mkdir(parents=True)
            for name, content in kinds.items():
                (folder / name).write_bytes(content)
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
def test_files_that_are_not_images_are_refused_by_name(content: bytes) -> None:
    for function in (decode, encoded_size):
        with pytest.raises(UserError, match=r"photos/x: not a readable image"):
            function(content, "photos/x")


def encoded(image: Image.Image, path: Path, **options: Any) -> bytes:
    image.save(path, **options)
    return path.read_bytes()


@pytest.mark.parametrize(("mode", "suffix"), [("L", ".png"), ("L", ".jpg"), ("P", ".png"), ("CMYK", ".jpg")])
@pytest.mark.parametrize("colour", [(200, 60, 60), (10, 10, 10)])
def test_decoding_converts_to_rgb(mode: str, suffix: str, colour: tuple[int, int, int], tmp_path: Path) -> None:
    plain = Image.new("RGB", (9, 5), colour).convert(mode)
    image = decode(encoded(plain, tmp_path / f"x{suffix}", **({"quality": 95} if suffix == ".jpg" else {})), "x")
    assert image.shape == (3, 5, 9)
    expected = torch.tensor(plain.convert("RGB").getpixel((0, 0)))
    assert (image[:, 2, 4] - expected).abs().max() <= 4


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".png"])
def test_lossless_formats_decode_exactly(suffix: str, tmp_path: Path) -> None:
    image = decode(encoded(picture(1, 9, 5), tmp_path / f"x{suffix}", lossless=True), "x")
    assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(picture(1, 9, 5)))


def test_transparency_is_dropped_and_orientation_ignored(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (90, 120, 150, 0))
    assert decode(encoded(clear, tmp_path / "x.png"), "x")[:, 0, 0].tolist() == [90, 120, 150]
    turned = Image.Exif()
    turned[0x0112] = 6
    assert decode(encoded(picture(0, 12, 6), tmp_path / "x.jpg", exif=turned), "x").shape == (3, 6, 12)


def test_a_damaged_png_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    picture(0, 40, 30).save(tmp_path / "x.png")
    content = bytearray((tmp_path / "x.png").read_bytes())
    for place in (60, len(content) // 2, len(content) - 30):
        damaged = bytearray(content)
        damaged[place] ^= 255
        with pytest.raises(UserError, match="x: not a readable image"):
            decode(bytes(damaged), "x")


def test_sixteen_bit_greys_keep_their_upper_eight_bits(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "deep.png")
    Image.fromarray(values).save(tmp_path / "little.tif")
    Image.frombytes("I;16B", (8, 8), values.astype(">u2").tobytes()).save(tmp_path / "big.tif")
    assert (tmp_path / "big.tif").read_bytes()[:2] == b"MM"
    for name in ("deep.png", "little.tif", "big.tif"):
        image = decode((tmp_path / name).read_bytes(), name)
        assert image.shape == (3, 8, 8)
        assert (image[0].int() - torch.from_numpy((values >> 8).astype(np.int32))).abs().max() <= 1


def test_canonical_square_is_the_middle() -> None:
    ramp = torch.arange(200, dtype=torch.uint8).expand(3, 100, 200)
    square = canonical(ramp, 100)
    assert square.shape == (3, 100, 100)
    assert square[0, 0, 0] == 50
    half = canonical(ramp, 50)
    assert half.shape == (3, 50, 50)
    assert half[0, 0, 0].item() == pytest.approx(50.5, abs=1)
    assert canonical(torch.zeros(3, 7, 300, dtype=torch.uint8), 64).shape == (3, 64, 64)
    assert [canonical_side(size) for size in (224, 160, 128, 96)] == [256, 183, 146, 110]


@pytest.mark.parametrize(("width", "height"), [(6000, 1), (1, 6000), (40_000, 3)])
def test_the_middle_of_a_line_of_pixels_is_all_that_is_resized(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest, resize = 0, decoding.transforms.resize

    def watched(image: torch.Tensor, size: list[int], **options: Any) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, size[0] * size[1])
        return resize(image, size, **options)

    monkeypatch.setattr(decoding.transforms, "resize", watched)
    image = torch.full((3, height, width), 7, dtype=torch.uint8)
    image[..., max(0, height // 2 - 2) : height // 2 + 2, max(0, width // 2 - 2) : width // 2 + 2] = 255
    square = canonical(image, 256)
    assert square.shape == (3, 256, 256) and largest <= 32 * 256 * 256
    assert square[0, 100:156, 100:156].max() > 200  # the middle is in it


def test_whatever_a_decoder_raises_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("strange")

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(BadImageError, match=r"^x\.gif: not a readable image \('strange'\)$"):
        decode(COLOURED["three-frames.gif"], "x.gif")


def test_postscript_is_no_image() -> None:
    with pytest.raises(UserError, match=r"x\.png: not a readable image"):
        decode(saved(photo(), "EPS"), "x.png")


@pytest.fixture
def no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not decoded anything yet."""
    monkeypatch.setattr(decoding, "_POOLS", {})


@pytest.mark.usefixtures("no_pool")
def test_the_number_of_threads_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(decoding.THREADS_VARIABLE, "3")
    assert decoding._pool()._max_workers == 3


@pytest.mark.usefixtures("no_pool")
@pytest.mark.parametrize("quick", [0.0, 1e9])
def test_only_slow_work_is_handed_to_threads(monkeypatch: pytest.MonkeyPatch, quick: float) -> None:
    monkeypatch.setattr(decoding, "_QUICK", quick)
    calls: list[tuple[int, int]] = []

    def work(number: int) -> tuple[int, bool]:
        return 2 * number, threading.current_thread() is threading.main_thread()

    for count in (0, 1, 32, 33, 1000):
        results = list(decoding.in_order(work, range(count), lambda *progress: calls.append(progress)))
        assert [value for value, _ in results] == [2 * number for number in range(count)]
        assert [in_main for _, in_main in results] == [number < 32 or quick > 0 for number in range(count)]
    assert calls == [(1, 1), (32, 32), (33, 33), (544, 1000), (1000, 1000)]


@pytest.mark.usefixtures("no_pool")
@pytest.mark.parametrize("setting", ["0", "many", "-1", "1000", "2.5"])
def test_a_wrong_number_of_threads_is_refused(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(decoding.THREADS_VARIABLE, setting)
    with pytest.raises(UserError, match=rf"BENCH_DECODE_THREADS is '{setting}'; expected 1 to 256"):
        decoding._pool()


@pytest.mark.usefixtures("no_pool")
def test_callers_that_race_share_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(4)

    def wait_for_all() -> int:
        together.wait(10)
        return 2

    monkeypatch.setattr(decoding, "_threads", wait_for_all)
    pools: list[Executor] = []
    with ThreadPoolExecutor(4) as callers:
        for _ in range(4):
            callers.submit(lambda: pools.append(decoding._pool()))
    assert len(pools) == 4 and all(pool is pools[0] for pool in pools)
