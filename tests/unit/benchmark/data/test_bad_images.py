"""The message about all bad images, and the limit on pixels."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.data.bad_images import MOST_PIXELS, BadImage, BadImageError, check_pixels, listed, refusal
from benchmark.data.decode import decode
from benchmark.data.examine import examine


def test_all_are_listed_up_to_a_hundred() -> None:
    bad = [BadImage(f"train/a/{number}.png", "truncated") for number in range(103)]
    lines = listed(bad).splitlines()
    assert lines[0] == "  train/a/0.png: truncated" and lines[-1] == "  and 3 more" and len(lines) == 101
    message = str(refusal("photos", bad[:2], 20_000, "nothing was trained"))
    first, second, *_ = message.splitlines()
    assert first == "photos: 2 of 20,000 images cannot be used; nothing was trained"
    assert second == "  train/a/0.png: truncated"
    assert "--on-error skip" in message and "bench data verify" in message


def test_each_image_has_one_line_whatever_its_name() -> None:
    bad = [BadImage("a/new\nline\x1b[31m \udcff é.png", "truncated"), BadImage("b.png", "truncated")]
    assert listed(bad).splitlines() == [r"  a/new\nline\x1b[31m \udcff é.png: truncated", "  b.png: truncated"]


@pytest.mark.parametrize("size", [(65_500, 65_500), (0, 5), (MOST_PIXELS + 1, 1)])
def test_sizes_beyond_the_limit_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(BadImageError, match=rf"x\.jpg: declares {size[0]:,} x {size[1]:,} pixels; .* 178,956,970"):
        check_pixels(size, "x.jpg")
    check_pixels((MOST_PIXELS, 1), "x.jpg")


def _jpeg(size: tuple[int, int], **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, 128).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@settings(max_examples=30, deadline=None)
@given(st.integers(4_000, 65_500), st.integers(200, 2_000))
def test_a_jpeg_that_declares_more_than_it_holds_is_refused_before_it_is_decoded(width: int, height: int) -> None:
    small = bytearray(_jpeg((16, 16)))
    frame = small.find(b"\xff\xc0")
    small[frame + 5 : frame + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    found = examine(lambda: bytes(small), "x.jpg")
    assert found.reason == f"declares {width:,} x {height:,} pixels, which {len(small):,} bytes cannot hold"
    with pytest.raises(BadImageError, match="cannot hold"):
        decode(bytes(small), "x.jpg")


@pytest.mark.parametrize("progressive", [False, True])
def test_the_emptiest_jpeg_is_read(progressive: bool) -> None:
    encoded = _jpeg((4096, 4096), quality=1, optimize=True, progressive=progressive)
    assert tuple(decode(encoded, "x.jpg").shape) == (3, 4096, 4096)
