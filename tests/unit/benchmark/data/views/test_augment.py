"""The augmenter: the order of its operations, its layout, and its independence of the batch."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor
from torchvision.transforms import InterpolationMode
from view_images import FLOAT_ERROR, ONE, UINT8_ERROR, ZERO, as_float, close, seeded, some_images, whole

from benchmark.data.views.augment import Augmenter, center_view
from benchmark.data.views.sample import ViewParameters, sample_view
from benchmark.errors import UserError
from methods.views import ViewSpec

EVERYTHING = ViewSpec(
    jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2, blur=0.5, solarize=0.3
)


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make(spec: ViewSpec, images: Tensor, parameters: ViewParameters, size: int = 32) -> Tensor:
    """One view, with a normalisation that leaves values in [0, 1]."""
    (view,) = Augmenter([spec], size, ZERO, ONE)(images, [parameters])
    return view


def always(batch: int) -> Tensor:
    return torch.ones(batch, dtype=torch.bool)


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


def test_normalisation_layout_and_sizes() -> None:
    images = some_images()
    augmenter = Augmenter([ViewSpec(), ViewSpec(size=48)], 32, MEAN, STD)
    view, larger = augmenter(images, [whole(6), whole(6)])
    close(view, reference.normalize(as_float(images), list(MEAN), list(STD)), 1e-4)
    assert larger.shape == (6, 3, 48, 48)
    for made in (view, larger):
        assert made.dtype == torch.float32
        assert made.is_contiguous(memory_format=torch.channels_last)
        assert not made.requires_grad


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
        parts = augmenter(images[start:stop], [view.slice(start, stop) for view in parameters])
        for part, view in zip(parts, views, strict=True):
            assert torch.equal(part, view[start:stop])


def test_same_seed_same_draws_and_views() -> None:
    images = some_images()
    augmenter = Augmenter([EVERYTHING, EVERYTHING], 32, MEAN, STD)
    first, again, other = (augmenter.sample(6, (32, 32), seeded(seed)) for seed in (7, 7, 8))
    for view, same in zip(augmenter(images, first), augmenter(images, again), strict=True):
        assert torch.equal(view, same)
    assert not torch.equal(first[0].sigma_B, other[0].sigma_B)
    assert not torch.equal(first[0].sigma_B, first[1].sigma_B)


def test_autocast_does_not_reach_the_views() -> None:
    images = some_images()
    augmenter = Augmenter([EVERYTHING], 32, MEAN, STD)
    parameters = augmenter.sample(6, (32, 32), seeded())
    (expected,) = augmenter(images, parameters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (view,) = augmenter(images, parameters)
    assert torch.equal(view, expected)


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


@pytest.mark.slow
def test_compiled_colours_give_the_same_views() -> None:
    torch.compiler.reset()
    plain = Augmenter([EVERYTHING, EVERYTHING], 32, MEAN, STD)
    compiled = Augmenter([EVERYTHING, EVERYTHING], 32, MEAN, STD, backend="aot_eager")
    for seed, count in enumerate((6, 9)):  # another number of images, and of those that an operation is applied to
        images = some_images(count)
        parameters = plain.sample(count, (32, 32), torch.Generator().manual_seed(seed))
        for view, expected in zip(compiled(images, parameters), plain(images, parameters), strict=True):
            close(view, expected, 1e-5)
    torch.compiler.reset()
