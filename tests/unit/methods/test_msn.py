"""MSN: what a masked view loses."""

from __future__ import annotations

from typing import Any

import pytest

from methods.contract import make_batch, make_step

_SMALL = {"prototypes": 12, "head_hidden": 32, "output_dim": 16}


def test_a_masked_view_loses_its_share_of_patches(lab: Any) -> None:
    method = lab.build("msn", "vit", mask_ratio=0.5, **_SMALL)
    counts: list[int] = []
    method.backbone.net.blocks[0].register_forward_pre_hook(lambda _, tokens: counts.append(tokens[0].shape[1]))
    method(make_batch(method), make_step())
    assert counts == [32, 16, 16, 16, 16]  # half of 64; four focal views of 16 px


def test_one_view_is_refused(lab: Any) -> None:
    with pytest.raises(ValueError, match="expected at least two"):
        lab.build("msn", "vit", views=[{}])
