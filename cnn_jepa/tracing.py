"""A CNN as a list of operations, so that it can be run by other rules than its own.

The network is traced once with torch.fx. Who runs it walks over the steps with whatever it needs as an argument; no
state of a forward pass is kept in a module. What would mix positions of different cells in a way that cannot be
followed is refused by name.
"""

from __future__ import annotations

import itertools
import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cnn_jepa.program import Program, Reach, Ref, Step, mutates, run

if TYPE_CHECKING:
    from collections.abc import Callable

# Layers that leave zeros zero, and those that need not.
_KEEP_ZERO = (
    nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Hardswish, nn.Mish, nn.Tanh, nn.Identity, nn.Dropout,
)  # fmt: skip
_POINTWISE = (*_KEEP_ZERO, nn.Sigmoid, nn.Softplus, nn.Hardsigmoid)
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
# The second takes its statistics over all processes of a group.
BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)
# What acts on positions `(B, C, H, W)`, and what on the last axis of `(B, H, W, C)`.
_CHANNELS_FIRST = (nn.Conv2d, *_POOLS, *BATCH_NORMS)
_CHANNELS_LAST = (nn.LayerNorm, nn.Linear)
_LAYERS = (*_POINTWISE, *_CHANNELS_FIRST, *_CHANNELS_LAST)

# What a layer computes by, and what may change that from outside.
_COMPUTING = ("forward", "__call__", "_conv_forward")
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")

_ACTIVATIONS: set[Callable[..., Any]] = {
    F.relu, F.gelu, F.silu, F.leaky_relu, F.elu, F.hardswish, F.relu6, F.mish, torch.relu, torch.tanh,
}  # fmt: skip
_SUMS: set[Callable[..., Any]] = {operator.add, operator.iadd, torch.add}
_PRODUCTS: set[Callable[..., Any]] = {operator.mul, operator.imul, torch.mul}
_METHODS = {"add": _SUMS, "add_": _SUMS, "mul": _PRODUCTS, "mul_": _PRODUCTS}
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def trace(network: nn.Module, patch_size: int) -> Program:
    """The network's operations in order.

    Args:
        network: maps images to their last feature map.
        patch_size: side in pixels of the square that a cell of the mask covers.

    Raises:
        ValueError: names the first operation that cannot be run on a part of an image, or says which patch size fits.
    """
    name = type(network).__name__
    try:
        training, evaluating = (_graph(network, training=mode) for mode in (True, False))
    except Exception as error:
        raise ValueError(f"{name} cannot be traced: {error}") from error
    for node, other in itertools.zip_longest(training.nodes, evaluating.nodes):
        if node is None or other is None or _told(node) != _told(other):
            where = _place(node or other)
            raise ValueError(f"{name}: does something else in training than in evaluation, {where}")
    reader = _Reader(network)
    for node in training.nodes:
        try:
            problem = reader.read(node)
        except (AttributeError, IndexError, KeyError, TypeError, RuntimeError) as error:
            problem = f"{_place(node)} cannot be followed ({error})"
        if problem:
            raise ValueError(f"{name}: {problem}")
    strides = [step.stride for step in reader.steps if step.stride is not None]
    if patch_size < 1 or patch_size % max(strides):
        raise ValueError(f"patch_size is {patch_size}; {name} needs a multiple of its total stride, {max(strides)}")
    return Program(_with_ends(reader.steps))


def _graph(network: nn.Module, *, training: bool) -> fx.Graph:
    """The network's graph in one of its modes; every module's own mode is left as it was."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.train(training)
        return _Tracer().trace(network)
    finally:
        for module, mode in modes:
            module.training = mode


def _told(node: fx.Node) -> tuple[Any, ...]:
    return node.op, node.target, str(node.args), str(node.kwargs)


def _place(node: fx.Node) -> str:
    """What a node is, and in which module it stands."""
    within = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    where = f" in '{within[-1]}'" if within and within[-1] and within[-1] != node.target else ""
    return f"{node.op.removeprefix('call_')} '{getattr(node.target, '__name__', node.target)}'{where}"


def _is_layer(module: nn.Module) -> bool:
    """A layer we know, and not a subclass that computes something else, like timm's BatchNormAct2d."""
    known = (kind for kind in _LAYERS if isinstance(module, kind))
    return "forward" not in vars(module) and any(
        all(getattr(type(module), name, None) is getattr(kind, name, None) for name in _COMPUTING) for kind in known
    )


def _has_hooks(module: nn.Module) -> bool:
    return any(getattr(module, name) for name in _HOOKS)


