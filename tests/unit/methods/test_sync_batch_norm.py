"""Batch norm over several devices: what is converted. Its computation needs GPUs; alone it is plain batch norm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d)


@pytest.mark.parametrize("name", ["byol", "simclr", "vicreg", "supervised", "cnn_jepa"])
def test_every_batch_norm_is_converted_and_alone_nothing_changes(lab: Any, name: str) -> None:
    plain, converted = lab.build(name), lab.build(name)
    norms = sum(isinstance(module, _PLAIN) for module in plain.modules())
    converted.synchronise_batch_norm()
    assert not any(isinstance(module, _PLAIN) for module in converted.modules())
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in converted.modules()) == norms > 0
    assert list(converted.state_dict()) == list(plain.state_dict())
    losses = [method(lab.batch(method), lab.step()).loss for method in (plain, converted)]
    assert torch.equal(*losses)
    for method, loss in zip((plain, converted), losses, strict=True):
        loss.backward()
        method.after_step(lab.step())
    for (key, value), other in zip(plain.state_dict().items(), converted.state_dict().values(), strict=True):
        assert torch.equal(value, other), key


@pytest.mark.parametrize("encoder", ["sparse", "masked_dense"])
def test_the_context_encoder_runs_on_the_converted_layers(lab: Any, encoder: str) -> None:
    method = lab.build("cnn_jepa", encoder=encoder, projection_dim=16)
    method.synchronise_batch_norm()
    model = method.model
    for inner, outer in ((model.context_encoder, model.network), (model._projectors[0], model.projection)):
        norms = [name for name, module in outer.named_modules() if isinstance(module, nn.SyncBatchNorm)]
        assert norms
        for name in norms:
            assert inner.get_submodule(name) is outer.get_submodule(name)
    method(lab.batch(method), lab.step())
    assert int(model.network.bn1.num_batches_tracked) == int(model.projection[1].num_batches_tracked) == 1


@pytest.mark.parametrize("encoder", ["sparse", "masked_dense"])
def test_synchronised_a_process_may_see_a_single_position(lab: Any, encoder: str) -> None:
    """The others have more; a plain batch norm could make nothing of it. Alone, torch says so."""
    method = lab.build("cnn_jepa", encoder=encoder)
    context = torch.zeros(1, 4, 4, dtype=torch.bool)
    context[0, 0, 0] = True
    images = torch.randn(1, 3, 32, 32)
    with pytest.raises(ValueError, match="batch norm sees 1 visible positions"):
        method.model.context_encoder(images, context)
    method.synchronise_batch_norm()
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        method.model.context_encoder(images, context)
