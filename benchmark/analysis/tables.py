"""The tables: the leaderboard, one row per entry and comparison; the runs, one row each; further protocols' scores.

`columns.py` names the columns. What was not measured is empty.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.analysis.columns import (
    COUNT_COLUMNS,
    LEADERBOARD_COLUMNS,
    LEADERBOARD_VERSION,
    RUN_COLUMNS,
    TEXT_COLUMNS,
)
from benchmark.analysis.comparability import comparison_key, cost_key, quality_key, tags_of
from benchmark.analysis.comparison import Comparison, Row, comparisons
from benchmark.analysis.differences import difference_of, median_time_to, ranks, targets_of
from benchmark.analysis.export import sorted_by
from benchmark.analysis.probes import PROBE_COLUMNS, probe_rows, probes_of
from benchmark.errors import UserError
from benchmark.files import write_atomically
from benchmark.records.budgets import budget_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from benchmark.records.schema import EncoderScores, LedgerRecord, Metrics, Record


def _score(record: Record, name: str) -> float | None:
    return None if record.metrics is None else float(getattr(record.metrics.scores, name))


def _other_encoder(metrics: Metrics | None) -> tuple[str, EncoderScores] | None:
    """The encoder that does not stand in the comparison, where there is one (rule 28)."""
    others = {} if metrics is None else {k: v for k, v in metrics.encoders.items() if k != metrics.primary}
    return next(iter(sorted(others.items())), None)


def _other_top1(record: Record) -> float | None:
    other = _other_encoder(record.metrics)
    return None if other is None else other[1].linear_top1


def images_per_second(ledger: LedgerRecord | None) -> float | None:
    """Median throughput of training; None where nothing was trained or measured."""
    return None if ledger is None or ledger.samples_per_second is None else ledger.samples_per_second.median


def _mebibytes(ledger: LedgerRecord | None) -> float | None:
    return None if ledger is None or ledger.peak_memory_bytes is None else ledger.peak_memory_bytes / 2**20


def flops_per_image(record: Record) -> float | None:
    """FLOPs of a training step for each image of the batch; None where none was counted."""
    ledger = record.ledger
    return None if ledger is None or not ledger.samples or ledger.flops is None else ledger.flops / ledger.samples


def _watts(record: Record) -> float | None:
    energy = None if record.ledger is None else record.ledger.energy
    return None if energy is None or not energy.seconds else energy.joules / energy.seconds


def _ledger(name: str) -> Callable[[Record], float | None]:
    return lambda record: None if record.ledger is None else float(getattr(record.ledger, name))


def _wait_share(record: Record) -> float | None:
    ledger = record.ledger
    return None if ledger is None or ledger.training_time <= 0 else ledger.data_wait / ledger.training_time


def commit_text(record: Record) -> str:
    """The commit's first 12 digits, `+dirty` if files had been changed; empty if unknown."""
    environment = record.environment
    return "" if environment.commit is None else environment.commit[:12] + ("+dirty" if environment.dirty else "")


def _join(words: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(word for word in words if word))


def row_flags(row: Row) -> list[str]:
    """The flags of a row's runs; `repeated seed` where two of different keys share one; what a bug made invalid."""
    flags = [flag for record in row.records for flag in record.flags]
    if len({record.seed for record in row.records}) < row.n:
        flags.append("repeated seed")
    if row.invalid:
        flags.append(f"invalid: {row.invalid}")
    return list(dict.fromkeys(flags))


def _common(record: Record) -> dict[str, Any]:
    return {
        "schema_version": LEADERBOARD_VERSION,
        "experiment": record.experiment,
        "dataset": record.dataset.name,
        "entry": record.entry,
        "method": record.method,
        "backbone": record.backbone,
        "budget": budget_text(record),
        "comparison_key": comparison_key(record),
        "quality_key": quality_key(record),
        "cost_key": cost_key(record),
    }


