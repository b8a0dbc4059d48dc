"""The methods by name: ours, and those of installed packages (entry points of group `cnn_jepa_bench.methods`).

Importing this module does not import torch; `method_class` imports the method's own module, which does.
"""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from methods.config import MethodConfig, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from methods.base import Method

GROUP = "cnn_jepa_bench.methods"


# Each name is also its module's: the class in it, and the kinds of backbone that the class says it runs on.
_OURS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cnn_jepa": ("CNNJEPAMethod", ("cnn",)),
    "ijepa": ("IJEPA", ("vit",)),
    "byol": ("BYOL", ("cnn", "vit")),
    "simclr": ("SimCLR", ("cnn", "vit")),
    "vicreg": ("VICReg", ("cnn", "vit")),
    "supervised": ("Supervised", ("cnn", "vit")),
    "random_init": ("RandomInit", ("cnn", "vit")),
}


class MethodSummary(NamedTuple):
    """What a listing shows of a method.

    Attributes:
        kinds: kinds of backbone that it runs on, `cnn` and/or `vit`.
        text: one line about it.
        package: the installed package that provides it; None for ours.
    """

    kinds: tuple[str, ...]
    text: str
    package: str | None = None


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
    point = _entry_point(name)
    if point is not None:
        return _load(point)
    cls: type[Method[Any]] = getattr(import_module(f"methods.{name}"), _OURS[name][0])
    return cls


def describe_method(name: str) -> MethodSummary:
    """Kinds of backbone and one line about a method; for ours, nothing is imported.

    Raises:
        ValueError: as `method_class`.
    """
    if _entry_point(name) is None:
        source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        return MethodSummary(_OURS[name][1], _first_line(ast.get_docstring(ast.parse(source))))
    cls = method_class(name)
    module = inspect.getmodule(cls)
    text = (module and inspect.getdoc(module)) or inspect.getdoc(cls)
    return MethodSummary(cls.backbone_kinds, _first_line(text), package_of(name))


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0]


def _entry_point(name: str) -> EntryPoint | None:
    """The entry point that registers a method; None for ours.

    Raises:
        ValueError: there is no such method, or several packages bring it.
    """
    points = list(entry_points(group=GROUP, name=name))
    if not points:
        if name not in _OURS:
            raise ValueError(f"unknown method '{name}'; {nearest(name, method_names())}")
        return None
    packages = sorted(_package(point) for point in points)
    owners = ["this suite itself", *packages] if name in _OURS else packages
    if len(owners) > 1:
        raise ValueError(
            f"method '{name}' is brought by {' and by '.join(owners)}; uninstall one of them, or register it under "
            f"another name (group {GROUP})"
        )
    return points[0]


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
    cls: type[Method[Any]] = loaded
    return cls


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
