"""Reads foreign checkpoints without executing any code in them."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from benchmark.encoders.kinds import kind_of
from benchmark.encoders.stand_ins import Unread, stand_ins
from benchmark.errors import UserError
from benchmark.text import first_line

if TYPE_CHECKING:
    from pathlib import Path


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint. Nothing in it is executed, and settings beside the weights are not read.

    Raises:
        UserError: it is missing, damaged, no checkpoint at all, or needs code to be run.
    """
    if kind_of(path) == "safetensors":
        try:
            return dict(load_file(path))
        except (SafetensorError, RuntimeError, OSError, ValueError) as error:
            raise UserError(f"{path}: is cut short or damaged ({first_line(error)})") from None
    content = _unpickled(path)
    if isinstance(content, Unread | torch.nn.Module):
        raise UserError(f"{path}: {_WHOLE}")
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}; expected a state dict, or a dict with one in it")
    return dict(content)


_SAVE_WEIGHTS = "if you trust it, save its state dict alone, for instance as safetensors"


def _unpickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings(), stand_ins(path):
            warnings.simplefilter("ignore")  # about old formats and protocols
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: {_refusal(str(error))}") from None
    except (RuntimeError, OSError, EOFError, ValueError):
        raise UserError(f"{path}: is cut short or damaged; was its download interrupted?") from None
    except Exception as error:  # the bytes of a damaged file can be read as anything
        raise UserError(f"{path}: is not a checkpoint that torch saved ({type(error).__name__})") from None


def _refusal(text: str) -> str:
    """What is wrong, in place of torch's text, which advises to read the file by executing it."""
    if blocked := re.search(r"GLOBAL (\S+)", text):
        return f"cannot be read without executing code in it (it refers to {blocked[1]}); {_SAVE_WEIGHTS}"
    if "persistent_load" in text:
        return _WHOLE
    if "magic number" in text or "Unsupported operand" in text:
        return (
            "is not a checkpoint as torch.save writes it: damaged, no checkpoint at all, or pickled otherwise "
            "(protocol 3 and above, the module pickle); save its state dict by torch.save or as safetensors"
        )
    return f"cannot be read without executing code in it; {_SAVE_WEIGHTS}"


_WHOLE = f"holds a whole network as an object, whose class would have to be run; {_SAVE_WEIGHTS}"
