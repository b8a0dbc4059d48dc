"""The contract of a method: it learns, repeats itself, keeps its state, and hands over what it declares."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from benchmark.training.profile import marked
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Batch, Encoder, LossOutput, Method, Step, Task, split_by_decay
from methods.config import MethodConfig
from methods.views import ViewSpec

PAIRS = [(name, kind) for name in ("byol", "simclr", "vicreg", "supervised") for kind in ("cnn", "vit")]
PAIRS += [("ijepa", "vit"), ("cnn_jepa", "cnn")]
WITH_TARGET = [("byol", "cnn"), ("byol", "vit"), ("ijepa", "vit")]
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
# How often a step calls encoder, target encoder and heads.
CALLS = [
    ("simclr", "cnn", {}, (2, 0, 2)),
    ("simclr", "vit", {}, (2, 0, 2)),
    ("vicreg", "cnn", {}, (2, 0, 2)),
    ("byol", "cnn", {}, (2, 2, 6)),
    ("supervised", "cnn", {}, (1, 0, 1)),
    ("ijepa", "vit", {}, (1, 1, 1)),
    ("ijepa", "vit", {"projection_dim": 16, "cycle_weight": 1.0}, (1, 1, 4)),
    ("cnn_jepa", "cnn", {}, (1, 1, 1)),
    ("cnn_jepa", "cnn", {"encoder": "masked_dense"}, (1, 1, 1)),
    ("cnn_jepa", "cnn", {"projection_dim": 16, "cycle_weight": 1.0}, (1, 1, 4)),
]


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_one_seed_gives_one_run(lab: Any, name: str, kind: str) -> None:
    first, second = lab.build(name, kind, seed=3), lab.build(name, kind, seed=3)
    losses = lab.train(first, 2)
    assert losses == lab.train(second, 2)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
    assert lab.train(lab.build(name, kind, seed=4), 2) != losses


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_state_dict_holds_everything(lab: Any, name: str, kind: str) -> None:
    trained, fresh = lab.build(name, kind, seed=0), lab.build(name, kind, seed=1)
    lab.train(trained, 2)
    fresh.load_state_dict(trained.state_dict())
    batch = lab.batch(trained)
    losses = [method(batch, lab.step(0.5)).loss for method in (trained, fresh)]
    assert torch.equal(*losses)


@pytest.mark.slow
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
    momentum = method.config.ema.momentum(lab.step(0.3))
    online = dict(method.named_parameters())
    for key, value in targets.items():
        expected = momentum * start[key] + (1 - momentum) * online[key.removeprefix("target_")]
        torch.testing.assert_close(value, expected.detach())
    assert any(not torch.equal(start[key], value) for key, value in targets.items())


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


def test_losses_that_compare_images_say_so(lab: Any) -> None:
    whole = {name for name, kind in PAIRS if lab.build(name, kind).needs_whole_batch}
    assert whole == {"simclr", "vicreg"}


@pytest.mark.parametrize("name", ["simclr", "vicreg", "supervised", "random_init"])
def test_a_method_without_an_average_has_no_ema_encoder(lab: Any, name: str) -> None:
    with pytest.raises(ValidationError, match="primary"):
        lab.build(name, primary="ema")


@pytest.mark.parametrize("name", ["byol", "simclr", "vicreg", "supervised", "cnn_jepa"])
def test_every_batch_norm_is_converted_and_alone_nothing_changes(lab: Any, name: str) -> None:
    plain, converted = lab.build(name), lab.build(name)
    norms = sum(isinstance(module, _NORMS) for module in plain.modules())
    converted.synchronise_batch_norm()
    assert not any(isinstance(module, _NORMS) for module in converted.modules())
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in converted.modules()) == norms > 0
    assert list(converted.state_dict()) == list(plain.state_dict())
    losses = [method(lab.batch(method), lab.step()).loss for method in (plain, converted)]
    assert torch.equal(*losses)
    for method, loss in zip((plain, converted), losses, strict=True):
        loss.backward()
        method.after_step(lab.step())
    for (key, value), other in zip(plain.state_dict().items(), converted.state_dict().values(), strict=True):
        assert torch.equal(value, other), key


@pytest.mark.parametrize("everything", [False, True])
def test_weight_decay_leaves_out_norms_and_biases(everything: bool) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    network[2].weight.requires_grad_(False)
    groups = split_by_decay(network.named_parameters(), everything=everything)
    shapes = [(group["decay"], [tuple(p.shape) for p in group["params"]]) for group in groups]
    kernel, vectors = (4, 3, 3, 3), [(4,), (4,), (4,), (2,)]
    assert shapes == ([(True, [kernel, *vectors])] if everything else [(True, [kernel]), (False, vectors)])


def test_a_share_of_a_batch_knows_the_whole_batch() -> None:
    generator = torch.Generator()
    assert Step(0.0, 0, generator).whole(8) == 8
    assert Step(0.0, 0, generator, start=8, batch_size=32).whole(8) == 32


def test_a_backbone_that_does_not_fit_is_refused() -> None:
    class OnlyViT(Method[MethodConfig]):
        name, config_class, backbone_kinds = "only_vit", MethodConfig, ("vit",)

    OnlyViT.check_backbone("vit")
    with pytest.raises(ValueError, match=r"only_vit needs a ViT \(vit_tiny, vit_small, \.\.\.\), not a CNN"):
        OnlyViT.check_backbone("cnn")


def _own(method: Any) -> list[dict[str, Any]]:
    """What the modules have of their own, those that lie in no module, too."""
    named = [module for modules in method.forward_parts().values() for module in modules]
    return [{**vars(module)} for module in [*method.modules(), *named]]


@pytest.mark.parametrize(("name", "kind", "settings", "calls"), CALLS)
def test_encoders_and_heads_are_told_apart(
    lab: Any, name: str, kind: str, settings: dict[str, Any], calls: tuple[int, int, int]
) -> None:
    method = lab.build(name, kind, **settings)
    before = _own(method)
    batch, marks = lab.batch(method), []
    with marked(method, marks.append):
        loss = method(batch, lab.step()).loss
        count = len(marks)
        method.backbone.features(batch.views[0])  # outside the forward pass
        assert len(marks) == count
    counts = Counter(marks)
    assert set(marks[::2]) == {"loss"} and "loss" not in marks[1::2]  # before each call, what lies between is marked
    assert tuple(counts[part] for part in ("encoder", "target_encoder", "head")) == calls
    assert _own(method) == before
    assert torch.equal(loss, lab.build(name, kind, **settings)(batch, lab.step()).loss)


def test_a_call_that_fails_leaves_the_modules_as_they_were(lab: Any) -> None:
    method = lab.build("cnn_jepa", "cnn")
    before = _own(method)
    with pytest.raises(ZeroDivisionError), marked(method, lambda part: 1 // 0):
        method(lab.batch(method), lab.step())
    assert _own(method) == before


class _Head(nn.Module):
    """As torchvision's networks: `features` is a layer; and `tokens` a number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features, self.tokens = nn.Linear(width, 4), 3

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.features(x)
        return found


