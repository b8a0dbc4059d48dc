"""Linear heads for segmentation: metrics, ceiling, floor and places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark.data.annotations import IGNORE
from benchmark.evaluation.dense import segmentation as module
from benchmark.evaluation.dense.segmentation import (
    Heads,
    Labelled,
    labelled_split,
    metrics,
    percents,
    segmentation,
    segmentation_stages,
)
from benchmark.evaluation.dense.store import Store
from benchmark.evaluation.protocols import NotApplicableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.evaluation.subject import Subject

    Make = Callable[..., Subject]


def reference(truth: Any, guess: Any, count: int) -> tuple[float, float]:
    """mIoU and pixel accuracy in percent, label by label."""
    known = truth != IGNORE
    shares = []
    for label in range(count):
        both = np.sum(known & (truth == label) & (guess == label))
        either = np.sum(known & ((truth == label) | (guess == label)))
        if either:
            shares.append(both / either)
    return 100 * float(np.mean(shares)), 100 * float(np.mean(truth[known] == guess[known]))


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_a_count_label_by_label(seed: int) -> None:
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 5, (6, 9, 9))  # label 5 is nowhere, and left out
    guess = np.where(draw.random(truth.shape) < 0.6, truth, draw.integers(0, 5, truth.shape))
    truth[draw.random(truth.shape) < 0.2] = IGNORE
    collection = metrics(6)
    for part in (slice(0, 2), slice(2, 6)):
        collection.update(torch.tensor(guess[part]), torch.tensor(truth[part]))
    miou, accuracy = reference(truth, guess, 6)
    assert percents(collection) == pytest.approx({"miou": miou, "pixel_accuracy": accuracy}, abs=1e-4)


def test_colours_tell_labels_and_constants_do_not(seeing: Make) -> None:
    scores = segmentation(seeing())
    assert scores["miou"] > 80 and scores["pixel_accuracy"] > 93
    floor = segmentation(seeing("constant"))
    assert floor["miou"] == floor["miou_floor"] < 30
    assert floor["pixel_accuracy"] == floor["pixel_accuracy_floor"]
    assert scores["miou_floor"] == floor["miou_floor"]


def test_features_in_the_wrong_places_are_worth_hardly_more_than_constants(seeing: Make) -> None:
    shuffled = segmentation(seeing("shuffled"))
    assert shuffled["miou"] < shuffled["miou_floor"] + 6
    assert shuffled["pixel_accuracy"] < shuffled["pixel_accuracy_floor"] + 1


def test_a_repeat_gives_the_same_bits_and_another_seed_others(seeing: Make) -> None:
    first, second = {}, {}
    scores = segmentation(seeing(keep=first.update))
    assert segmentation(seeing(keep=second.update)) == scores
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first["images"].shape == (8, 3, 32, 32) and first["prediction"].shape == first["truth"].shape == (8, 32, 32)
    # The palette's colours are in the images where the truth has their labels.
    assert bool((first["images"][:, 0][first["truth"] == 1] == 250).all())
    assert (first["prediction"] == first["truth"]).float().mean() > 0.9


def test_stages_add_their_detail(seeing: Make) -> None:
    assert segmentation_stages(seeing())["miou"] > 80
    with pytest.raises(NotApplicableError, match="needs the stages of a CNN"):
        segmentation_stages(seeing("no stages"))


def test_a_dataset_without_label_maps_is_refused(seeing: Make, without: Make) -> None:
    with pytest.raises(NotApplicableError, match="needs label maps, which coloured does not have") as caught:
        segmentation(without(seeing(), "label_map"))
    assert caught.value.of_dataset


def test_the_loss_is_the_cross_entropy_of_the_interpolated_logits(seeing: Make, monkeypatch: Any) -> None:
    """With every pixel drawn once, and some to be ignored."""
    monkeypatch.setattr(module, "LEARNING_RATES", (0.1,))
    monkeypatch.setattr(module, "STRENGTHS", (0.0,))
    subject = seeing()
    train = labelled_split(subject, subject.data.train)
    train.labels.rows[:, :5] = IGNORE
    heads = Heads(train, 4, subject)
    grid = torch.stack(torch.meshgrid(torch.arange(32), torch.arange(32), indexing="xy"), -1).view(1, -1, 2)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: grid.expand(3, -1, -1))
    indices = torch.tensor([4, 5, 9])
    head = heads.heads[0]
    logits = F.conv2d(heads.standard(train.maps.read(indices)), head.weight[..., None, None], head.bias)
    whole = F.interpolate(logits, (32, 32), mode="bilinear", align_corners=False)
    expected = F.cross_entropy(whole, train.labels.read(indices).long(), ignore_index=IGNORE)
    assert torch.allclose(heads._loss(indices, 0), expected, rtol=1e-5)


@pytest.mark.parametrize(("channels", "share"), [(3, 1.0), (128, 1.0), (512, 0.25)])
def test_rates_are_smaller_for_more_channels(seeing: Make, channels: int, share: float) -> None:
    maps = torch.randn(4, channels, 2, 2, generator=torch.Generator().manual_seed(0))
    train = Labelled(Store(4, [maps]), Store(4, [torch.zeros(4, 32, 32, dtype=torch.uint8)]))
    rates = {lr for lr, _ in Heads(train, 4, seeing()).candidates}
    assert rates == {lr * share for lr in module.LEARNING_RATES}
