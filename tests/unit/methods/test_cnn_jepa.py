"""CNN-JEPA in the harness: its settings, its loss, its encoders, synchronised batch norm."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from methods.cnn_jepa import CNNJEPAConfig, CNNJEPAMethod


def test_options_build_what_they_need(lab: Any) -> None:
    plain = lab.build("cnn_jepa")
    assert plain.model.back_predictor is None and not plain.model.projectors
    full = lab.build("cnn_jepa", cycle_weight=0.5, projection_dim=24, variance_weight=1.0, covariance_weight=0.1)
    output = full(lab.batch(full), lab.step())
    logs = output.logs
    assert set(logs) == {"prediction", "variance", "covariance", "cycle"}
    expected = logs["prediction"] + logs["variance"] + 0.1 * logs["covariance"] + 0.5 * logs["cycle"]
    torch.testing.assert_close(output.loss.detach(), expected)
    # Features are probed in front of the projection.
    assert {encoder.info.dimension for encoder in full.encoders().values()} == {64}


def test_a_share_of_the_batch_takes_its_part_of_the_masks(lab: Any) -> None:
    method = lab.build("cnn_jepa")
    batch = lab.batch(method, size=4)
    whole = method._masks(lab.batch(method, size=8), lab.step())
    part = method._masks(batch, dataclasses.replace(lab.step(), start=4, batch_size=8))
    assert torch.equal(part.context_Bhw, whole.context_Bhw[4:])


def test_glimpse_shows_what_the_loss_compares(lab: Any) -> None:
    method = lab.build("cnn_jepa").eval()
    batch = lab.batch(method)
    shown = method.glimpse(batch, lab.step(seed=7))
    target_Bhw = shown["targets_BMhw"].any(1)
    similarity_Bhw = nn.functional.cosine_similarity(shown["predicted_BDhw"], shown["target_BDhw"])
    expected = method(batch, lab.step(seed=7)).logs["prediction"]
    torch.testing.assert_close((1 - similarity_Bhw)[target_Bhw].mean(), expected, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="4 is even; a kernel needs a centre"):
        CNNJEPAConfig(kernel_size=4)
    with pytest.raises(ValueError, match=r"cnn_jepa needs a CNN .*, not a ViT"):
        CNNJEPAMethod.check_backbone("vit")
    with pytest.raises(ValueError, match="2x2 grid"):
        CNNJEPAMethod.check(CNNJEPAConfig(), (2, 2))


@pytest.mark.parametrize("encoder", ["sparse", "masked_dense"])
def test_the_context_encoder_runs_on_synchronised_layers(lab: Any, encoder: str) -> None:
    method = lab.build("cnn_jepa", encoder=encoder, projection_dim=16)
    method.synchronise_batch_norm()
    model = method.model
    for inner, outer in ((model.context_encoder, model.network), (model.projectors[0], model.projection)):
        norms = [name for name, module in outer.named_modules() if isinstance(module, nn.SyncBatchNorm)]
        assert norms
        for name in norms:
            assert inner.get_submodule(name) is outer.get_submodule(name)
    method(lab.batch(method), lab.step())
    assert int(model.network.bn1.num_batches_tracked) == int(model.projection[1].num_batches_tracked) == 1


@pytest.mark.parametrize("encoder", ["sparse", "masked_dense"])
def test_synchronised_a_process_may_see_a_single_position(lab: Any, encoder: str) -> None:
    """The other processes have more; a plain batch norm could not compute a variance. Alone, torch says so."""
    method = lab.build("cnn_jepa", encoder=encoder)
    context = torch.zeros(1, 4, 4, dtype=torch.bool)
    context[0, 0, 0] = True
    images = torch.randn(1, 3, 32, 32)
    with pytest.raises(ValueError, match="batch norm sees 1 visible positions"):
        method.model.context_encoder(images, context)
    method.synchronise_batch_norm()
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        method.model.context_encoder(images, context)
