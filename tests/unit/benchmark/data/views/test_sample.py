"""The random parameters of views: their ranges, shares and independence."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from scipy import stats
from torchvision.transforms import RandomResizedCrop
from view_images import seeded

from benchmark.data.views.sample import sample_view
from methods.views import ViewSpec

EVERYTHING = ViewSpec(
    jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2, blur=0.5, solarize=0.3
)


def test_switching_an_operation_off_leaves_the_other_draws() -> None:
    full = sample_view(EVERYTHING, 50, (32, 32), seeded(2))
    crop = sample_view(ViewSpec(), 50, (32, 32), seeded(2))
    for name in ("top_B", "left_B", "height_B", "width_B", "flip_B", "jitter_order_4", "sigma_B"):
        assert torch.equal(getattr(full, name), getattr(crop, name)), name


@pytest.mark.slow
@pytest.mark.parametrize("source", [(32, 32), (96, 64), (50, 200)])
def test_crops_are_distributed_as_torchvisions(source: tuple[int, int]) -> None:
    spec = ViewSpec(crop_scale=(0.2, 1.0))
    ours = sample_view(spec, 20_000, source, seeded(1))
    image = torch.empty(3, *source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        boxes = [RandomResizedCrop.get_params(image, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(3000)]
    theirs = torch.tensor(boxes).double()
    for column, values in enumerate((ours.top_B, ours.left_B, ours.height_B, ours.width_B)):
        noise = torch.rand(2, 20_000, generator=seeded(2)).double()  # ties make the test conservative
        result = stats.ks_2samp(values + noise[0], theirs[:, column] + noise[1, :3000])
        assert result.pvalue > 1e-3, column


def test_crop_ranges() -> None:
    rows, columns = 100, 120
    drawn = sample_view(ViewSpec(crop_scale=(0.08, 0.5)), 20_000, (rows, columns), seeded())
    share = (drawn.height_B * drawn.width_B) / (rows * columns)
    ratio = drawn.width_B / drawn.height_B
    # Sides are rounded to whole pixels, the shortest of which is about 27.
    assert 0.076 < share.min() < 0.084 and 0.49 < share.max() < 0.51
    assert share.mean() == pytest.approx(0.29, abs=0.005)
    assert 0.72 < ratio.min() < 0.77 and 1.3 < ratio.max() < 1.38
    assert ratio.log().mean() == pytest.approx(0.0, abs=0.005)
    assert drawn.top_B.min() == 0 and drawn.left_B.min() == 0
    assert (drawn.top_B + drawn.height_B).max() == rows and (drawn.left_B + drawn.width_B).max() == columns


@pytest.mark.parametrize(
    ("ratio", "expected"), [((3.0, 4.0), (11, 32)), ((0.2, 0.25), (32, 8)), ((0.9, 1.1), (32, 32))]
)
def test_fallback_is_the_largest_central_crop(ratio: tuple[float, float], expected: tuple[int, int]) -> None:
    """Where no attempt fits; (0.9, 1.1) at the whole area fits only now and then, and is the whole image anyway."""
    drawn = sample_view(ViewSpec(crop_scale=(0.98, 1.0), crop_ratio=ratio), 400, (32, 32), seeded())
    fallen = (drawn.height_B == expected[0]) & (drawn.width_B == expected[1])
    assert fallen.float().mean() > (0.99 if ratio != (0.9, 1.1) else 0.5)
    if ratio != (0.9, 1.1):
        assert (drawn.top_B == (32 - expected[0]) // 2).all()
        assert (drawn.left_B == (32 - expected[1]) // 2).all()


def test_shares_and_ranges_of_the_draws() -> None:
    spec = ViewSpec(
        flip=0.3, jitter=0.8, brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1, grayscale=0.2, blur=0.6,
        blur_sigma=(0.1, 2.0), solarize=0.1,
    )  # fmt: skip
    drawn = sample_view(spec, 20_000, (32, 32), seeded(4))
    shares = {"flip": 0.3, "jitter": 0.8, "grayscale": 0.2, "blur": 0.6, "solarize": 0.1}
    for name, share in shares.items():
        assert getattr(drawn, f"{name}_B").float().mean() == pytest.approx(share, abs=0.015), name
    ranges = {"brightness": (0.6, 1.4), "contrast": (0.0, 2.5), "saturation": (0.8, 1.2), "hue": (-0.1, 0.1),
              "sigma": (0.1, 2.0)}  # fmt: skip
    for name, (low, high) in ranges.items():
        values = getattr(drawn, f"{name}_B")
        assert low <= values.min() < low + 0.01 * (high - low), name
        assert high - 0.01 * (high - low) < values.max() <= high + 1e-6, name
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.01 * (high - low)), name


def test_draws_are_independent_of_each_other_and_between_images() -> None:
    drawn = sample_view(EVERYTHING, 20_000, (96, 96), seeded(6))
    names = [
        field.name for field in dataclasses.fields(drawn) if field.name not in ("jitter_order_4", "top_B", "left_B")
    ]
    columns = torch.stack([getattr(drawn, name).double() for name in names])
    columns[names.index("height_B")] *= columns[names.index("width_B")]
    columns[names.index("width_B")] = drawn.width_B / drawn.height_B
    within = torch.corrcoef(columns) - torch.eye(len(names))
    between = torch.corrcoef(torch.cat([columns[:, 1:], columns[:, :-1]]))[: len(names), len(names) :]
    bound = 5 / math.sqrt(20_000)
    assert within.abs().max() < bound
    assert between.abs().max() < bound


def test_jitter_order_differs_between_batches() -> None:
    orders = {tuple(sample_view(EVERYTHING, 2, (8, 8), seeded(seed)).jitter_order_4.tolist()) for seed in range(400)}
    assert len(orders) == 24


def test_probabilities_zero_and_one() -> None:
    names = ("flip", "jitter", "grayscale", "blur", "solarize")
    for probability in (0.0, 1.0):
        drawn = sample_view(ViewSpec(**dict.fromkeys(names, probability)), 5000, (32, 32), seeded())
        for name in names:
            assert (getattr(drawn, f"{name}_B") == bool(probability)).all(), name


COLOURS = ViewSpec(jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2, blur=0.5)


def test_each_image_is_drawn_as_in_a_batch_of_its_own_size() -> None:
    sizes = torch.tensor([(30, 40), (64, 90), (7, 300), (300, 7)])
    spec = COLOURS.model_copy(update={"crop_scale": (0.5, 1.0)})
    together = sample_view(spec, 4, sizes, seeded(5))
    for position, size in enumerate(sizes.tolist()):
        alone = sample_view(spec, 4, tuple(size), seeded(5))
        for field in dataclasses.fields(alone):
            if field.name.endswith("_B"):
                assert getattr(together, field.name)[position] == getattr(alone, field.name)[position], field.name


def test_a_slice_has_the_parameters_of_its_images() -> None:
    full = sample_view(EVERYTHING, 9, (32, 32), seeded(1))
    part = full.slice(2, 6)
    assert len(part) == 4 and torch.equal(part.sigma_B, full.sigma_B[2:6])
    assert torch.equal(part.jitter_order_4, full.jitter_order_4)


def test_boxes_say_where_views_lie() -> None:
    """A ramp of rows and columns, cut by torch itself, ends where the boxes say."""
    spec = ViewSpec(crop_scale=(0.1, 0.9), flip=0.5)
    drawn = sample_view(spec, 40, (60, 80), torch.Generator().manual_seed(0))
    boxes_B4 = drawn.boxes((60, 80))
    assert boxes_B4.shape == (40, 4) and 5 < int(drawn.flip_B.sum()) < 35
    rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    for index, (top, bottom, first, last) in enumerate(boxes_B4.tolist()):
        y, x = int(drawn.top_B[index]), int(drawn.left_B[index])
        window = slice(y, y + int(drawn.height_B[index])), slice(x, x + int(drawn.width_B[index]))
        view = torch.stack((rows, columns))[:, window[0], window[1]]
        view = view.flip(-1) if drawn.flip_B[index] else view
        assert view[0, 0, 0] == pytest.approx(60 * top) and view[0, -1, 0] == pytest.approx(60 * bottom - 1)
        edges = sorted((80 * first, 80 * last))
        assert view[1].min() == pytest.approx(edges[0], abs=1e-4) and view[1].max() == pytest.approx(
            edges[1] - 1, abs=1e-4
        )
        assert (view[1, 0, 0] < view[1, 0, -1]) == (first < last)
