"""Reads foreign checkpoints without executing any code in them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

# Many checkpoints hold objects of these packages beside the weights (DINO's arguments, Lightning's hyper-parameters),
# and of plain types. They are never imported: `_Unread` replaces each.
_SETTINGS = (
    *("argparse", "lightning", "lightning_fabric", "numpy", "omegaconf", "pathlib", "pytorch_lightning", "typing"),
)
_TYPES = {
    f"builtins.{kind.__name__}"
    for kind in (bool, bytes, complex, dict, float, frozenset, int, list, object, set, str, tuple)
}


class _Unread:
    """Replaces a setting that is not read: accepts any arguments, and keeps none."""

    def __new__(cls, *_: Any) -> _Unread:
        return object.__new__(cls)

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """Replaces a defaultdict, which OmegaConf uses; its factory is not kept."""
    return {}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint. Nothing in it is executed, and settings beside the weights are not read.

    Raises:
        UserError: it is missing, damaged, or needs code to be run.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with safe_globals([(_plain_dict, "collections.defaultdict"), *((_Unread, name) for name in _settings(path))]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, AttributeError) as error:
        reason = next((line for line in str(error).splitlines() if "Unsupported" in line or "GLOBAL" in line), "")
        raise UserError(
            f"{path}: cannot be read without executing code in it ({reason.strip() or 'pickled objects'}); "
            "if you trust it, save its state dict alone, for instance as safetensors"
        ) from None
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: is not a checkpoint ({(str(error).splitlines() or ['empty'])[0]})") from None
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}; expected a state dict, or a dict with one in it")
    return dict(content)


def _settings(path: Path) -> list[str]:
    """The classes that a checkpoint's settings refer to, found without unpickling it."""
    try:
        names = get_unsafe_globals_in_checkpoint(path)
    except (pickle.UnpicklingError, RuntimeError, ValueError, OSError, EOFError):
        return []  # an older format, or damaged: `torch.load` says what is wrong
    return [name for name in names if name.split(".")[0] in _SETTINGS or name in _TYPES]
