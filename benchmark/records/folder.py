"""Folders of runs, and reading and writing their records."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from benchmark.errors import UserError
from benchmark.files.disk import read_json, write_atomically
from benchmark.files.expected import refusal, shown
from benchmark.files.parse import shortened
from benchmark.records.schema import SCHEMA_VERSION, Part, ProbeRecord, Record
from benchmark.records.seal import sealed, unsealed
from benchmark.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PartT = TypeVar("PartT", bound=Part)
RECORD_FILE = "record.json"


def probe_path(folder: Path, protocol: str, elsewhere: str | None = None) -> Path:
    """The path of a further protocol's record; `elsewhere` names the dataset of a transfer."""
    return folder / "probes" / f"{protocol}{f'.{elsewhere}' if elsewhere else ''}.json"


def run_folder(out: Path, experiment: str, entry: str, seed: int, key: str) -> Path:
    """The folder of a run."""
    return out / experiment / entry / f"seed-{seed}-{key[:8]}"


def write_record(folder: Path, record: Record) -> None:
    """Writes `record.json` with digests of its content and history; the last file of a run."""
    _write_sealed(folder / RECORD_FILE, record)


def write_probe(path: Path, probe: ProbeRecord) -> None:
    """Writes the record of a further protocol with a digest of its content."""
    _write_sealed(path, probe)


def predictions_path(probe: Path) -> Path:
    """Where a protocol's predictions for a few images lie, beside its record."""
    return probe.with_suffix(".npz")


def _write_sealed(path: Path, part: Part) -> None:
    data = sealed(json.loads(part.model_dump_json()), path.parent)
    write_atomically(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_record(path: Path) -> Record:
    """Reads one record.

    Raises:
        ValueError: the file is not a record of this schema; names the file and the reason.
    """
    return read_part(path, Record, SCHEMA_VERSION)


def read_probes(record_path: Path, record: Record) -> tuple[list[ProbeRecord], list[str]]:
    """The records of further protocols on a run, and a line for each file that could not be read."""

    def read(path: Path) -> ProbeRecord:
        probe = read_part(path, ProbeRecord, SCHEMA_VERSION)
        if probe.key != record.key:
            raise ValueError(f"{path}: belongs to run {probe.key[:8]}, not to {record.key[:8]} beside it")
        return probe

    probes, problems = read_all((record_path.parent / "probes").glob("*.json"), read)
    return [probe for _, probe in probes], problems


def read_part(path: Path, kind: type[PartT], expected: int) -> PartT:
    """Reads a JSON file of one schema and version.

    Raises:
        ValueError: the file is not one, or was changed after it was written; names the file and the reason.
    """
    try:
        data = read_json(path)
    except UserError as error:
        raise ValueError(str(error)) from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != expected:
        raise ValueError(f"{path}: schema_version is {shown(version)}, expected {expected}")
    try:
        # Strictly, so that neither `true` nor "1" is a number; read as JSON, in which tuples are lists.
        return kind.model_validate_json(json.dumps(unsealed(data, path.parent)), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = shortened(on_one_line(".".join(map(str, first["loc"]))))
        raise ValueError(f"{path}: {where}: {refusal(first)}") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from None


def read_all(paths: Iterable[Path], read: Callable[[Path], PartT]) -> tuple[list[tuple[Path, PartT]], list[str]]:
    """Different files with what they hold, in a stable order, and a line for each that could not be read."""
    parts: list[tuple[Path, PartT]] = []
    problems: list[str] = []
    for path in sorted(set(paths)):
        try:
            parts.append((path, read(path)))
        except (ValueError, OSError) as error:
            problems.append(str(error))
    return parts, problems


def find_records(roots: list[Path]) -> tuple[list[tuple[Path, Record]], list[str]]:
    """All records below some folders, in a stable order, and a line for each file that could not be read."""
    return read_all(_record_files(roots), read_record)


def run_files(folder: Path) -> list[Path]:
    """The files of a run that go to other machines with it, in a stable order: neither links nor hidden ones."""
    return [path for path in _visible(folder) if path.is_file() and not path.is_symlink()]


def left_behind(folder: Path) -> list[Path]:
    """What of a run does not go to other machines with it: links, pipes and the like, without what is hidden."""
    return [path for path in _visible(folder) if path.is_symlink() or not (path.is_file() or path.is_dir())]


def _visible(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _record_files(roots: Iterable[Path]) -> Iterator[Path]:
    """What is named `record.json`, links that lead nowhere included; without what a killed `bench merge` left."""
    for root in roots:
        for folder, folders, files in os.walk(root):
            if RECORD_FILE in (*files, *folders):
                yield Path(folder, RECORD_FILE)
            folders[:] = [name for name in folders if not (name.startswith(".") and name.endswith(".tmp"))]
