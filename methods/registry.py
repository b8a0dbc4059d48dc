"""The methods by name: ours, and those of installed packages (entry points of group `cnn_jepa_bench.methods`)."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from methods.config import MethodConfig, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from methods.base import Method

GROUP = "cnn_jepa_bench.methods"

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
    others = sorted({point.name for point in entry_points(group=GROUP)} - set(_OURS))
    return (*_OURS, *others)


def method_class(name: str) -> type[Method[Any]]:
    """The class of a method.

    Raises:
        ValueError: there is no such method (the nearest is named), several packages bring it, or the one that does
            cannot be loaded or brings something else.
    """
    points = list(entry_points(group=GROUP, name=name))
    if name in _OURS and not points:
        module, attribute = _OURS[name].split(":")
        found: type[Method[Any]] = getattr(import_module(module), attribute)
        return found
    if not points:
        raise ValueError(f"unknown method '{name}'; {nearest(name, method_names())}")
    packages = sorted(_package(point) for point in points)
    if name in _OURS or len(points) > 1:
        who = ["this suite itself", *packages] if name in _OURS else packages
        raise ValueError(
            f"method '{name}' is brought by {' and by '.join(who)}; uninstall one of them, or register it under "
            f"another name (group {GROUP})"
        )
    return _load(points[0])


def package_of(name: str) -> str | None:
    """The installed package that brings a method; None for ours."""
    for point in entry_points(group=GROUP, name=name):
        return point.dist.name if point.dist else None
    return None


def _load(point: EntryPoint) -> type[Method[Any]]:
    where = f"method '{point.name}' of package {_package(point)}"
    try:
        loaded = point.load()
    except Exception as error:  # whatever a stranger's module does when it is imported
        raise ValueError(
            f"{where} cannot be loaded: importing {point.value} gave {type(error).__name__}: {error}"
        ) from error
    if problem := _problem(loaded, point.name):
        raise ValueError(f"{where}: {point.value} {problem}")
    found: type[Method[Any]] = loaded
    return found


def _problem(loaded: Any, name: str) -> str | None:
    """Why something that was loaded cannot serve as a method of this name; None where it can."""
    from methods.base import Method

    if not (inspect.isclass(loaded) and issubclass(loaded, Method)):
        return f"is {_kind(loaded)}; expected a subclass of methods.base.Method"
    if inspect.isabstract(loaded):
        return f"does not define {', '.join(sorted(loaded.__abstractmethods__))}"
    if getattr(loaded, "name", None) != name:
        return f"has the name {getattr(loaded, 'name', None)!r}; expected '{name}', as it is registered"
    config = getattr(loaded, "config_class", None)
    if not (inspect.isclass(config) and issubclass(config, MethodConfig)):
        return f"has the config_class {_kind(config)}; expected a subclass of methods.config.MethodConfig"
    return None


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if inspect.isclass(value) else repr(value)


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