class _Foreign(Method[MethodConfig]):
    """A method of a plug-in: heads in a container, a target handed over around its network, a call of the network."""

    name = "foreign"
    config_class = MethodConfig

    def __init__(self, config: MethodConfig, backbone: Any, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.heads = nn.ModuleList([_Head(backbone.dimension), _Head(backbone.dimension)])
        self.teacher = copy.deepcopy(backbone.net)
        self.everything = nn.ModuleDict({"a": nn.Sequential(backbone), "b": nn.ReLU()})

    def encoders(self) -> dict[str, Encoder]:
        return {**super().encoders(), "ema": Encoder(self.backbone.with_net(self.teacher), self._info("ema"))}

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        student = self.backbone.net(batch.views[0]).mean((2, 3))
        target = self.teacher(batch.views[0]).mean((2, 3))
        return LossOutput((self.heads[0](student) - self.heads[1](target)).square().mean())


def test_other_ways_to_build_a_method(lab: Any) -> None:
    backbone = build_backbone(BackboneSpec(name="resnet18", stem="small", width=8), 32)
    method = _Foreign(MethodConfig(views=(ViewSpec(),)), backbone, Task(32, 4))
    method.heads[1].forward = method.heads[1].forward  # its own, such as a compiler sets
    before, marks = _own(method), []
    with marked(method, marks.append):
        method(lab.batch(method), lab.step()).loss.backward()
    assert Counter(marks) == {"loss": 4, "encoder": 1, "target_encoder": 1, "head": 2}
    assert _own(method) == before


def test_grouped_gives_modules_options_of_their_own(lab: Any) -> None:
    method = lab.build("byol")
    groups = method.grouped(predictor=(method.predictor, {"constant_lr": True}))
    apart = {id(p) for group in groups if group.get("constant_lr") for p in group["params"]}
    assert apart == {id(p) for p in method.predictor.parameters()}
    every = [id(p) for group in groups for p in group["params"]]
    assert sorted(every) == sorted(id(p) for p in method.parameters() if p.requires_grad)
    assert all((p.ndim > 1) == group["decay"] for group in groups for p in group["params"])


@pytest.mark.parametrize(
    ("name", "kind", "passes"),
    [("byol", "cnn", (2, 2)), ("simclr", "vit", (1, 1)), ("ijepa", "vit", (2,)), ("cnn_jepa", "cnn", (2,))],
)
def test_passes_are_counted_view_by_view(lab: Any, name: str, kind: str, passes: tuple[int, ...]) -> None:
    method = lab.build(name, kind)
    assert method.encoder_passes(method.config) == passes
