"""Reads the history of a run: a JSON object a line, of steps and of evaluations during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.files.disk import read_text
from benchmark.files.parse import MOST_JSON_BYTES, ParseError, load_json

if TYPE_CHECKING:
    from pathlib import Path


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's history; empty without the file, and without lines that a crash cut off or damaged.

    Raises:
        ValueError: the file cannot be read, or is too large.
    """
    if not path.exists():
        return []
    try:
        lines = read_text(path, MOST_JSON_BYTES, errors="replace").splitlines()
    except UserError as error:
        raise ValueError(str(error)) from None
    return [value for value in map(_read, lines) if isinstance(value, dict)]


def _read(line: str) -> Any:
    try:
        return load_json(line)
    except ParseError:
        return None
