"""The methods by name: ours, and those of installed packages (entry points of group `cnn_jepa_bench.methods`)."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from methods.config import nearest

if TYPE_CHECKING:
    from methods.base import Method

_OURS = {
    "cnn_jepa": "methods.cnn_jepa:CNNJEPAMethod",
    "ijepa": "methods.ijepa:IJEPA",
    "byol": "methods.byol:BYOL",
    "simclr": "methods.simclr:SimCLR",
    "vicreg": "methods.vicreg:VICReg",
    "supervised": "methods.supervised:Supervised",
    "random_init": "methods.random_init:RandomInit",
}


def method_names() -> tuple[str, ...]:
    """All known methods, ours first."""
    others = sorted(point.name for point in entry_points(group="cnn_jepa_bench.methods") if point.name not in _OURS)
    return (*_OURS, *others)


def method_class(name: str) -> type[Method[Any]]:
    """The class of a method.

    Raises:
        ValueError: there is no such method; the nearest is named.
    """
    if name in _OURS:
        module, attribute = _OURS[name].split(":")
        found: type[Method[Any]] = getattr(import_module(module), attribute)
        return found
    for point in entry_points(group="cnn_jepa_bench.methods"):
        if point.name == name:
            plugged: type[Method[Any]] = point.load()
            return plugged
    raise ValueError(f"unknown method '{name}'; {nearest(name, method_names())}")
