"""Dense scores side by side: which dataset, which summaries, and the leaderboard's columns."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.columns import row_values
from benchmark.analysis.comparison import comparisons
from benchmark.analysis.kept import PROPERTIES, kept, kept_of
from benchmark.analysis.leaderboard_columns import LEADERBOARD, BoardRow
from benchmark.analysis.probes import run_of
from benchmark.evaluation.protocols import DENSE, GROUPS
from benchmark.records.schema import ProbeRecord


def probe(record: Any, protocol: str, dataset: str | None = None, **scores: float) -> ProbeRecord:
    place = (
        record.dataset if dataset is None else record.dataset.model_copy(update={"name": dataset, "manifest": dataset})
    )
    return ProbeRecord(
        key=record.key, protocol=protocol, dataset=place, scores=scores, seconds=1.0,
        environment=record.environment, ended=record.ended,
    )  # fmt: skip


@pytest.fixture
def scored(make_record: Any) -> Any:
    """BYOL with two seeds and SimCLR with one: segmentation on their own dataset and elsewhere, depth elsewhere."""
    records = [make_record("byol"), make_record("byol", 1), make_record("simclr")]
    probes = {}
    for number, record in enumerate(records):
        probes[run_of(record)] = [
            probe(record, "segmentation-v1", miou=40.0 + number, miou_floor=7.5),
            probe(record, "segmentation-v1", "shapes-depth", miou=10.0),
            probe(record, "depth-v1", "shapes-depth", depth_rmse=0.5 + number / 10),
        ]
    probes[run_of(records[0])].append(probe(records[0], "depth-v1", "another", depth_rmse=9.0))
    (comparison,) = comparisons(records)
    return comparison, probes


def test_every_property_is_of_a_dense_protocol() -> None:
    assert {wanted.protocol for wanted in PROPERTIES} == set(GROUPS[DENSE])
    assert len({wanted.name for wanted in PROPERTIES}) == len(PROPERTIES)


def test_a_property_is_of_the_runs_own_dataset_where_it_was_scored_there(scored: Any) -> None:
    comparison, probes = scored
    miou, depth = kept(comparison, probes)
    assert (miou.property.name, miou.dataset, miou.floor) == ("miou", "cifar10-jpeg", 7.5)
    assert (depth.property.name, depth.dataset, depth.floor) == ("depth_rmse", "shapes-depth", None)
    rows = {row.first.entry: row for row in comparison.rows}
    assert kept_of(rows["byol"], [miou, depth], "miou").mean == 40.5
    assert kept_of(rows["simclr"], [miou, depth], "depth_rmse").mean == pytest.approx(0.7)
    assert kept_of(rows["simclr"], [miou, depth], "count_mae").n == 0


def test_the_leaderboard_has_means_and_intervals(scored: Any) -> None:
    comparison, probes = scored
    row = next(row for row in comparison.rows if row.first.entry == "byol")
    values = row_values(LEADERBOARD, BoardRow(comparison, row, tuple(kept(comparison, probes))))
    assert values["kept_on"] == "cifar10-jpeg; shapes-depth"
    assert (values["miou_mean"], values["depth_rmse_mean"]) == (40.5, pytest.approx(0.55))
    assert values["miou_ci95"] == pytest.approx(12.706 * 0.5, rel=1e-3)
    assert values["box_ap_mean"] is None
    blank = row_values(LEADERBOARD, BoardRow(comparison, row))
    assert blank["kept_on"] == "" and blank["miou_mean"] is None
