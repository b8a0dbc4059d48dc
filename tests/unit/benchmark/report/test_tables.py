"""Tables that lead from a number to its runs, pairs of entries, shared ranks, and captions that fit what is drawn."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from report_page import report

from benchmark.analysis.comparability import hardware_key
from benchmark.analysis.comparison import comparisons
from benchmark.analysis.differences import all_pairs, differences
from benchmark.cli.pages import write_pages
from benchmark.report.cost_tables import cost_table, relative_table
from benchmark.report.difference_tables import pairs_table
from benchmark.report.summary import answer

if TYPE_CHECKING:
    from pathlib import Path


_SPARSE = {"method": {"encoder": "sparse"}}


def _first_cells(text: str, label: str) -> dict[str, str]:
    """The links of a table's first or second column, by their text."""
    region = text[text.index(f'aria-label="{label}') :]
    region = region[: region.index("</table>")]
    found = re.findall(r'class="within" href="#([^"]+)">(.*?)</a>', region)
    return {re.sub("<[^>]+>", "", words): link for link, words in found}


def test_an_entry_in_any_table_leads_to_its_runs(make_record: Any, store: Any, tmp_path: Path) -> None:
    name = '"><script>x</script>'
    config = {"reference": "cnn_jepa", "method": {"encoder": "sparse"}}
    records = [
        make_record(entry, seed, top1=top1 + seed * slope, method="byol" if entry == name else None, config=config)
        for entry, top1, slope in (("cnn_jepa", 40.0, 1.0), ("simclr", 44.0, 1.3), (name, 39.0, 0.6))
        for seed in range(3)
    ]
    records += [make_record("simclr", 9, top1=44.0, config=config, environment={"cpu_model": "EPYC"})]
    page, _ = report(store, tmp_path, records)
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert page.scripts == 1
    assert len(page.groups) == len(records) and len(set(page.groups)) == 4  # SimCLR on two machines makes two rows
    assert sorted(page.ids) == sorted(set(page.ids)) and set(page.groups) <= set(page.ids)
    board = _first_cells(text, "Leaderboard")
    shown = "&#34;&gt;&lt;script&gt;x&lt;/script&gt;"
    assert set(board) == {"CNN-JEPA", "SimCLR", shown}
    for label in ("Cost, ", "Differences, ", "Relative training time, ", "Each against each, "):
        found = _first_cells(text, label)
        assert found[shown] == board[shown], label
    # Each group holds the runs of its entry: as many as the entry has seeds, the first of which carries the name.
    runs = re.findall(r'<tr data-group="([^"]+)"( id="[^"]+")?>(.*?)</tr>', text, flags=re.DOTALL)
    ours = [(bool(anchor), "CNN-JEPA" in cells) for group, anchor, cells in runs if group == board["CNN-JEPA"]]
    assert ours == [(True, True), (False, True), (False, True)]


def test_each_against_each_is_turned_round_across_the_diagonal(make_record: Any, store: Any, tmp_path: Path) -> None:
    scores = {"byol": [50.0, 51.0, 50.4], "simclr": [45.2, 46.0, 45.6], "vicreg": [45.1, 46.2, 45.4], "ijepa": [30.0]}
    records = [make_record(e, seed, top1=v) for e, values in scores.items() for seed, v in enumerate(values)]
    (comparison,) = comparisons(records)
    table, said = pairs_table(comparison)
    assert table is not None
    assert table.heads == ("Row - column", "BYOL", "SimCLR", "VICReg")
    assert said == "Left out, with fewer than 3 seeds in common with any other: I-JEPA."
    cells = {
        (row[0].text, head): (cell.text.split(" ")[0], cell.note)
        for row in table.rows
        for head, cell in zip(table.heads[1:], row[1:], strict=True)
    }
    assert cells["BYOL", "SimCLR"] == ("+4.9", "higher") and cells["SimCLR", "BYOL"] == ("-4.9", "lower")
    assert cells["SimCLR", "VICReg"] == ("+0.0", "tie") and cells["VICReg", "SimCLR"] == ("-0.0", "tie")
    assert all(cells[name, name] == ("", "") for name in table.heads[1:])
    (pair,) = [p for p in all_pairs([r for r in comparison.rows if r.n == 3]) if p.row.first.entry == "byol"][:1]
    assert table.rows[0][2].text == f"+4.9 ± {pair.paired.ci95:.1f}"
    page, markdown = report(store, tmp_path, records)
    assert "Each against each" in page.words and said in page.words and said in markdown
    assert "+4.9 ± " in markdown and "Ranks rest on the same test" in markdown


def test_too_few_common_seeds_give_a_sentence_instead_of_pairs(make_record: Any, store: Any, tmp_path: Path) -> None:
    sentence = "No two self-supervised entries have 3 seeds in common, so that none is tested pair by pair."
    page, markdown = report(store, tmp_path, [make_record(e, s) for e in ("byol", "simclr") for s in range(2)])
    assert sentence in page.words and sentence in markdown and "Each against each" not in page.words
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
    assert (said["SimCLR"], said["VICReg"], said["I-JEPA"]) == ("tie", "higher", "tie")


