from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from scipy import stats
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from benchmark.data.views.augment import Augmenter, center_view
from benchmark.data.views.sample import ViewParameters, sample_view
from benchmark.errors import UserError
from methods.views import ViewSpec

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EVERYTHING = ViewSpec(
    jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2, blur=0.5, solarize=0.3
)
FLOAT_ERROR = 2e-5
UINT8_ERROR = 2 / 255


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(batch: int = 6, rows: int = 32, columns: int = 32, seed: int = 0) -> Tensor:
    """Noise, plus what colour conversions find hard: grays, black, white, pure colours."""
    images = torch.randint(0, 256, (batch, 3, rows, columns), dtype=torch.uint8, generator=seeded(seed))
    images[0, :, :4] = images[0, :1, :4]
    for column, colour in enumerate([(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 255), (9, 9, 200)]):
        images[0, :, 5:, column] = torch.tensor(colour, dtype=torch.uint8)[:, None]
    return images


def whole(batch: int, rows: int = 32, columns: int = 32, /, **changes: Tensor) -> ViewParameters:
    """Parameters that change nothing, but for `changes`."""
    never, zeros = torch.zeros(batch, dtype=torch.bool), torch.zeros(batch, dtype=torch.long)
    neutral = ViewParameters(
        top_B=zeros, left_B=zeros, height_B=zeros + rows, width_B=zeros + columns, flip_B=never, jitter_B=never,
        jitter_order_4=torch.arange(4), brightness_B=torch.ones(batch), contrast_B=torch.ones(batch),
        saturation_B=torch.ones(batch), hue_B=torch.zeros(batch), grayscale_B=never, blur_B=never,
        sigma_B=torch.ones(batch), solarize_B=never,
    )  # fmt: skip
    return dataclasses.replace(neutral, **changes)


def make(spec: ViewSpec, images: Tensor, parameters: ViewParameters, size: int = 32) -> Tensor:
    """One view, with a normalisation that leaves values in [0, 1]."""
    (view,) = Augmenter([spec], size, ZERO, ONE)(images, [parameters])
    return view


def as_float(images: Tensor) -> Tensor:
    return images.float() / 255


def always(batch: int) -> Tensor:
    return torch.ones(batch, dtype=torch.bool)


def close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(actual.contiguous(), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("rows", "columns", "size"), [(32, 32, 32), (20, 45, 32), (64, 40, 24), (90, 100, 16), (9, 8, 33)]
)
def test_crop_and_flip_are_torchvisions(interpolation: str, rows: int, columns: int, size: int) -> None:
    images = some_images(12, rows, columns)
    spec = ViewSpec(interpolation=interpolation)
    parameters = sample_view(spec, 12, (rows, columns), seeded(1))
    view = make(spec, images, parameters, size)
    assert parameters.flip_B.any() and not parameters.flip_B.all()
    mode = InterpolationMode(interpolation)
    for index in range(12):
        box = [int(getattr(parameters, f"{name}_B")[index]) for name in ("top", "left", "height", "width")]
        exact = reference.resized_crop(as_float(images[index]), *box, [size, size], mode, antialias=True)
        rounded = as_float(reference.resized_crop(images[index], *box, [size, size], mode, antialias=True))
        if parameters.flip_B[index]:
            exact, rounded = reference.horizontal_flip(exact), reference.horizontal_flip(rounded)
        if interpolation == "bilinear":  # uint8 clamps the overshoot of a bicubic crop between columns and rows
            close(view[index], exact, FLOAT_ERROR)
        close(view[index], rounded, UINT8_ERROR)


def test_a_whole_crop_of_the_same_size_is_the_image() -> None:
    images = some_images()
    close(make(ViewSpec(), images, whole(6)), as_float(images), 1e-6)


