from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from report_page import report

from benchmark.analysis.comparison import comparisons
from benchmark.errors import UserError
from benchmark.records.schema import ValidationPoint
from benchmark.report.cost_figure import front_of
from benchmark.report.page import write_report
from benchmark.report.pictures import inline_svg
from benchmark.report.run_files import read_history
from benchmark.report.summary import answer, beside_the_answer, limits, question

if TYPE_CHECKING:
    from pathlib import Path


def test_whole_report(make_record: Any, store: Any, tmp_path: Path) -> None:
    records = [
        make_record("random_init", top1=33.0),
        make_record("simclr", top1=45.5, seconds=150.0),
        make_record("byol", top1=45.0, seconds=160.0),
        make_record("ijepa", backbone="vit_tiny", top1=33.5, seconds=75.0, config={"tags": ["different backbone"]}),
        make_record("cnn_jepa", status="diverged", measured=False, message="loss is not finite"),
    ]
    page, markdown = report(store, tmp_path, records, problems=("old/record.json: not a JSON file",))
    words = " ".join(page.words.split())
    for text in (words, " ".join(markdown.split())):
        assert (
            "SimCLR has the highest linear top-1 of the self-supervised entries: 45.5 ± 1.0% (preliminary, one seed"
            in text
        )
        assert "its interval meets that of BYOL, so that their order is open." in text
        assert "I-JEPA is the cheapest of them to train (75 s); SimCLR took 2.5 min, 2.0 times as long." in text
        assert "above it beyond the intervals: SimCLR and BYOL; not told apart from it: I-JEPA." in text
        assert "Without a result: CNN-JEPA (diverged)." in text
        assert "All rows are preliminary" in text
        assert "No ceiling (supervised) row" in text
        assert "old/record.json: not a JSON file" in text
        assert "CNN-JEPA, seed 0, 10 epochs: diverged: loss is not finite" in text
        assert "Xeon 8481C" in text and "2.14.1+cpu" in text
    folder = tmp_path / "report"
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {
        f"{stem}.{kind}"
        for stem in ("cost_vs_accuracy", "learning_curves", "time", "published")
        for stem in (stem, f"{stem}-column")
        for kind in ("svg", "png")
    }
    assert (folder / "leaderboard.csv").exists() and (folder / "runs.csv").exists()
    targets = [link for link in page.links if not link.startswith("#")]
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert sum(link.endswith("record.json") for link in targets) == len(records)
    for link in [*targets, *re.findall(r"\]\(<?([^)>]+)>?\)", markdown)]:
        assert (folder / unquote(link)).exists(), link
    assert len(page.ids) == len(set(page.ids)) and page.sources == []


def test_markup_in_names_and_messages_stays_text(make_record: Any, store: Any, tmp_path: Path) -> None:
    name = "<script>alert(1)<script>|`*"
    records = [
        make_record(name, method="byol", experiment="<img src=x>", message="</td><script>x"),
        make_record("simclr", experiment="<img src=x>", flags=["<b>flag"], status="failed", measured=False),
    ]
    page, markdown = report(store, tmp_path, records, problems=("<i>bad</i>",))
    assert page.scripts == 1  # the page's own
    assert page.sources == []
    assert name in page.words and "<img src=x>" in page.words and "<i>bad</i>" in page.words
    assert "<script" not in markdown and "<b>" not in markdown and "<img" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| &lt;script")]
    assert len(rows) == 3
    bars = sorted(len(re.findall(r"(?<!\\)\|", line)) for line in rows)
    heads = [len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if line.startswith("| Entry")]
    assert bars == sorted(heads)


def test_other_comparisons_are_sections_and_say_in_what_they_differ(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    records = [make_record("byol", budget={"epochs": e}) for e in (2, 10)]
    records += [make_record("byol", seed=1, environment={"cpu_model": "EPYC"})]
    records += [make_record("byol", seed=2, config={"precision": "32"})]
    page, _ = report(store, tmp_path, records)
    assert {"s1", "s2"} <= set(page.ids) and "s3" not in page.ids
    assert len(page.ids) == len(set(page.ids))
    words = " ".join(page.words.split())
    assert "There are 3 comparisons" in words and "precision (bf16, 32)" in words
    assert "CPU model (EPYC, Xeon 8481C)" in words and "budget (2 epochs, 10 epochs)" in words
    assert "Environment A: " in words and "Environment B: " in words
    stems = {path.stem.split("-")[0] for path in (tmp_path / "report" / "figures").glob("*.svg")}
    assert "cost_vs_accuracy" in stems


@pytest.mark.parametrize(
    "options", [{}, {"status": "failed", "cause": "exception", "measured": False}, {"entry": "random_init"}]
)
def test_a_single_record_is_enough(make_record: Any, store: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    page, markdown = report(store, tmp_path, [make_record(**options)])
    assert "1 runs" not in markdown or "of 1 runs completed" in markdown
    assert "Limits" in page.words


def test_no_records_is_the_users_error_and_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no records in .*empty: expected record.json.*1 not readable, the first: x: bad"
    ):
        write_report([], ["x: bad"], tmp_path / "out", looked_in=[tmp_path / "empty"])
    assert not (tmp_path / "out").exists()


def test_history_without_a_file_or_with_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert read_history(path) == []
    path.write_text('{"kind": "step"}\n[1]\n{"kind": "eval', encoding="utf-8")
    assert read_history(path) == [{"kind": "step"}]


def test_inlined_svg_carries_its_files_name_in_ids_and_their_uses(tmp_path: Path) -> None:
    path = tmp_path / "a b.svg"
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE svg><svg xmlns:xlink="http://x" width="10pt" height="5pt" viewBox="0 0 10 5">'
        '<metadata>m</metadata><path id="p"/><use xlink:href="#p" clip-path="url(#c)"/></svg>',
        encoding="utf-8",
    )
    assert inline_svg(path) == (
        '<svg viewBox="0 0 10 5" role="img"><path id="a-b-p"/><use xlink:href="#a-b-p" clip-path="url(#a-b-c)"/></svg>'
    )


