"""The sentences above a report's tables, the same in the page and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.report.step_costs import CALIBRATED

if TYPE_CHECKING:
    from benchmark.report.tables import Table

LEADERBOARD = "± is the 95% interval over seeds or, of one seed, the sampling error of the test split."
_SHARED = (
    " Rows that share a rank are not all significantly different (paired by seed, corrected over all pairs of ranked "
    "rows)."
)
_ABOVE = " Above random init: whether the intervals of the two do not overlap."

DIFFERENCES = (
    "Paired by seed, in points of linear top-1. p is that of the paired t-test after Holm's correction over all rows, "
    "and ± the half of the interval with the same correction: it includes zero exactly where p is 0.05 or more, and "
    "then says how large the difference may still be."
)
TUNING = (
    "The point of a sweep with the highest validation score, trained and tested on new seeds, against the unchanged "
    "recipe: paired by seed, p and interval after Holm's correction over this table."
)
PAIRS = (
    "Row - column in points of linear top-1, paired by seed, with its interval and its verdict after Holm's correction "
    "over the pairs of this table. Pairs with the declared reference keep those of its own table. Ranks use the same "
    "test, corrected over the pairs of ranked rows only."
)
TARGETS = (
    "Median over all runs of the training time at the first evaluation point whose validation linear top-1 reaches the "
    "target. The experiment's file fixes the targets. A run that misses one counts as infinite."
)
_OWN_CLOCKS = " Times are those of the runs' own clocks."
_MEMORY = (
    "Memory is the peak during training: of the device's allocator or, on a CPU, of the process. A process keeps "
    "memory of earlier runs and libraries, so this is an upper bound for the entry. Runs recorded before leaderboard "
    "schema 5 include the peak of their probes."
)
_RELATIVE = "Divided by CNN-JEPA's time with the sparse encoder and with the masked-dense one: "
_BY_ROUNDS = "the calibrated one, paired within the rounds of its measurement, with its 95% interval."
_BY_SEEDS = (
    "the mean over common seeds, with its 95% interval from two seeds on. The total includes set-up and probes (twice "
    "as many if a moving average is scored, too)."
)
_PUBLISHED = (
    " Published ratios are of whole jobs on other machines, and their 1.00 is CNN-JEPA with the masked-dense encoder; "
    "their sources are at the end."
)


def leaderboard(table: Table) -> str:
    """How to read the leaderboard."""
    shared = _SHARED if "Rank" in table.heads else ""
    return LEADERBOARD + (_ABOVE if "Above random init" in table.heads else "") + shared


def relative(table: Table | None, *, calibrated: bool) -> str:
    """How to read the times relative to CNN-JEPA."""
    published = table is not None and "Published" in table.heads
    return _RELATIVE + (_BY_ROUNDS if calibrated else _BY_SEEDS) + (_PUBLISHED if published else "")


def costs(*, calibrated: bool) -> str:
    """How to read the table of costs."""
    return f"{CALIBRATED} {_MEMORY}" if calibrated else _MEMORY


def targets(*, calibrated: bool) -> str:
    """How to read the times to targets."""
    return TARGETS + (_OWN_CLOCKS if calibrated else "")
