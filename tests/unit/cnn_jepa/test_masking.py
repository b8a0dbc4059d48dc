"""Specifications that are refused; masks: shares of a batch, devices, and images that they fit."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch

from cnn_jepa import Masks, MaskSpec, check_spec, sample_masks
from cnn_jepa.masking import block_size, check_fits, feasible_sizes

SMALL = MaskSpec(strategy="multi_block", num_blocks=2, block_sizes=((1, 2), (2, 1), (2, 2)), same_size=False)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (MaskSpec(strategy="multi_block", block_sizes=((5, 5),)), "no block of block_sizes"),
        (MaskSpec(strategy="multi_block", block_sizes=((1, 2), (5, 5))), r"no block of block_sizes \(5, 5\)"),
        (MaskSpec(strategy="random", mask_ratio=0.9), "mask_ratio is 0.9: 14 of 16 cells"),
        (MaskSpec(min_context=16), "min_context is 16"),
        (MaskSpec(strategy="multi_block", target_share=0.1), "expected 4 to 12"),
        (MaskSpec(strategy="multi_block", block_scale=(0.01, 0.05)), "name block_sizes"),
    ],
)
def test_specs_that_cannot_be_drawn_are_refused(spec: MaskSpec, message: str) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match=message):
        check_spec(spec, (4, 4))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "bad",
    [
        {"strategy": "blocks"},
        {"mask_ratio": 1.5},
        {"target_share": 0.0},
        {"multi_block_share": -0.1},
        {"block_scale": (0.5, 0.2)},
        {"block_aspect": (0.0, 1.0)},
        {"num_blocks": 0},
        {"min_context": 0},
        {"block_sizes": ((0, 2),)},
    ],
)
def test_values_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        MaskSpec(**bad)  # type: ignore[arg-type]


def test_a_share_of_the_masks_has_the_average_counts_of_the_batch() -> None:
    masks = sample_masks(SMALL, 12, (4, 4), torch.Generator().manual_seed(0))
    parts = [masks.slice(start, start + 3) for start in range(0, 12, 3)]
    assert torch.equal(torch.cat([part.context_Bhw for part in parts]), masks.context_Bhw)
    assert torch.equal(torch.cat([part.targets_BMhw for part in parts]), masks.targets_BMhw)
    assert len({int(part.target.sum()) for part in parts}) > 1  # otherwise all shares would weigh the same
    for part in parts:
        assert part.counts == (int(masks.context_Bhw.sum()) / 4, int(masks.target.sum()) / 4)
        assert part.to("meta").counts == part.counts
    assert masks.slice(0, 12) is masks and masks.counts is None


def test_block_sizes_are_rounded_to_whole_cells_of_the_grid() -> None:
    assert block_size(0.25, 1.0, (4, 4)) == (2, 2)
    assert block_size(0.25, 4.0, (4, 4)) == (4, 1)
    assert block_size(0.01, 1.0, (4, 4)) == (1, 1)
    assert block_size(1.0, 2.0, (4, 4)) == (4, 3)
    assert feasible_sizes(MaskSpec(block_scale=(0.18, 0.18), block_aspect=(0.75, 1.5)), (7, 7)) == [(3, 3), (4, 2)]
    assert feasible_sizes(dataclasses.replace(SMALL, min_context=14), (4, 4)) == [(1, 2), (2, 1)]


def test_masks_on_a_device_keep_those_on_the_cpu() -> None:
    masks = sample_masks(SMALL, 2, (4, 4), torch.Generator().manual_seed(0))
    assert masks.to("cpu") is masks and masks.host is masks
    moved = masks.to("meta")
    assert moved.context_Bhw.device.type == moved.targets_BMhw.device.type == "meta"
    assert moved.host is masks


def test_a_mask_that_does_not_fit_its_images_is_refused() -> None:
    images, context = torch.zeros(2, 3, 16, 24), torch.ones(2, 2, 3, dtype=torch.bool)
    check_fits(context, images, 8)
    for mask, pixels, patch, message in (
        (context, images[0], 8, r"images have to be \(B, C, H, W\)"),
        (context.float(), images, 8, "context has to be boolean"),
        (context, images, 16, "16x24 pixels do not divide into patches of 16"),
        (context[:, :1], images, 8, r"context is \(2, 1, 3\); .* need \(2, 2, 3\)"),
        (context.to("meta"), images, 8, "context is on meta, the images are on cpu"),
    ):
        with pytest.raises(ValueError, match=message):
            check_fits(mask, pixels, patch)


def test_the_target_is_the_union_of_the_blocks() -> None:
    blocks = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    blocks[0, 0, 0, 0] = blocks[0, 1, 0, 0] = blocks[0, 1, 1, 1] = True
    assert Masks(~blocks.any(1), blocks).target.tolist() == [[[True, False], [False, True]]]
