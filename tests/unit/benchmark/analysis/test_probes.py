from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.analysis.columns import names
from benchmark.analysis.comparison import comparisons
from benchmark.analysis.probes import PROBES, further_tables, probe_rows, probes_of, run_of
from benchmark.records.schema import ProbeRecord

if TYPE_CHECKING:
    from pathlib import Path


def test_probes_of_one_run_on_two_machines_are_told_apart(make_record: Any) -> None:
    one, two = (make_record(environment={"threads": threads}) for threads in (1, 2))
    assert one.key == two.key and run_of(one) != run_of(two)


def probe(record: Any, **scores: float) -> ProbeRecord:
    return ProbeRecord(
        key=record.key, protocol="counts-v1", dataset=record.dataset, scores=scores, seconds=1.0,
        environment=record.environment, ended=record.ended,
    )  # fmt: skip


def test_scores_of_all_copies_of_a_run_count_and_those_of_an_earlier_attempt_do_not(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    earlier, record = (make_record(ended=f"2026-11-0{day}T00:00:00Z", top1=40.0 + day) for day in (1, 2))
    assert earlier.key == record.key
    paths = [(store(tmp_path / name, each), each) for name, each in zip("abc", (record, record, earlier), strict=True)]

    def write(place: int, name: str, probe: ProbeRecord) -> None:
        folder = paths[place][0].parent / "probes"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(probe.model_dump_json())

    write(0, "counts.json", probe(record, top1=1.0))
    write(1, "counts.json", probe(record, top1=2.0).model_copy(update={"ended": "2026-11-03T00:00:00Z"}))
    write(1, "other.json", probe(record, r2=0.5).model_copy(update={"protocol": "scale-v1"}))
    write(2, "older.json", probe(earlier, top1=9.0).model_copy(update={"protocol": "position-v1"}))
    found, problems = probes_of(paths)
    assert not problems
    assert {each.protocol: each.scores for each in found[run_of(record)]} == {
        "counts-v1": {"top1": 2.0},
        "scale-v1": {"r2": 0.5},
    }


def test_scores_are_summarised_over_seeds_and_rows_without_any_are_left_out(make_record: Any) -> None:
    records = [make_record("byol", seed) for seed in range(3)]
    (comparison,) = comparisons([*records, make_record("simclr")])
    probes = {
        run_of(r): [probe(r, top1=50.0 + r.seed, r2=0.5).model_copy(update={"seconds": 1.0 + r.seed})] for r in records
    }
    (table,) = further_tables(comparison, probes)
    assert (table.protocol, table.dataset, table.scores) == ("counts-v1", "cifar10-jpeg", ("top1", "r2"))
    ((row, summaries),) = table.rows
    assert row.first.entry == "byol" and (summaries["top1"].n, summaries["top1"].mean) == (3, 51.0)
    rows = probe_rows(comparison, probes)
    assert [(one.record.entry, one.score, one.summary.mean, one.seconds.mean) for one in rows] == [
        ("byol", "top1", 51.0, 2.0),
        ("byol", "r2", 0.5, 2.0),
    ]
    values = {column.name: column.read(rows[0]) for column in PROBES}
    assert (values["probed_on"], values["comparison_key"]) == ("cifar10-jpeg", comparison.key)
    assert len(set(names(PROBES))) == 16
