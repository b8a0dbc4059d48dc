"""Where a step would make the host wait for a GPU, found on a CPU; on a GPU torch itself says so.

Tensors that would be on the GPU (`on_device`) pass that on to whatever is computed from them. A wait is a value of such
a tensor that the host reads, a shape that depends on one, or a transfer that is not `non_blocking` (`torch.tensor` with
a device is one, too).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_READS = {
    *("item", "tolist", "numpy", "cpu", "nonzero", "masked_select", "unique", "equal", "allclose", "is_nonzero"),
    *("__bool__", "__float__", "__int__", "__index__", "bincount", "argwhere"),
}
_MADE = ("tensor", "as_tensor")  # on the CPU, and sent from there
_READING_OPERATIONS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero", "equal")


def on_device(tensors: Iterable[Tensor]) -> None:
    """Says that these would be on the GPU."""
    for tensor in tensors:
        tensor.on_gpu = True  # type: ignore[attr-defined]


class HostWaits(TorchFunctionMode):
    """Collects in `found` what would wait in code that draws on the CPU: a forward pass, views."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        there = any(_is_there(leaf) for leaf in tree_leaves((args, kwargs)))
        if name in _READS and there and name != "__get__":
            self.found.append(name)
        if name in ("__getitem__", "__setitem__") and any(_chooses(index) for index in tree_leaves(args[1])):
            self.found.append(f"{name} by a mask")
        if name in ("to", "cuda") and not there and _is_blocking(args[1:], kwargs):
            self.found.append("a transfer that is not non_blocking")
            there = True
        if name in _MADE and isinstance(kwargs.get("device"), torch.device) and not there:
            self.found.append(f"{name}, which sends values and waits")
        # Sent there, or made there.
        named = [*(args[1:] if name in ("to", "cuda") else ()), kwargs.get("device")]
        there = there or any(isinstance(each, torch.device) for each in named)
        result = func(*args, **kwargs)
        if there:
            on_device(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result


class ReadsOfValues(TorchDispatchMode):
    """Collects in `found` what would wait in code that draws nothing: a backward pass, an optimizer."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in _READING_OPERATIONS:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def without_waiting(device: str, *, draws: bool = True) -> Iterator[None]:
    """Fails where the code inside makes the host wait: on a GPU by torch's own check, on a CPU by the classes above."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return
    waits = HostWaits()
    if draws:
        with waits:
            yield
    else:
        with ReadsOfValues(waits.found):
            yield
    assert not waits.found, f"the host would wait for the device: {waits.found}"


def _is_there(value: Any) -> bool:
    return isinstance(value, Tensor) and getattr(value, "on_gpu", False)


def _chooses(index: Any) -> bool:
    return _is_there(index) and index.dtype in (torch.bool, torch.uint8)


def _is_blocking(arguments: Any, options: Any) -> bool:
    """Whether `Tensor.to` was asked for a device, and to wait for the copy."""
    targets = [*arguments, options.get("device")]
    return any(isinstance(each, torch.device) for each in targets) and not options.get("non_blocking", False)
