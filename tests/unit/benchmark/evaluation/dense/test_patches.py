"""Segmentation by the nearest cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F

from benchmark.data.annotations import IGNORE
from benchmark.evaluation.dense import patches
from benchmark.evaluation.dense.patches import label_shares, segmentation_knn, vote
from benchmark.evaluation.protocols import NotApplicableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.evaluation.subject import Subject

    Make = Callable[..., Subject]


def test_a_vote_is_a_softmax_over_the_nearest(monkeypatch: Any) -> None:
    monkeypatch.setattr(patches, "NEIGHBOURS", 2)
    bank = F.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), dim=1)
    votes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    result = vote(torch.tensor([[1.0, 0.0]]), bank, votes)
    weight = torch.softmax(torch.tensor([1.0, 0.5**0.5]) / 0.02, 0)
    assert torch.allclose(result, (weight[:, None] * votes[[0, 2]]).sum(0, keepdim=True))


def test_shares_of_labels_leave_out_what_is_ignored() -> None:
    labels = torch.tensor([[[0, 1, IGNORE, IGNORE], [1, 1, IGNORE, IGNORE]]], dtype=torch.uint8)
    shares = label_shares(labels, 3, (1, 2))
    assert shares[0, :, 0, 0].tolist() == pytest.approx([0.25, 0.75, 0.0])
    assert shares[0, :, 0, 1].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("side", "cells"), [(32, (8, 8)), (30, (4, 7)), (9, (2, 9))])
def test_shares_of_labels_are_those_of_pooled_indicators(side: int, cells: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(side)
    labels = torch.randint(0, 5, (3, side, side), generator=draw).to(torch.uint8)
    labels[torch.rand(labels.shape, generator=draw) < 0.3] = IGNORE
    known = labels != IGNORE
    indicators = torch.stack([(labels == label) & known for label in range(5)], dim=1).double()
    pooled = F.adaptive_avg_pool2d(indicators, cells)
    expected = pooled / pooled.sum(1, keepdim=True).clamp_min(1e-12)
    torch.testing.assert_close(label_shares(labels, 5, cells), expected.float())


def test_colours_tell_labels_and_constants_and_shuffled_cells_do_not(seeing: Make) -> None:
    scores = segmentation_knn(seeing())
    assert scores["miou"] > 90 and scores["pixel_accuracy"] > 97
    floor = segmentation_knn(seeing("constant"))
    assert floor["miou"] == pytest.approx(floor["miou_floor"], abs=3)
    shuffled = segmentation_knn(seeing("shuffled"))
    assert shuffled["miou"] < shuffled["miou_floor"] + 6


def test_a_repeat_gives_the_same_bits_and_no_seed_matters(seeing: Make) -> None:
    kept: dict[str, torch.Tensor] = {}
    scores = segmentation_knn(seeing(keep=kept.update))
    assert segmentation_knn(seeing()) == scores
    assert kept["prediction"].shape == (8, 32, 32)
    assert (kept["prediction"] == kept["truth"]).float().mean() > 0.95


def test_cells_whose_pixels_are_all_ignored_are_not_in_the_bank(seeing: Make, monkeypatch: Any) -> None:
    subject = seeing()
    read = patches.labelled_split

    def blind(*arguments: Any) -> Any:
        split = read(*arguments)
        if len(split.maps) == 96:
            split.labels.rows[:, :, 16:] = IGNORE
        return split

    monkeypatch.setattr(patches, "labelled_split", blind)
    sizes = []
    monkeypatch.setattr(patches, "vote", lambda q, b, v: sizes.append((len(b), v)) or vote(q, b, v))
    assert segmentation_knn(subject)["miou"] > 90
    assert sizes[0][0] == 96 * 32
    assert torch.allclose(sizes[0][1].sum(1), torch.ones(96 * 32))


def test_a_dataset_without_label_maps_is_refused(seeing: Make, without: Make) -> None:
    with pytest.raises(NotApplicableError, match="needs label maps, which coloured does not have"):
        segmentation_knn(without(seeing(), "label_map"))
