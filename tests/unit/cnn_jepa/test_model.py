"""CNN-JEPA's model: loss, projection, target encoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnn_jepa import CNNJEPA, MaskSpec, sample_masks
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec

SPEC = MaskSpec(strategy="random", mask_ratio=0.4)


def _model(**options: object) -> CNNJEPA:
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSpec(name="resnet18", stem="small", width=8), 32)
    return CNNJEPA(backbone.net, backbone.dimension, 8, **options)  # type: ignore[arg-type]


def test_loss_is_the_mean_over_target_cells_only() -> None:
    model = _model()
    masks = sample_masks(SPEC, 6, (4, 4), torch.Generator().manual_seed(0))
    output = model(torch.randn(6, 3, 32, 32), masks)
    predicted, target = (x.permute(0, 2, 3, 1)[masks.target] for x in (output.predicted, output.target))
    expected = (1 - nn.functional.cosine_similarity(predicted, target, dim=-1)).mean()
    torch.testing.assert_close(model.loss(output), expected, rtol=1e-4, atol=1e-5)


def test_target_moves_in_update_target_only_and_takes_no_gradient() -> None:
    model = _model(projection_dim=24)
    before = [p.clone() for p in model.target_network.parameters()]
    masks = sample_masks(SPEC, 4, (4, 4), torch.Generator().manual_seed(0))
    model.loss(model(torch.randn(4, 3, 32, 32), masks)).backward()
    assert all(p.grad is None for p in model.target_network.parameters())
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.target_network.parameters(), strict=True))
    model.update_target(0.9)
    for old, new in zip(before, model.target_network.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.1, rtol=1e-5, atol=1e-6)


def test_the_projection_is_normalised_over_visible_cells() -> None:
    model = _model(projection_dim=24)
    masks = sample_masks(SPEC, 6, (4, 4), torch.Generator().manual_seed(0))
    images = torch.randn(6, 3, 32, 32)
    output = model(images, masks)
    features = model.context_encoder(images, masks)
    expected = model.projection[0](features).permute(0, 2, 3, 1)[masks.context_Bhw]
    statistics = model.projection[1].running_mean
    torch.testing.assert_close(statistics, expected.mean(0) * 0.1, rtol=1e-2, atol=1e-4)
    assert output.context.permute(0, 2, 3, 1)[~masks.context_Bhw].abs().max() == 0


def test_target_keeps_statistics_of_full_images() -> None:
    model = _model()
    images = torch.randn(8, 3, 32, 32)
    masks = sample_masks(SPEC, 8, (4, 4), torch.Generator().manual_seed(0))
    model(images, masks)
    expected = nn.functional.conv2d(images, model.target_network.conv1.weight, padding=1).mean((0, 2, 3))
    torch.testing.assert_close(model.target_network.bn1.running_mean, expected * 0.1, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(model.target_network.bn1.running_mean, model.network.bn1.running_mean)


def test_predict_changes_nothing() -> None:
    model = _model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    masks = sample_masks(SPEC, 2, (4, 4), torch.Generator().manual_seed(0))
    output = model.predict(torch.randn(2, 3, 32, 32), masks)
    assert output.predicted.shape == output.target.shape == (2, 64, 4, 4)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_cycle_loss_needs_the_second_predictor() -> None:
    masks = sample_masks(SPEC, 4, (4, 4), torch.Generator().manual_seed(0))
    images = torch.randn(4, 3, 32, 32)
    model = _model(cycle=True)
    loss = model.cycle_loss(model(images, masks))
    assert 0 < loss.item() < 2
    without = _model()
    with pytest.raises(ValueError, match="cycle=False"):
        without.cycle_loss(without(images, masks))


def test_losses_of_equal_shares_average_to_the_loss_of_the_batch() -> None:
    model = _model(cycle=True).eval()  # with batch norm that sees no batch
    spec = MaskSpec(strategy="multi_block", num_blocks=2, block_sizes=((1, 2), (2, 2)), same_size=False, min_context=4)
    masks = sample_masks(spec, 8, (4, 4), torch.Generator().manual_seed(0))
    images = torch.randn(8, 3, 32, 32)
    for loss in (model.loss, model.cycle_loss):
        whole = loss(model(images, masks))
        parts = [loss(model(images[i : i + 2], masks.slice(i, i + 2))) for i in range(0, 8, 2)]
        torch.testing.assert_close(torch.stack(parts).mean(), whole, rtol=1e-5, atol=1e-6)
