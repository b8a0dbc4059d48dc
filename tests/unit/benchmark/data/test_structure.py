"""Sizes and ends of image files, read from their markers."""

from __future__ import annotations

import pytest
from mutated_images import HEIGHT, WIDTH, sound_images, with_size

from benchmark.data.structure import Outline, outline

SOUND = sound_images()
CHECKED = [name for name in SOUND if name.rpartition(".")[2] in ("jpg", "png", "webp", "gif", "bmp")]
SIZED = [name for name in CHECKED if not name.endswith((".gif", ".bmp"))]


@pytest.mark.parametrize("name", CHECKED)
def test_a_whole_file_has_its_size_and_is_whole(name: str) -> None:
    assert outline(SOUND[name]) == Outline((WIDTH, HEIGHT) if name in SIZED else None, True)


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_truncated_file_is_not_whole(name: str, share: float) -> None:
    assert not outline(SOUND[name][: int(len(SOUND[name]) * share)]).whole


@pytest.mark.parametrize("name", ["rgb.tif", "cmyk.tif"])
def test_nothing_is_known_of_other_formats(name: str) -> None:
    assert outline(SOUND[name]) == outline(b"") == outline(b"\xff\xd8\xff") == Outline(None, False)


@pytest.mark.parametrize("name", [name for name in SIZED if name != "lossless.webp"])
def test_the_size_is_the_one_that_the_header_declares(name: str) -> None:
    assert outline(with_size(SOUND[name], 300, 7)).size == (300, 7)


def test_an_end_marker_in_a_thumbnail_is_not_the_end_of_the_image() -> None:
    thumbnail = SOUND["grey.jpg"]
    exif = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    content = SOUND["rgb.jpg"][:2] + exif + SOUND["rgb.jpg"][2:]
    assert outline(content) == Outline((WIDTH, HEIGHT), True)
    assert outline(content[:-2]) == Outline((WIDTH, HEIGHT), False)


def test_bytes_after_the_end_do_no_harm() -> None:
    for name in ("rgb.jpg", "rgb.png", "lossy.webp", "rgb.gif"):
        assert outline(SOUND[name] + bytes(9)).whole


def test_one_flipped_bit_in_a_png_is_seen() -> None:
    content = bytearray(SOUND["rgb.png"])
    content[len(content) // 2] ^= 4
    assert outline(bytes(content)) == Outline((WIDTH, HEIGHT), False)
