"""What holds for every method: it learns, repeats itself, keeps its state, and hands over what it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

PAIRS = [(name, kind) for name in ("byol", "simclr", "vicreg", "supervised") for kind in ("cnn", "vit")]
PAIRS += [("ijepa", "vit"), ("cnn_jepa", "cnn")]
WITH_TARGET = [("byol", "cnn"), ("byol", "vit"), ("ijepa", "vit")]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_ten_steps_lower_the_loss(lab: Any, name: str, kind: str) -> None:
    method = lab.build(name, kind)
    before = [p.detach().clone() for p in method.backbone.parameters() if p.requires_grad]
    losses = lab.train(method, 10)
    assert all(torch.isfinite(torch.tensor(losses)))
    drop = 0.1 * abs(losses[0])
    assert losses[-1] < losses[0] - drop
    after = [p for p in method.backbone.parameters() if p.requires_grad]
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_one_seed_gives_one_run(lab: Any, name: str, kind: str) -> None:
    first, second = lab.build(name, kind, seed=3), lab.build(name, kind, seed=3)
    assert lab.train(first, 2) == lab.train(second, 2)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
    assert lab.train(lab.build(name, kind, seed=4), 2) != lab.train(lab.build(name, kind, seed=3), 2)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_state_dict_holds_everything(lab: Any, name: str, kind: str) -> None:
    trained, fresh = lab.build(name, kind, seed=0), lab.build(name, kind, seed=1)
    lab.train(trained, 2)
    fresh.load_state_dict(trained.state_dict())
    batch = lab.batch(trained)
    losses = [method(batch, lab.step(0.5)).loss for method in (trained, fresh)]
    assert torch.equal(*losses)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_bf16_loss_is_float32_and_near(lab: Any, name: str, kind: str) -> None:
    method = lab.build(name, kind)
    batch = lab.batch(method, size=16)
    exact = method(batch, lab.step()).loss
    with torch.autocast("cpu", torch.bfloat16):
        rough = method(batch, lab.step()).loss
    assert rough.dtype == torch.float32
    rough.backward()
    assert rough.item() == pytest.approx(exact.item(), rel=0.05, abs=0.02)


@pytest.mark.parametrize(("name", "kind"), WITH_TARGET)
def test_target_moves_only_after_the_step(lab: Any, name: str, kind: str) -> None:
    method = lab.build(name, kind)
    targets = {key: value for key, value in method.named_parameters() if key.startswith("target_")}
    start = {key: value.detach().clone() for key, value in targets.items()}
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    method(lab.batch(method), lab.step(0.3)).loss.backward()
    optimizer.step()
    assert targets
    assert all(not value.requires_grad and value.grad is None for value in targets.values())
    assert all(torch.equal(start[key], value) for key, value in targets.items())
    method.after_step(lab.step(0.3))
    momentum = method.config.ema.momentum(0.3)
    online = dict(method.named_parameters())
    for key, value in targets.items():
        expected = momentum * start[key] + (1 - momentum) * online[key.removeprefix("target_")]
        torch.testing.assert_close(value, expected.detach())
    assert any(not torch.equal(start[key], value) for key, value in targets.items())


def test_byol_target_gathers_its_own_statistics(lab: Any) -> None:
    method = lab.build("byol", "cnn")
    lab.train(method, 2)
    online, target = method.backbone.net.bn1, method.target_backbone.net.bn1
    assert int(online.num_batches_tracked) == int(target.num_batches_tracked) == 4
    assert not torch.equal(online.running_mean, target.running_mean)


@pytest.mark.parametrize(("name", "kind"), [*PAIRS, ("random_init", "cnn"), ("random_init", "vit")])
def test_encoders_are_what_they_say(lab: Any, name: str, kind: str) -> None:
    method = lab.build(name, kind)
    encoders = method.encoders()
    assert set(encoders) == ({"online", "ema"} if (name, kind) in [*WITH_TARGET, ("cnn_jepa", "cnn")] else {"online"})
    assert method.config.primary in encoders
    assert method.config.primary == ("ema" if name in ("ijepa", "cnn_jepa") else "online")
    images = lab.batch(method).views[0]
    for key, encoder in encoders.items():
        assert encoder.info.weights == key
        assert encoder.info.recalibrate == (name == "random_init" or (name, key) == ("cnn_jepa", "online"))
        assert encoder.features(images).shape == (8, encoder.info.dimension)
        torch.testing.assert_close(encoder.eval().feature_map(images).mean((2, 3)), encoder.features(images))


def test_random_init_trains_nothing(lab: Any) -> None:
    method = lab.build("random_init")
    assert not method.trainable
    assert method.views == ()
    assert method.parameter_groups() == []
    with pytest.raises(RuntimeError, match="trains nothing"):
        method(lab.batch(method), lab.step())


def test_supervised_logs_its_accuracy(lab: Any) -> None:
    method = lab.build("supervised")
    with torch.no_grad():
        method.classifier.weight.zero_()
        method.classifier.bias.copy_(torch.tensor([0.0, 5.0, 0.0, 0.0]))
    output = method(lab.batch(method, size=8), lab.step())
    # Every image is called class 1; labels are 0 1 2 3 0 1 2 3.
    assert output.logs["accuracy"].item() == 25.0
    scores = torch.tensor([0.0, 5.0, 0.0, 0.0], dtype=torch.float64)
    expected = scores.exp().sum().log() - 5.0 / 4
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_losses_that_compare_images_say_so(lab: Any) -> None:
    whole = {name for name, kind in PAIRS if lab.build(name, kind).needs_whole_batch}
    assert whole == {"simclr", "vicreg"}


@pytest.mark.parametrize("name", ["simclr", "vicreg", "supervised", "random_init"])
def test_a_method_without_an_average_has_no_ema_encoder(lab: Any, name: str) -> None:
    with pytest.raises(ValidationError, match="primary"):
        lab.build(name, primary="ema")


def test_heads_have_the_configured_sizes(lab: Any) -> None:
    simclr = lab.build("simclr", projector_layers=3, projector_norm=False, projector_hidden=24, output_dim=12)
    assert [tuple(p.shape) for p in simclr.projector.parameters() if p.ndim == 2] == [(24, 64), (24, 24), (12, 24)]
    assert not any(isinstance(module, torch.nn.BatchNorm1d) for module in simclr.projector.modules())
    vicreg = lab.build("vicreg", projector_layers=2, projector_hidden=24, output_dim=12)
    assert [tuple(p.shape) for p in vicreg.projector.parameters() if p.ndim == 2] == [(24, 64), (12, 24)]
