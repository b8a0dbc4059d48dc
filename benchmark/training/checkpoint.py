"""Saves and loads the state of an unfinished run, and its encoder's weights. Loading executes no pickled code."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from benchmark.errors import UserError
from benchmark.files.disk import write_atomically
from benchmark.text import first_line
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.records.schema import Record

STATE_FILE = "state.pt"
ENCODER_FILE = "encoder.safetensors"
PREVIOUS_FILE = "state-previous.pt"
_DAMAGED = "state-damaged-"
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
    """Writes `state.pt` atomically, so that a full disk leaves the earlier one intact. The last two are kept."""
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


def load_state(folder: Path, key: str, say: Callable[[str], None]) -> State | None:
    """The last usable state of the run with this key, or None; another run's or version's is passed over.

    A damaged file is renamed, so that the next saved state does not replace it, and `say` receives what happened.
    """
    damaged: list[str] = []
    state: State | None = None
    for path in (folder / STATE_FILE, folder / PREVIOUS_FILE):
        try:
            data = torch.load(path, map_location="cpu", weights_only=True)
            if data.pop("version") == _VERSION and data["key"] == key:
                state = State(**data)
                break
        except FileNotFoundError:
            continue
        except (OSError, MemoryError):  # of the disk or the machine: the file may be sound
            raise
        except Exception:  # the bytes of a damaged file can be read as anything
            damaged.append(f"{path}: is damaged and cannot be resumed from; kept as {_set_aside(path).name}")
    for text in damaged:
        then = (
            "starting from the beginning" if state is None else f"resuming from the state before it, step {state.step}"
        )
        say(f"{text}; {then}")
    return state


def _set_aside(path: Path) -> Path:
    """Renames a damaged state; returns its new path, or the old one where it cannot be renamed."""
    number = 1
    while (kept := path.with_name(f"{_DAMAGED}{number}.pt")).exists():
        number += 1
    try:
        return path.rename(kept)
    except OSError:
        return path


def discard_state(folder: Path) -> None:
    """Removes the saved states of a finished run, damaged and half-written ones included."""
    for path in (folder / STATE_FILE, folder / PREVIOUS_FILE, *folder.glob(f"{_DAMAGED}*.pt"), *folder.glob(".*.tmp")):
        path.unlink(missing_ok=True)


def export_encoder(folder: Path, encoder: Encoder) -> None:
    """Writes the network's weights as `encoder.safetensors`, under its own parameter names."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.backbone.net.state_dict().items()}
    write_atomically(folder / ENCODER_FILE, save(tensors))


def load_encoder(folder: Path, record: Record) -> Encoder:
    """The primary encoder of the run in `folder`, frozen, as it was scored.

    Raises:
        UserError: the file is missing, damaged or does not fit the record's backbone.
    """
    path = folder / ENCODER_FILE
    config: dict[str, Any] = record.config
    assert record.metrics is not None
    if not path.exists():
        raise UserError(
            f"{path}: no such file; weights stay on the machine of the run and are not shared with its record"
        )
    try:
        backbone = build_backbone(BackboneSpec.model_validate(config["backbone"]), int(config["image_size"]))
        backbone.net.load_state_dict(load_file(path))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError, OSError) as error:
        raise UserError(f"{path}: is not the encoder of the record beside it ({first_line(error)})") from None
    info = EncoderInfo(record.metrics.scores.weights, backbone.pooling, backbone.dimension)
    return Encoder(backbone, info).requires_grad_(False).eval()
