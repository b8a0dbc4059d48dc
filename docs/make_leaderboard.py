"""Writes the tables of docs/leaderboard.md: every column of the leaderboard, runs, further protocols and step costs.

Usage: python docs/make_leaderboard.py [--check]

Names and meanings come from the columns' definitions in `benchmark/analysis`; the text around the tables is written by
hand. `--check` writes nothing and fails if a table is not current.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from benchmark.analysis.columns import explained
from benchmark.analysis.cost_columns import COSTS
from benchmark.analysis.leaderboard_columns import LEADERBOARD
from benchmark.analysis.probes import PROBES
from benchmark.analysis.run_columns import RUNS

PAGE = Path(__file__).parent / "leaderboard.md"
TABLES: dict[str, tuple[Any, ...]] = {
    "leaderboard.csv": LEADERBOARD,
    "runs.csv": RUNS,
    "probes.csv": PROBES,
    "costs.csv": COSTS,
}


def main() -> None:
    """Writes the page, or checks it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    current = render(text)
    if options.check and text != current:
        sys.exit(f"{PAGE.name} is not current; make docs")
    if not options.check:
        PAGE.write_text(current, encoding="utf-8")


def render(text: str) -> str:
    """The page with the table under each heading made anew."""
    for name, columns in TABLES.items():
        table = re.compile(rf"(\n## {re.escape(name)}\n.*?\n)\| column \|.*?\n(?=\n|\Z)", flags=re.DOTALL)
        text, count = table.subn(lambda match, columns=columns: match[1] + explained(columns), text, count=1)
        if count != 1:
            sys.exit(f"{PAGE.name} has no table under the heading {name}")
    return text


if __name__ == "__main__":
    main()