def test_three_seeds_are_no_longer_preliminary_in_the_answer(make_record: Any) -> None:
    records = [
        make_record(entry, s, top1=t + 0.1 * s) for entry, t in (("byol", 45.0), ("simclr", 40.0)) for s in range(3)
    ]
    (comparison,) = comparisons(records)
    said = answer(comparison)
    assert "45.1 ± 0.2% (3 seeds; ± is the 95% interval over seeds)." in said[0]
    assert question(comparison) == (
        "Which of 2 self-supervised entries has the best features after 10 epochs on cifar10-jpeg, and what does each "
        "cost to train? (3 seeds)"
    )
    assert not any("order is open" in sentence for sentence in said)
    assert "No random-init row stands in this comparison" in said[-1]
    told = limits([comparison], [])
    assert not any("preliminary" in line for line in told)
    assert any("No row is ranked: that takes 5 seeds" in line for line in told)


def test_a_single_entry_is_not_the_highest_of_many(make_record: Any) -> None:
    (comparison,) = comparisons([make_record("byol", s, top1=45.0 + 0.1 * s) for s in range(3)])
    assert answer(comparison)[0].startswith(
        "After 10 epochs on cifar10-jpeg, BYOL reaches a linear top-1 of 45.1 ± 0.2%"
    )


def test_times_of_other_machines_are_not_compared(make_record: Any) -> None:
    records = [make_record("byol", top1=45.0, seconds=100.0)]
    records.append(make_record("simclr", top1=40.0, seconds=5.0, environment={"device_model": "H200"}))
    (comparison,) = comparisons(records)
    assert not any("cheapest" in sentence for sentence in answer(comparison))


def test_no_entry_is_the_cheapest_where_the_budget_is_a_time(make_record: Any) -> None:
    values = (("byol", 45.0, 60.2), ("simclr", 44.0, 60.1), ("vicreg", 40.0, 60.0))
    records = [make_record(e, top1=t, seconds=s, budget={"wall_clock": 60.0}) for e, t, s in values]
    (comparison,) = comparisons(records)
    assert not any("cheapest" in sentence for sentence in answer(comparison))
    assert [row.first.entry for row in front_of(comparison.rows)] == ["byol"]
    # FLOPs buy different times.
    (comparison,) = comparisons([make_record(e, top1=t, seconds=s, budget={"flops": 1e9}) for e, t, s in values])
    assert answer(comparison)[1].startswith("VICReg is the cheapest")


def test_the_headline_counts_the_seeds_that_did_not_end_well(make_record: Any) -> None:
    records = [make_record("byol", s, top1=45.0 + s) for s in range(3)]
    records += [make_record("byol", s, status="diverged", measured=False) for s in (3, 4)]
    (comparison,) = comparisons(records)
    assert "(3 of 5 seeds;" in answer(comparison)[0]
    records = [make_record("byol", s, top1=45.0 + s, status="completed" if s else "collapsed") for s in range(4)]
    (comparison,) = comparisons(records)
    assert "(4 seeds, 1 of them collapsed;" in answer(comparison)[0]


def test_each_entry_is_judged_by_the_floor_of_its_network(make_record: Any) -> None:
    vit = {"backbone": "vit_tiny"}
    records = [make_record("random_init", top1=33.0), make_record("byol", top1=45.0, status="collapsed")]
    said = answer(comparisons([*records, make_record("simclr", top1=46.0)])[0])
    assert "(33.0 ± 0.9%): above it beyond the intervals: SimCLR and BYOL (collapsed)." in said[-1]
    both = [*records, make_record("random_init", 1, top1=38.0, **vit), make_record("ijepa", top1=38.5, **vit)]
    said = answer(comparisons(both)[0])
    assert "each entry against that of its own network): " in said[-1]
    assert "not told apart from it: I-JEPA" in said[-1]


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
        "Against CNN-JEPA, the declared reference, paired by seed and corrected for 2 comparisons: "
        "higher: SimCLR (+4.2 points); not told apart: BYOL (+0.0 points)."
    )
    assert sentence in page.words and sentence in markdown
    assert "Differences to CNN-JEPA" in page.words
    rows = {line.split("|")[1].strip(): line for line in markdown.splitlines() if "higher |" in line or "tie |" in line}
    assert "+4.2 ± 0.7" in rows["SimCLR"] and "| 1.00 | higher | 1.00 |" in rows["SimCLR"]
    assert "| tie | 2.00 |" in rows["BYOL"]
    assert "Training time to an accuracy" not in page.words  # without validation scores: not measured, not missed


