"""Joins results from several machines; records that are inconsistent are refused, with the reason."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.analysis.merge_costs import merge_costs
from benchmark.errors import UserError
from benchmark.files.disk import read_yaml, reading, temporary_path, writing
from benchmark.records.folder import (
    RECORD_FILE,
    find_records,
    left_behind,
    read_all,
    read_record,
    run_files,
    run_folder,
)
from benchmark.records.keys import recomputed_key
from benchmark.records.schema import FINAL_STATUSES
from benchmark.records.signature import SIGNED, find_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from benchmark.records.schema import LedgerRecord, Record

    Fault = Callable[[Path], str | None]
    """Why a file is not what was signed, as a clause; None where it is, or nothing was signed."""

_TOLERANCE = 0.01  # of the total time (rule 7)


@dataclass
class Merged:
    """The outcome of a merge.

    Attributes:
        taken: folders that were copied.
        there: records that were in the folder already, or appear twice and are equal.
        added: files that these lacked, such as scores by further protocols, and got.
        refused: a line about each that was left out.
        left_behind: links and the like in the folders that were copied.
        costs: how many step-cost records were copied.
        unverifiable: how many of `taken` and `there` lack something that their key was made from.
        signed: who has signed each folder that is signed.
    """

    taken: list[Path] = field(default_factory=list)
    there: int = 0
    added: int = 0
    costs: int = 0
    refused: list[str] = field(default_factory=list)
    left_behind: list[Path] = field(default_factory=list)
    unverifiable: int = 0
    signed: dict[Path, str] = field(default_factory=dict)


def merge(sources: Sequence[Path], out: Path, signers: Path | None = None) -> Merged:
    """Copies the runs and step costs of several results folders into one; no run is overwritten.

    What a folder's `signed.sha256` says of its files is checked; with `signers`, every folder needs a signature by one
    of them.

    Refused are records that cannot be read or contradict themselves, whose key is not the hash of their settings,
    whose folder or configuration file belongs to another run; one run under two keys or seeds; and two different
    records of one key. Scores cannot be checked without training again.

    Raises:
        UserError: the folder cannot be written, or a signature is not what it should be.
    """
    if (out / "experiment.yaml").is_file():
        raise UserError(f"--out is {out}, an experiment's folder; expected one that holds such folders, or a new one")
    merged = Merged()
    fault = _signatures(sources, signers, merged)
    unverifiable: set[Path] = set()
    readable = list(_readable(sources, merged, unverifiable, fault))
    clauses = copies([*readable, *find_records([out])[0]])
    for path, record in readable:
        try:
            wrong = clauses.get(path) or _take(path, record, out, merged)
        except UserError as error:
            raise UserError(
                f"{error}; {len(merged.taken)} of {len(readable)} runs were taken, and the same command takes the rest"
            ) from None
        if wrong is not None:
            merged.refused.append(f"{path}: {wrong}")
        else:
            merged.unverifiable += path in unverifiable
    merged.costs, problems = merge_costs(sources, out, fault)
    merged.refused += problems
    return merged


def _signatures(sources: Sequence[Path], signers: Path | None, merged: Merged) -> Fault:
    """Checks the folders' signatures; returns what says why a file is not as it was signed, if it was."""
    found = [(source, find_signed(source, signers)) for source in sources]
    absent: set[Path] = set()
    for source, signed in found:
        if signed is not None:
            merged.signed[source] = signed.by
            lost = signed.missing(source)
            absent |= {path.parent for path in lost}
            merged.refused += [f"{path}: is missing, and {signed.by} signed it" for path in lost]
        elif signers is not None:
            raise UserError(f"{source}: is not signed (no {SIGNED} in it or above), and --signers takes only what is")

    def fault(path: Path) -> str | None:
        if path.name == RECORD_FILE and path.resolve().parent in absent:
            return "signed files beside it are missing"
        signed = next((signed for source, signed in found if path.is_relative_to(source)), None)
        return None if signed is None else signed.fault(path)

    return fault


def _readable(
    sources: Sequence[Path], merged: Merged, unverifiable: set[Path], fault: Fault
) -> Iterator[tuple[Path, Record]]:
    """The records that agree with themselves; the others are noted as refused, those without a checked key as such."""
    records, problems = find_records(list(sources))
    merged.refused += problems
    for path, record in records:
        wrong = next(_contradictions(path, record), None)
        try:
            wrong = wrong or next(filter(None, map(fault, run_files(path.parent))), None)
            key = recomputed_key(path.parent, record)
        except (ValueError, UserError) as error:
            wrong = wrong or str(error)
        else:
            if key is None:
                unverifiable.add(path)
            elif key != record.key:
                wrong = wrong or f"its key is {record.key[:8]}, but its settings give {key[:8]}"
        if wrong is None:
            yield path, record
        else:
            merged.refused.append(f"{path}: {wrong}")


def _take(path: Path, record: Record, out: Path, merged: Merged) -> str | None:
    """Copies a run unless it is in the folder already; returns why it was refused."""
    place = run_folder(out, record.experiment, record.entry, record.seed, record.key)
    if place.resolve() == path.parent.resolve():
        merged.there += 1
    elif (place / "record.json").is_file():
        same, problems = read_all([place / "record.json"], read_record)
        if problems:
            return f"in its place is a file that is no record of this run: {problems[0]}"
        if [other for _, other in same] != [record]:
            return f"another record of the same run is in {place}, and they are not equal"
        merged.there += 1
        try:
            merged.added += _copy_missing(path.parent, place)
        except _UnreadableError as error:
            return str(error)
    elif place.exists():
        return f"this run is unfinished in {place}; finish it there, or remove it"
    else:
        try:
            _copy(path.parent, place)
        except _UnreadableError as error:
            return str(error)
        merged.taken.append(place)
        merged.left_behind += left_behind(path.parent)
    return None


