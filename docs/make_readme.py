"""Writes README's table of results and its figure of cost and accuracy from the reference records.

Usage: python docs/make_readme.py [--check]

The table stands between two comments in README.md, the figure in docs/pictures. `--check` writes nothing and fails if
the table is not current.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import network_kind
from benchmark.analysis.comparison import Comparison, Row, comparisons
from benchmark.analysis.differences import differences, reference_of
from benchmark.analysis.names import display
from benchmark.cli.pages import read_prices, read_results
from benchmark.records.budgets import budget_size, is_cost_budget
from benchmark.report.canvas import save
from benchmark.report.cost_figure import cost_vs_accuracy
from benchmark.text import signed, with_interval

if TYPE_CHECKING:
    from benchmark.analysis.differences import Difference

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "results" / "reference" / "cifar10-jpeg"
FIGURE = ROOT / "docs" / "pictures" / "cost_and_accuracy"
_TABLE = re.compile(r"(<!-- results: docs/make_readme.py -->\n).*?(<!-- end -->\n)", re.DOTALL)
_MOST = 8  # rows


def main() -> None:
    """Writes table and figure, or checks the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rungs = data_rungs()
    text = README.read_text(encoding="utf-8")
    current, count = _TABLE.subn(lambda match: match[1] + table(rungs[-1]) + match[2], text)
    if count != 1:
        sys.exit(f"{README.name} has {count} places for the table; expected 1")
    if options.check and text != current:
        sys.exit(f"{README.name} is not current; make docs")
    if not options.check:
        README.write_text(current, encoding="utf-8")
        _, png = save(cost_vs_accuracy([row for rung in rungs for row in rung.rows]), FIGURE)
        png.unlink()


def data_rungs() -> list[Comparison]:
    """The comparisons of equal data, by budget."""
    records = [record for _, record in read_results([RESULTS])[0]]
    rungs = [rung for rung in comparisons(records, read_prices([RESULTS])[0]) if not is_cost_budget(rung.first)]
    return sorted(rungs, key=lambda rung: budget_size(rung.first))


def table(rung: Comparison) -> str:
    """The self-supervised rows and untrained networks of a comparison, network by network, the most accurate first."""
    rows = [row for row in rung.rows if row.first.method != "supervised" and row.first.entry != "cnn_jepa_dense"]
    rows.sort(key=lambda row: (network_kind(row.first) != "CNN", -(row.accuracy.mean or 0.0)))
    pairs = {id(pair.row): pair for pair in differences(rung)}
    head = "| method | network | linear top-1 (%) | against CNN-JEPA | training time | step cost, CNN-JEPA = 1 |\n"
    base = reference_of(rung)
    lines = [_line(row, pairs.get(id(row)), base) for row in rows[:_MOST]]
    return head + "| --- | --- | ---: | --- | ---: | ---: |\n" + "".join(lines)


def _line(row: Row, pair: Difference | None, base: Row | None) -> str:
    kind = network_kind(row.first)
    price = row.price
    ratio = price.ratio(base.price) if price is not None and base is not None and base.price is not None else None
    against = "" if row is base or kind != "CNN" or pair is None else _difference(pair)
    time = row.calibrated_time
    cells = (
        "untrained (random init)" if row.first.method == "random_init" else display(row.first.method),
        kind,
        with_interval(row.accuracy.mean, row.half_width),
        against,
        "" if time is None else f"{time.median / 60:.1f} min",
        "1" if row is base else "" if ratio is None else with_interval(ratio.median, (ratio.high - ratio.low) / 2, 2),
    )
    return f"| {' | '.join(cells)} |\n"


def _difference(pair: Difference) -> str:
    text = signed(pair.paired.mean or 0.0, pair.half_width)
    return text if pair.verdict in ("higher", "lower") else f"not significantly different ({text})"


if __name__ == "__main__":
    main()
