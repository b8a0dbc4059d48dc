"""Traces a CNN into a list of operations, which encoders run on the visible part of images.

The network is traced once with torch.fx. Encoders walk over the steps and pass what they need as arguments, so that no
module keeps the state of a forward pass. An operation that mixes positions of different cells in an unknown way is
refused by name.
"""

from __future__ import annotations

import itertools
import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cnn_jepa.narrow import NarrowConv2d
from cnn_jepa.program import Program, Reach, Ref, Step, mutates, run
from cnn_jepa.reach import POOLS, find_reach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Layers that keep zeros zero, and all layers that work on each position alone.
_KEEP_ZERO = (
    nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Hardswish, nn.Mish, nn.Tanh, nn.Identity, nn.Dropout,
)  # fmt: skip
_POINTWISE = (*_KEEP_ZERO, nn.Sigmoid, nn.Softplus, nn.Hardsigmoid)
# SyncBatchNorm takes its statistics over all processes of a group.
BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)
# Layers on maps `(B, C, H, W)`, and layers on the last axis of `(B, H, W, C)`.
_CHANNELS_FIRST = (nn.Conv2d, NarrowConv2d, *POOLS, *BATCH_NORMS)
_CHANNELS_LAST = (nn.LayerNorm, nn.Linear)
_LAYERS = (*_POINTWISE, *_CHANNELS_FIRST, *_CHANNELS_LAST)

# Methods that define what a layer computes, and hooks that may change it from outside.
_COMPUTING = ("forward", "__call__", "_conv_forward")
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")

_ACTIVATIONS: set[Callable[..., Any]] = {
    F.relu, F.gelu, F.silu, F.leaky_relu, F.elu, F.hardswish, F.relu6, F.mish, torch.relu, torch.tanh,
}  # fmt: skip
_SUMS: set[Callable[..., Any]] = {operator.add, operator.iadd, torch.add}
_PRODUCTS: set[Callable[..., Any]] = {operator.mul, operator.imul, torch.mul}
_METHODS = {"add": _SUMS, "add_": _SUMS, "mul": _PRODUCTS, "mul_": _PRODUCTS}
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def trace(network: nn.Module, patch_size: int, stages: Sequence[str] = ()) -> Program:
    """Traces a network into its operations in order.

    Args:
        network: maps images to their last feature map.
        patch_size: side in pixels of the square that a cell of the mask covers.
        stages: paths of the modules whose maps are wanted beside the result.

    Raises:
        ValueError: an operation cannot run on a part of an image (it is named), the patch size does not fit, or a stage
            gives no map.
    """
    name = type(network).__name__
    try:
        training, evaluating = (_graph(network, training=mode) for mode in (True, False))
    except Exception as error:
        raise ValueError(f"{name} cannot be traced: {error}") from error
    for node, other in itertools.zip_longest(training.nodes, evaluating.nodes):
        if node is None or other is None or _signature(node) != _signature(other):
            where = _describe(node or other)
            raise ValueError(f"{name}: does something else in training than in evaluation, {where}")
    reader = _Reader(network)
    for node in training.nodes:
        try:
            problem = reader.read(node)
        except (AttributeError, IndexError, KeyError, TypeError, RuntimeError) as error:
            problem = f"{_describe(node)} cannot be interpreted ({error})"
        if problem:
            raise ValueError(f"{name}: {problem}")
    strides = [step.stride for step in reader.steps if step.stride is not None]
    if patch_size < 1 or patch_size % max(strides):
        raise ValueError(f"patch_size is {patch_size}; {name} needs a multiple of its total stride, {max(strides)}")
    numbers = tuple(reader.end_of(stage) for stage in stages)
    return Program(_with_ends(reader.steps, numbers), numbers)


def _graph(network: nn.Module, *, training: bool) -> fx.Graph:
    """The network's graph in one of its modes; every module keeps its own mode."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.train(training)
        return _Tracer().trace(network)
    finally:
        for module, mode in modes:
            module.training = mode


def _signature(node: fx.Node) -> tuple[Any, ...]:
    return node.op, node.target, str(node.args), str(node.kwargs)


def _describe(node: fx.Node) -> str:
    """A node's kind and target, and the module that it is in."""
    within = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    where = f" in '{within[-1]}'" if within and within[-1] and within[-1] != node.target else ""
    return f"{node.op.removeprefix('call_')} '{getattr(node.target, '__name__', node.target)}'{where}"


