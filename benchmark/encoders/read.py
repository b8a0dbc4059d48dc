"""Checkpoints from elsewhere, read without executing anything that they bring."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

# Whose objects stand beside the weights in many checkpoints (DINO's arguments, Lightning's hyper-parameters), and plain
# types. They are never imported: `_Unread` stands for each.
_SETTINGS = (
    "argparse",
    "lightning",
    "lightning_fabric",
    "numpy",
    "omegaconf",
    "pathlib",
    "pytorch_lightning",
    "typing",
)
_TYPES = ("bool", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "set", "str", "tuple")


class _Unread:
    """Stands for a setting that is not read: takes whatever it is made from, and keeps nothing."""

    def __new__(cls, *_: Any) -> _Unread:
        """Made like any object."""
        return object.__new__(cls)

    def __init__(self, *_: Any) -> None:
        """Drops what it is made from."""

    def __setstate__(self, _: Any) -> None:
        """Drops its state."""


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """Stands for a defaultdict, of which OmegaConf makes use; its factory is not kept."""
    return {}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; nothing in it is executed, and settings beside the weights are not read.

    Raises:
        UserError: it is missing, damaged, or needs code to be run.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with safe_globals(_stand_ins(path)):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, AttributeError) as error:
        reason = next((line for line in str(error).splitlines() if "Unsupported" in line or "GLOBAL" in line), "")
        raise UserError(
            f"{path}: cannot be read without executing code that it brings ({reason.strip() or 'pickled objects'}); "
            "save its state dict alone, for instance as safetensors, where you trust it"
        ) from None
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: is no checkpoint ({(str(error).splitlines() or ['empty'])[0]})") from None
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}; expected a state dict, or a dict with one in it")
    return dict(content)


def _stand_ins(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What the unpickler makes instead of a checkpoint's settings, with the names that it meets."""
    return [(_plain_dict, "collections.defaultdict"), *((_Unread, name) for name in _settings(path))]


def _settings(path: Path) -> list[str]:
    """Names that a checkpoint refers to and that only describe settings, found without unpickling it."""
    try:
        names = get_unsafe_globals_in_checkpoint(path)
    except (pickle.UnpicklingError, RuntimeError, ValueError, OSError, EOFError):
        return []  # an older format, or damaged: what is wrong with it is said where it is read
    return [name for name in names if _is_setting(name)]


def _is_setting(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return module.split(".")[0] in _SETTINGS or (module == "builtins" and last in _TYPES)
