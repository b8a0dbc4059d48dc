"""Tables that lead from a number to its runs, pairs of entries, shared ranks, and captions that fit what is drawn."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from report_page import report

from benchmark.records.schema import ValidationPoint

if TYPE_CHECKING:
    from pathlib import Path

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def _first_cells(text: str, label: str) -> dict[str, str]:
    """The links of a table's first or second column, by their text."""
    region = text[text.index(f'aria-label="{label}') :]
    region = region[: region.index("</table>")]
    found = re.findall(r'class="within" href="#([^"]+)">(.*?)</a>', region)
    return {re.sub("<[^>]+>", "", words): link for link, words in found}


@pytest.mark.slow
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
    for label in ("Cost, ", "Differences, ", "Relative training time, ", "All pairs, "):
        found = _first_cells(text, label)
        assert found[shown] == board[shown], label
    # Each group holds the runs of its entry: as many as the entry has seeds, the first of which carries the name.
    runs = re.findall(r'<tr data-group="([^"]+)"( id="[^"]+")?>(.*?)</tr>', text, flags=re.DOTALL)
    ours = [(bool(anchor), "CNN-JEPA" in cells) for group, anchor, cells in runs if group == board["CNN-JEPA"]]
    assert ours == [(True, True), (False, True), (False, True)]


@pytest.mark.slow
def test_shared_ranks_stand_in_the_page_as_in_the_leaderboard(make_record: Any, store: Any, tmp_path: Path) -> None:
    scores = {"byol": [50.0, 51.0, 50.4, 51.3, 50.2], "simclr": [50.1, 50.8, 50.5, 51.2, 50.1]}
    records = [make_record(e, seed, top1=v) for e, values in scores.items() for seed, v in enumerate(values)]
    page, markdown = report(store, tmp_path, records)
    words = " ".join(page.words.split())
    assert (
        markdown.count("| 1 (shared) | ") == 2 and "Rows that share a rank are not all significantly different" in words
    )
    size = r"\(\+0\.\d ± 0\.\d points, p 0\.\d{3}\)"
    assert re.search(rf"BYOL at [\d.]+ ± [\d.]+% is not significantly different from SimCLR at 50\.5% {size}", words)
    assert ",tie 1," in (tmp_path / "report" / "leaderboard.csv").read_text(encoding="utf-8")


@pytest.mark.slow
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
