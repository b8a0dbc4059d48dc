"""The state of an unfinished fine-tuning, saved after every epoch."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import torch

from benchmark.files.disk import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from benchmark.evaluation.subject import Subject

    Weights = dict[str, Tensor]


class Saved:
    """What has been trained so far, with several settings one after the other.

    Attributes:
        trained: of each setting that is done, its validation score and its weights.
        seconds: what earlier calls have spent on all of this, up to the state that is saved.
    """

    def __init__(self, path: Path | None) -> None:
        """Reads the file; one that is missing or damaged is the beginning. None saves nothing."""
        self._path = path
        self.trained: list[tuple[float, Weights]] = []
        self._epoch, self._parts = 0, dict[str, Any]()
        self.seconds, self._start = 0.0, time.monotonic()
        if path is None or not path.is_file():
            return
        try:
            data = torch.load(path, map_location="cpu", weights_only=True)
            self.trained, self._epoch, self._parts = data["trained"], data["epoch"], data["parts"]
            self.seconds = float(data.get("seconds", 0.0))
        except Exception:  # the bytes of a damaged file can be read as anything
            self.trained, self._epoch, self._parts = [], 0, {}

    def restore(self, parts: dict[str, Any]) -> int:
        """Gives each part (modules, optimizers, schedules by name) its saved state; returns the epochs done."""
        for name, state in self._parts.items():
            parts[name].load_state_dict(state)
        return self._epoch

    def write(self, parts: dict[str, Any], epoch: int) -> None:
        """Saves the parts after so many epochs."""
        self._epoch, self._parts = epoch, {name: part.state_dict() for name, part in parts.items()}
        self._write()

    def finish_one(self, score: float, weights: Weights) -> None:
        """Saves the weights of a setting that is done."""
        self.trained.append((score, {name: value.detach().cpu().clone() for name, value in weights.items()}))
        self._epoch, self._parts = 0, {}
        self._write()

    def remove(self) -> None:
        """Removes the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        if self._path is not None:
            buffer = io.BytesIO()
            seconds = self.seconds + time.monotonic() - self._start
            torch.save(
                {"trained": self.trained, "epoch": self._epoch, "parts": self._parts, "seconds": seconds}, buffer
            )
            write_atomically(self._path, buffer.getvalue())


def saved_state(subject: Subject, name: str) -> Saved:
    """The saved state of a protocol on a subject's dataset."""
    if subject.folder is None:
        return Saved(None)
    return Saved(subject.folder / f"{name}.{subject.dataset.manifest.digest[:8]}.state.pt")
