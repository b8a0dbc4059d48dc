"""Records as a run would leave them, made by hand."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from benchmark.records.folder import run_folder, write_record
from benchmark.records.schema import (
    DatasetRecord,
    EncoderScores,
    Environment,
    LedgerRecord,
    Metrics,
    PhaseSeconds,
    Point,
    Record,
    Throughput,
)
from benchmark.records.seal import DIGEST, HISTORY_FILE, sealed

if TYPE_CHECKING:
    from pathlib import Path

PROGRESS = (0.2, 0.4, 0.6, 0.8, 1.0)


class MakeRecord(Protocol):
    def __call__(self, entry: str = ..., seed: int = ..., **options: Any) -> Record: ...


def make_record(
    entry: str = "byol",
    seed: int = 0,
    *,
    method: str | None = None,
    backbone: str = "resnet18-w16",
    experiment: str = "cifar10",
    top1: float = 45.0,
    seconds: float = 100.0,
    budget: dict[str, Any] | None = None,
    status: Any = "completed",
    cause: Any = None,
    ema_top1: float | None = None,
    flags: list[str] | None = None,
    config: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    dataset: dict[str, Any] | None = None,
    measured: bool = True,
    **record: Any,
) -> Record:
    """A run's record; accuracies in percent, `seconds` of training time, `config` on top of the usual one."""
    method = method or entry
    budget = budget or {"epochs": 10}
    settings = {
        "experiment": experiment,
        "entry": {"name": entry, "method": method},
        "method": {"optimizer": {"lr": 0.001}},
        "backbone": {"name": backbone},
        "budget": budget,
        "batch_size": 256,
        "precision": "bf16",
        "image_size": 32,
        "evaluation": {"points": 5, "protocols": ["linear-v1", "knn-v1"]},
        "tags": [],
        **(config or {}),
    }

    trains = method != "random_init"
    spent = seconds if trains else 0.0
    encoders = {"online": _scores("online", top1)}
    if ema_top1 is not None:
        encoders["ema"] = _scores("ema", ema_top1)
    return Record(
        **{
            "key": hashlib.sha256(repr((entry, method, seed, settings, experiment)).encode()).hexdigest()[:16],
            "experiment": experiment,
            "entry": entry,
            "method": method,
            "backbone": backbone,
            "seed": seed,
            "status": status,
            "cause": cause,
            "config": settings,
            "dataset": DatasetRecord(**{**_DATASET, **(dataset or {})}),
            "environment": Environment(**{**_ENVIRONMENT, **(environment or {})}),
            "ledger": _ledger(spent, trains=trains) if measured else None,
            "metrics": _metrics(encoders, trains=trains) if measured else None,
            "flags": flags or [],
            "started": "2026-01-05T10:00:00+00:00",
            "ended": "2026-01-05T10:02:00+00:00",
            **record,
        }
    )


_DATASET: dict[str, Any] = {
    "name": "cifar10-jpeg",
    "manifest": "ab" * 32,
    "classes": 10,
    "counts": {"train": 18000, "val": 2000, "test": 10000},
}
_ENVIRONMENT: dict[str, Any] = {
    "python": "3.11.2",
    "platform": "Linux",
    "packages": {"torch": "2.14.1+cpu", "timm": "1.0.31"},
    "commit": "3d5bcc2" + "0" * 33,
    "dirty": False,
    "device": "cpu",
    "device_model": "cpu",
    "devices": 1,
    "driver": None,
    "cpu_model": "Xeon 8481C",
    "visible_cores": 2,
    "threads": 2,
    "memory_bytes": 2**34,
}


def _scores(weights: Any, value: float) -> EncoderScores:
    return EncoderScores(
        weights=weights,
        pooling="global average of the last map",
        dimension=128,
        linear_top1=value,
        linear_top5=min(100.0, value + 40),
        linear_strength=0.01,
        linear_validation_top1=value + 0.5,
        knn20=value - 4,
        knn200=value - 3,
    )


def _ledger(spent: float, *, trains: bool) -> LedgerRecord:
    return LedgerRecord(
        phases=PhaseSeconds(setup=2.0, warmup=1.0, training=spent, evaluation=12.0, checkpointing=0.5, logging=0.2),
        data_wait=0.02 * spent,
        training_time=spent,
        total_time=spent + 15.7,
        device_hours=spent / 3600,
        devices=1,
        steps=700 if trains else 0,
        samples=180000 if trains else 0,
        views=360000 if trains else 0,
        samples_per_second=Throughput(median=1800.0, p10=1700.0, p90=1850.0) if trains else None,
        peak_memory_bytes=900 * 2**20,
        evaluation_points=[Point(progress=p, training_time=p * spent) for p in PROGRESS] if trains else [],
    )


def _metrics(encoders: dict[str, EncoderScores], *, trains: bool) -> Metrics:
    return Metrics(
        primary="online",
        encoders=encoders,
        final_loss=0.4,
        backbone_parameters=701000,
        trainable_parameters=1200000 if trains else 0,
    )


def make_history(record: Record) -> list[dict[str, Any]]:
    """Five evaluations that rise to the record's own scores, and a line of another kind."""
    lines: list[dict[str, Any]] = [{"kind": "step", "step": 1, "progress": 0.001, "loss": 2.0}]
    if record.metrics is None or record.ledger is None or not record.ledger.evaluation_points:
        return lines
    final = record.metrics.scores
    for progress in PROGRESS:
        share = 0.7 + 0.3 * progress**0.5
        lines.append(
            {
                "kind": "evaluation",
                "step": round(700 * progress),
                "progress": progress,
                "linear_top1": final.linear_top1 * share,
                "knn20": final.knn20 * share,
                "knn200": final.knn200 * share,
            }
        )
    return lines


def store(out: Path, record: Record) -> Path:
    """Writes a record and its history where a run would; returns the record's path."""
    folder = run_folder(out, record.experiment, record.entry, record.seed, record.key)
    text = "".join(json.dumps(line) + "\n" for line in make_history(record))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HISTORY_FILE).write_text(text, encoding="utf-8")
    write_record(folder, record)
    return folder / "record.json"


def forge(path: Path, data: dict[str, Any]) -> None:
    """Writes a record's file with other content, as somebody would who computes its digest anew."""
    data = {name: value for name, value in data.items() if name != DIGEST}
    path.write_text(json.dumps(sealed(data, path.parent)), encoding="utf-8")


def make_external(entry: str = "theirs", *, config: dict[str, Any] | None = None, **options: Any) -> Record:
    """A record of an encoder that was trained elsewhere: no ledger, budget or batch, whatever precision."""
    settings = {"budget": {}, "batch_size": None, "precision": "32", "tags": ["trained elsewhere"], **(config or {})}
    return make_record(entry, method="external", experiment="evaluated", config=settings, ledger=None, **options)
