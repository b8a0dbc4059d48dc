"""Runs protocols on the encoders that finished runs left, and writes the scores beside their records."""

from __future__ import annotations

import io
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from pydantic import ValidationError

from benchmark.data.datasets import Dataset, load_dataset
from benchmark.data.inventory import changes
from benchmark.data.spec import DatasetSpec
from benchmark.errors import Interrupted, UserError
from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.protocols import FURTHER, NotApplicableError, check_further, score
from benchmark.evaluation.subject import Subject, probe_data
from benchmark.files.disk import write_atomically, writing
from benchmark.files.expected import refusal
from benchmark.machine.devices import take_device
from benchmark.machine.environment import describe, now
from benchmark.records.folder import predictions_path, probe_path, write_probe
from benchmark.records.locks import folder_lock
from benchmark.records.schema import ProbeRecord, Record
from benchmark.training.checkpoint import ENCODER_FILE, load_encoder
from methods.backbones import use_plain_attention

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from benchmark.machine.interrupt import StopSignal

StoredRun = tuple["Path", Record]
"""A record's file, and the record."""


class Listener(Protocol):
    """Receives progress messages."""

    def say(self, text: str) -> None:
        """A line for the user."""

    def data_progress(self, done: int, total: int) -> None:
        """How many of a dataset's images have been read."""


@dataclass(frozen=True)
class Probes:
    """The protocols to run, and the dataset to run them on; without `other_dataset`, each run's own.

    Those that are `optional`, because a group of protocols was asked for, are passed over where the dataset lacks what
    they need.
    """

    protocols: tuple[str, ...]
    other_dataset: str | None = None
    data: Path | None = None
    download: bool = False
    skip_bad: bool = False
    optional: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check_further(self.protocols, self.other_dataset)


def unprobed(runs: Iterable[StoredRun], protocols: Sequence[str]) -> list[StoredRun]:
    """The runs that have an encoder and lack one of these protocols on their own dataset."""
    return [
        (path, record)
        for path, record in runs
        if _has_encoder(path, record) and any(not probe_path(path.parent, name).is_file() for name in protocols)
    ]


def _has_encoder(path: Path, record: Record) -> bool:
    return record.metrics is not None and (path.parent / ENCODER_FILE).is_file()


def evaluate_runs(
    runs: Sequence[StoredRun], probes: Probes, device: str, listener: Listener, stop_signal: StopSignal, *, share: bool
) -> int:
    """Runs protocols on finished runs, except those whose scores are already there; returns how many failed.

    Args:
        stop_signal: checked between two protocols.
        share: use the device beside another process.

    Raises:
        UserError: no run has an encoder, or the dataset is not the one that a run was trained on.
    """
    able = [run for run in runs if _has_encoder(*run)]
    if not able:
        raise UserError(f"none of the {len(runs)} runs has left an {ENCODER_FILE} to probe")
    if len(able) < len(runs):
        listener.say(f"{len(runs) - len(able)} of {len(runs)} runs left no {ENCODER_FILE}; they are skipped")
    loaded: dict[str, Dataset] = {}
    failures = 0
    with take_device(device, share=share) as (taken, _):
        for path, record in able:
            spec = _dataset_spec(record, probes)
            name = spec.model_dump_json()
            if name not in loaded:
                loaded[name] = load_dataset(
                    spec,
                    probes.data,
                    probes.download,
                    progress=listener.data_progress,
                    skip_bad=probes.skip_bad,
                    outcome="nothing was scored",
                )
            failures += probe_run(path, record, probes, loaded[name], taken, listener, stop_signal)
    return failures


def _dataset_spec(record: Record, probes: Probes) -> DatasetSpec:
    """The dataset to load for a run: its own, or another one at its own input size."""
    try:
        if probes.other_dataset is None:
            return DatasetSpec.model_validate(record.config["dataset"])
        return DatasetSpec(name=probes.other_dataset, size=record.config["image_size"])
    except (KeyError, ValidationError) as error:
        detail = refusal(error.errors()[0]) if isinstance(error, ValidationError) else f"it has no {error}"
        raise UserError(f"{_label(record)}: {detail}") from None


