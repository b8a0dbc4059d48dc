"""A network as a list of steps, and how to run a step.

A value that depends on the images is a map, aligned with the cells of the mask: each cell covers a square block of
positions, and an operation of stride s divides the side of the blocks by s.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Reach:
    """What a convolution or pooling reads, per axis; `padding` is that before the first position."""

    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int]
    dilation: tuple[int, int]

    def after(self, axis: int) -> int:
        """Positions read after a block's last one; negative if the last one itself is not read."""
        return (self.kernel[axis] - 1) * self.dilation[axis] - self.stride - self.padding[axis] + 1

    @property
    def is_local(self) -> bool:
        """Whether no position outside the block is read."""
        return self.padding == (0, 0) and self.after(0) <= 0 and self.after(1) <= 0


@dataclass(frozen=True)
class Ref:
    """An argument that is the value of an earlier step."""

    step: int


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        kind: `module`, `function`, `method` or `attribute`.
        target: the module's or attribute's path, the function, the method's name.
        args: its arguments; tensors as references.
        kwargs: its named arguments, likewise.
        stride: pixels per position of its value; None if the value does not depend on the images.
        channels_last: whether its value is `(B, H, W, C)`.
        reach: what it reads, if it is a convolution or pooling.
        read_stride: pixels per position of what it reads.
        keeps_zero: masked positions that are zero stay so.
        done: steps whose values are not needed after this one.
    """

    kind: str
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    stride: int | None = None
    channels_last: bool = False
    reach: Reach | None = None
    read_stride: int = 1
    keeps_zero: bool = True
    done: tuple[int, ...] = field(default=())


@dataclass(frozen=True)
class Program:
    """A network's steps; the first is the images, the last its result.

    `stages`: the steps whose values are the maps of the stages that were asked for.
    """

    steps: tuple[Step, ...]
    stages: tuple[int, ...] = ()

    @property
    def stride(self) -> int:
        """Pixels per position of the result."""
        return self.steps[-1].stride or 1

    @property
    def last(self) -> int:
        """The number of the step that makes the result."""
        return len(self.steps) - 1


def adopt(module: nn.Module, network: nn.Module) -> None:
    """Registers a network's layers as the module's own, under the same names."""
    for name, child in network.named_children():
        module.add_module(name, child)
    for name, parameter in network.named_parameters(recurse=False):
        module.register_parameter(name, parameter)
    for name, buffer in network.named_buffers(recurse=False):
        module.register_buffer(name, buffer, persistent=name not in network._non_persistent_buffers_set)


def fetch(module: nn.Module, path: str) -> Any:
    """The layer, parameter or buffer at a dotted path."""
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


def mutates(network: nn.Module, step: Step) -> bool:
    """Whether a step writes to its input."""
    if step.kind == "module":
        return bool(getattr(fetch(network, step.target), "inplace", False))
    in_place = step.target in (operator.iadd, operator.imul) or bool(step.kwargs.get("inplace"))
    return in_place or (step.kind == "method" and step.target.endswith("_"))


def run(network: nn.Module, step: Step, values: list[Any]) -> Any:
    """Runs a step as the network itself would, given the values of the steps before it."""
    args, kwargs = arguments(step, values)
    if step.kind == "attribute":
        return fetch(network, step.target)
    if step.kind == "module":
        return fetch(network, step.target)(*args, **kwargs)
    if step.kind == "method":
        return getattr(args[0], step.target)(*args[1:], **kwargs)
    return step.target(*args, **kwargs)


def arguments(step: Step, values: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The step's arguments, with the values they refer to."""
    args = [values[a.step] if isinstance(a, Ref) else a for a in step.args]
    kwargs = {key: values[a.step] if isinstance(a, Ref) else a for key, a in step.kwargs.items()}
    return args, kwargs
