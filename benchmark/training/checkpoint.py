"""Saves and loads the state of an unfinished run, and its encoder's weights. Loading executes no pickled code."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from benchmark.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from methods.base import Encoder

STATE_FILE = "state.pt"
ENCODER_FILE = "encoder.safetensors"
PREVIOUS_FILE = "state-previous.pt"
_VERSION = 2


@dataclass(frozen=True)
class State:
    """Everything needed to resume a run. There is no generator state, since every draw is a function of the step."""

    key: str
    step: int
    method: dict[str, Any]
    optimizer: dict[str, Any]
    ledger: dict[str, Any]
    history: list[dict[str, Any]]


def save_state(folder: Path, state: State) -> None:
    """Writes `state.pt` atomically, so that a full disk leaves the earlier one intact. The last two are kept.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"version": _VERSION, **state.__dict__}, buffer)
    last, previous = folder / STATE_FILE, folder / PREVIOUS_FILE
    if last.is_file():
        previous.unlink(missing_ok=True)
        try:
            previous.hardlink_to(last)  # so that there is a last one at any time
        except OSError:  # a file system without links
            last.replace(previous)
    write_atomically(last, buffer.getvalue())


def load_state(folder: Path, key: str) -> State | None:
    """The last usable state of the run with this key, or None."""
    for name in (STATE_FILE, PREVIOUS_FILE):
        state = _load(folder / name, key)
        if state is not None:
            return state
    return None


def _load(path: Path, key: str) -> State | None:
    if not path.is_file():
        return None
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
        if data.pop("version") != _VERSION or data["key"] != key:
            return None
        return State(**data)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, AttributeError, pickle.UnpicklingError):
        return None  # truncated or foreign


def discard_state(folder: Path) -> None:
    """Removes the saved states and half-written files of a finished run."""
    for path in (folder / STATE_FILE, folder / PREVIOUS_FILE, *folder.glob(".*.tmp")):
        path.unlink(missing_ok=True)


def export_encoder(folder: Path, encoder: Encoder) -> None:
    """Writes the network's weights as `encoder.safetensors`, under its own parameter names."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.backbone.net.state_dict().items()}
    write_atomically(folder / ENCODER_FILE, save(tensors))
