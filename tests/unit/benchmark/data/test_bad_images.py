"""The message about all bad images, and the limit on pixels."""

from __future__ import annotations

import pytest

from benchmark.data.bad_images import MOST_PIXELS, BadImage, BadImageError, check_pixels, listed, refusal


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
