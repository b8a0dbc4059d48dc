"""What the explorer shows of an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from benchmark.evaluation.subject import probe_data
from benchmark.machine.ranks import Ranks
from benchmark.runs.build import build_method
from benchmark.runs.explorer_views import cell_similarity, mask_draws, neighbours, write_masks, write_point

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec

CPU = torch.device("cpu")


def test_a_jepas_point_holds_what_its_encoder_and_predictor_compute(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, tmp_path: Path
) -> None:
    (spec,) = make_specs("cnn_jepa")
    method = build_method(spec, dataset, Ranks(CPU))
    method.train()
    encoder, normalise = method.encoders()["ema"], probe_data(dataset, 32).normalise
    before = {name: value.clone() for name, value in method.state_dict().items()}
    write_point(tmp_path, 20, method, encoder, dataset, normalise, spec.seed)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert method.training and all(part.training for part in method.model.predictor.modules())
    arrays = np.load(tmp_path / "glimpses" / "020.npz", allow_pickle=False)
    images = dataset.train.images.read(torch.arange(8))
    assert np.array_equal(arrays["plain"], images.permute(0, 2, 3, 1).numpy())
    with torch.no_grad():
        cells_BND = encoder.eval().feature_map(normalise(images)).flatten(2).mT.numpy()
    unit_BND = cells_BND / np.linalg.norm(cells_BND, axis=-1, keepdims=True)
    assert arrays["similarity"] / 127 == pytest.approx(unit_BND @ unit_BND.transpose(0, 2, 1), abs=0.005)
    assert arrays["grid"].tolist() == [4, 4]
    hidden = arrays["plain_targets"].any(axis=1)
    assert np.array_equal(np.isfinite(arrays["predicted_cosine"]), hidden)
    assert not (hidden & arrays["plain_context"]).any()
    assert np.abs(arrays["predicted_cosine"][hidden]).max() <= 1
    assert arrays["neighbour_images"].shape == (32, 32, 32, 3)
    place = int(arrays["neighbours"][2, 0])
    same = dataset.train.labels[place] == dataset.train.labels[2]
    assert arrays["neighbour_same_class"][2, 0] == bool(same) and place != 2
    assert np.array_equal(
        arrays["neighbour_images"][8], dataset.train.images.read(torch.tensor([place]))[0].permute(1, 2, 0).numpy()
    )


def test_large_grids_are_averaged_to_at_most_a_hundred_cells() -> None:
    features_BDhw = torch.randn(1, 5, 16, 16, generator=torch.Generator().manual_seed(0))
    arrays = cell_similarity(features_BDhw)
    assert arrays["grid"].tolist() == [8, 8] and arrays["similarity"].shape == (1, 64, 64)
    first, last = (features_BDhw[0, :, rows, rows].mean(dim=(1, 2)) for rows in (slice(0, 2), slice(14, 16)))
    cosine = torch.nn.functional.cosine_similarity(first, last, dim=0).item()
    assert arrays["similarity"][0, 0, 63] / 127 == pytest.approx(cosine, abs=0.005)


def test_neighbours_are_the_most_similar_others() -> None:
    angles = torch.tensor([0.0, 1.0, 0.1, 0.3, 3.0, -0.2])
    features_PD = torch.stack((angles.cos(), angles.sin()), dim=1)
    found = neighbours(features_PD, torch.tensor([0, 1, 0, 1, 1, 0]), 2)
    assert found["neighbours"].tolist() == [[2, 5, 3, 1], [3, 2, 0, 5]]
    assert found["neighbour_same_class"].tolist() == [[True, True, False, False], [True, False, False, False]]
    assert found["neighbour_similarity"][0].tolist() == [round(127 * np.cos(angle)) for angle in (0.1, 0.2, 0.3, 1.0)]


def test_masks_are_the_samplers_and_those_that_do_not_fit_are_empty(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, tmp_path: Path
) -> None:
    simclr, jepa = (build_method(spec, dataset, Ranks(CPU)) for spec in make_specs("simclr", "cnn_jepa"))
    drawn = mask_draws(jepa, 0)
    bits = drawn["mask_draws"]
    assert bits.shape == (7, 5, 3, 4, 4)
    counts = (bits > 1).sum(axis=(-1, -2))
    for i, share in enumerate(drawn["mask_shares"]):
        for j, blocks in enumerate(drawn["mask_blocks"]):
            hidden = round(16 * share)
            if blocks <= hidden <= 12:  # at least four cells stay visible
                assert np.abs(counts[i, j] - hidden).max() <= 1
                assert (np.bitwise_or.reduce(bits[i, j].reshape(3, 16), axis=1) == 2 ** (blocks + 1) - 1).all()
            else:
                assert not bits[i, j].any()
    assert not bits[6].any() and (bits[2, 1, 0] != bits[2, 1, 1]).any()
    assert not ((bits & 1).astype(bool) & (bits > 1)).any()
    write_masks(tmp_path, simclr, 0)
    assert mask_draws(simclr, 0) == {} and not (tmp_path / "glimpses").exists()