def _contradictions(path: Path, record: Record) -> Iterator[str]:
    """Contradictions in a record, as clauses."""
    folder = path.parent
    expected = run_folder(Path(), record.experiment, record.entry, record.seed, record.key)
    if folder.parts[-3:] != expected.parts:
        yield f"lies in {'/'.join(folder.parts[-3:])}, but is the run {expected.as_posix()}"
    config = folder / "config.yaml"
    if config.is_file():
        try:
            same = read_yaml(config) == record.config
        except UserError as error:
            yield str(error).removeprefix(f"{folder}/")
            same = True
        if not same:
            yield "its configuration is not that of config.yaml beside it"
    entry = record.config.get("entry")
    named = entry.get("name") if isinstance(entry, dict) else None
    if record.config.get("seed") != record.seed or named != record.entry:
        yield "its configuration is of another seed or entry"
    scored = record.status in ("completed", "collapsed")
    if scored and record.metrics is None and record.trial_metrics is None:
        yield f"its status is {record.status}, but it has no scores"
    if not scored and record.metrics is not None:
        yield f"its status is {record.status}, but it has scores"
    if (record.cause is not None) != (record.status == "failed"):
        yield f"its status is {record.status}, its cause {record.cause}"
    if record.status in FINAL_STATUSES and record.ledger is not None:
        yield from _unbalanced(record.ledger)
    if record.metrics is not None:
        for name, scores in record.metrics.encoders.items():
            if scores.linear_top1 > scores.linear_top5 + 1e-9:
                yield f"encoder '{name}' has a higher top-1 than top-5"


def _unbalanced(ledger: LedgerRecord) -> Iterator[str]:
    phases = sum(ledger.phases.model_dump().values())
    if not math.isclose(phases, ledger.total_time, rel_tol=_TOLERANCE, abs_tol=1e-3):
        yield f"its phases sum to {phases:.1f} s, its total time is {ledger.total_time:.1f} s"
    if not math.isclose(ledger.training_time, ledger.phases.training, rel_tol=_TOLERANCE, abs_tol=1e-3):
        yield f"its training time is {ledger.training_time:.1f} s, its phase of training {ledger.phases.training:.1f} s"
    hours = ledger.devices * ledger.training_time / 3600
    if ledger.resumed == 0 and not math.isclose(ledger.device_hours, hours, rel_tol=_TOLERANCE, abs_tol=1e-6):
        yield f"its device-hours are {ledger.device_hours:.4f}, its devices and training time make {hours:.4f}"
    if ledger.data_wait > ledger.training_time * (1 + _TOLERANCE) + 1e-3:
        yield "it waited longer for data than it trained"


class _UnreadableError(Exception):
    """A file of a run cannot be read."""


def _copy(source: Path, place: Path) -> None:
    """Copies a run's files, without links and hidden ones; the folder appears only when it is complete."""
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_path(place)
    try:
        with writing(place):
            temporary.mkdir()
            for path in run_files(source):
                inside = path.relative_to(source)
                (temporary / inside).parent.mkdir(parents=True, exist_ok=True)
                _copy_file(path, temporary / inside)
            temporary.rename(place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _copy_missing(source: Path, place: Path) -> int:
    """Copies the files that a run's folder lacks, such as scores by further protocols added later; how many."""
    missing = [path for path in run_files(source) if not (place / path.relative_to(source)).exists()]
    for path in missing:
        target = place / path.relative_to(source)
        temporary = temporary_path(target)
        try:
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy_file(path, temporary)
                temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
    return len(missing)


def _copy_file(path: Path, target: Path) -> None:
    try:
        with reading(path):
            file = path.open("rb")
    except UserError as error:
        raise _UnreadableError(str(error).removeprefix(f"{path}: ") + f" ({path.name})") from None
    with file, target.open("wb") as copied:
        shutil.copyfileobj(file, copied)


_LEDGER, _LOSS = "scores and ledger", "final loss and scores"  # what gives a copy away


def copies(records: Iterable[tuple[Path, Record]]) -> dict[Path, str]:
    """Records with the measurements of another run, and how one can tell.

    Two runs may reach the same accuracies, but never in the same time to the last digit; and two seeds never end with
    the same loss and the same accuracies. Nothing tells which of the two was measured, so both are named. The same key
    and seed twice is one run that appears twice.
    """
    groups: dict[tuple[str, str], list[tuple[Path, Record]]] = {}
    for path, record in records:
        reached = record.metrics or record.trial_metrics
        if reached is None:
            continue
        scores = reached.model_dump_json()
        if record.ledger is not None and record.ledger.total_time > 0:
            same = (_LEDGER, scores + record.ledger.model_dump_json())
            groups.setdefault(same, []).append((path, record))
        if reached.final_loss is not None:
            groups.setdefault((_LOSS, record.method + scores), []).append((path, record))
    clauses: dict[Path, str] = {}
    for (equal, _), members in groups.items():
        for path, record in members:
            for other_path, other in members:
                # A loss may stay the same under other settings.
                unlike = "seed" if other.seed != record.seed else "key"
                if unlike == "seed" or (equal == _LEDGER and other.key != record.key):
                    clauses.setdefault(
                        path,
                        f"its {equal} are to the last digit those of {other_path}, which has another {unlike}; "
                        "one of the two is a copy",
                    )
    return clauses
