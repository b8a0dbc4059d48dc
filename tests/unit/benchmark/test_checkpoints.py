"""The same weights through every library's way of keeping them."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18 as torchvision_resnet18

from benchmark.checkpoints import FORMATS, match, read_checkpoint
from benchmark.errors import UserError
from methods.backbones import BackboneSpec, build_backbone

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return build_backbone(BackboneSpec(name="resnet18"), 64).net


@pytest.fixture(scope="module")
def vit() -> Any:
    torch.manual_seed(0)
    return build_backbone(BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=8), 32).net


def under(weights: dict[str, Any], prefix: str, **extra: Any) -> dict[str, Any]:
    return {**{prefix + name: value for name, value in weights.items()}, **extra}


def sequence(weights: dict[str, Any]) -> dict[str, Any]:
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    return {f"{numbers[name.split('.')[0]]}.{name.partition('.')[2]}": value for name, value in weights.items()}


HEAD = torch.zeros(3, 512)


def ways(weights: dict[str, Any]) -> dict[str, Any]:
    other = {name: value + 1 for name, value in weights.items()}
    return {
        "bench": weights,
        "timm": {"state_dict": under(weights, "", **{"fc.weight": HEAD})},
        "torchvision": under(weights, "", **{"fc.weight": HEAD, "fc.bias": HEAD[0]}),
        "solo-learn": {
            "state_dict": under(weights, "backbone.", **{"classifier.weight": HEAD, "projector.0.weight": HEAD})
        },
        "lightly": {"state_dict": under(sequence(weights), "backbone.", **{"projection_head.0.weight": HEAD})},
        "cnn-jepa": {"state_dict": {**under(weights, "momentum_backbone."), **under(other, "backbone.")}},
        "dino": {"teacher": under(weights, "module.backbone.", **{"module.head.mlp.0.weight": HEAD}), "student": other},
        "moco": {
            "state_dict": {
                **under(weights, "module.encoder_q.", **{"module.queue": HEAD}),
                **under(other, "module.encoder_k."),
            }
        },
    }


@pytest.mark.parametrize("kind", ["bench", "timm", "torchvision", "solo-learn", "lightly", "cnn-jepa", "dino", "moco"])
def test_every_format_gives_the_same_tensors(network: Any, tmp_path: Path, kind: str) -> None:
    weights = network.state_dict()
    path = tmp_path / "checkpoint.pth"
    torch.save(ways(weights)[kind], path)
    found = match(read_checkpoint(path), network, kind)
    assert found.whole, found.report()
    assert set(found.weights) == set(weights)
    assert all(torch.equal(found.weights[name], weights[name]) for name in weights)


@pytest.mark.parametrize("kind", ["bench", "timm", "torchvision", "solo-learn", "lightly"])
def test_auto_finds_the_only_encoder_that_fits(network: Any, kind: str) -> None:
    found = match(ways(network.state_dict())[kind], network, "auto")
    assert found.whole and torch.equal(found.weights["conv1.weight"], network.conv1.weight)


@pytest.mark.parametrize("kind", ["cnn-jepa", "moco"])
def test_auto_does_not_choose_between_two_encoders(network: Any, kind: str) -> None:
    content = ways(network.state_dict())[kind]
    with pytest.raises(UserError, match="several encoders that fit"):
        match(content, network, "auto")
    prefix = {"cnn-jepa": "backbone.", "moco": "module.encoder_k."}[kind]
    found = match(content, network, "auto", prefix)
    assert found.whole and torch.equal(found.weights["conv1.weight"], network.conv1.weight + 1)


def test_torchvisions_own_network_fits(network: Any) -> None:
    theirs = torchvision_resnet18()
    found = match(theirs.state_dict(), network, "torchvision")
    assert found.whole and found.heads == ("fc.weight", "fc.bias")
    network.load_state_dict(found.weights)


def test_i_jepas_target_encoder_is_taken_not_the_context_encoder(vit: Any) -> None:
    weights = vit.state_dict()
    content = {
        "encoder": under({name: value + 1 for name, value in weights.items()}, "module."),
        "target_encoder": under(weights, "module."),
        "predictor": {"module.x": HEAD},
    }
    found = match(content, vit, "ijepa")
    assert found.whole and found.holder == "target_encoder"
    assert all(torch.equal(found.weights[name], weights[name]) for name in weights)


def test_what_does_not_fit_is_counted_and_named(network: Any) -> None:
    weights = dict(network.state_dict())
    weights["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    weights["layer9.0.weight"] = weights.pop("layer4.1.bn2.weight")
    found = match(weights, network, "timm")
    assert not found.whole
    assert found.missing == ("layer4.1.bn2.weight",) and found.unexpected == ("layer9.0.weight",)
    assert "conv1.weight (64, 3, 3, 3) instead of (64, 3, 7, 7)" in found.report()
    with pytest.raises(UserError, match="did you mean 'timm'"):
        match(weights, network, "tim")
    with pytest.raises(UserError, match="no weights found"):
        match({"epoch": 3}, network, "timm")
    counted = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    assert match(counted, network, "auto").whole


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("executed",))


def test_a_checkpoint_that_needs_code_is_refused_with_the_reason(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "config": Evil()}, path)
    with pytest.raises(UserError, match="cannot be read without executing code"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"executing code|is no checkpoint"):
        read_checkpoint(path)
    assert "executed" not in capsys.readouterr().out
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"executing code|is no checkpoint"):
        read_checkpoint(path)
    with pytest.raises(UserError, match="no such file"):
        read_checkpoint(tmp_path / "missing.pth")
    torch.save([1, 2], path)
    with pytest.raises(UserError, match="holds a list"):
        read_checkpoint(path)


def test_safetensors_are_read(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    assert match(read_checkpoint(path), network, "auto").whole
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="is no checkpoint"):
        read_checkpoint(path)


def test_formats_are_described() -> None:
    assert all(form.description for form in FORMATS.values())
