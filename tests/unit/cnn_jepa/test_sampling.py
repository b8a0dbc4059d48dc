"""Drawn masks: their properties and their distribution."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jepa import MaskSpec, check_spec, sample_masks

SMALL = MaskSpec(
    strategy="multi_block", num_blocks=2, block_sizes=((1, 2), (2, 1), (2, 2)), same_size=False, target_share=0.375
)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    strategy=st.sampled_from(["random", "multi_block", "mixed"]),
    rows=st.integers(3, 9),
    columns=st.integers(3, 9),
    blocks=st.integers(1, 5),
    share=st.one_of(st.none(), st.floats(0.15, 0.7)),
    scale=st.floats(0.1, 0.6),
    same_size=st.booleans(),
    context=st.floats(0.5, 1.0),
    seed=st.integers(0, 999),
)
@settings(max_examples=200, deadline=None)
def test_masks_follow_their_spec(
    strategy: str, rows: int, columns: int, blocks: int, share: float | None, scale: float, same_size: bool,
    context: float, seed: int,
) -> None:  # fmt: skip
    spec = MaskSpec(
        strategy=strategy, num_blocks=blocks, target_share=share, block_scale=(0.1, scale), same_size=same_size,
        context_scale=(context, 1.0), min_context=2,
    )  # fmt: skip
    try:
        check_spec(spec, (rows, columns))
    except ValueError:
        with pytest.raises(ValueError, match="grid"):
            sample_masks(spec, 2, (rows, columns), _generator())
        return
    masks = sample_masks(spec, 16, (rows, columns), _generator(seed))
    assert masks.context_Bhw.shape == (16, rows, columns)
    assert not (masks.context_Bhw & masks.target).any()
    assert (masks.context_Bhw.sum((1, 2)) >= 2).all()
    assert masks.targets_BMhw.any(dim=(2, 3)).all()
    if share is not None:
        assert (masks.target.sum((1, 2)) == round(share * rows * columns)).all()
    again = sample_masks(spec, 16, (rows, columns), _generator(seed))
    assert torch.equal(again.targets_BMhw, masks.targets_BMhw)


@pytest.mark.parametrize(
    ("spec", "grid"),
    [
        (MaskSpec(strategy="multi_block"), (7, 7)),
        (MaskSpec(strategy="multi_block", target_share=0.45, num_blocks=8), (14, 14)),
        (MaskSpec(strategy="random"), (7, 7)),
        (SMALL, (4, 4)),
    ],
)
def test_every_cell_can_be_a_target(spec: MaskSpec, grid: tuple[int, int]) -> None:
    generator = _generator()
    counts = sum(sample_masks(spec, 64, grid, generator).target.sum(0) for _ in range(60))
    assert (counts > 0).all()


def test_published_setting_hides_the_published_share() -> None:
    """The published sampler hides 43.9% of a 7x7 grid and never covers the last row and column; ours does."""
    generator = _generator()
    spec = MaskSpec(strategy="multi_block")
    share = torch.stack([sample_masks(spec, 64, (7, 7), generator).target.float().mean() for _ in range(100)]).mean()
    assert 0.38 < share < 0.56
    random = sample_masks(MaskSpec(strategy="random", mask_ratio=0.6), 8, (7, 7), generator)
    assert (random.context_Bhw.sum((1, 2)) == 20).all()


def test_blocks_are_rectangles_of_the_configured_sizes() -> None:
    spec = MaskSpec(strategy="multi_block", num_blocks=3, block_sizes=((1, 2), (2, 2)), same_size=False)
    masks = sample_masks(spec, 100, (4, 4), _generator())
    heights = masks.targets_BMhw.any(3).sum(2)
    widths = masks.targets_BMhw.any(2).sum(2)
    assert set(zip(heights.flatten().tolist(), widths.flatten().tolist(), strict=True)) == {(1, 2), (2, 2)}
    assert (masks.targets_BMhw.sum((2, 3)) == heights * widths).all()


def test_mixed_draws_both_kinds_once_per_batch() -> None:
    generator = _generator()
    kinds = [sample_masks(MaskSpec(), 4, (7, 7), generator).targets_BMhw.shape[1] for _ in range(400)]
    assert set(kinds) == {1, 4}
    assert 0.68 < kinds.count(4) / 400 < 0.82


def test_share_and_number_of_blocks_vary_independently() -> None:
    for blocks in (1, 2, 4, 6):
        spec = MaskSpec(strategy="multi_block", num_blocks=blocks, target_share=0.45)
        masks = sample_masks(spec, 32, (14, 14), _generator(blocks))
        assert (masks.target.sum((1, 2)) == 88).all()
        assert masks.targets_BMhw.shape[1] == blocks


def test_block_sizes_are_kept_and_the_share_is_within_a_cell() -> None:
    masks = sample_masks(SMALL, 500, (4, 4), _generator())
    hidden = masks.target.sum((1, 2))
    assert ((hidden - 6).abs() <= 1).all()
    heights, widths = masks.targets_BMhw.any(3).sum(2), masks.targets_BMhw.any(2).sum(2)
    assert {(h, w) for h, w in zip(heights.flatten().tolist(), widths.flatten().tolist(), strict=True)} <= {
        (1, 2), (2, 1), (2, 2)
    }  # fmt: skip
    assert (masks.targets_BMhw.sum((2, 3)) == heights * widths).all()


def test_a_share_of_targets_fixes_the_number_of_visible_cells_whatever_the_strategy() -> None:
    """So that shapes are those of the step before, as CUDA graphs need them, although `mixed` draws its kind anew."""
    spec = MaskSpec(strategy="mixed", multi_block_share=0.5, target_share=0.45)
    drawn = [sample_masks(spec, 8, (7, 7), _generator(seed)) for seed in range(12)]
    assert {masks.targets_BMhw.shape[1] for masks in drawn} == {1, 4}  # both kinds
    assert {int(count) for masks in drawn for count in masks.context_Bhw.sum((1, 2))} == {49 - round(0.45 * 49)}
    free = [sample_masks(MaskSpec(strategy="mixed"), 8, (7, 7), _generator(seed)) for seed in range(12)]
    assert len({int(count) for masks in free for count in masks.context_Bhw.sum((1, 2))}) > 3
