"""Folders of runs, and reading and writing their records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from benchmark.files import write_atomically
from benchmark.records.schema import SCHEMA_VERSION, Part, ProbeRecord, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

PartT = TypeVar("PartT", bound=Part)


def probe_path(folder: Path, protocol: str, elsewhere: str | None = None) -> Path:
    """The path of a further protocol's record; `elsewhere` names the dataset of a transfer."""
    return folder / "probes" / f"{protocol}{f'.{elsewhere}' if elsewhere else ''}.json"


def run_folder(out: Path, experiment: str, entry: str, seed: int, key: str) -> Path:
    """The folder of a run."""
    return out / experiment / entry / f"seed-{seed}-{key[:8]}"


def write_record(folder: Path, record: Record) -> None:
    """Writes `record.json`; the last file of a run."""
    write_atomically(folder / "record.json", record.model_dump_json(indent=2) + "\n")


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
        ValueError: the file is not one; names the file and the reason.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != expected:
        raise ValueError(f"{path}: schema_version is {version!r}, expected {expected}")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: {where}: {first['msg']}") from None


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
    return read_all((path for root in roots for path in root.rglob("record.json")), read_record)
