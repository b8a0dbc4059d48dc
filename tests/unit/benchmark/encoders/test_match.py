"""The same weights through every library's way of keeping them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from layouts import FORMATS as LAYOUTS
from layouts import changed, layout, under
from torchvision.models import resnet18 as torchvision_resnet18

from benchmark.encoders.match import Match, match
from benchmark.encoders.read import read_checkpoint
from benchmark.encoders.traits import vit_traits
from benchmark.errors import UserError
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def vit() -> Any:
    torch.manual_seed(0)
    return build_backbone(BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=8), 32).net


@pytest.fixture(scope="module")
def token_vit() -> Any:
    torch.manual_seed(0)
    spec = BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=8, class_token="features")
    return build_backbone(spec, 32).net


HEAD = torch.zeros(3, 512)


def equal(found: Match, weights: Any) -> bool:
    same = all(torch.equal(found.weights[name], weights[name]) for name in weights)
    return set(found.weights) == set(weights) and same


@pytest.mark.parametrize("kind", LAYOUTS)
def test_the_published_encoder_is_taken_whatever_lies_beside_it(network: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save(layout(kind, network.state_dict()), path)
    found = match(read_checkpoint(path), network, kind)
    assert found.whole, found.report()
    assert equal(found, network.state_dict())


@pytest.mark.parametrize("kind", [kind for kind in LAYOUTS if kind not in ("torchvision", "cnn-jepa")])
def test_the_same_of_a_vision_transformer_with_a_class_token(token_vit: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save(layout(kind, token_vit.state_dict()), path)
    content = read_checkpoint(path)
    found = match(content, token_vit, kind)
    assert found.whole, found.report()
    assert equal(found, token_vit.state_dict()) and vit_traits(content)


# What stays of each file when the encoder that its library evaluates is taken out of it.
@pytest.mark.parametrize(
    ("kind", "gone", "left"),
    [
        ("solo-learn", ("backbone.",), "'momentum_backbone.'"),
        ("lightly", ("backbone.",), "'query_backbone.', 'student_backbone.', 'teacher_backbone.'"),
        ("cnn-jepa", ("backbone_momentum.", "backbone_for_online_eval."), "'backbone.', 'backbone_sparse.'"),
        ("moco", ("module.encoder_q.",), "'module.encoder_k.'"),
    ],
)
def test_no_sibling_takes_the_published_encoders_place(
    network: Any, kind: str, gone: tuple[str, ...], left: str
) -> None:
    content = layout(kind, network.state_dict())
    content["state_dict"] = {name: value for name, value in content["state_dict"].items() if not name.startswith(gone)}
    with pytest.raises(UserError) as refused:
        match(content, network, kind)
    assert f"there is {left}. Another encoder is not taken" in str(refused.value)
    assert f"'{gone[0]}'" in str(refused.value) and "--prefix" in str(refused.value)
    prefix = left.split("'")[1]
    assert match(content, network, kind, prefix).whole


@pytest.mark.parametrize("kind", ["cnn-jepa", "ijepa", "dino", "moco", "timm", "solo-learn"])
def test_a_damaged_published_encoder_is_not_replaced_by_a_whole_sibling(network: Any, kind: str) -> None:
    content = layout(kind, network.state_dict())
    holder = {"ijepa": "target_encoder", "dino": "teacher", "timm": "state_dict_ema"}.get(kind, "state_dict")
    prefixes = {"cnn-jepa": "backbone_momentum.", "dino": "module.backbone.", "ijepa": "module.", "timm": ""}
    prefix = {**prefixes, "moco": "module.encoder_q.", "solo-learn": "backbone."}[kind]
    del content[holder][f"{prefix}layer4.1.bn2.weight"]
    found = match(content, network, kind)
    assert found.missing == ("layer4.1.bn2.weight",) and found.prefix == prefix


def test_i_jepas_context_encoder_is_not_taken_for_its_target_encoder(vit: Any) -> None:
    content = layout("ijepa", vit.state_dict())
    found = match(content, vit, "ijepa")
    assert found.whole and found.holder == "target_encoder" and equal(found, vit.state_dict())
    del content["target_encoder"]
    with pytest.raises(UserError, match="no weights found in it; entries: encoder, predictor"):
        match(content, vit, "ijepa")


def test_files_that_hold_the_published_encoder_alone(token_vit: Any, network: Any) -> None:
    assert match(token_vit.state_dict(), token_vit, "dino").whole
    assert match(under(network.state_dict(), "module."), network, "timm").whole
    old = {
        "state_dict": {**under(network.state_dict(), "encoder."), **under(network.state_dict(), "momentum_encoder.")}
    }
    assert match(old, network, "solo-learn").prefix == "encoder."


@pytest.mark.parametrize("kind", ["bench", "ijepa-alone"])
def test_auto_finds_the_only_encoder(network: Any, kind: str) -> None:
    content = {"bench": network.state_dict(), "ijepa-alone": {"target_encoder": under(network.state_dict(), "module.")}}
    found = match(content[kind], network, "auto")
    assert found.whole and equal(found, network.state_dict())


@pytest.mark.parametrize("kind", [kind for kind in LAYOUTS if kind != "bench"])
def test_auto_does_not_choose_between_encoders(network: Any, kind: str) -> None:
    content = layout(kind, network.state_dict())
    with pytest.raises(UserError, match="holds several encoders that fit"):
        match(content, network, "auto")
    wrong = build_backbone(BackboneSpec(name="resnet18", stem="small", width=8), 64).net
    with pytest.raises(UserError, match=r"none of which fits completely \(.*conv1.weight"):
        match(content, wrong, "auto")


def test_a_prefix_says_which(network: Any) -> None:
    content = layout("cnn-jepa", network.state_dict())
    found = match(content, network, "auto", "backbone.")
    assert found.whole and torch.equal(found.weights["conv1.weight"], network.conv1.weight + 0.5)
    with pytest.raises(UserError, match=r"keeps its encoder under 'backbones\.' in state_dict; there is 'backbone\.'"):
        match(content, network, "cnn-jepa", "backbones.")
    both = {"teacher": under(network.state_dict(), "b."), "student": under(changed(network.state_dict(), 1.0), "b.")}
    with pytest.raises(UserError, match=r"'teacher' with prefix 'b\.', 'student' with prefix 'b\.'"):
        match(both, network, "auto", "b.")


def test_positions_of_another_size_say_which(vit: Any, token_vit: Any) -> None:
    for net, token in ((vit, None), (token_vit, "features")):
        spec = BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=8, class_token=token)
        larger = build_backbone(spec, 64).net.state_dict()
        found = match(larger, net, "timm")
        assert not found.whole and "positions of 8 x 8 patches, --size 64 at this patch size" in found.report()


def test_the_patch_embedding_says_the_size_of_patches(vit: Any) -> None:
    spec = BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=4)
    found = match(build_backbone(spec, 32).net.state_dict(), vit, "timm")
    assert found.patch_size == 4 and found.untrained and "--size" not in found.report()
    assert match(vit.state_dict(), vit, "timm").patch_size is None


def test_torchvisions_own_network_fits() -> None:
    network = build_backbone(BackboneSpec(name="resnet18"), 64).net
    theirs = torchvision_resnet18()
    found = match(theirs.state_dict(), network, "torchvision")
    assert found.whole and found.heads == ("fc.weight", "fc.bias")
    network.load_state_dict(found.weights)


def test_what_does_not_fit_is_counted_and_named(network: Any) -> None:
    weights = dict(network.state_dict())
    weights["conv1.weight"] = torch.zeros(8, 3, 3, 3)
    weights["layer9.0.weight"] = weights.pop("layer4.1.bn2.weight")
    found = match(weights, network, "timm")
    assert not found.whole
    assert found.missing == ("layer4.1.bn2.weight",) and found.unexpected == ("layer9.0.weight",)
    assert "conv1.weight (8, 3, 3, 3) instead of (8, 3, 7, 7)" in found.report()
    with pytest.raises(UserError, match="no weights found"):
        match({"epoch": 3}, network, "timm")
    counted = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    assert match(counted, network, "auto").whole