class _Tracer(fx.Tracer):
    """Stops at every layer that is an operation, whatever library it comes from.

    Layer norms that redefine their forward pass are looked into: for channels first they exchange axes and call
    torch's. Other subclasses are left whole, to be refused by their own name.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, _LAYERS):
            return _is_layer(m) or not isinstance(m, nn.LayerNorm)
        return super().is_leaf_module(m, module_qualified_name)


class _Reader:
    """Turns nodes into steps, refusing what does not keep blocks apart."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.steps: list[Step] = []
        self._number: dict[fx.Node, int] = {}

    def read(self, node: fx.Node) -> str | None:
        """Adds the node; what is wrong with it, if anything."""
        if node.op == "output":
            return self._check_output(node)
        if node.op == "placeholder":
            if self.steps:
                return f"a second input, '{node.target}', cannot be cut into blocks"
            step: Step | str = Step("input", node.target, (), {}, stride=1)
        else:
            kind = node.op.removeprefix("call_").replace("get_attr", "attribute")
            # Typed loosely: torch's signature wants nodes back.
            to_ref: Any = lambda n: Ref(self._number[n])  # noqa: E731
            args: Any = fx.node.map_arg(node.args, to_ref)
            kwargs: Any = fx.node.map_arg(dict(node.kwargs), to_ref)
            step = self._shape(Step(kind, node.target, tuple(args), dict(kwargs)))
        if isinstance(step, str):
            return step
        self._number[node] = len(self.steps)
        self.steps.append(step)
        return None

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
        given: list[Step] = []
        fx.node.map_aggregate(
            (step.args, step.kwargs), lambda a: given.append(self.steps[a.step]) if isinstance(a, Ref) else None
        )
        return [other for other in given if other.stride is not None]

    def _shape(self, step: Step) -> Step | str:
        """The step with what is known of its value, or what is wrong with it."""
        maps = self._maps(step)
        if not maps:
            return step  # an attribute, or what is made of attributes alone
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
        if not isinstance(module, (nn.Conv2d, *_POOLS)):
            return replace(step, keeps_zero=False)
        reach = _reach(module)
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
    reach = _reach(module)
    if isinstance(reach, str):
        raise ValueError(f"{type(module).__name__} {reach}")
    return reach


def _reach(module: nn.Module) -> Reach | str:
    """What a convolution or pooling reads, or what is wrong with it."""
    assert isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d))
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    dilation = (1, 1) if isinstance(module, nn.AvgPool2d) else _pair(module.dilation)
    if stride[0] != stride[1]:
        return f"has stride {stride}, which makes oblong blocks"
    if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
        return f"pads with '{module.padding_mode}', which reads other parts of the image"
    if isinstance(module, nn.MaxPool2d) and module.return_indices:
        return "returns indices, which a part of an image does not have"
    up = isinstance(module, _POOLS) and module.ceil_mode
    before, after = _padding(module.padding, kernel, dilation)
    for axis in range(2):
        excess = before[axis] + after[axis] - (kernel[axis] - 1) * dilation[axis] - 1
        extra = -(-excess // stride[0]) if up else excess // stride[0]
        if extra != -1:  # then H positions become H / stride for every H that the stride divides
            return (
                f"with kernel {kernel}, stride {stride}, padding {before} and dilation {dilation} does not divide the "
                "map's size by its stride, so that cells lose their blocks"
            )
    reach = Reach(kernel, stride[0], before, dilation)
    counts_padding = isinstance(module, nn.AvgPool2d) and module.count_include_pad and not module.divisor_override
    if up and counts_padding and any(reach.after(axis) > after[axis] for axis in range(2)):
        return "with ceil_mode divides by another number of positions at the image's edge, which a part does not know"
    return reach


def _padding(
    padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    if isinstance(padding, str):
        total = [(k - 1) * d if padding == "same" else 0 for k, d in zip(kernel, dilation, strict=True)]
        before = (total[0] // 2, total[1] // 2)
        return before, (total[0] - before[0], total[1] - before[1])
    return _pair(padding), _pair(padding)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _with_ends(steps: list[Step]) -> tuple[Step, ...]:
    """Notes after which step each value is not needed any more."""
    last: dict[int, int] = {}
    for number, step in enumerate(steps):
        for a in (*step.args, *step.kwargs.values()):
            if isinstance(a, Ref):
                last[a.step] = number
    ends: dict[int, list[int]] = {}
    for value, number in last.items():
        ends.setdefault(number, []).append(value)
    return tuple(replace(step, done=tuple(ends.get(number, ()))) for number, step in enumerate(steps))