def leaderboard_row(comparison: Comparison, row: Row) -> dict[str, Any]:
    """One row of the leaderboard as plain data, by column; None where there is nothing to say."""
    source = row.measured[0] if row.measured else row.first
    other = _other_encoder(source.metrics)
    time = row.time_summary(_ledger("training_time"))
    rank = ranks(comparison).get(id(row))
    values: dict[str, Any] = {
        **_common(row.first),
        "n": row.n,
        "n_completed": len(row.completed),
        "n_timed": len(row.timed),
        "preliminary": "yes" if row.preliminary else "no",
        "status": row.status,
        "rank": rank.text if rank else "",
        "linear_top1_sd": row.accuracy.sd,
        "linear_top1_sampling95": row.sampling95,
        "beats_random_init": comparison.beats_random_init(row),
        **_difference(comparison, row),
        "encoder": source.metrics.primary if source.metrics else "",
        "other_encoder": other[0] if other else "",
        "other_linear_top1_mean": row.summary(_other_top1).mean,
        "training_time_mean": time.mean,
        "training_time_ci95": time.ci95,
        "time_to_targets": _join(
            [f"{t:g}%: {took:.8g} s" for t in targets_of(row) if (took := median_time_to(row, t)) is not None]
        ),
        "total_time_mean": row.time_summary(_ledger("total_time")).mean,
        "device_hours_mean": row.time_summary(_ledger("device_hours")).mean,
        "images_per_second_mean": row.time_summary(lambda r: images_per_second(r.ledger)).mean,
        "flops_per_image": row.summary(flops_per_image).mean,
        "flops_mean": row.summary(lambda r: None if r.ledger is None else r.ledger.flops).mean,
        "training_watts_mean": row.time_summary(_watts).mean,
        "other_cores_mean": row.time_summary(lambda r: None if r.ledger is None else r.ledger.other_cores).mean,
        "data_wait_share": row.time_summary(_wait_share).mean,
        "peak_memory_mib": max(filter(None, (_mebibytes(r.ledger) for r in row.measured)), default=None),
        "parameters": source.metrics.trainable_parameters if source.metrics else None,
        "backbone_parameters": source.metrics.backbone_parameters if source.metrics else None,
        "flags": _join(row_flags(row)),
        "tags": _join([tag for record in row.records for tag in tags_of(record)]),
        "rules_version": row.first.rules_version,
        "commit": _join([commit_text(record) for record in row.records]),
    }
    for name in ("linear_top1", "linear_top5", "knn20", "knn200"):
        summary = row.summary(lambda record, name=name: _score(record, name))  # type: ignore[misc]
        values[f"{name}_mean"], values[f"{name}_ci95"] = summary.mean, summary.ci95
    return values


def _difference(comparison: Comparison, row: Row) -> dict[str, Any]:
    """The columns on the row's difference to the reference; empty for the reference itself."""
    found = difference_of(comparison, row)
    if found is None:
        return {}
    return {
        "reference": found.reference.first.entry,
        "difference_pairs": found.paired.n,
        "difference_mean": found.paired.mean,
        "difference_ci95": found.paired.ci95,
        "difference_p_holm": found.p,
        "improvement_probability": found.improvement,
        "differs": found.verdict,
    }


