"""I-JEPA: what is hidden stays hidden, padding counts for nothing, each block stands alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cnn_jepa.masking import Masks, MaskSpec
from cnn_jepa.sampling import sample_masks
from methods.ijepa import IJEPA, IJEPAConfig, TokenLayout, token_layout

GRID = (8, 8)


def _layout(seed: int = 0, **settings: Any) -> TokenLayout:
    spec = MaskSpec(**{"strategy": "multi_block", "context_scale": (0.85, 1.0), **settings})
    generator = torch.Generator().manual_seed(seed)
    return token_layout(sample_masks(spec, 8, GRID, generator), generator)


def _padded() -> TokenLayout:
    layout = _layout(target_share=0.4)
    assert layout.valid_BMT is not None
    assert not layout.valid_BMT.all()
    return layout


def _block(layout: TokenLayout, image: int, block: int) -> TokenLayout:
    """One block of one image, without padding."""
    targets_T = layout.targets_BMT[image, block]
    if layout.valid_BMT is not None:
        targets_T = targets_T[layout.valid_BMT[image, block]]
    return TokenLayout(layout.context_BK[image : image + 1], targets_T.view(1, 1, -1), None)


def _predictions(method: IJEPA, images: Tensor, layout: TokenLayout) -> Tensor:
    """What the predictor gives for each block, `(B, M, T, D)`."""
    caught: list[Tensor] = []
    handle = method.predictor.register_forward_hook(lambda module, args, output: caught.append(output.detach()))
    method.masked_loss(images, layout)
    handle.remove()
    return caught[0].reshape(*layout.targets_BMT.shape, -1)


def test_layout_names_the_masks_cells() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = sample_masks(MaskSpec(strategy="multi_block", same_size=False), 16, GRID, generator)
    layout = token_layout(masks, generator)
    assert layout.context_BK.shape[1] == int(masks.context_Bhw.sum((1, 2)).min())
    assert layout.valid_BMT is not None
    for image in range(16):
        kept = layout.context_BK[image].tolist()
        assert kept == sorted(set(kept))
        assert masks.context_Bhw[image].flatten()[kept].all()
        for block in range(4):
            cells = layout.targets_BMT[image, block][layout.valid_BMT[image, block]].tolist()
            assert cells == masks.targets_BMhw[image, block].flatten().nonzero().flatten().tolist()


def test_equal_blocks_need_no_padding() -> None:
    layout = _layout()
    assert layout.valid_BMT is None
    assert layout.targets_BMT.shape[:2] == (8, 4)


def test_surplus_context_is_dropped_anywhere() -> None:
    # One image sees 4 patches, the other all 64: over many draws each of its patches is kept about equally often.
    context = torch.ones(2, 8, 8, dtype=torch.bool)
    context[0] = False
    context[0, 0, :4] = True
    masks = Masks(context, torch.zeros(2, 1, 8, 8, dtype=torch.bool))
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(64)
    for _ in range(800):
        kept = token_layout(masks, generator).context_BK
        assert kept[0].tolist() == [0, 1, 2, 3]
        counts += torch.bincount(kept[1], minlength=64)
    # 800 draws of 4 of 64: 50 a patch, standard deviation below 7.
    assert counts.min() > 20
    assert counts.max() < 85


def test_channels_are_normalised_over_all_patches_of_the_batch(lab: Any) -> None:
    method, layout = lab.build("ijepa", "vit", normalise="batch"), _layout()
    images = lab.batch(method).views[0]
    with torch.no_grad():
        _, _, predicted_BMTD = method._features(images, layout)
        raw_BND = method.target_backbone.tokens(images)
    expected_BND = F.batch_norm(raw_BND.flatten(0, 1), None, None, training=True).view_as(raw_BND)
    index_BT1 = layout.targets_BMT.flatten(1).unsqueeze(-1).expand(-1, -1, expected_BND.shape[-1])
    loss = F.smooth_l1_loss(predicted_BMTD.flatten(1, 2), expected_BND.gather(1, index_BT1))
    torch.testing.assert_close(method.masked_loss(images, layout).loss, loss, rtol=1e-3, atol=1e-4)


def test_layout_is_a_function_of_the_generator() -> None:
    assert torch.equal(_layout(1).context_BK, _layout(1).context_BK)
    assert not torch.equal(_layout(1).targets_BMT, _layout(2).targets_BMT)


@pytest.mark.parametrize("padded", [False, True])
def test_hidden_patches_do_not_reach_the_predictions(lab: Any, padded: bool) -> None:
    method = lab.build("ijepa", "vit")
    layout = _padded() if padded else _layout()
    images = lab.batch(method).views[0]
    visible = torch.zeros(8, 64, dtype=torch.bool).scatter_(1, layout.context_BK, True).view(8, 1, 8, 8)
    pixels = visible.repeat_interleave(4, 2).repeat_interleave(4, 3)
    changed = torch.where(pixels, images, torch.randn(images.shape))
    before, after = (_predictions(method, x, layout) for x in (images, changed))
    assert torch.equal(before, after)
    # The targets do see them, and the predictions do see the visible ones.
    assert method.masked_loss(images, layout).loss != method.masked_loss(changed, layout).loss
    assert not torch.equal(before, _predictions(method, torch.where(pixels, changed + 1, changed), layout))


def test_padding_counts_for_nothing(lab: Any) -> None:
    method = lab.build("ijepa", "vit", cycle_weight=0.5)
    layout, images = _padded(), lab.batch(method).views[0]
    valid_BMT = layout.valid_BMT
    assert valid_BMT is not None
    other = torch.where(valid_BMT, layout.targets_BMT, (layout.targets_BMT + 17) % 64)
    expected = method.masked_loss(images, layout)
    got = method.masked_loss(images, TokenLayout(layout.context_BK, other, valid_BMT))
    torch.testing.assert_close(got.loss, expected.loss)
    # The same from one block of one image at a time, weighted by its patches.
    alone = [
        (method.masked_loss(images[i : i + 1], _block(layout, i, m)).logs["prediction"], int(valid_BMT[i, m].sum()))
        for i in range(8)
        for m in range(4)
    ]
    total = sum(float(loss) * count for loss, count in alone) / sum(count for _, count in alone)
    assert expected.logs["prediction"].item() == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("strategy", ["multi_block", "mixed"])
def test_a_fixed_share_gives_a_graph_one_shape_for_each_strategy(strategy: Any) -> None:
    spec = MaskSpec(strategy=strategy, target_share=0.5)
    shapes: dict[bool, set[tuple[Any, ...]]] = {False: set(), True: set()}
    for pad, seen in shapes.items():
        for seed in range(30):
            generator = torch.Generator().manual_seed(seed)
            layout = token_layout(sample_masks(spec, 8, GRID, generator), generator, pad=pad)
            seen.add((layout.context_BK.shape, layout.targets_BMT.shape, layout.valid_BMT is None))
    blocks = ((8, 32), (8, 4, 32), False)
    assert shapes[True] == ({blocks} if strategy == "multi_block" else {blocks, ((8, 32), (8, 1, 32), True)})
    assert len(shapes[False]) > 3


def test_a_padded_step_is_the_same_step(lab: Any) -> None:
    method = lab.build("ijepa", "vit", cycle_weight=0.5, masking={"strategy": "multi_block", "target_share": 0.5})
    batch = lab.batch(method)
    expected = method(batch, lab.step()).loss
    method.pad_targets = True
    torch.testing.assert_close(method(batch, lab.step()).loss, expected)


def test_each_block_is_predicted_on_its_own(lab: Any) -> None:
    method = lab.build("ijepa", "vit")
    layout, images = _layout(), lab.batch(method).views[0]
    together = _predictions(method, images, layout)
    for block in range(4):
        single = TokenLayout(layout.context_BK, layout.targets_BMT[:, block : block + 1], None)
        torch.testing.assert_close(_predictions(method, images, single), together[:, block : block + 1])
    # A block that stands there twice counts twice.
    doubled = TokenLayout(layout.context_BK, layout.targets_BMT[:, [0, 0, 1]], None)
    parts = [
        method.masked_loss(images, TokenLayout(layout.context_BK, layout.targets_BMT[:, [m]], None)) for m in (0, 1)
    ]
    expected = (2 * parts[0].loss + parts[1].loss) / 3
    torch.testing.assert_close(method.masked_loss(images, doubled).loss, expected)


def test_predictions_depend_on_the_asked_position(lab: Any) -> None:
    method = lab.build("ijepa", "vit")
    layout, images = _layout(), lab.batch(method).views[0]
    predicted = _predictions(method, images, layout)
    assert (predicted[:, :, 0] - predicted[:, :, 1]).abs().max() > 1e-4


@pytest.mark.parametrize("loss", ["smooth_l1", "mse", "huber", "cosine"])
@pytest.mark.parametrize("normalise", ["layer", "l2", "batch", "none"])
def test_every_loss_trains(lab: Any, loss: str, normalise: str) -> None:
    method = lab.build("ijepa", "vit", loss=loss, normalise=normalise)
    losses = lab.train(method, 5)
    assert losses[-1] < losses[0]


def test_options_build_what_they_need(lab: Any) -> None:
    plain = lab.build("ijepa", "vit")
    assert plain.back_predictor is None
    assert not list(plain.projector.parameters())
    full = lab.build(
        "ijepa",
        "vit",
        cycle_weight=0.5,
        projection_dim=24,
        variance_weight=1.0,
        covariance_weight=0.1,
        predictor_depth=3,
    )
    output = full(lab.batch(full), lab.step())
    logs = output.logs
    assert set(logs) == {"prediction", "variance", "covariance", "cycle"}
    expected = logs["prediction"] + logs["variance"] + 0.1 * logs["covariance"] + 0.5 * logs["cycle"]
    torch.testing.assert_close(output.loss.detach(), expected)
    assert len(full.predictor.blocks) == len(full.back_predictor.blocks) == 3
    assert full.predictor.head.out_features == full.back_predictor.head.out_features == 24
    # Features are probed in front of the projection.
    assert {encoder.info.dimension for encoder in full.encoders().values()} == {32}
    lab.train(full, 1)
    moved = full.target_projector[0].weight - full.projector[0].weight
    assert moved.abs().max() > 0


def test_cycle_does_not_train_its_own_target(lab: Any) -> None:
    # With the way into the predictor cut, the cycle's only gradient on the encoder would come through its target.
    method = lab.build("ijepa", "vit", cycle_weight=1.0)
    for parameter in method.predictor.parameters():
        parameter.requires_grad_(False)
    method.predictor.register_forward_hook(lambda module, args, output: output.detach())
    method(lab.batch(method), lab.step()).loss.backward()
    assert all(parameter.grad is None for parameter in method.backbone.parameters())
    assert method.back_predictor.head.weight.grad is not None


@pytest.mark.parametrize("normalise", ["layer", "batch"])
def test_glimpse_shows_what_the_loss_compares(lab: Any, normalise: str) -> None:
    masking = {"strategy": "random", "mask_ratio": 0.5, "min_context": 8}
    method = lab.build("ijepa", "vit", loss="mse", normalise=normalise, masking=masking)
    batch = lab.batch(method)
    shown = method.glimpse(batch, lab.step(seed=7))
    assert torch.equal(shown["targets_BMhw"][:, 0], ~shown["context_Bhw"])
    hidden_B1hw = shown["targets_BMhw"]
    assert not shown["predicted_BDhw"].masked_select(shown["context_Bhw"].unsqueeze(1)).any()
    difference = (shown["predicted_BDhw"] - shown["target_BDhw"]).square().mean(1, keepdim=True)
    # Random masks are one block, so that the maps hold all there is.
    assert difference[hidden_B1hw].mean().item() == pytest.approx(method(batch, lab.step(seed=7)).loss.item(), rel=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"predictor_width is 100"):
        IJEPAConfig(predictor_width=100)
    with pytest.raises(ValueError, match=r"masking\.blocks"):
        IJEPAConfig.model_validate({"masking": {"blocks": 3}})
    with pytest.raises(ValueError, match=r"ijepa needs a ViT .*, not a CNN"):
        IJEPA.check_backbone("cnn")
    with pytest.raises(ValueError, match=r"2x2 grid"):
        IJEPA.check(IJEPAConfig(), (2, 2))
