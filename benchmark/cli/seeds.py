"""`bench sweep --detect`: how many seeds a sweep needs to detect a difference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from benchmark.cli.console import plain_console
from benchmark.errors import UserError
from benchmark.records.study import STUDY_FILE, StudyRecord, read_study

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.analysis.seed_plan import SeedPlan
    from benchmark.cli.console import ConsoleReporter
    from benchmark.sweep.space import Space
    from benchmark.sweep.spec import SweepSpec


def check_points(points: float | None) -> float | None:
    """The value of `--detect`; raises a `UserError` for other than a difference in points above 0."""
    if points is not None and not 0 < points <= 100:
        raise UserError(f"--detect is {points:g}; expected a difference above 0, in points of linear top-1")
    return points


def read_or_refuse(path: Path) -> StudyRecord:
    """A `study.json`; raises a `UserError` where it cannot be read."""
    try:
        return read_study(path)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from None


def print_study_plan(path: Path, points: float, reporter: ConsoleReporter) -> None:
    """Prints what the comparisons of a study need, by the spread of their own differences.

    Raises:
        UserError: no two values share two seeds.
    """
    from benchmark.analysis.seed_plan import plan_of_study

    plans = plan_of_study(read_or_refuse(path))
    if not plans:
        raise UserError(
            f"--detect: {path}: no two values of a parameter share two seeds, so that the spread between seeds is "
            "unknown; expected a study with at least two, for instance by --seeds 0,1,2 --study NAME"
        )
    _print(plans, points, reporter)


def print_file_plan(
    sweep: SweepSpec,
    path: Path,
    out: Path,
    points: float,
    reporter: ConsoleReporter,
    budget: str | None = None,
    settings: Sequence[str] = (),
) -> None:
    """Prints what the comparisons of a sweep's file need: by its study or, before there is one, by runs of its entries.

    Args:
        path: of the sweep's file.
        out: the results folder.
        points: the difference to be detected, of linear top-1.
        budget: replaces the experiment's, as do the settings.

    Raises:
        UserError: neither is there with two seeds, or the sweep has ranges only.
    """
    study = out / sweep.name / STUDY_FILE
    if study.is_file():
        print_study_plan(study, points, reporter)
        return
    from benchmark.sweep.space import resolve_sweep

    resolved = resolve_sweep(sweep, path, budget=budget, settings=settings)
    folder = out / resolved.experiment.name
    plans = [plan for space in resolved.spaces for plan in _plan_from_runs(space, folder, study, reporter)]
    if not plans:
        raise UserError(f"--detect: {path}: no parameter has a list of values to compare; ranges are not compared")
    _print(plans, points, reporter)


def _plan_from_runs(space: Space, folder: Path, study: Path, reporter: ConsoleReporter) -> list[SeedPlan]:
    """What the comparisons of one entry need, by its runs below a folder."""
    from benchmark.analysis.seed_plan import plan_from_runs, spread_of_runs
    from benchmark.records.folder import find_records

    records = [record for _, record in find_records([folder])[0] if record.purpose == "result"]
    spread = spread_of_runs(records, space.entry)
    if spread is None:
        raise UserError(
            f"--detect: the spread between seeds of {space.entry} is unknown: there is neither {study} nor two seeds "
            f"of it below {folder}; train two or more, for instance: bench run {space.sweep.experiment} --methods "
            f"{space.entry} --seeds 0,1,2 --out {folder.parent}"
        )
    reporter.say(f"{spread.entry}: spread between {spread.seeds} seeds, {spread.budget} ({folder})")
    counts = {name: len(spec.listed() or ()) for name, spec in space.parameters.items()}
    return [
        plan_from_runs(spread, count, space.references.get(name), name, len(space.sweep.seeds))
        for name, count in counts.items()
        if count > 1
    ]


def _print(plans: Sequence[SeedPlan], points: float, reporter: ConsoleReporter) -> None:
    plain_console().print(seeds_table(plans, points))
    reporter.say(seeds_text(plans, points))


def seeds_table(plans: Sequence[SeedPlan], points: float) -> Table:
    """What each comparison can detect now, and the seeds it needs for a difference of some points."""
    caption = (
        "paired t-test, two-sided, power 80%, at 0.05 / comparisons (the first step of Holm's correction); "
        "spread: standard deviation of the differences, in points; at most: with the upper 80% confidence limit of the "
        "spread"
    )
    table = Table(caption=caption, caption_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    texts = ("entry", "comparison")
    numbers = ("spread", "from seeds", "comparisons", "seeds", "detectable", f"seeds for {points:g}", "at most")
    for name in (*texts, *numbers):
        table.add_column(name, justify="left" if name in texts else "right", no_wrap=name not in texts)
    for plan in plans:
        what = f"{plan.parameter.removeprefix(f'{plan.entry}.')}: {plan.comparison}"
        cells = (f"{plan.spread:.2f}", str(plan.measured), str(plan.comparisons), str(plan.seeds))
        detectable = "-" if math.isinf(plan.detectable) else f"{plan.detectable:.1f}"
        needed = (_count(plan.needed(points)), _count(plan.needed_at_most(points)))
        table.add_row(*map(escape, (plan.entry, what, *cells, detectable, *needed)))
    return table


def seeds_text(plans: Sequence[SeedPlan], points: float) -> str:
    """The seeds with which every comparison detects a difference of some points."""
    needed = _most([plan.needed(points) for plan in plans])
    limit = _most([plan.needed_at_most(points) for plan in plans])
    measured = min(plan.measured for plan in plans)
    size = f"{points:g} point{'' if points == 1 else 's'}"
    return (
        f"{needed} seeds detect a difference of {size} in every comparison (power 80%), if the spreads are as seen; "
        f"{measured} seeds leave them uncertain, and up to {limit} may be needed"
    )


def _most(counts: Sequence[int | None]) -> str:
    known = [count for count in counts if count is not None]
    return _count(max(known) if len(known) == len(counts) else None)


def _count(seeds: int | None) -> str:
    return "more than 10,000" if seeds is None else str(seeds)