def run_row(record: Record, path: str) -> dict[str, Any]:
    """One row of the runs' table as plain data, by column; `path` says where the record lies."""
    environment, ledger, metrics = record.environment, record.ledger, record.metrics
    other = _other_encoder(metrics)
    values: dict[str, Any] = {
        **_common(record),
        **{name: getattr(record, name) for name in ("seed", "key", "status", "cause", "message", "started", "ended")},
        "encoder": metrics.primary if metrics else "",
        "other_encoder": other[0] if other else "",
        "other_linear_top1": _other_top1(record),
        "final_loss": metrics.final_loss if metrics else None,
        "images_per_second": images_per_second(ledger),
        "peak_memory_mib": _mebibytes(ledger),
        "parameters": metrics.trainable_parameters if metrics else None,
        "backbone_parameters": metrics.backbone_parameters if metrics else None,
        "flags": _join(record.flags),
        "tags": _join(tags_of(record)),
        **{
            name: getattr(environment, name)
            for name in ("device_model", "devices", "cpu_model", "visible_cores", "threads")
        },
        "torch": environment.packages.get("torch", ""),
        "rules_version": record.rules_version,
        "commit": commit_text(record),
        "record": path,
    }
    for name in ("linear_top1", "linear_top5", "linear_strength", "linear_validation_top1", "knn20", "knn200"):
        values[name] = _score(record, name)
    if record.trial_metrics is not None:
        values["linear_validation_top1"] = record.trial_metrics.scores.linear_top1
    energy = ledger.energy if ledger else None
    for name in ("joules", "seconds", "scope"):
        values[f"energy_{name}"] = getattr(energy, name, None)
    for name in ("other_cores", "clock_mhz", "throttled"):
        values[name] = getattr(ledger, name) if ledger else None
    times = ("training_time", "total_time", "data_wait", "device_hours")
    for name in (*times, "steps", "samples", "views", "flops_per_step", "flops", "resumed"):
        values[name] = getattr(ledger, name) if ledger else None
    for phase in ("setup", "warmup", "evaluation", "checkpointing", "logging"):
        values[f"{phase}_time"] = getattr(ledger.phases, phase) if ledger else None
    return values


def _frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(columns))
    for column in columns:
        if column in COUNT_COLUMNS:
            frame[column] = frame[column].astype("Int64")
        elif column in TEXT_COLUMNS:
            frame[column] = frame[column].fillna("").astype(str)
        else:
            frame[column] = frame[column].astype("Float64")
    return frame


def leaderboard(records: Sequence[Record]) -> pd.DataFrame:
    """One row per entry and comparison, with `LEADERBOARD_COLUMNS`.

    Comparisons stand by dataset and rising budget, rows inside one by falling linear top-1; rows whose runs all
    failed come last and stay.
    """
    return _frame([leaderboard_row(c, row) for c in comparisons(records) for row in c.rows], LEADERBOARD_COLUMNS)


def runs(found: Sequence[tuple[Path, Record]], folder: Path) -> pd.DataFrame:
    """One row per record, with `RUN_COLUMNS`, in the order of experiment, budget, entry and seed.

    Args:
        found: record files and what they hold.
        folder: what the `record` column's paths are relative to.
    """
    place = {id(record): index for index, record in enumerate(_in_order([record for _, record in found]))}
    ordered = sorted(found, key=lambda pair: (place.get(id(pair[1]), len(place)), str(pair[0])))
    return _frame([run_row(record, relative(path, folder)) for path, record in ordered], RUN_COLUMNS)


def _in_order(records: Sequence[Record]) -> list[Record]:
    return [record for comparison in comparisons(records) for record in comparison.records]


def relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`, with forward slashes."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def write_leaderboard(
    found: Sequence[tuple[Path, Record]], out_dir: Path, *, name: str = "leaderboard.csv", by: str | None = None
) -> tuple[Path, Path]:
    """Writes the leaderboard and `runs.csv` into a folder, each in one move; `probes.csv` where there are any.

    Args:
        found: record files and what they hold, as `benchmark.records.find_records` gives them.
        out_dir: made if it does not exist.
        name: of the leaderboard's file.
        by: sort its rows by this, inside each comparison; see `benchmark.analysis.export.SORTS`.

    Returns:
        The two files.

    Raises:
        UserError: the leaderboard would have another table's name.
    """
    if name in ("runs.csv", "probes.csv"):
        raise UserError(f"the leaderboard cannot be called {name}: another table has that name")
    board = leaderboard([record for _, record in found])
    board = board if by is None else sorted_by(board, by)
    tables = {out_dir / name: board, out_dir / "runs.csv": runs(found, out_dir)}
    probes, _ = probes_of(found)
    if any(probes.values()):
        every = comparisons([record for _, record in found])
        rows = [row for one in every for row in probe_rows(one, probes, LEADERBOARD_VERSION)]
        tables[out_dir / "probes.csv"] = _frame(rows, PROBE_COLUMNS)
    for path, table in tables.items():
        write_atomically(path, table.to_csv(index=False, float_format="%.8g", lineterminator="\n"))
    return out_dir / name, out_dir / "runs.csv"
