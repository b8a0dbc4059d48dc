"""VICRegL: where cells lie in images, and that it matters."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.base import Batch
from methods.contract import make_batch, make_step
from methods.vicregl import cell_centres

_SMALL = {"projector_hidden": 64, "output_dim": 32, "local_hidden": 16, "local_dim": 16}


def test_cells_of_a_flipped_crop_run_backwards() -> None:
    boxes = torch.tensor([[0.0, 0.5, 0.2, 1.0], [0.5, 1.0, 0.8, 0.0]])
    centres = cell_centres(boxes, (2, 4))
    assert centres.shape == (2, 2, 4, 2)
    torch.testing.assert_close(centres[0, :, 0, 0], torch.tensor([0.125, 0.375]))
    torch.testing.assert_close(centres[0, 0, :, 1], torch.tensor([0.3, 0.5, 0.7, 0.9]))
    torch.testing.assert_close(centres[1, 1, :, 1], torch.tensor([0.7, 0.5, 0.3, 0.1]))


def test_where_views_lie_matters(lab: Any) -> None:
    method = lab.build("vicregl", global_weight=0.0, **_SMALL)
    batch = make_batch(method)
    apart = (batch.boxes[0], torch.tensor([0.5, 1.0, 1.0, 0.5]).expand(8, 4))
    losses = [
        method(Batch(batch.views, batch.labels, batch.sample_ids, boxes), make_step()).loss.item()
        for boxes in (batch.boxes, apart)
    ]
    assert losses[0] != losses[1]


def test_more_matches_than_cells_are_refused(lab: Any) -> None:
    with pytest.raises(ValueError, match=r"matches is \(20, 4\); a feature map has 4 x 4 = 16 cells"):
        lab.build("vicregl", matches=[20, 4])