@pytest.mark.parametrize(
    ("name", "which", "factors"),
    [
        ("brightness", 0, [0.0, 0.3, 0.9, 1.0, 1.4, 2.5]),
        ("contrast", 1, [0.0, 0.3, 0.9, 1.0, 1.4, 2.5]),
        ("saturation", 2, [0.0, 0.3, 0.9, 1.0, 1.4, 2.5]),
        ("hue", 3, [-0.5, -0.21, 0.0, 0.04, 0.37, 0.5]),
    ],
)
def test_each_jitter_is_torchvisions(name: str, which: int, factors: list[float]) -> None:
    images = some_images()
    operation = getattr(reference, f"adjust_{name}")
    spec = ViewSpec(jitter=1.0, **{name: 0.5})
    view = make(spec, images, whole(6, jitter_B=always(6), **{f"{name}_B": torch.tensor(factors)}))
    for index, factor in enumerate(factors):
        close(view[index], operation(as_float(images[index]), factor), FLOAT_ERROR)
        close(view[index], as_float(operation(images[index], factor)), UINT8_ERROR)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_jitter_keeps_its_order(order: tuple[int, ...]) -> None:
    images = some_images()
    names = ("brightness", "contrast", "saturation", "hue")
    factors = {"brightness": 1.6, "contrast": 1.5, "saturation": 0.4, "hue": 0.2}
    changes = {f"{name}_B": torch.full((6,), factor) for name, factor in factors.items()}
    spec = ViewSpec(jitter=1.0, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
    view = make(spec, images, whole(6, jitter_B=always(6), jitter_order_4=torch.tensor(order), **changes))
    expected = as_float(images)
    for which in order:
        expected = getattr(reference, f"adjust_{names[which]}")(expected, factors[names[which]])
    close(view, expected, FLOAT_ERROR)


def test_strength_zero_leaves_an_operation_out() -> None:
    images = some_images()
    changes = {"brightness_B": torch.full((6,), 0.5), "hue_B": torch.full((6,), 0.3)}
    view = make(ViewSpec(jitter=1.0, hue=0.5), images, whole(6, jitter_B=always(6), **changes))
    close(view, reference.adjust_hue(as_float(images), 0.3), FLOAT_ERROR)


def test_grayscale_is_torchvisions() -> None:
    images = some_images()
    view = make(ViewSpec(grayscale=1.0), images, whole(6, grayscale_B=always(6)))
    close(view, reference.rgb_to_grayscale(as_float(images), 3), FLOAT_ERROR)
    close(view, as_float(reference.rgb_to_grayscale(images, 3)), UINT8_ERROR)


@pytest.mark.parametrize(("size", "kernel"), [(32, None), (32, 5), (64, 23), (8, 15), (230, None)])
def test_blur_is_torchvisions(size: int, kernel: int | None) -> None:
    images = some_images(4, size, size)
    sigmas = [0.1, 0.5, 1.3, 2.0]
    spec = ViewSpec(blur=1.0, blur_kernel=kernel)
    parameters = whole(4, size, size, blur_B=always(4), sigma_B=torch.tensor(sigmas))
    view = make(spec, images, parameters, size)
    side = kernel or {32: 3, 230: 23}[size]
    for index, sigma in enumerate(sigmas):
        close(view[index], reference.gaussian_blur(as_float(images[index]), [side, side], sigma), FLOAT_ERROR)
        close(view[index], as_float(reference.gaussian_blur(images[index], [side, side], sigma)), UINT8_ERROR)


def test_blur_keeps_rows_and_columns_apart() -> None:
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    images[:, :, 10, 20] = 255
    view = make(ViewSpec(blur=1.0), images, whole(1, blur_B=always(1)))
    assert view[0, 0].argmax() == 10 * 32 + 20


@pytest.mark.parametrize("threshold", [0, 1, 128, 200, 255])
def test_solarize_is_torchvisions_at_every_uint8_value(threshold: int) -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    spec = ViewSpec(solarize=1.0, solarize_threshold=threshold / 255)
    view = make(spec, images, whole(1, 16, 16, solarize_B=always(1)), 16)
    close(view, as_float(reference.solarize(images, threshold)), FLOAT_ERROR)


def test_normalisation_layout_and_sizes() -> None:
    images = some_images()
    augmenter = Augmenter([ViewSpec(), ViewSpec(size=48)], 32, MEAN, STD)
    view, larger = augmenter(images, [whole(6), whole(6)])
    close(view, reference.normalize(as_float(images), list(MEAN), list(STD)), 1e-4)
    assert larger.shape == (6, 3, 48, 48)
    for one in (view, larger):
        assert one.dtype == torch.float32
        assert one.is_contiguous(memory_format=torch.channels_last)
        assert not one.requires_grad


def test_images_that_an_operation_does_not_apply_to_stay_bit_identical() -> None:
    images = some_images(24)
    (parameters,) = Augmenter([EVERYTHING], 32, ZERO, ONE).sample(24, (32, 32), seeded(3))
    full = make(EVERYTHING, images, parameters)
    plain = make(ViewSpec(), images, parameters_without_colour(parameters))
    touched = parameters.jitter_B | parameters.grayscale_B | parameters.blur_B | parameters.solarize_B
    assert 0 < touched.sum() < 24
    assert torch.equal(full[~touched], plain[~touched])
    for index in (parameters.jitter_B | parameters.solarize_B).nonzero()[:, 0]:
        assert not torch.equal(full[index], plain[index])


def parameters_without_colour(parameters: ViewParameters) -> ViewParameters:
    never = torch.zeros_like(parameters.jitter_B)
    return dataclasses.replace(parameters, jitter_B=never, grayscale_B=never, blur_B=never, solarize_B=never)


@pytest.mark.parametrize("size", [32, 33, 144])
def test_slices_equal_the_whole(size: int) -> None:
    """Also across the chunks that a CPU works on: 144 pixels make five images a chunk."""
    images = some_images(11, size, size + 3)
    augmenter = Augmenter([EVERYTHING, ViewSpec(interpolation="bicubic", jitter=1.0, contrast=1.0)], size, MEAN, STD)
    parameters = augmenter.sample(11, (size, size + 3), seeded(5))
    views = augmenter(images, parameters)
    for start, stop in ((0, 1), (1, 6), (6, 11), (3, 10)):
        parts = augmenter(images[start:stop], [one.slice(start, stop) for one in parameters])
        for part, view in zip(parts, views, strict=True):
            assert torch.equal(part, view[start:stop])


def test_same_seed_same_draws_and_views() -> None:
    images = some_images()
    augmenter = Augmenter([EVERYTHING, EVERYTHING], 32, MEAN, STD)
    first, again, other = (augmenter.sample(6, (32, 32), seeded(seed)) for seed in (7, 7, 8))
    for one, two in zip(augmenter(images, first), augmenter(images, again), strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(first[0].sigma_B, other[0].sigma_B)
    assert not torch.equal(first[0].sigma_B, first[1].sigma_B)


def test_switching_an_operation_off_leaves_the_other_draws() -> None:
    full = sample_view(EVERYTHING, 50, (32, 32), seeded(2))
    crop = sample_view(ViewSpec(), 50, (32, 32), seeded(2))
    for name in ("top_B", "left_B", "height_B", "width_B", "flip_B", "jitter_order_4", "sigma_B"):
        assert torch.equal(getattr(full, name), getattr(crop, name)), name


def test_autocast_does_not_reach_the_views() -> None:
    images = some_images()
    augmenter = Augmenter([EVERYTHING], 32, MEAN, STD)
    parameters = augmenter.sample(6, (32, 32), seeded())
    (expected,) = augmenter(images, parameters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (view,) = augmenter(images, parameters)
    assert torch.equal(view, expected)


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


def test_center_view_of_native_size_is_the_image() -> None:
    images = some_images()
    view = center_view(images, 32, MEAN, STD)
    close(view, reference.normalize(as_float(images), list(MEAN), list(STD)), 1e-5)
    assert view.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, some_images())


@pytest.mark.parametrize(("rows", "columns"), [(40, 40), (35, 48), (37, 34)])
def test_center_view_crops_larger_images(rows: int, columns: int) -> None:
    images = some_images(4, rows, columns)
    close(center_view(images, 32, ZERO, ONE), as_float(reference.center_crop(images, [32, 32])), 1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(24, 40), (50, 20), (8, 8)])
def test_center_view_enlarges_smaller_images(rows: int, columns: int) -> None:
    images = some_images(4, rows, columns)
    resized = reference.resize(as_float(images), [32], antialias=True)
    close(center_view(images, 32, ZERO, ONE), reference.center_crop(resized, [32, 32]), FLOAT_ERROR)


def test_wrong_images_are_refused() -> None:
    augmenter = Augmenter([ViewSpec()], 32, MEAN, STD)
    for images in (torch.zeros(2, 3, 32, 32), torch.zeros(2, 1, 32, 32, dtype=torch.uint8)):
        with pytest.raises(UserError, match=r"expected \(B, 3, H, W\) in torch.uint8"):
            augmenter(images, [whole(2)])
        with pytest.raises(UserError, match=r"expected \(B, 3, H, W\) in torch.uint8"):
            center_view(images, 32, MEAN, STD)


def test_parameters_of_another_batch_are_refused() -> None:
    augmenter = Augmenter([ViewSpec()], 32, MEAN, STD)
    with pytest.raises(UserError, match=r"for \[5\] images; expected 1 views of 6"):
        augmenter(some_images(), [whole(5)])
    with pytest.raises(UserError, match=r"larger images than these of 32 x 32"):
        augmenter(some_images(), [whole(6, 33, 32)])


def test_wrong_declarations_are_refused() -> None:
    with pytest.raises(UserError, match=r"views\[1\].blur_kernel is 33; a view of 16 pixels takes at most 31"):
        Augmenter([ViewSpec(), ViewSpec(size=16, blur=0.5, blur_kernel=33)], 32, MEAN, STD)
    with pytest.raises(UserError, match=r"std is \(0.2, 0.0, 0.2\)"):
        Augmenter([ViewSpec()], 32, MEAN, (0.2, 0.0, 0.2))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_views_are_the_same_and_the_host_never_waits() -> None:
    images = some_images(16)
    spec = EVERYTHING.model_copy(update={"solarize": 0.0})  # which pixels reach its threshold hangs on rounding
    augmenter = Augmenter([spec], 32, MEAN, STD)
    parameters = augmenter.sample(16, (32, 32), seeded())
    (expected,) = augmenter(images, parameters)
    on_device = images.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        (view,) = augmenter(on_device, parameters)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    close(view.cpu(), expected.contiguous(), 1e-3)
