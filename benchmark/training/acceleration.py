"""Applies an experiment's `acceleration` to a method: compiled networks, CUDA graphs, kernels of the sparse encoder."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmark.errors import UserError
from cnn_jepa.blocks.gather import check_kernels
from cnn_jepa.masked_dense import MaskedDenseEncoder
from cnn_jepa.sparse import SparseEncoder
from methods.backbones import CNN, Backbone
from methods.ijepa import IJEPA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.experiment.acceleration_spec import AccelerationSpec
    from methods.base import Method

COMPILED = "_compiled_call_impl"
"""What `Module.compile` sets: the call of a module. Its state, and copies of the module, know nothing of it."""
_MODES = {"compiled": "default", "graphs": "reduce-overhead"}
_PROGRAMS = 64  # of all methods of a process; torch counts together what shares a function, such as all heads


def accelerate(method: Method[Any], spec: AccelerationSpec, backend: str = "inductor") -> None:
    """Makes a method run as its experiment asks; parameters and the keys of its state stay the same.

    Args:
        backend: of `torch.compile`.

    Raises:
        UserError: the sparse encoder's kernels cannot run on the method's device.
    """
    for encoder in _sparse_encoders(method):
        try:
            check_kernels(spec.sparse, next(method.parameters()).device)
        except ValueError as error:
            raise UserError(f"acceleration.sparse: {error}") from None
        encoder.kernels = spec.sparse
    if spec.networks != "eager":
        _expect_programs()
        if isinstance(method, IJEPA):
            method.pad_targets = spec.networks == "graphs"
        mode = _MODES[spec.networks] if backend == "inductor" else None
        cnns = {id(module.net) for module in method.modules() if isinstance(module, CNN)}
        for module in compilable(method):
            # Views have few sizes, and graphs need fixed ones; the number of tokens may change with every mask.
            fixed = spec.networks == "graphs" or id(module) in cnns
            _compile(module, mode=mode, backend=backend, dynamic=False if fixed else None)


def _expect_programs() -> None:
    """Lets torch compile as many programs as there are; beyond that it says so instead of running what is not compiled.

    torch's own limit of 8 is for shapes of one network. Past it, networks would silently run as if nothing were asked.
    """
    settings: Any = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, _PROGRAMS)
    settings.fail_on_recompile_limit_hit = True


def _sparse_encoders(method: Method[Any]) -> list[SparseEncoder]:
    parts = [module for part in method.forward_parts().values() for module in part]
    return [module for module in parts if isinstance(module, SparseEncoder)]


def begin_step(spec: AccelerationSpec) -> None:
    """Says that a step begins: what CUDA graphs returned in the one before is no longer read."""
    if spec.networks == "graphs":
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


@contextmanager
def uncompiled(method: Method[Any]) -> Iterator[None]:
    """Runs a method's modules as they are, whatever was compiled: for counters of operations, which see only these."""
    compiled = [(module, call) for module in method.modules() if (call := getattr(module, COMPILED, None)) is not None]
    try:
        for module, _ in compiled:
            setattr(module, COMPILED, None)
        yield
    finally:
        for module, call in compiled:
            setattr(module, COMPILED, call)


def compilable(method: Method[Any]) -> list[nn.Module]:
    """The modules of a method that are called with tensors of one shape alone: networks of CNNs, blocks of ViTs, heads.

    Encoders that run on a part of the images are left out.
    """
    modules: list[nn.Module] = []
    backbones = [module for module in method.modules() if isinstance(module, Backbone)]
    for backbone in backbones:
        modules += [backbone.net] if isinstance(backbone, CNN) else [*getattr(backbone.net, "blocks", ())]
    networks = {id(backbone.net) for backbone in backbones}
    for part in method.forward_parts().values():
        for module in part:
            known = isinstance(module, Backbone | SparseEncoder | MaskedDenseEncoder) or id(module) in networks
            modules += [] if known else [module]
    return list({id(module): module for module in modules}.values())


def _compile(module: nn.Module, **options: Any) -> None:
    """Compiles a module's call in place, for training alone: in evaluation mode it runs as before."""
    plain: Callable[..., Any] = module._call_impl
    compiled = torch.compile(plain, **options)

    def call(*arguments: Any, **options: Any) -> Any:
        return (compiled if module.training else plain)(*arguments, **options)

    setattr(module, COMPILED, call)
