"""What both JEPAs share: masks whose share grows, masks of a whole batch, regularisation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cnn_jepa.masking import MaskSpec
from cnn_jepa.sampling import sample_masks
from methods.base import Step
from methods.jepa import JEPAConfig, draw_masks, regularisation

GRID = (8, 8)
RANDOM = MaskSpec(strategy="random", mask_ratio=0.4)


def test_hidden_share_grows_with_progress() -> None:
    config = JEPAConfig(masking=MaskSpec(strategy="multi_block", num_blocks=2, target_share=0.25), mask_share_end=0.5)
    shares = [
        sample_masks(config.masking_at(progress), 4, GRID, torch.Generator()).target.sum((1, 2)).unique().tolist()
        for progress in (0.0, 0.5, 1.0)
    ]
    assert shares == [[16], [24], [32]]
    assert JEPAConfig(masking=RANDOM, mask_share_end=0.8).masking_at(0.25).mask_ratio == pytest.approx(0.5)
    assert JEPAConfig(masking=RANDOM).masking_at(0.25) is RANDOM


def test_a_share_that_cannot_grow_is_refused() -> None:
    with pytest.raises(ValueError, match="states no share to start from"):
        JEPAConfig(masking=MaskSpec(strategy="multi_block"), mask_share_end=0.5)
    with pytest.raises(ValueError, match=r"mask_ratio is 1\.0"):
        JEPAConfig(masking=RANDOM, mask_share_end=1.0)
    grown = JEPAConfig(masking=MaskSpec(strategy="random", mask_ratio=0.4, min_context=8), mask_share_end=0.95)
    with pytest.raises(ValueError, match=r"0\.95"):
        grown.check_masking(GRID)


def test_a_share_of_the_batch_draws_the_whole_batchs_masks() -> None:
    def masks(**of_step: Any) -> torch.Tensor:
        return draw_masks(RANDOM, 4, GRID, Step(0.0, 0, torch.Generator().manual_seed(0), **of_step)).context_Bhw

    assert len(masks()) == 4
    assert len(masks(batch_size=12)) == 12
    assert torch.equal(masks(batch_size=12, start=4), masks(batch_size=12))


def test_terms_are_weighted_and_logged_unweighted() -> None:
    config = JEPAConfig(masking=RANDOM, variance_weight=2.0, covariance_weight=0.5)
    features, logs = 0.1 * torch.randn(16, 4), dict[str, torch.Tensor]()
    total = regularisation(config, features, logs)
    assert config.compares_images
    assert float(total) == pytest.approx(2 * float(logs["variance"]) + 0.5 * float(logs["covariance"]))
    assert regularisation(JEPAConfig(masking=RANDOM), features, {}) == 0.0
    assert not JEPAConfig(masking=RANDOM).compares_images


def test_targets_normalised_over_the_batch_compare_images() -> None:
    assert JEPAConfig(masking=RANDOM, normalise="batch").compares_images
    with pytest.raises(ValueError, match="normalise is 'batch', but cycle_weight is"):
        JEPAConfig(masking=RANDOM, normalise="batch", cycle_weight=0.5)
