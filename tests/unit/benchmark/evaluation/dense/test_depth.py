"""Depth by linear regression: errors, ceiling, floor and places."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from benchmark.evaluation.dense.depth import DepthErrors, _fit, _Measured, depth, log_depths
from benchmark.evaluation.dense.store import Store
from benchmark.evaluation.protocols import NotApplicableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.data.datasets import Split
    from benchmark.evaluation.subject import Subject

    Make = Callable[..., Subject]


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_those_of_numpy_over_the_known_pixels(seed: int) -> None:
    draw = np.random.default_rng(seed)
    truth = draw.uniform(0.5, 10, (6, 8, 8)).astype(np.float32)
    truth[draw.random(truth.shape) < 0.3] = 0
    guess = (truth + 1) * draw.uniform(0.7, 1.5, truth.shape).astype(np.float32)
    errors = DepthErrors()
    for part in (slice(0, 1), slice(1, 6)):
        errors.add(torch.tensor(guess[part]), torch.tensor(truth[part]))
    known = truth > 0
    d, g = truth[known].astype(float), guess[known].astype(float)
    assert errors.pixels == known.sum()
    assert errors.rmse == pytest.approx(np.sqrt(np.mean((d - g) ** 2)))
    assert errors.abs_rel == pytest.approx(np.mean(abs(d - g) / d))
    assert errors.delta1 == pytest.approx(100 * np.mean(np.maximum(d / g, g / d) < 1.25))


def test_log_depths_are_means_over_known_pixels() -> None:
    depths = torch.tensor([[[1.0, 4.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]])
    logs, there = log_depths(depths, (1, 2))
    assert logs[0, 0, 0].item() == pytest.approx(np.log(8.0) / 3)
    assert there.tolist() == [[[True, False]]]


def test_colours_tell_depths_and_constants_do_not(seeing: Make) -> None:
    scores = depth(seeing())
    assert scores["depth_rmse"] < 0.6 * scores["depth_rmse_floor"]
    assert scores["depth_delta1"] > 80 and scores["depth_abs_rel"] < 0.15
    floor = depth(seeing("constant"))
    assert floor["depth_rmse"] == pytest.approx(floor["depth_rmse_floor"], rel=1e-6)
    assert floor["depth_rmse_floor"] == scores["depth_rmse_floor"]


def test_the_floor_is_the_geometric_mean_of_the_training_depths(seeing: Make) -> None:
    subject = seeing("constant")
    annotations = subject.data.train.annotations, subject.data.test.annotations
    assert all(part is not None and part.depth is not None for part in annotations)
    train, test = (part.depth(torch.arange(n)) for part, n in zip(annotations, (96, 24), strict=True))  # type: ignore[union-attr,misc]
    expected = (test - train.log().mean().exp()).square().mean().sqrt()
    assert depth(subject)["depth_rmse"] == pytest.approx(float(expected), rel=1e-4)


def test_cells_of_unknown_depth_do_not_move_the_fit() -> None:
    """Whatever their features are, as those of a sky are others than everything else's."""
    maps = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    depths = (1 + 0.3 * maps[:, 0] - 0.1 * maps[:, 1]).exp().repeat_interleave(8, 1).repeat_interleave(8, 2)
    depths[:, :8] = 0.0
    predicted = []
    for sky in (0.0, -50.0):
        maps[:, :, 0] = sky
        fit = _fit(_Measured(Store(40, [maps]), Store(40, [depths])))
        predicted.append(fit.predict(maps[:, :, 1:2, 1:2], -1, 1))  # single cells, so that nothing is interpolated
    torch.testing.assert_close(*predicted)
    torch.testing.assert_close(predicted[0].flatten(), depths[:, 8, 8], rtol=0.05, atol=0.0)


def test_features_in_the_wrong_places_are_worth_no_more_than_constants(seeing: Make) -> None:
    scores = depth(seeing("shuffled"))
    assert scores["depth_rmse"] > 0.95 * scores["depth_rmse_floor"]


def test_a_repeat_gives_the_same_bits(seeing: Make) -> None:
    kept: dict[str, torch.Tensor] = {}
    subject = seeing(keep=kept.update)
    assert depth(subject) == depth(subject)
    assert kept["images"].shape == (8, 3, 32, 32)
    assert (kept["prediction"] - kept["truth"]).abs().mean() < 0.3
    assert kept["prediction"].min() >= 1 and kept["prediction"].max() <= 4  # train's depths


def test_a_dataset_without_depths_is_refused(seeing: Make, without: Make) -> None:
    with pytest.raises(NotApplicableError, match="needs depths, which coloured does not have"):
        depth(without(seeing(), "depth"))


def _with_depths(subject: Subject, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Subject:
    def changed(split: Split) -> Split:
        annotations = split.annotations
        assert annotations is not None and annotations.depth is not None
        read = annotations.depth
        return replace(split, annotations=replace(annotations, depth=lambda indices: change(indices, read(indices))))

    data = subject.data
    parts = {name: changed(getattr(data, name)) for name in ("train", "validation", "test")}
    return replace(subject, data=replace(data, **parts))


def test_images_without_a_known_depth_are_passed_over(seeing: Make) -> None:
    some = _with_depths(seeing(), lambda indices, depths: torch.where(indices[:, None, None] < 5, depths, 0.0))
    assert depth(some)["depth_rmse"] > 0


def test_a_split_without_any_known_depth_is_refused(seeing: Make) -> None:
    with pytest.raises(NotApplicableError, match="needs known depths in every split, which"):
        depth(_with_depths(seeing(), lambda indices, depths: torch.zeros_like(depths)))