def probe_run(
    path: Path,
    record: Record,
    probes: Probes,
    dataset: Dataset,
    device: torch.device,
    listener: Listener,
    stop_signal: StopSignal,
) -> int:
    """Runs the protocols that a run lacks; returns how many failed.

    Raises:
        UserError: the dataset is not the run's own though no other was asked for, or the weights do not fit.
        Interrupted: the user interrupted; finished scores are written.
    """
    suffix = _dataset_suffix(path, record, probes, dataset)
    if len(dataset.classes) < 2 and (unfit := [name for name in probes.protocols if not FURTHER[name].group]):
        raise UserError(f"{unfit[0]} needs classes, which {dataset.name} does not have; expected --protocols dense")
    paths = {name: probe_path(path.parent, name, suffix) for name in probes.protocols}
    missing = {name: file for name, file in paths.items() if not file.is_file()}
    if not missing:
        listener.say(f"{_label(record)}: {', '.join(paths)}: there already")
        return 0
    failures = 0
    with folder_lock(path.parent) as acquired:
        if not acquired:
            listener.say(f"{path.parent}: is already being probed by another process; skipped")
            return 0
        encoder = load_encoder(path.parent, record).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device.type == "cpu":
            use_plain_attention(encoder)
        subject = Subject(
            encoder=encoder,
            data=probe_data(dataset, int(record.config["image_size"])),
            device=device,
            dataset=dataset,
            seed=record.seed,
            precision=record.config["precision"],
        )
        for name, file in missing.items():
            if stop_signal.requested:
                raise Interrupted
            failures += not _run_protocol(name, subject, record, file, listener, optional=name in probes.optional)
    return failures


def _label(record: Record) -> str:
    return f"{record.entry}, seed {record.seed}"


def _dataset_suffix(path: Path, record: Record, probes: Probes, dataset: Dataset) -> str | None:
    """What the names of score files say of the dataset; None where it is the run's own."""
    manifest = dataset.manifest.digest
    if probes.other_dataset is not None:
        return re.sub(r"[^A-Za-z0-9_-]", "-", f"{dataset.name}-{manifest[:8]}")
    if manifest != record.dataset.manifest:
        changed = changes(path.parents[2], dataset.inventory)
        raise UserError(
            f"{path}: was trained on {record.dataset.name} ({record.dataset.manifest[:12]}), the data given is "
            f"{dataset.name} ({manifest[:12]}){': ' if changed else ''}{changed}; expected the run's own, or --dataset "
            "for another one"
        )
    return None


def _run_protocol(
    name: str, subject: Subject, record: Record, file: Path, listener: Listener, *, optional: bool
) -> bool:
    """Runs one protocol and writes its scores, after what it keeps beside them; whether it succeeded.

    A protocol that does not apply to the encoder is passed over. If it does not apply to the dataset, that is an error
    unless it is `optional`.
    """
    label = f"{_label(record)}: {name}"
    listener.say(f"{label} on {subject.dataset.name}")
    start = time.monotonic()
    arrays: dict[str, Tensor] = {}
    before: list[float] = []  # seconds of calls that were interrupted
    try:
        scores = score(name, replace(subject, keep=arrays.update, folder=file.parent, charge=before.append))
    except NotApplicableError as error:
        if error.of_dataset and not optional:
            raise UserError(f"{name} {error}") from None
        listener.say(f"{label} {error}; passed over")
        return True
    except UserError:
        raise
    except Exception as error:  # the other protocols may still succeed
        kind = "" if isinstance(error, NonFiniteError) else f"{type(error).__name__}: "
        listener.say(f"{label} failed: {kind}{error}")
        return False
    probe = ProbeRecord(
        key=record.key,
        protocol=name,
        dataset=subject.dataset.record(),
        scores=scores,
        seconds=sum(before) + time.monotonic() - start,
        environment=describe(subject.device, 1),
        ended=now(),
    )
    with writing(file):
        if arrays:
            _write_arrays(predictions_path(file), arrays)
        write_probe(file, probe)
    shown = ", ".join(f"{key} {value:.4g}" for key, value in scores.items())
    listener.say(f"{label}: {shown} ({probe.seconds:.0f} s)")
    return True


def _write_arrays(path: Path, arrays: Mapping[str, Tensor]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{name: tensor.numpy() for name, tensor in arrays.items()})
    write_atomically(path, buffer.getvalue())
