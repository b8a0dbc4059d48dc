"""Checks that a method keeps its contract with the harness, for the method's own tests; seconds on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from methods.backbone_build import build_backbone
from methods.backbone_spec import BackboneSpec
from methods.base import Batch, Method, Step, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL: Mapping[str, BackboneSpec] = {
    "cnn": BackboneSpec(name="resnet18", stem="small", width=8),
    "vit": BackboneSpec(name="vit_tiny", width=32, depth=2, patch_size=4),
}
"""A network of each kind on which a step takes a moment."""
_CLASSES = 4


def build_method(
    kind: type[Method[Any]], backbone: BackboneSpec, config: Mapping[str, Any], *, image_size: int = 32, seed: int = 0
) -> Method[Any]:
    """A method in training mode, everything drawn from `seed`.

    Args:
        config: settings that replace the class's defaults.

    Raises:
        ValueError: settings or network do not fit.
    """
    settings = kind.config_class.model_validate(dict(config))
    kind.check_backbone(backbone.kind)
    kind.check(settings, backbone.grid(image_size))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_backbone(backbone, image_size)
        return kind(settings, network, Task(image_size, _CLASSES, images=64)).train()


def make_batch(method: Method[Any], images: int = 8, seed: int = 0) -> Batch:
    """Views of noise over a coarse pattern of each image's own, so that views of one image belong together."""
    generator = torch.Generator().manual_seed(seed)
    size = method.task.image_size
    pattern = torch.randn(images, 3, 4, 4, generator=generator)
    views = []
    for view in method.views:
        side = view.size or size
        coarse = torch.nn.functional.interpolate(pattern, (side, side), mode="nearest")
        views.append(coarse + 0.3 * torch.randn(images, 3, side, side, generator=generator))
    boxes = tuple(torch.tensor([0.0, 1.0, 0.0, 1.0]).expand(images, 4) for _ in views) if method.needs_boxes else ()
    return Batch(tuple(views), torch.arange(images) % _CLASSES, torch.arange(images), boxes)


def make_step(progress: float = 0.0, seed: int = 0, index: int = 0) -> Step:
    """A step whose generator starts anew: two steps with one seed draw the same."""
    return Step(progress, index, torch.Generator().manual_seed(seed), pace=0.01)


def train(method: Method[Any], steps: int, lr: float = 2e-3) -> list[float]:
    """The losses of some steps of AdamW on one batch."""
    batch = make_batch(method)
    optimizer = torch.optim.AdamW(method.parameter_groups(), lr=lr)
    losses = []
    for index in range(steps):
        step = make_step(index / steps, index=index)
        loss = method(batch, step).loss
        loss.backward()
        method.after_backward(step)
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(step)
        losses.append(loss.item())
    return losses


def check_method(
    kind: type[Method[Any]],
    config: Mapping[str, Any] | None = None,
    *,
    backbones: Mapping[str, BackboneSpec] = SMALL,
    image_size: int = 32,
) -> None:
    """Checks a method on a small network of each kind that it runs on.

    Args:
        config: settings that replace the class's defaults, for smaller heads.
        backbones: the networks, by kind.

    Raises:
        AssertionError: says what does not hold.
    """
    for name in kind.backbone_kinds:
        if name in backbones:
            _check(kind, backbones[name], config or {}, image_size)


def _check(kind: type[Method[Any]], backbone: BackboneSpec, config: Mapping[str, Any], image_size: int) -> None:
    def build(seed: int = 0) -> Method[Any]:
        return build_method(kind, backbone, config, image_size=image_size, seed=seed)

    where = f"{kind.name} on {backbone.name}"
    method = build()
    passes = kind.encoder_passes(method.config)
    assert len(passes) == len(method.views), f"{where}: encoder_passes has {len(passes)} of {len(method.views)} views"
    batch = make_batch(method)

    before = torch.random.get_rng_state()
    first, second = (build()(batch, make_step(0.3)).loss for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before), f"{where}: draws from torch's global generator"
    assert torch.equal(first, second), f"{where}: one seed gives two losses; draw from step.generator alone"
    assert first.shape == () and first.dtype == torch.float32, f"{where}: the loss is no float32 scalar"
    assert bool(torch.isfinite(first)), f"{where}: the first loss is {first.item()}"
    with torch.autocast("cpu", torch.bfloat16):
        rough = build()(batch, make_step(0.3)).loss
    assert rough.dtype == torch.float32, f"{where}: the loss is {rough.dtype} under autocast; see full_precision"

    _check_parameters(method, batch, where)
    _check_state(build, where)
    _check_encoders(method, batch, where)


def _check_parameters(method: Method[Any], batch: Batch, where: str) -> None:
    names = {id(parameter): name for name, parameter in method.named_parameters() if parameter.requires_grad}
    grouped = [id(parameter) for group in method.parameter_groups() for parameter in group["params"]]
    assert sorted(grouped) == sorted(names), f"{where}: parameter_groups does not hold each trained parameter once"
    method(batch, make_step(0.3)).loss.backward()
    unused = [
        name for name, parameter in method.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert not unused, f"{where}: no gradient reaches {', '.join(unused)}"


def _check_state(build: Any, where: str) -> None:
    trained, other = build(seed=0), build(seed=1)
    losses = train(trained, 3)
    assert losses == train(build(seed=0), 3), f"{where}: the same three steps give other losses"
    other.load_state_dict(trained.state_dict())
    batch = make_batch(trained, seed=1)
    same = [method(batch, make_step(0.5)).loss for method in (trained, other)]
    assert torch.equal(*same), f"{where}: state_dict does not hold everything that the loss depends on"


def _check_encoders(method: Method[Any], batch: Batch, where: str) -> None:
    encoders = method.encoders()
    primary = method.config.primary
    assert primary in encoders, f"{where}: primary is '{primary}', but encoders() has {', '.join(encoders)}"
    images = torch.randn(
        4, 3, method.task.image_size, method.task.image_size, generator=torch.Generator().manual_seed(0)
    )
    for name, encoder in encoders.items():
        shape = tuple(encoder.eval().features(images).shape)
        assert shape == (4, encoder.info.dimension), f"{where}: features of '{name}' have the shape {shape}"
        assert encoder.info.weights == name, f"{where}: encoder '{name}' says that it is '{encoder.info.weights}'"
