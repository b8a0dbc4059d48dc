"""Procedural scenes: their bytes, factors and classes."""

from __future__ import annotations

import hashlib

import pytest
import torch

from benchmark.data.shapes.scenes import CLASSES, render_shapes
from benchmark.errors import UserError


def test_the_bytes_of_the_images_never_change() -> None:
    scenes = render_shapes(0, "train", 40)
    assert scenes.pixels.shape == (40, 3, 32, 32)
    assert scenes.pixels.dtype == torch.uint8
    assert hashlib.blake2b(scenes.pixels.numpy().tobytes(), digest_size=8).hexdigest() == "2c1e9f84548eca48"


def test_an_image_depends_on_its_index_only() -> None:
    # 300 crosses the border between two batches of the renderer.
    few, many = render_shapes(3, "test", 7), render_shapes(3, "test", 300)
    assert torch.equal(few.pixels, many.pixels[:7])
    for name, values in few.factors.items():
        assert torch.equal(values, many.factors[name][:7])


@pytest.mark.parametrize(("seed", "split"), [(1, "train"), (0, "test")])
def test_seed_and_split_give_other_images(seed: int, split: str) -> None:
    ours, theirs = render_shapes(0, "train", 30), render_shapes(seed, split, 30)
    assert not (ours.pixels == theirs.pixels).flatten(1).all(1).any()


def test_classes_alternate() -> None:
    assert render_shapes(0, "train", 23).labels.tolist() == [i % 10 for i in range(23)]
    assert len(CLASSES) == 10


def test_factors_keep_their_ranges_and_vary_independently_of_the_class() -> None:
    scenes = render_shapes(0, "train", 3000)
    count = scenes.factors["count"]
    shares = [(count == n).float().mean().item() for n in (1, 2, 3)]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.03)
    alone = scenes.factors["scale"][count == 1]
    assert 0.30 <= alone.min() < 0.31
    assert 0.43 < alone.max() <= 0.44
    crowded = scenes.factors["scale"][count > 1]
    assert crowded.min() >= 0.21
    assert crowded.max() <= 0.26
    for axis in "xy":
        assert scenes.factors[axis].mean().item() == pytest.approx(0.5, abs=0.01)
    for values in scenes.factors.values():
        means = torch.stack([values[scenes.labels == label].mean() for label in range(10)])
        assert (means - values.mean()).abs().max() < 4 * values.std() / 300**0.5


def test_factors_describe_the_picture() -> None:
    # Copies are brighter than the background, so that single discs show where they are and how large.
    scenes = render_shapes(5, "train", 1000, size=64)
    chosen = (scenes.labels == 0) & (scenes.factors["count"] == 1)
    brightness = scenes.pixels[chosen].float().amax(1)
    cover = (brightness > 0.65 * 255).float()
    area = cover.sum((1, 2))
    ticks = (torch.arange(64) + 0.5) / 64
    x = (cover.sum(1) * ticks).sum(1) / area
    y = (cover.sum(2) * ticks).sum(1) / area
    expected = {axis: scenes.factors[axis][chosen] for axis in "xy"}
    assert (x - expected["x"]).abs().median() < 0.02
    assert (y - expected["y"]).abs().median() < 0.02
    radius = (area / 64**2 / torch.pi).sqrt() / 0.76
    assert (radius - scenes.factors["scale"][chosen]).abs().median() < 0.03


def test_scenes_are_the_same_at_every_size() -> None:
    small, large = render_shapes(2, "train", 20, size=32), render_shapes(2, "train", 20, size=96)
    for name, values in small.factors.items():
        assert torch.equal(values, large.factors[name])
    pooled = torch.nn.functional.avg_pool2d(large.pixels.float(), 3)
    assert (pooled - small.pixels).abs().mean() < 12


def test_colour_does_not_tell_the_class() -> None:
    # Nearest class mean on mean and spread of the three channels: barely above the chance of 10%.
    train, test = render_shapes(0, "train", 2000), render_shapes(0, "test", 1000)

    def statistics(pixels: torch.Tensor) -> torch.Tensor:
        return torch.cat([pixels.float().mean((2, 3)), pixels.float().std((2, 3))], dim=1)

    known, unknown = statistics(train.pixels), statistics(test.pixels)
    centre, spread = known.mean(0), known.std(0)
    means = torch.stack([((known - centre) / spread)[train.labels == label].mean(0) for label in range(10)])
    guesses = torch.cdist((unknown - centre) / spread, means).argmin(1)
    assert (guesses == test.labels).float().mean() < 0.2


@pytest.mark.parametrize("size", [31, 97])
def test_size_out_of_range(size: int) -> None:
    with pytest.raises(UserError, match=f"size is {size}; expected 32 to 96"):
        render_shapes(0, "train", 1, size=size)


def test_no_images() -> None:
    with pytest.raises(UserError, match="0 images in 'test'"):
        render_shapes(0, "test", 0)


def test_progress_ends_at_the_count() -> None:
    calls: list[tuple[int, int]] = []
    render_shapes(0, "train", 300, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(256, 300), (300, 300)]
