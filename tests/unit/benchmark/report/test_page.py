from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from report_page import report

from benchmark.errors import UserError
from benchmark.report.page import write_report

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
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
            "no self-supervised entry leads alone: SimCLR at 45.5 ± 1.0% is not significantly different from BYOL at "
            "45.0% (the intervals overlap) (preliminary, one seed" in text
        )
        assert "I-JEPA is the cheapest to train (75 s); SimCLR took 2.5 min, 2.0 times as long." in text
        floor = r"SimCLR and BYOL; not significantly different, as the intervals overlap: I-JEPA at [\d.]+ ±"
        assert re.search(floor, text)
        assert "No result: CNN-JEPA (diverged)." in text
        assert "All rows are preliminary" in text
        assert "No supervised ceiling in the comparison" in text
        assert "old/record.json: not a JSON file" in text
        assert "CNN-JEPA, seed 0, 10 epochs: diverged: loss is not finite" in text
        assert "Xeon 8481C" in text and "2.14.1+cpu" in text
    folder = tmp_path / "report"
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {
        f"{stem}.{kind}"
        for stem in ("cost_vs_accuracy", "learning_curves", "time")
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"status": "failed", "cause": "exception", "measured": False}, {"entry": "random_init"}]
)
def test_a_single_record_is_enough(make_record: Any, store: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    page, markdown = report(store, tmp_path, [make_record(**options)])
    assert "1 runs" not in markdown or "of 1 runs completed" in markdown
    assert "Limits" in page.words


@pytest.mark.slow
def test_figures_of_an_earlier_report_go_and_other_files_stay(make_record: Any, store: Any, tmp_path: Path) -> None:
    timed = {"seconds": 60.0, "budget": {"wall_clock": 60.0}}
    report(store, tmp_path, [make_record("byol")])
    figures = tmp_path / "report" / "figures"
    names = {path.name for path in figures.iterdir()}
    (tmp_path / "report" / "report.md").write_text(
        "![a](figures/old.svg) ![b](figures/../report.md.svg)", encoding="utf-8"
    )
    for name in ("old.svg", "old-column.png", "mine.svg"):
        (figures / name).write_text("")
    report(store, tmp_path, [make_record("simclr", **timed)])
    left = {path.name for path in figures.iterdir()}
    assert "mine.svg" in left and not {"old.svg", "old-column.png"} & left and names <= left


def test_no_records_is_the_users_error_and_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no records in .*empty: expected record.json.*1 could not be read, the first: x: bad"
    ):
        write_report([], ["x: bad"], tmp_path / "out", looked_in=[tmp_path / "empty"])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_each_kind_of_budget_has_its_answer(make_record: Any, store: Any, tmp_path: Path) -> None:
    records = [make_record(*one) for one in (*(("byol", seed) for seed in range(4)), ("random_init", 0))]
    timed = {"seconds": 60.0, "budget": {"wall_clock": 60.0}}
    records += [make_record("byol", top1=46.0, **timed), make_record("simclr", top1=48.0, **timed)]
    records += [make_record("random_init", top1=33.0, **timed), make_record("supervised", top1=80.0, **timed)]
    page, markdown = report(store, tmp_path, records)
    for text in (" ".join(page.words.split()), " ".join(markdown.split())):
        assert "features of BYOL after 10 epochs" in text
        data, cost = (
            text.index("No method is significantly better than an untrained network after 10 epochs on cifar10-jpeg"),
            text.index("After 60 s of training on"),
        )
        assert data < cost
        assert "SimCLR has the highest linear top-1 of the self-supervised entries: 48.0" in text[cost:]
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    for text, title in ((markdown, "### {}\n"), (html, ">{}</h3>")):
        assert text.index(title.format("10 epochs")) < text.index(title.format("60 s of training"))
