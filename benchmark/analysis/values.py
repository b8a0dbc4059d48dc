"""Values that tables take from a record or a row: scores, throughput, memory, power, flags, the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.differences import median_time_to, targets_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmark.analysis.comparison import Row
    from benchmark.records.schema import Metrics, Record


def linear_validation_top1(record: Record) -> float | None:
    """The final probe's top-1 on the validation split; a trial of a sweep has no other score."""
    if record.trial_metrics is not None:
        return record.trial_metrics.scores.linear_top1
    return None if record.metrics is None else record.metrics.scores.linear_validation_top1


def other_encoder(metrics: Metrics | None) -> str | None:
    """The name of the encoder that is not compared, if there is one (rule 28)."""
    return None if metrics is None else min(metrics.encoders.keys() - {metrics.primary}, default=None)


def other_linear_top1(record: Record) -> float | None:
    """Linear top-1 of the encoder that is not compared."""
    other = other_encoder(record.metrics)
    return None if record.metrics is None or other is None else record.metrics.encoders[other].linear_top1


def peak_memory_mib(record: Record) -> float | None:
    """Peak memory of the training in MiB."""
    ledger = record.ledger
    return None if ledger is None or ledger.peak_memory_bytes is None else ledger.peak_memory_bytes / 2**20


def flops_per_image(record: Record) -> float | None:
    """FLOPs of a training step divided by the images in its batch; None if they were not counted."""
    ledger = record.ledger
    return None if ledger is None or not ledger.samples or ledger.flops is None else ledger.flops / ledger.samples


def watts(record: Record) -> float | None:
    """Mean power during the sampled part of the training."""
    energy = None if record.ledger is None else record.ledger.energy
    return None if energy is None or not energy.seconds else energy.joules / energy.seconds


def data_wait_share(record: Record) -> float | None:
    """Share of the training time spent waiting for data."""
    ledger = record.ledger
    return None if ledger is None or ledger.training_time <= 0 else ledger.data_wait / ledger.training_time


def commit_text(record: Record) -> str:
    """The commit's first 12 digits, `+dirty` if files had been changed; empty if unknown."""
    environment = record.environment
    return "" if environment.commit is None else environment.commit[:12] + ("+dirty" if environment.dirty else "")


def times_to_targets(row: Row) -> str:
    """The median training time to each declared accuracy, such as `40%: 123 s`."""
    times = [(target, median_time_to(row, target)) for target in targets_of(row)]
    return joined(f"{target:g}%: {seconds:.8g} s" for target, seconds in times if seconds is not None)


def row_flags(row: Row) -> list[str]:
    """The flags of a row's runs; `repeated seed` if two runs of different keys share one; why the row is invalid."""
    flags = [flag for record in row.records for flag in record.flags]
    if len({record.seed for record in row.records}) < row.n:
        flags.append("repeated seed")
    if row.invalid:
        flags.append(f"invalid: {row.invalid}")
    return list(dict.fromkeys(flags))


def joined(words: Iterable[str]) -> str:
    """Different words in the order of their first appearance, separated by semicolons."""
    return "; ".join(dict.fromkeys(word for word in words if word))
