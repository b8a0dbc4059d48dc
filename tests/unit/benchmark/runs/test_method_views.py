"""Pictures of what a method sees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.cost.ledger import Ledger
from benchmark.errors import UserError
from benchmark.machine.ranks import Ranks
from benchmark.runs.build import build_method, build_training
from benchmark.runs.method_views import principal_components, write_gallery, write_glimpse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec


def test_a_jepas_file_holds_images_views_masks_and_features(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, tmp_path: Path
) -> None:
    (spec,) = make_specs("cnn_jepa")
    ranks = Ranks(torch.device("cpu"))
    training = build_training(spec, build_method(spec, dataset, ranks), dataset, ranks, Ledger(lambda: None))
    write_glimpse(tmp_path / "glimpse.npz", training, dataset)
    arrays = np.load(tmp_path / "glimpse.npz", allow_pickle=False)
    assert arrays["images"].shape == arrays["view_0"].shape == (8, 32, 32, 3)
    assert np.array_equal(arrays["images"][0], dataset.train.images.read(torch.tensor([0]))[0].permute(1, 2, 0).numpy())
    assert arrays["context"].dtype == bool and arrays["targets"].any(axis=(1, 2, 3)).all()
    assert not (arrays["context"] & arrays["targets"].any(axis=1)).any()
    assert arrays["predicted_pca"].min() >= 0 and arrays["target_pca"].max() <= 1
    training.batches.__exit__(None, None, None)


def test_one_projection_serves_targets_and_predictions() -> None:
    target_BDhw = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    target, predicted = principal_components(target_BDhw, target_BDhw)
    assert target.shape == (2, 4, 4, 3) and torch.equal(target, predicted)
    longer, _ = principal_components(3.0 * target_BDhw, target_BDhw)
    assert torch.allclose(longer, target, atol=1e-5)  # of unit length


def test_a_row_is_an_image_and_three_draws_of_its_views(dataset: Dataset, tmp_path: Path) -> None:
    pictures = []
    for seed in (0, 0, 1):
        write_gallery(dataset, "simclr", "small", tmp_path / "views.png", seed=seed)
        pictures.append(np.asarray(Image.open(tmp_path / "views.png")))
    assert np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])
    height, width, channels = pictures[0].shape
    assert channels == 3 and height > 8 * 32 and width / height == pytest.approx(7 / 8, rel=0.1)


def test_methods_without_views_and_unknown_ones_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown method 'simcrl'; did you mean 'simclr'"):
        write_gallery(dataset, "simcrl", "small", tmp_path / "views.png")
    with pytest.raises(UserError, match="random_init sees no views"):
        write_gallery(dataset, "random_init", "small", tmp_path / "views.png")


@pytest.mark.parametrize("method", ["cnn_jepa", "ijepa"])
def test_a_jepas_masks_are_drawn_over_each_view(dataset: Dataset, tmp_path: Path, method: str) -> None:
    columns = write_gallery(dataset, method, "small", tmp_path / "views.png")
    assert [column.split()[0] for column in columns] == ["view", "context", "targets"]
    picture = np.asarray(Image.open(tmp_path / "views.png")).astype(int)
    tiles = [picture[:96, 112 + 100 * column : 208 + 100 * column] for column in range(3)]
    view, context, targets = tiles
    hidden = (np.abs(context - 191) <= 1).all(axis=-1) & (context != view).any(axis=-1)
    assert 0.05 < hidden.mean() < 0.95
    assert np.array_equal(context[~hidden], view[~hidden])
    # A block's pixels are 0.55 of the view and 0.45 of a colour; the rest is 0.35 of the view and 0.65 white.
    faint = (np.abs(targets - (0.35 * view + 0.65 * 255)) <= 2).all(axis=-1)
    assert 0.05 < 1 - faint.mean() < 0.95 and not (~faint & ~hidden).any()  # only hidden cells are predicted


def test_masks_that_do_not_fit_the_images_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    odd = replace(dataset, image_size=36)
    with pytest.raises(UserError, match="cnn_jepa: its masks cannot be drawn on images of 36 px"):
        write_gallery(odd, "cnn_jepa", "small", tmp_path / "views.png")
