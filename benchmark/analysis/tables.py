"""The tables of results: the leaderboard, a row per entry; the runs; scores by further protocols; step costs.

Unknown values are empty.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from benchmark.analysis.calibration import NO_PRICES
from benchmark.analysis.columns import frame
from benchmark.analysis.comparison import comparisons
from benchmark.analysis.cost_columns import COSTS, CostRow
from benchmark.analysis.export import sorted_by
from benchmark.analysis.kept import kept
from benchmark.analysis.leaderboard_columns import LEADERBOARD, BoardRow
from benchmark.analysis.probes import PROBES, probe_rows, probes_of
from benchmark.analysis.run_columns import RUNS, RunRow
from benchmark.errors import UserError
from benchmark.files.disk import write_atomically
from benchmark.text import no_formula

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from benchmark.analysis.calibration import Prices
    from benchmark.analysis.probes import Probes
    from benchmark.records.schema import Record


def leaderboard(
    records: Sequence[Record], prices: Prices = NO_PRICES, probes: Probes = MappingProxyType({})
) -> pd.DataFrame:
    """One row per entry and comparison, with the columns of `LEADERBOARD`.

    Args:
        probes: the runs' scores by further protocols (`probes_of`).

    Comparisons are in order of dataset and rising budget, rows inside one by falling linear top-1. Rows whose runs all
    failed come last.
    """
    measured = [(c, tuple(kept(c, probes))) for c in comparisons(records, prices)]
    return frame(LEADERBOARD, [BoardRow(c, row, scores) for c, scores in measured for row in c.shown])


def runs(records: Sequence[tuple[Path, Record]], folder: Path, prices: Prices = NO_PRICES) -> pd.DataFrame:
    """One row per record, with the columns of `RUNS`, in the order of experiment, budget, entry and seed.

    The `record` column's paths are relative to `folder`.
    """
    rows = [row for comparison in comparisons([record for _, record in records], prices) for row in comparison.rows]
    price = {id(record): row.price for row in rows for record in row.records}
    place = {key: index for index, key in enumerate(price)}
    pairs = sorted(records, key=lambda pair: (place.get(id(pair[1]), len(place)), str(pair[0])))
    return frame(RUNS, [RunRow(record, relative(path, folder), price.get(id(record))) for path, record in pairs])


def costs(prices: Prices) -> pd.DataFrame:
    """One row per entry and step-cost record, with the columns of `COSTS`, in the records' order."""
    return frame(COSTS, [CostRow(cost, entry) for cost in prices.costs for entry in cost.entries])


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """The table for a CSV file, whose texts no spreadsheet takes for formulas; numbers stay as they are."""
    texts = table.select_dtypes(exclude="number")
    return table.assign(**{name: [no_formula(cell) for cell in texts[name]] for name in texts.columns})


def relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`, with forward slashes."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def write_leaderboard(
    records: Sequence[tuple[Path, Record]],
    out_dir: Path,
    *,
    name: str = "leaderboard.csv",
    by: str | None = None,
    prices: Prices = NO_PRICES,
) -> tuple[Path, Path]:
    """Writes the leaderboard and `runs.csv` into a folder, each in one move.

    There is `probes.csv` where runs have further scores, and `costs.csv` where there are step-cost records.

    Args:
        records: record files and what they hold, as `benchmark.records.find_records` gives them.
        name: of the leaderboard's file.
        prices: the step-cost records.
        by: sort its rows by this, inside each comparison; see `benchmark.analysis.export.SORTS`.

    Returns:
        The two files.

    Raises:
        UserError: the leaderboard would have another table's name.
    """
    if name in ("runs.csv", "probes.csv", "costs.csv"):
        raise UserError(f"the leaderboard cannot be called {name}: another table has that name")
    probes, _ = probes_of(records)
    board = leaderboard([record for _, record in records], prices, probes)
    board = board if by is None else sorted_by(board, by)
    tables = {out_dir / name: board, out_dir / "runs.csv": runs(records, out_dir, prices)}
    if prices.costs:
        tables[out_dir / "costs.csv"] = costs(prices)
    if any(probes.values()):
        every = comparisons([record for _, record in records])
        rows = [row for comparison in every for row in probe_rows(comparison, probes)]
        tables[out_dir / "probes.csv"] = frame(PROBES, rows)
    for path, table in tables.items():
        write_atomically(path, without_formulas(table).to_csv(index=False, float_format="%.8g", lineterminator="\n"))
    return out_dir / name, out_dir / "runs.csv"
