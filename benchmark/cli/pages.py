"""Records and studies below some folders, and the report made from them, once or whenever they change."""

from __future__ import annotations

import time
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING

from benchmark.analysis.calibration import Prices
from benchmark.cost.budget import BudgetSpec, parse_budget
from benchmark.errors import UserError
from benchmark.experiment.explain import validate
from benchmark.files.disk import writing
from benchmark.records.budgets import budget_of, budget_text
from benchmark.records.cost import find_costs
from benchmark.records.folder import find_records
from benchmark.records.study import find_studies

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.records.schema import Record

# The files that a report is made from; others change during a run.
_SOURCES = (
    "record.json",
    "study.json",
    "breakdown.json",
    "glimpse.npz",
    "glimpses/*.npz",
    "probes/*.json",
    "costs/*.json",
)
_INTERVAL = 2.0  # seconds


def read_results(
    folders: list[Path], *, trials: bool = False, needed: bool = True
) -> tuple[list[tuple[Path, Record]], list[str]]:
    """Records below some folders, and what could not be read.

    Args:
        trials: include the runs of sweeps, which were never tested.
        needed: whether it is an error to find no record.

    Raises:
        UserError: a folder is missing, or there is no record.
    """
    for folder in folders:
        if not folder.exists():
            close = get_close_matches(folder.name, [path.name for path in folder.parent.glob("*/")], n=1, cutoff=0.5)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise UserError(f"{folder}: no such folder{hint}")
    records, problems = find_records(folders)
    if not trials:
        records = [(path, record) for path, record in records if record.purpose == "result"]
    if needed and not records:
        raise UserError("\n".join([f"no record of a run below {', '.join(map(str, folders))}", *problems]))
    return records, problems


def read_prices(folders: list[Path], hardware: str | None = None) -> tuple[Prices, list[str]]:
    """The step-cost records below some folders, for hardware of a name if one is given, and what could not be read.

    Raises:
        UserError: there is no record of such hardware.
    """
    costs, problems = find_costs(folders)
    # A record that was copied to several places is one record.
    prices = Prices(tuple({cost.key: cost for _, cost in costs}.values()))
    return (prices if hardware is None else prices.on(hardware)), problems


def _limits(budget: str, option: str) -> list[tuple[str, float]]:
    """The kind and the limit of every budget that an option names."""
    try:
        limits = parse_budget(budget)
    except ValueError as error:
        raise UserError(str(error).replace("--budget", option)) from None
    return [(rung.kind, rung.limit) for rung in validate(BudgetSpec, limits, option).rungs()]


def _of_budget(records: list[tuple[Path, Record]], budget: str) -> list[tuple[Path, Record]]:
    wanted = set(_limits(budget, "--budget"))
    matching = [pair for pair in records if wanted & set(budget_of(pair[1]).items())]
    if not matching:
        existing = ", ".join(sorted({budget_text(record) for _, record in records})) or "none"
        raise UserError(f"--budget is '{budget}', which no run had; there are: {existing}")
    return matching


def write_pages(
    folders: list[Path],
    out: Path,
    *,
    trials: bool = False,
    pictures: bool | None = None,
    budget: str | None = None,
    hardware: str | None = None,
    predict: str | None = None,
) -> list[str]:
    """Writes the report of some results, with the studies found there.

    Returns:
        A line about each file that was left out; the page names them, too.

    Args:
        trials: include the runs of sweeps.
        pictures: show all images, or (False) only those that this project draws; None: those and the user's own files.
        budget: only the runs of this budget, written as for `bench run`; several limits select several budgets.
        hardware: what costs are wanted for, by its name; by default the hardware of the runs.
        predict: a longer budget, written likewise; figures then show what the ladders predict for it.

    Raises:
        UserError: a folder is missing, there is nothing to report, nothing of this budget or hardware, nothing to
            predict from, or the report cannot be written.
    """
    longer = None if predict is None else _limits(predict, "--predict")[-1]
    studies, unreadable = find_studies(folders)
    records, problems = read_results(folders, trials=trials, needed=not any(study.runs for _, study in studies))
    if budget is not None:
        records = _of_budget(records, budget)
    prices, unread = read_prices(folders, hardware)
    from benchmark.report.page import write_report

    left_out = [*problems, *unreadable, *unread]
    with writing(out, "choose another folder; the records are safe"):
        write_report(
            records,
            left_out,
            out,
            studies=studies,
            pictures=pictures,
            prices=prices,
            predict=longer,
        )
    return left_out


def watch(
    folders: list[Path],
    write: Callable[[], str],
    say: Callable[[str], object],
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Writes a report, and writes it again whenever the records below some folders change, until the user interrupts.

    Args:
        write: writes the report, and returns its path.

    Raises:
        UserError: a folder is missing; there need not be a record yet.
    """
    read_results(folders, needed=False)
    written: set[tuple[str, int, int]] | None = None
    try:
        while True:
            state = _state(folders)
            if state != written:
                written = state  # before writing: records that arrive meanwhile are noticed next time
                try:
                    say(f"{time.strftime('%H:%M:%S')} {write()}")
                except UserError as error:
                    say(f"waiting: {error}")
            wait(_INTERVAL)
    except KeyboardInterrupt:
        say("stopped watching")


def _state(folders: list[Path]) -> set[tuple[str, int, int]]:
    """Path, time of change and size of the files below some folders that a report is made from."""
    state = set()
    for folder in folders:
        for name in _SOURCES:
            with suppress(FileNotFoundError):  # a file that vanishes between two calls is noticed next time
                for path in folder.rglob(name):
                    status = path.stat()
                    state.add((str(path), status.st_mtime_ns, status.st_size))
    return state
