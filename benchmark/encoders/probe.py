"""Further protocols on finished runs: the encoder that a run left, probed; what was found, beside its record."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from pydantic import ValidationError

from benchmark.data.datasets import Dataset, DatasetSpec, load_dataset
from benchmark.encoders.load import load_encoder
from benchmark.errors import Interrupted, UserError
from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.protocols import FURTHER, TRANSFER, score
from benchmark.evaluation.subject import Subject, probe_data
from benchmark.files import folder_lock, write_atomically
from benchmark.machine.devices import take_device
from benchmark.machine.environment import describe, now
from benchmark.records.folder import probe_path
from benchmark.records.schema import ProbeRecord, Record
from benchmark.training.checkpoint import ENCODER_FILE
from methods.backbones import use_plain_attention
from methods.config import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmark.machine.interrupt import StopSignal

Found = tuple["Path", Record]


class Listener(Protocol):
    """Who is told how it goes."""

    def say(self, text: str) -> None:
        """A line for the user."""

    def data_progress(self, done: int, total: int) -> None:
        """So many of the images have been read."""


@dataclass(frozen=True)
class Probes:
    """What is to be probed, and on what.

    Attributes:
        protocols: of `FURTHER`.
        elsewhere: a dataset other than the runs' own; None probes each on its own.
        data: folder of the dataset's files.
        download: whether it may be fetched.
    """

    protocols: tuple[str, ...]
    elsewhere: str | None = None
    data: Path | None = None
    download: bool = False

    def __post_init__(self) -> None:
        for protocol in self.protocols:
            if protocol not in FURTHER:
                raise UserError(f"unknown protocol '{protocol}'; {nearest(protocol, FURTHER)}")
        if TRANSFER in self.protocols and self.elsewhere is None:
            raise UserError(f"{TRANSFER} needs --dataset NAME, the dataset to transfer to")


def unprobed(found: Iterable[Found], protocols: Sequence[str]) -> list[Found]:
    """The runs that have an encoder and lack one of these protocols on their own dataset."""
    return [
        (path, record)
        for path, record in found
        if _probeable(path, record) and any(not probe_path(path.parent, name).is_file() for name in protocols)
    ]


def _probeable(path: Path, record: Record) -> bool:
    return record.metrics is not None and (path.parent / ENCODER_FILE).is_file()


def evaluate_runs(
    found: Sequence[Found], asked: Probes, device: str, reporter: Listener, stop_signal: StopSignal, *, share: bool
) -> int:
    """Probes finished runs; what is there is not measured again.

    Args:
        found: record files and what they hold.
        asked: the protocols, and the dataset.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        reporter: is told how it goes.
        stop_signal: is asked between two protocols.
        share: use the device beside another process.

    Returns:
        How many probes failed.

    Raises:
        UserError: no run has an encoder to probe, or the dataset is not the one that a run was trained on.
    """
    able = [pair for pair in found if _probeable(*pair)]
    if not able:
        raise UserError(f"none of the {len(found)} runs has left an {ENCODER_FILE} to probe")
    if len(able) < len(found):
        reporter.say(f"{len(found) - len(able)} of {len(found)} runs left no {ENCODER_FILE}; they are left out")
    loaded: dict[str, Dataset] = {}
    failures = 0
    with take_device(device, share=share) as (where, _):
        for path, record in able:
            spec = _spec(record, asked)
            name = spec.model_dump_json()
            if name not in loaded:
                loaded[name] = load_dataset(spec, asked.data, asked.download, progress=reporter.data_progress)
            failures += probe_run(path, record, asked, loaded[name], where, reporter, stop_signal)
    return failures


def _spec(record: Record, asked: Probes) -> DatasetSpec:
    """What to load for a run: its own dataset, or another one at its own input size."""
    try:
        if asked.elsewhere is None:
            return DatasetSpec.model_validate(record.config["dataset"])
        return DatasetSpec(name=asked.elsewhere, size=record.config["image_size"])
    except (KeyError, ValidationError) as error:
        detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"no {error} in its configuration"
        raise UserError(f"run {record.entry}, seed {record.seed}: {detail}") from None


def probe_run(
    path: Path,
    record: Record,
    asked: Probes,
    dataset: Dataset,
    device: torch.device,
    reporter: Listener,
    stop_signal: StopSignal,
) -> int:
    """Carries out on one run what is missing of the protocols; returns how many failed.

    Raises:
        UserError: the dataset is not the run's own though no other was asked for, or the weights do not fit.
        Interrupted: the user interrupted; what was found is written.
    """
    label = f"{record.entry}, seed {record.seed}"
    manifest = dataset.manifest.digest
    if asked.elsewhere is None and manifest != record.dataset.manifest:
        raise UserError(
            f"{path}: was trained on {record.dataset.name} ({record.dataset.manifest[:12]}), the data given is "
            f"{dataset.name} ({manifest[:12]}); expected the run's own, or --dataset for another one"
        )
    elsewhere = None
    if asked.elsewhere is not None:
        elsewhere = re.sub(r"[^A-Za-z0-9_-]", "-", f"{dataset.name}-{manifest[:8]}")
    missing = [name for name in asked.protocols if not probe_path(path.parent, name, elsewhere).is_file()]
    if not missing:
        reporter.say(f"{label}: {', '.join(asked.protocols)}: there already")
        return 0
    failures = 0
    with folder_lock(path.parent) as mine:
        if not mine:
            reporter.say(f"{path.parent}: another process is at this run; it is left to that one")
            return 0
        subject = _subject(path, record, dataset, device)
        for name in missing:
            if stop_signal.requested:
                raise Interrupted
            reporter.say(f"{label}: {name} on {dataset.name}")
            start = time.monotonic()
            try:
                scores = score(name, subject)
            except UserError:
                raise
            except Exception as error:  # one protocol's failure is no other's
                kind = "" if isinstance(error, NonFiniteError) else f"{type(error).__name__}: "
                reporter.say(f"{label}: {name} failed: {kind}{error}")
                failures += 1
                continue
            probe = ProbeRecord(
                key=record.key,
                protocol=name,
                dataset=dataset.record(),
                scores=scores,
                seconds=time.monotonic() - start,
                environment=describe(device, 1),
                ended=now(),
            )
            _write(probe_path(path.parent, name, elsewhere), probe)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in scores.items())
            reporter.say(f"{label}: {name}: {shown} ({probe.seconds:.0f} s)")
    return failures


def _write(path: Path, probe: ProbeRecord) -> None:
    try:
        write_atomically(path, probe.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def _subject(path: Path, record: Record, dataset: Dataset, device: torch.device) -> Subject:
    encoder = load_encoder(path.parent, record).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":
        use_plain_attention(encoder)
    size = int(record.config["image_size"])
    precision = record.config["precision"]
    return Subject(
        encoder=encoder,
        data=probe_data(dataset, size),
        device=device,
        dataset=dataset,
        seed=record.seed,
        precision=precision,
    )
