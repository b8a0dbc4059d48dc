from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from report_page import report

from benchmark.analysis.comparison import comparisons
from benchmark.analysis.differences import (
    all_pairs,
    differences,
)
from benchmark.cli.pages import write_pages
from benchmark.report.difference_tables import pairs_table, tuning_table

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_differences_to_the_declared_reference_and_times_to_targets(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    config = {"reference": "cnn_jepa", "targets": [40.0]}
    values = {"cnn_jepa": [40.0, 41.0, 42.0], "simclr": [44.0, 45.5, 46.0], "byol": [40.5, 40.5, 42.0]}
    records = [
        make_record(entry, seed, top1=top1, config=config, seconds=200.0 if entry == "byol" else 100.0)
        for entry, scores in values.items()
        for seed, top1 in enumerate(scores)
    ]
    page, markdown = report(store, tmp_path, records)
    sentence = (
        "Compared with CNN-JEPA, the declared reference (paired by seed, corrected for 2 comparisons): "
        "higher: SimCLR (+4.2 ± 1.0 points, p 0.003); not significantly different: BYOL (+0.0 ± 1.2 points, p 1.000)."
    )
    assert sentence in page.words and sentence in markdown
    assert "Differences to CNN-JEPA" in page.words
    lines = [line for line in markdown.splitlines() if "higher |" in line or "not significantly different |" in line]
    rows = {line.split("|")[1].strip(): line for line in lines}
    assert "+4.2 ± 1.0" in rows["SimCLR"] and "| 1.00 | higher | 1.00 |" in rows["SimCLR"]
    assert "| not significantly different | 2.00 |" in rows["BYOL"]
    assert "Training time to an accuracy" not in page.words  # without validation scores: not measured, not missed


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_one_seed_has_no_differences(make_record: Any, store: Any, tmp_path: Path) -> None:
    config = {"reference": "cnn_jepa"}
    page, _ = report(store, tmp_path, [make_record(entry, config=config) for entry in ("cnn_jepa", "byol")])
    assert "Differences" not in page.words and "declared reference" not in page.words


@pytest.mark.slow
def test_each_against_each_is_turned_round_across_the_diagonal(make_record: Any, store: Any, tmp_path: Path) -> None:
    scores = {"byol": [50.0, 51.0, 50.4], "simclr": [45.2, 46.0, 45.6], "vicreg": [45.1, 46.2, 45.4], "ijepa": [30.0]}
    records = [make_record(e, seed, top1=v) for e, values in scores.items() for seed, v in enumerate(values)]
    (comparison,) = comparisons(records)
    table, said = pairs_table(comparison)
    assert table is not None
    assert table.heads == ("Row - column", "BYOL", "SimCLR", "VICReg")
    assert said == "Left out (fewer than 3 seeds in common with any other entry): I-JEPA."
    cells = {
        (row[0].text, head): (cell.text.split(" ")[0], cell.note)
        for row in table.rows
        for head, cell in zip(table.heads[1:], row[1:], strict=True)
    }
    assert cells["BYOL", "SimCLR"] == ("+4.9", "higher") and cells["SimCLR", "BYOL"] == ("-4.9", "lower")
    assert cells["SimCLR", "VICReg"] == ("+0.0", "not significantly different")
    assert cells["VICReg", "SimCLR"] == ("-0.0", "not significantly different")
    assert all(cells[name, name] == ("", "") for name in table.heads[1:])
    (pair,) = [p for p in all_pairs([r for r in comparison.rows if r.n == 3]) if p.row.first.entry == "byol"][:1]
    assert table.rows[0][2].text == f"+4.9 ± {pair.half_width:.1f}"
    page, markdown = report(store, tmp_path, records)
    assert "All pairs" in page.words and said in page.words and said in markdown
    assert "+4.9 ± " in markdown and "Ranks use the same test" in markdown


@pytest.mark.slow
def test_too_few_common_seeds_give_a_sentence_instead_of_pairs(make_record: Any, store: Any, tmp_path: Path) -> None:
    sentence = "No two self-supervised entries have 3 seeds in common, so no pair is tested."
    page, markdown = report(store, tmp_path, [make_record(e, s) for e in ("byol", "simclr") for s in range(2)])
    assert sentence in page.words and sentence in markdown and "All pairs" not in page.words
    (alone,) = comparisons([make_record("byol", s) for s in range(3)])
    assert pairs_table(alone) == (None, "")


def test_a_pair_with_the_declared_reference_is_not_told_twice(make_record: Any) -> None:
    """Corrected over fewer pairs or more, a difference may lie on either side of 0.05; the report says one thing."""
    scores = {
        "cnn_jepa": [38.76, 36.82, 37.87],
        "simclr": [43.47, 43.59, 42.85],
        "ijepa": [37.71, 38.77, 39.07],
        "random_init": [33.42, 33.32, 33.11],
        "supervised": [39.08, 38.97, 39.97],
        "vicreg": [46.71, 47.08, 46.77],
    }
    config = {"reference": "cnn_jepa"}
    records = [make_record(e, s, top1=v, config=config) for e, vs in scores.items() for s, v in enumerate(vs)]
    (comparison,) = comparisons(records)
    rows = {row.first.entry: row for row in comparison.rows}
    alone = all_pairs([rows["vicreg"], rows["simclr"], rows["ijepa"], rows["cnn_jepa"]])
    verdicts = {frozenset((p.row.first.entry, p.reference.first.entry)): p.verdict for p in alone}
    declared = {p.row.first.entry: p.verdict for p in differences(comparison)}
    assert verdicts[frozenset(("simclr", "cnn_jepa"))] == "higher" and declared["simclr"] == "tie"
    table, _ = pairs_table(comparison)
    assert table is not None
    said = {row[0].text: row[table.heads.index("CNN-JEPA")].note for row in table.rows}
    assert (said["SimCLR"], said["VICReg"], said["I-JEPA"]) == (
        "not significantly different",
        "higher",
        "not significantly different",
    )


def test_rows_of_one_name_are_told_apart_in_the_table_of_pairs(make_record: Any) -> None:
    records = [make_record("byol", s, top1=40.0 + s) for s in range(3)]
    records += [make_record("byol", s, top1=45.0 + 1.5 * s, environment={"cpu_model": "EPYC"}) for s in range(3)]
    (comparison,) = comparisons(records)
    table, _ = pairs_table(comparison)
    assert table is not None and table.heads[1:] == ("BYOL (1)", "BYOL (2)")
    assert [row[0].text for row in table.rows] == ["BYOL (1)", "BYOL (2)"]


@pytest.mark.slow
def test_tuned_and_untuned_stand_in_a_table_of_their_own(make_record: Any, store: Any, tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path / "results", make_record("simclr", seed, top1=43.0 + seed))
        best = make_record("simclr.lr-0.003", seed, method="simclr", top1=44.0 + 1.5 * seed, config={"tags": ["tuned"]})
        store(tmp_path / "results", best)
    write_pages([tmp_path / "results"], tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    part = text.split("#### Tuned against untuned")[1].split("####")[0]
    assert "SimCLR, lr 0.003" in part and "| SimCLR | 3 | +1.5 ± 1.2 | 0.035 |" in part and "higher" in part


def test_a_recipe_that_was_its_own_best_point_is_named_beside_the_others(make_record: Any) -> None:
    tags = {"config": {"tags": ["tuned", "as the recipe has it"]}, "method": "vicreg"}
    records = [make_record("vicreg.lr-0.001", seed, **tags) for seed in range(2)]
    (comparison,) = comparisons(records)
    table = tuning_table(comparison)
    assert table is not None
    ((row, against, *rest),) = table.rows
    assert "lr 0.001" in row.text and against.text.startswith("itself") and not any(cell.text for cell in rest)
    again = [*records, *(make_record("vicreg", seed) for seed in range(2))]  # of the same settings, in a joint report
    table = tuning_table(comparisons(again)[0])
    assert table is not None and len(table.rows) == 1 and not table.rows[0][1].text.startswith("itself")
