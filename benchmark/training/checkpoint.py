"""The state of a run under way, and the weights it leaves. Nothing pickled is ever executed on loading."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from benchmark.records import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from methods.base import Encoder

STATE_FILE = "state.pt"
_VERSION = 2


@dataclass(frozen=True)
class State:
    """Everything a run goes on from; randomness needs none, since every draw is a function of the step."""

    key: str
    step: int
    method: dict[str, Any]
    optimizer: dict[str, Any]
    ledger: dict[str, Any]
    history: list[dict[str, Any]]


def save_state(folder: Path, state: State) -> None:
    """Writes `state.pt`, atomically: a full disk leaves the previous one intact.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"version": _VERSION, **state.__dict__}, buffer)
    write_atomically(folder / STATE_FILE, buffer.getvalue())


def load_state(folder: Path, key: str) -> State | None:
    """The saved state of this very run, or None where there is none that can be used."""
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
        if data.pop("version") != _VERSION or data["key"] != key:
            return None
        return State(**data)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, AttributeError, pickle.UnpicklingError):
        return None  # truncated or foreign: the run starts again


def discard_state(folder: Path) -> None:
    """Removes `state.pt`, once the run's record is written."""
    (folder / STATE_FILE).unlink(missing_ok=True)


def export_encoder(folder: Path, encoder: Encoder) -> None:
    """Writes the network's weights as `encoder.safetensors`, under its own keys."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.backbone.net.state_dict().items()}
    write_atomically(folder / "encoder.safetensors", save(tensors))