@pytest.mark.usefixtures("undrawn")
def test_times_to_the_declared_targets(make_record: Any, store: Any, tmp_path: Path) -> None:
    records = []
    for entry, reached in (("cnn_jepa", 41.0), ("byol", 39.0)):
        record = make_record(entry, config={"targets": [40.0]}, seconds=200.0, flags=["busy machine"])
        points = [
            ValidationPoint(progress=point.progress, linear_top1=reached * point.progress**0.01, knn20=0, knn200=0)
            for point in record.ledger.evaluation_points
        ]
        records.append(record.model_copy(update={"metrics": record.metrics.model_copy(update={"validation": points})}))
    page, markdown = report(store, tmp_path, records)
    assert "Training time to an accuracy" in page.words
    assert "| CNN-JEPA | 40 s | unsafe |" in markdown and "| BYOL | missed | unsafe |" in markdown


@pytest.mark.usefixtures("undrawn")
def test_one_seed_has_no_differences(make_record: Any, store: Any, tmp_path: Path) -> None:
    config = {"reference": "cnn_jepa"}
    page, _ = report(store, tmp_path, [make_record(entry, config=config) for entry in ("cnn_jepa", "byol")])
    assert "Differences" not in page.words and "declared reference" not in page.words


def test_the_answer_has_at_most_three_sentences_and_the_rest_stands_beside_it(make_record: Any) -> None:
    config = {"reference": "byol"}
    scores = {"byol": 45.0, "simclr": 44.9, "vicreg": 40.0, "random_init": 33.0}
    records = [make_record(e, s, top1=t + t * s / 400, config=config) for e, t in scores.items() for s in range(3)]
    records.append(make_record("cnn_jepa", status="diverged", measured=False, config=config))
    (comparison,) = comparisons(records)
    said, beside = answer(comparison), beside_the_answer(comparison)
    assert len(said) == 3
    assert [said[0].split(",")[0], said[1][:4], said[2][:19]] == [
        "After 10 epochs on cifar10-jpeg",
        "BYOL",
        "Against random init",
    ]
    assert beside[0].startswith("Against BYOL, the declared reference")
    assert beside[1:] == ["Without a result: CNN-JEPA (diverged)."]


def test_the_question_of_one_entry_and_of_none(make_record: Any) -> None:
    (alone,) = comparisons([make_record("byol"), make_record("supervised")])
    assert question(alone) == (
        "How good are the features of BYOL after 10 epochs on cifar10-jpeg, and what do they cost to train? (one seed)"
    )
    (none,) = comparisons([make_record("supervised", budget={})])
    assert question(none).startswith("What do the references reach")


def test_a_collapsed_row_is_in_the_table_and_in_no_contest(make_record: Any) -> None:
    records = [make_record("byol", top1=50.0, seconds=10.0, status="collapsed")]
    records += [make_record(e, top1=t, seconds=s) for e, t, s in (("simclr", 45.0, 90.0), ("vicreg", 40.0, 60.0))]
    (comparison,) = comparisons(records)
    said = answer(comparison)
    assert "SimCLR has the highest linear top-1" in said[0]
    assert said[1] == (
        "VICReg is the cheapest of them to train (60 s); SimCLR took 90 s, 1.5 times as long; "
        "BYOL, which took 10 s, has collapsed."
    )
    assert beside_the_answer(comparison) == ["Collapsed, and in no contest: BYOL."]
    assert [row.first.entry for row in front_of(comparison.rows)] == ["vicreg", "simclr"]
    (alone,) = comparisons(records[:1])
    assert answer(alone)[0] == "Every self-supervised entry of this comparison has collapsed."


def test_each_kind_of_budget_has_its_answer(make_record: Any, store: Any, tmp_path: Path) -> None:
    records = [make_record(*one) for one in (*(("byol", seed) for seed in range(4)), ("random_init", 0))]
    timed = {"seconds": 60.0, "budget": {"wall_clock": 60.0}}
    records += [make_record("byol", top1=46.0, **timed), make_record("simclr", top1=48.0, **timed)]
    records += [make_record("random_init", top1=33.0, **timed), make_record("supervised", top1=80.0, **timed)]
    page, markdown = report(store, tmp_path, records)
    for text in (" ".join(page.words.split()), " ".join(markdown.split())):
        assert "features of BYOL after 10 epochs" in text
        data, cost = (
            text.index("After 10 epochs on cifar10-jpeg, BYOL reaches"),
            text.index("After 60 s of training on"),
        )
        assert data < cost
        assert "SimCLR has the highest linear top-1 of the self-supervised entries: 48.0" in text[cost:]
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    for text, title in ((markdown, "### {}\n"), (html, "<h3>{}</h3>")):
        assert text.index(title.format("10 epochs")) < text.index(title.format("60 s of training"))
