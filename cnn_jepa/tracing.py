"""A CNN as a list of operations, so that it can be run by other rules than its own.

The network is traced once with torch.fx; who runs it walks over the nodes with whatever it needs as an argument. No
state of a forward pass is kept in a module.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import fx, nn

if TYPE_CHECKING:
    from collections.abc import Callable

POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Hardswish, nn.Identity, nn.Dropout, nn.Linear,
)  # fmt: skip
SPATIAL = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_NORMS = (nn.BatchNorm2d, nn.LayerNorm)
_ACTIVATIONS: set[Callable[..., Any]] = {F.relu, F.gelu, F.silu, F.leaky_relu, F.elu, F.hardswish, F.relu6, torch.relu}
_FUNCTIONS: set[Callable[..., Any]] = {operator.add, operator.iadd, operator.mul, torch.add, torch.mul, *_ACTIVATIONS}
_METHODS = {"add", "add_", "mul", "mul_", "permute", "reshape", "view", "contiguous"}


class _Tracer(fx.Tracer):
    """Stops at every layer that is an operation, whatever library it comes from."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*POINTWISE, *SPATIAL, *_NORMS)) or super().is_leaf_module(m, module_qualified_name)


def trace(network: nn.Module) -> fx.Graph:
    """The network's operations in order.

    Raises:
        ValueError: names the first operation that cannot be run on a part of an image.
    """
    try:
        graph = _Tracer().trace(network)
    except Exception as error:
        raise ValueError(f"{type(network).__name__} cannot be traced: {error}") from error
    for node in graph.nodes:
        problem = _problem(network, node)
        if problem:
            raise ValueError(f"{type(network).__name__}: {problem} cannot run on a part of an image")
    return graph


def _problem(network: nn.Module, node: fx.Node) -> str | None:
    if node.op == "call_module":
        module = network.get_submodule(str(node.target))
        name = type(module).__name__
        return None if isinstance(module, (*POINTWISE, *SPATIAL, *_NORMS)) else f"module '{node.target}' ({name})"
    if node.op == "call_function" and node.target not in _FUNCTIONS:
        return f"function '{getattr(node.target, '__name__', node.target)}'"
    if node.op == "call_method" and node.target not in _METHODS:
        return f"tensor method '{node.target}'"
    return None