def test_rows_of_one_name_are_told_apart_in_the_table_of_pairs(make_record: Any) -> None:
    records = [make_record("byol", s, top1=40.0 + s) for s in range(3)]
    records += [make_record("byol", s, top1=45.0 + 1.5 * s, environment={"cpu_model": "EPYC"}) for s in range(3)]
    (comparison,) = comparisons(records)
    table, _ = pairs_table(comparison)
    assert table is not None and table.heads[1:] == ("BYOL (1)", "BYOL (2)")
    assert [row[0].text for row in table.rows] == ["BYOL (1)", "BYOL (2)"]


def test_shared_ranks_stand_in_the_page_as_in_the_leaderboard(make_record: Any, store: Any, tmp_path: Path) -> None:
    scores = {"byol": [50.0, 51.0, 50.4, 51.3, 50.2], "simclr": [50.1, 50.8, 50.5, 51.2, 50.1]}
    records = [make_record(e, seed, top1=v) for e, values in scores.items() for seed, v in enumerate(values)]
    page, markdown = report(store, tmp_path, records)
    words = " ".join(page.words.split())
    assert markdown.count("| tie 1 | ") == 2 and "Rows that share a rank are not all told apart" in words
    assert (
        "seed by seed, over all pairs of them, it is not told apart from SimCLR, so that their order is open." in words
    )
    assert ",tie 1," in (tmp_path / "report" / "leaderboard.csv").read_text(encoding="utf-8")


def test_the_answer_follows_the_paired_test_where_there_is_one(make_record: Any) -> None:
    # Both vary by seed much more than they differ, and alike: intervals meet, differences do not reach zero.
    values = {"byol": [40.0, 45.0, 50.0], "simclr": [39.0, 44.1, 48.9]}
    (comparison,) = comparisons([make_record(e, s, top1=v) for e, vs in values.items() for s, v in enumerate(vs)])
    assert "order is open" not in answer(comparison)[0]


@pytest.mark.parametrize(
    ("parts", "there", "absent"),
    [
        ({"encoder": 0.01, "target_encoder": 0.01, "loss": 0.01}, "target encoder the one", "older records"),
        ({"encoder": 0.01, "head": 0.01, "loss": 0.01}, "projector and predictor are all heads", "target encoder"),
        ({"forward": 0.03, "backward": 0.02}, "Of older records the forward pass is one part", "projector"),
    ],
)
def test_the_steps_caption_explains_the_parts_that_are_there(
    make_record: Any, store: Any, tmp_path: Path, parts: dict[str, float], there: str, absent: str
) -> None:
    path = store(tmp_path / "results", make_record("byol"))
    path.with_name("breakdown.json").write_text(json.dumps({"parts": parts}), encoding="utf-8")
    page, markdown = report(store, tmp_path, [])
    caption = next(line for line in markdown.splitlines() if line.startswith("*Where the time of a step goes"))
    assert there in caption and absent not in caption
    assert "Forward is all that makes the loss" not in page.words


def test_runs_that_were_evaluated_once_have_no_curve_and_the_report_says_so(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    path = store(tmp_path / "results", make_record("byol"))
    history = path.with_name("history.jsonl")
    history.write_text(history.read_text(encoding="utf-8").splitlines()[-1] + "\n", encoding="utf-8")
    page, markdown = report(store, tmp_path, [])
    sentence = "No learning curves: each run was evaluated once, and a point is no curve."
    assert sentence in page.words and sentence in markdown
    assert not list((tmp_path / "report" / "figures").glob("learning_curves*"))


def test_times_say_how_many_runs_they_are_of_and_what_they_are_divided_by(make_record: Any) -> None:
    records = [make_record("cnn_jepa", seed, flags=["busy machine"], config=_SPARSE) for seed in (0, 1)]
    records += [make_record("byol", seed, flags=["resumed"] if seed else []) for seed in (0, 1)]
    (comparison,) = comparisons(records)
    costs, ratios = (
        {row[0].text: row[table.heads.index("Times")].text for row in table.rows}
        for make in (cost_table, relative_table)
        if (table := make(comparison, [hardware_key(records[0])])) is not None
    )
    assert costs == {"CNN-JEPA": "unsafe", "BYOL": "of 1 of 2 runs"}
    assert ratios == {"CNN-JEPA": "unsafe", "BYOL": "unsafe"}


def test_tuned_and_untuned_stand_in_a_table_of_their_own(make_record: Any, store: Any, tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path / "results", make_record("simclr", seed, top1=43.0 + seed))
        best = make_record("simclr.lr-0.003", seed, method="simclr", top1=44.0 + 1.5 * seed, config={"tags": ["tuned"]})
        store(tmp_path / "results", best)
    write_pages([tmp_path / "results"], tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    part = text.split("#### Tuned against untuned")[1].split("####")[0]
    assert "SimCLR, lr 0.003" in part and "| SimCLR | 3 | +1.5 ± 1.2 | 0.035 |" in part and "higher" in part
