"""Scores by further protocols: the columns of `probes.csv`, and the summaries of the report's tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmark.analysis.columns import (
    COMPARISON_KEY,
    LEADERBOARD_VERSION,
    SETTINGS,
    Column,
    again,
    attribute,
    count,
    number,
    text,
)
from benchmark.analysis.comparability import hardware_key
from benchmark.analysis.statistics import Summary, summarise
from benchmark.records.folder import read_probes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmark.analysis.comparison import Comparison, Row
    from benchmark.records.schema import ProbeRecord, Record

    Run = tuple[str, str, str]
    Probes = Mapping[Run, Sequence[ProbeRecord]]


@dataclass(frozen=True)
class FurtherTable:
    """One protocol on one dataset.

    `rows` are the comparison's, in its order, with a summary over seeds for each score; rows without any are left out.
    `seconds` are what the protocol took, a summary for each of them.
    """

    protocol: str
    dataset: str
    scores: tuple[str, ...]
    rows: tuple[tuple[Row, dict[str, Summary]], ...]
    seconds: tuple[Summary, ...]


def run_of(record: Record) -> Run:
    """What identifies a run: its key, its kind of machine, and when it ended, as each attempt has its encoder."""
    return record.key, hardware_key(record), record.ended


def probes_of(records: Sequence[tuple[Path, Record]]) -> tuple[dict[Run, list[ProbeRecord]], list[str]]:
    """Further protocols' records by run, and a line for each file that could not be read.

    Copies of one record may have been scored in different folders: all count, and of two scores by one protocol on one
    dataset the later one.
    """
    found: dict[Run, dict[tuple[str, str, str], ProbeRecord]] = {}
    problems: list[str] = []
    for path, record in records:
        own = found.setdefault(run_of(record), {})
        probes, unread = read_probes(path, record)
        problems += unread
        for probe in probes:
            what = probe.protocol, probe.dataset.name, probe.dataset.manifest
            if what not in own or own[what].ended < probe.ended:
                own[what] = probe
    return {run: list(probes.values()) for run, probes in found.items()}, problems


def further_tables(comparison: Comparison, probes: Probes) -> list[FurtherTable]:
    """A table for each protocol and dataset with any score; invalid rows are left out."""
    rows = [row for row in comparison.shown if row.invalid is None]
    kinds: dict[tuple[str, str, str], dict[str, dict[int, list[float]]]] = {}  # scores by name and `id` of the row
    spent: dict[tuple[tuple[str, str, str], int], list[float]] = {}
    for row in rows:
        for record in row.measured:
            for probe in probes.get(run_of(record), ()):
                kind = probe.protocol, probe.dataset.name, probe.dataset.manifest
                spent.setdefault((kind, id(row)), []).append(probe.seconds)
                names = kinds.setdefault(kind, {})
                for name, score in probe.scores.items():
                    names.setdefault(name, {}).setdefault(id(row), []).append(score)
    tables = []
    for kind, names in sorted(kinds.items()):
        kept = [row for row in rows if any(id(row) in scores for scores in names.values())]
        filled = [(row, {name: summarise(scores.get(id(row), ())) for name, scores in names.items()}) for row in kept]
        seconds = tuple(summarise(spent[kind, id(row)]) for row in kept)
        tables.append(FurtherTable(*kind[:2], tuple(names), tuple(filled), seconds))
    return tables


@dataclass(frozen=True)
class ProbeRow:
    """One score of one entry by one protocol on one dataset."""

    comparison: str
    record: Record
    protocol: str
    dataset: str
    score: str
    summary: Summary
    seconds: Summary


PROBES: tuple[Column[ProbeRow], ...] = (
    count("schema_version", "version of this table", lambda _: LEADERBOARD_VERSION),
    *again(SETTINGS, dataset="what was trained on"),
    text("protocol", "its name and version", "protocol"),
    text("probed_on", "the dataset of the probe; another one for a transfer", "dataset"),
    text("score", "which of the protocol's scores", "score"),
    count("n", "number of runs with this score", "summary.n"),
    number("mean", "mean over these runs; accuracies in percent", "summary.mean"),
    number("sd", "standard deviation over these runs", "summary.sd"),
    number("ci95", "half of the 95% interval", "summary.ci95"),
    number("seconds", "mean seconds that the protocol took, of which all its scores come", "seconds.mean"),
    *again([replace(COMPARISON_KEY, value=attribute("comparison"))]),
)


def probe_rows(comparison: Comparison, probes: Probes) -> list[ProbeRow]:
    """One row per entry, protocol and score."""
    return [
        ProbeRow(comparison.key, row.first, table.protocol, table.dataset, name, summary, seconds)
        for table in further_tables(comparison, probes)
        for (row, summaries), seconds in zip(table.rows, table.seconds, strict=True)
        for name, summary in summaries.items()
    ]
