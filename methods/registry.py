"""The methods by name: ours, and those of installed packages (entry points of group `cnn_jepa_bench.methods`).

Importing this module does not import torch; `method_class` imports the method's own module, which does.
"""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from methods.config import MethodConfig
from methods.plugins import Plugins

if TYPE_CHECKING:
    from methods.base import Method

# Each name is also its module's: the class in it, and the kinds of backbone that the class says it runs on.
_OURS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cnn_jepa": ("CNNJEPAMethod", ("cnn",)),
    "ijepa": ("IJEPA", ("vit",)),
    "byol": ("BYOL", ("cnn", "vit")),
    "simclr": ("SimCLR", ("cnn", "vit")),
    "vicreg": ("VICReg", ("cnn", "vit")),
    "simsiam": ("SimSiam", ("cnn", "vit")),
    "barlow_twins": ("BarlowTwins", ("cnn", "vit")),
    "moco_v3": ("MoCoV3", ("cnn", "vit")),
    "dino": ("DINO", ("cnn", "vit")),
    "ibot": ("IBOT", ("vit",)),
    "msn": ("MSN", ("vit",)),
    "mae": ("MAE", ("vit",)),
    "spark": ("SparK", ("cnn",)),
    "data2vec": ("Data2Vec", ("vit",)),
    "lejepa": ("LeJEPA", ("cnn", "vit")),
    "vicregl": ("VICRegL", ("cnn",)),
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


_PLUGINS = Plugins("method", "cnn_jepa_bench.methods", _OURS)


def method_names() -> tuple[str, ...]:
    """All known methods, ours first."""
    return _PLUGINS.names()


def own_methods() -> tuple[str, ...]:
    """The methods of this suite."""
    return tuple(_OURS)


def method_class(name: str) -> type[Method[Any]]:
    """The class of a method.

    Raises:
        ValueError: there is no such method (the nearest is named), several packages bring it, or the one that does
            cannot be loaded or brings something else.
    """
    point = _PLUGINS.find(name)
    cls: type[Method[Any]]
    cls = _PLUGINS.load(point, _problem) if point else getattr(import_module(f"methods.{name}"), _OURS[name][0])
    return cls


def describe_method(name: str) -> MethodSummary:
    """Kinds of backbone and one line about a method; for ours, nothing is imported.

    Raises:
        ValueError: as `method_class`.
    """
    point = _PLUGINS.find(name)
    if point is None:
        source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        return MethodSummary(_OURS[name][1], _first_line(ast.get_docstring(ast.parse(source))))
    cls = _PLUGINS.load(point, _problem)
    module = inspect.getmodule(cls)
    text = (module and inspect.getdoc(module)) or inspect.getdoc(cls)
    return MethodSummary(cls.backbone_kinds, _first_line(text), package_of(name))


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0]


def package_of(name: str) -> str | None:
    """The installed package that brings a method; None for ours."""
    for point in entry_points(group=_PLUGINS.group, name=name):
        return point.dist.name if point.dist else None
    return None


def _problem(loaded: Any, name: str) -> str | None:
    """Why something that was loaded cannot serve as a method of this name; None where it can."""
    from methods.base import Method

    if not (inspect.isclass(loaded) and issubclass(loaded, Method)):
        return f"is {_kind(loaded)}; expected a subclass of methods.base.Method"
    if inspect.isabstract(loaded):
        return f"does not define {', '.join(sorted(loaded.__abstractmethods__))}"
    if getattr(loaded, "name", None) != name:
        return f"has the name {getattr(loaded, 'name', None)!r}; expected '{name}', as it is registered"
    colour = getattr(loaded, "colour", None)
    if colour is not None and not re.fullmatch(r"#[0-9a-fA-F]{6}", str(colour)):
        return f"has the colour {colour!r}; expected one as '#1f77b4', or None"
    config = getattr(loaded, "config_class", None)
    if not (inspect.isclass(config) and issubclass(config, MethodConfig)):
        return f"has the config_class {_kind(config)}; expected a subclass of methods.config.MethodConfig"
    return None


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if inspect.isclass(value) else repr(value)