def _is_layer(module: nn.Module) -> bool:
    """Whether a module is a known layer, and no subclass that computes something else, like timm's BatchNormAct2d."""
    known = (kind for kind in _LAYERS if isinstance(module, kind))
    return "forward" not in vars(module) and any(
        all(getattr(type(module), name, None) is getattr(kind, name, None) for name in _COMPUTING) for kind in known
    )


def _has_hooks(module: nn.Module) -> bool:
    return any(getattr(module, name) for name in _HOOKS)


class _Tracer(fx.Tracer):
    """Treats every known layer as one operation, whatever library it comes from.

    Layer norms with a forward pass of their own are traced through: those for channels first exchange axes and call
    torch's. Other subclasses stay whole, so that they are refused by their own name.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, _LAYERS):
            return _is_layer(m) or not isinstance(m, nn.LayerNorm)
        return super().is_leaf_module(m, module_qualified_name)


class _Reader:
    """Turns nodes into steps, and reports those that do not keep blocks apart."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.steps: list[Step] = []
        self._number: dict[fx.Node, int] = {}
        self._ends: dict[str, int] = {}

    def read(self, node: fx.Node) -> str | None:
        """Adds the node; returns what is wrong with it, if anything."""
        if node.op == "output":
            return self._check_output(node)
        if node.op == "placeholder":
            if self.steps:
                return f"a second input, '{node.target}', cannot be cut into blocks"
            step: Step | str = Step("input", node.target, (), {}, stride=1)
        else:
            kind = node.op.removeprefix("call_").replace("get_attr", "attribute")
            # Any, because torch's signature expects nodes back.
            to_ref: Any = lambda n: Ref(self._number[n])  # noqa: E731
            args: Any = fx.node.map_arg(node.args, to_ref)
            kwargs: Any = fx.node.map_arg(dict(node.kwargs), to_ref)
            step = self._shape(Step(kind, node.target, tuple(args), dict(kwargs)))
        if isinstance(step, str):
            return step
        self._number[node] = len(self.steps)
        self._ends |= {path: len(self.steps) for path, _ in (node.meta.get("nn_module_stack") or {}).values()}
        self.steps.append(step)
        return None

    def end_of(self, module: str) -> int:
        """The step that makes a module's value.

        Raises:
            ValueError: the network has no such module, or its value is no map, or is changed later.
        """
        name = f"stage '{module}' of {type(self.network).__name__}"
        number = self._ends.get(module)
        if number is None or number >= len(self.steps):
            raise ValueError(f"{name}: no module of this name is called")
        if self.steps[number].stride is None or self.steps[number].channels_last:
            raise ValueError(f"{name}: its value is no map (B, C, h, w)")
        shared = {number}  # steps whose value lies in the same memory
        for later, step in enumerate(self.steps[number + 1 :], number + 1):
            if not step.args or not isinstance(step.args[0], Ref) or step.args[0].step not in shared:
                continue
            if mutates(self.network, step):
                raise ValueError(f"{name}: '{step.target}' changes its value in place")
            if self._is_view(step):
                shared.add(later)
        return number

    def _is_view(self, step: Step) -> bool:
        """Whether a step's value may lie in the memory of its input: layers that do nothing, other orders of axes."""
        if step.kind == "module":
            return isinstance(self.network.get_submodule(step.target), (nn.Identity, nn.Dropout))
        return step.kind == "method" and step.target not in _METHODS

    def _check_output(self, node: fx.Node) -> str | None:
        result = node.args[0]
        if not isinstance(result, fx.Node) or self.steps[self._number[result]].stride is None:
            return "expected one feature map as its result"
        last = self._number[result]
        if self.steps[last].channels_last:
            return "its result has its channels last; expected (B, C, h, w)"
        for step in self.steps[last + 1 :]:
            if mutates(self.network, step):
                return f"'{step.target}' changes its result in place, behind the operation that makes it"
        del self.steps[last + 1 :]
        return None

    def _maps(self, step: Step) -> list[Step]:
        """The arguments that are maps."""
        inputs: list[Step] = []
        fx.node.map_aggregate(
            (step.args, step.kwargs), lambda a: inputs.append(self.steps[a.step]) if isinstance(a, Ref) else None
        )
        return [other for other in inputs if other.stride is not None]

    def _shape(self, step: Step) -> Step | str:
        """The step with the resolution and layout of its value, or what is wrong with it."""
        maps = self._maps(step)
        if not maps:
            return step  # an attribute, or computed from attributes only
        first = maps[0]
        step = replace(step, stride=first.stride, channels_last=first.channels_last, read_stride=first.stride or 1)
        if step.kind == "module":
            return self._shape_layer(step)
        if step.kind == "method":
            return self._shape_method(step)
        name = getattr(step.target, "__name__", str(step.target))
        if step.target in _ACTIVATIONS:
            return step
        if step.target is F.layer_norm:
            return replace(step, keeps_zero=False) if step.channels_last else _axis_problem(f"function '{name}'")
        if step.target in _SUMS or step.target in _PRODUCTS:
            return self._shape_pair(step, f"function '{name}'", step.target in _SUMS)
        return f"function '{name}' cannot run on a part of an image"

    def _shape_layer(self, step: Step) -> Step | str:
        module = self.network.get_submodule(step.target)
        name = f"module '{step.target}' ({type(module).__name__})"
        if not _is_layer(module):
            return f"{name} cannot run on a part of an image"
        if _has_hooks(module):
            return f"{name} has hooks (weight or spectral norm, pruning, ...), which would not be called"
        if isinstance(module, _CHANNELS_FIRST) and step.channels_last:
            return _axis_problem(name)
        if isinstance(module, _CHANNELS_LAST) and not step.channels_last:
            return _axis_problem(name)
        if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) != 1:
            return f"{name} normalises over positions, which a part of an image does not have"
        if isinstance(module, _POINTWISE):
            return replace(step, keeps_zero=isinstance(module, _KEEP_ZERO))
        if not isinstance(module, (nn.Conv2d, *POOLS)):
            return replace(step, keeps_zero=False)
        reach = find_reach(module)
        if isinstance(reach, str):
            return f"{name} {reach}"
        return replace(step, keeps_zero=False, reach=reach, stride=(step.stride or 1) * reach.stride)

    def _shape_method(self, step: Step) -> Step | str:
        if step.target == "contiguous":
            return step
        if step.target == "permute":
            axes = step.args[1] if isinstance(step.args[1], (tuple, list)) else step.args[1:]
            if tuple(axes) == (_TO_FIRST if step.channels_last else _TO_LAST):
                return replace(step, channels_last=not step.channels_last)
        if step.target in _METHODS:
            return self._shape_pair(step, f"tensor method '{step.target}'", _METHODS[step.target] is _SUMS)
        return f"tensor method '{step.target}' cannot run on a part of an image"

    def _shape_pair(self, step: Step, name: str, is_sum: bool) -> Step | str:
        """A sum or product of two maps, or of a map and something that is the same at all positions."""
        maps = self._maps(step)
        if len(maps) == 2:
            same = maps[0].stride == maps[1].stride and maps[0].channels_last == maps[1].channels_last
            return step if same else f"{name} joins two maps of different resolution or layout"
        for other in step.args[:2]:
            value = self._constant(other) if isinstance(other, Ref) else None
            if isinstance(value, Tensor):
                padded = (1,) * (4 - value.ndim) + tuple(value.shape)
                if padded[:3] != (1, 1, 1) if step.channels_last else padded[2:] != (1, 1):
                    return f"{name} adds or multiplies something that differs between positions, {tuple(value.shape)}"
        return replace(step, keeps_zero=not is_sum)

    def _constant(self, ref: Ref) -> Any:
        """The value of a step that does not depend on the images."""
        step = self.steps[ref.step]
        if step.stride is not None or step.kind == "input":
            return None
        values = [None] * ref.step
        for other in (*step.args, *step.kwargs.values()):
            if isinstance(other, Ref):
                values[other.step] = self._constant(other)
        with torch.no_grad():
            return run(self.network, step, values)


def _axis_problem(name: str) -> str:
    return f"{name} works on another axis than the channels here"


def conv_reach(module: nn.Module) -> Reach:
    """What a convolution or pooling reads.

    Raises:
        ValueError: it does not keep blocks apart.
    """
    reach = find_reach(module)
    if isinstance(reach, str):
        raise ValueError(f"{type(module).__name__} {reach}")
    return reach


def _with_ends(steps: list[Step], kept: Sequence[int]) -> tuple[Step, ...]:
    """Notes at each step the values that are not needed after it; those of `kept` are needed to the end."""
    last: dict[int, int] = {}
    for number, step in enumerate(steps):
        for a in (*step.args, *step.kwargs.values()):
            if isinstance(a, Ref):
                last[a.step] = number
    ends: dict[int, list[int]] = {}
    for value, number in last.items():
        if value in kept:
            continue
        ends.setdefault(number, []).append(value)
    return tuple(replace(step, done=tuple(ends.get(number, ()))) for number, step in enumerate(steps))
