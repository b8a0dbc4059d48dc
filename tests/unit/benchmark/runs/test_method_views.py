"""The pictures of what a method sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark.cost.ledger import Ledger
from benchmark.machine.ranks import Ranks
from benchmark.runs.build import build_method, build_training
from benchmark.runs.method_views import principal_components, write_glimpse

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
