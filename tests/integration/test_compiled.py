"""Every method survives `torch.compile`: its compiled loss and gradients are those of the method as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from methods.backbone_spec import BackboneSpec
from methods.contract import build_method, make_batch, make_step
from methods.registry import method_class, own_methods

_NETWORKS = {
    "vit": BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=4),
    "cnn": BackboneSpec(name="resnet18", stem="small", width=8),
}
_SETTINGS: dict[str, dict[str, Any]] = {"data2vec": {"blocks": 1}}
_TRAINED = [name for name in own_methods() if method_class(name).trainable]


def _step(name: str, kind: str, *, compiled: bool) -> tuple[Tensor, dict[str, Tensor]]:
    method: Any = build_method(method_class(name), _NETWORKS[kind], _SETTINGS.get(name, {}))
    # Traced as for a code generator, but run by torch: that needs no C++ compiler, and seconds suffice.
    call = torch.compile(method, backend="eager") if compiled else method
    loss = call(make_batch(method, images=4), make_step(0.3)).loss
    loss.backward()
    return loss, {path: p.grad for path, p in method.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch.compile, about draws that it leaves uncompiled
@pytest.mark.parametrize("name", _TRAINED)
def test_a_compiled_method_gives_the_same_step(name: str) -> None:
    torch.compiler.reset()
    # One network each: a ViT is traced many times faster.
    kind = "vit" if "vit" in method_class(name).backbone_kinds else "cnn"
    loss, gradients = _step(name, kind, compiled=False)
    compiled_loss, compiled_gradients = _step(name, kind, compiled=True)
    torch.testing.assert_close(compiled_loss, loss, rtol=1e-5, atol=1e-6)
    assert compiled_gradients.keys() == gradients.keys()
    scale = max(float(gradient.abs().max()) for gradient in gradients.values())
    for path, gradient in gradients.items():
        torch.testing.assert_close(compiled_gradients[path], gradient, rtol=1e-3, atol=1e-4 * scale, msg=path)
