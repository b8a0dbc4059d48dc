"""Compiled networks: the same step, the same state, and evaluation as before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from benchmark.errors import UserError
from benchmark.experiment.acceleration_spec import AccelerationSpec
from benchmark.training import acceleration
from benchmark.training.acceleration import COMPILED, accelerate, begin_step, compilable, uncompiled
from benchmark.training.loop import run_step
from benchmark.training.profile import breakdown, flops_per_step
from cnn_jepa.sparse import SparseEncoder
from methods.contract import SMALL, build_method
from methods.registry import method_class, own_methods

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPILE = AccelerationSpec(networks="compiled")
TRAINED = [name for name in own_methods() if method_class(name).trainable]


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    """No program of another test counts towards the limit of programs of a function."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def _compiled(method: nn.Module) -> list[nn.Module]:
    return [module for module in method.modules() if getattr(module, COMPILED, None) is not None]


@pytest.mark.parametrize("name", TRAINED)
def test_every_method_has_parts_to_compile_and_none_is_run_on_a_part_of_images(name: str) -> None:
    kind = method_class(name).backbone_kinds[0]
    method = build_method(method_class(name), SMALL[kind], {"blocks": 1} if name == "data2vec" else {})
    parts = compilable(method)
    assert parts and len({id(part) for part in parts}) == len(parts)
    assert not any(isinstance(part, SparseEncoder) for part in parts)
    blocks = getattr(method.backbone.net, "blocks", None)
    assert (method.backbone.net in parts) == (kind == "cnn")
    assert blocks is None or all(any(block is part for part in parts) for block in blocks)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["byol", "cnn_jepa", "simclr"])
def test_a_compiled_step_is_the_same_step(make_training: Any, name: str) -> None:
    small = {"backbone": {"name": "resnet18", "stem": "small", "width": 8}}
    plain, compiled = make_training(name, **small), make_training(name, **small)
    keys = list(compiled.method.state_dict())
    accelerate(compiled.method, COMPILE, backend="aot_eager")
    assert _compiled(compiled.method) and list(compiled.method.state_dict()) == keys
    for step in range(2):
        plain.step = compiled.step = step
        expected, loss = (run_step(training, 0.3)[0] for training in (plain, compiled))
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    for path, value in plain.method.state_dict().items():
        torch.testing.assert_close(compiled.method.state_dict()[path], value, rtol=1e-3, atol=2e-3, msg=path)


def test_evaluation_and_counters_run_what_is_not_compiled(make_training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def compile(function: Any, **options: Any) -> Any:
        assert options == {"mode": "reduce-overhead", "backend": "inductor", "dynamic": False}
        return lambda *arguments: calls.append(True) or function(*arguments)

    monkeypatch.setattr(acceleration.torch, "compile", compile)
    training = make_training("simclr", acceleration={"networks": "graphs"})
    method, images = training.method, torch.randn(4, 3, 32, 32)
    method.train()
    method.backbone.features(images)
    assert len(calls) == 1
    method.eval()
    method.backbone.features(images)
    assert len(calls) == 1
    with uncompiled(method):
        assert not _compiled(method.train())
    assert _compiled(method)
    counted = flops_per_step(training)
    assert len(calls) == 1 and counted == flops_per_step(make_training("simclr")) > 0


def test_the_parts_of_a_step_are_told_apart_although_they_are_compiled(make_training: Any) -> None:
    training = make_training("byol")
    accelerate(training.method, COMPILE, backend="eager")
    before = [getattr(module, COMPILED) for module in _compiled(training.method)]
    run_step(training, 0.5)  # compiles
    parts = breakdown(training, 1)["parts"]
    assert all(parts[part] > 0 for part in ("encoder", "target_encoder", "head", "backward"))
    assert [getattr(module, COMPILED) for module in _compiled(training.method)] == before


def test_every_network_of_a_process_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch's own limit the ninth head of a process, and all after it, would silently run as they are."""

    def call(width: int) -> None:
        method = build_method(method_class("simclr"), SMALL["cnn"], {"projector_hidden": width})
        accelerate(method, COMPILE, backend="eager")
        method.projector(torch.randn(4, 64))

    torch._dynamo.utils.counters.clear()
    with torch._dynamo.config.patch(recompile_limit=8, fail_on_recompile_limit_hit=False):
        for width in range(1, 13):
            call(width)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 12
        monkeypatch.setattr(acceleration, "_PROGRAMS", 12)
        torch._dynamo.config.recompile_limit = 12
        with pytest.raises(Exception, match="recompile_limit"):
            call(13)


@pytest.mark.parametrize(("networks", "padded"), [("compiled", False), ("graphs", True)])
def test_graphs_pad_the_targets_of_ijepa(networks: Any, padded: bool) -> None:
    method = build_method(method_class("ijepa"), SMALL["vit"], {})
    accelerate(method, AccelerationSpec(networks=networks), backend="eager")
    assert vars(method)["pad_targets"] == padded


@pytest.mark.parametrize("name", ["cnn_jepa", "spark"])
def test_kernels_of_the_sparse_encoder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = build_method(method_class(name), SMALL["cnn"], {"projection_dim": 8} if name == "cnn_jepa" else {})
    encoders = [part for parts in method.forward_parts().values() for part in parts if isinstance(part, SparseEncoder)]
    assert len(encoders) == (2 if name == "cnn_jepa" else 1)
    with pytest.raises(UserError, match=r"acceleration.sparse: kernels are 'triton', which"):
        accelerate(method, AccelerationSpec(sparse="triton"))
    monkeypatch.setattr(acceleration, "check_kernels", lambda kernels, device: None)
    accelerate(method, AccelerationSpec(sparse="triton"))
    assert [encoder.kernels for encoder in encoders] == ["triton"] * len(encoders)


def test_a_step_of_graphs_says_that_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(True))
    begin_step(COMPILE)
    assert not begun
    begin_step(AccelerationSpec(networks="graphs"))
    assert begun == [True]
