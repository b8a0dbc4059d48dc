"""What commands read back: records and studies below some folders, and the pages made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.records.schema import Record


def read_results(
    folders: list[Path], *, trials: bool = False, needed: bool = True
) -> tuple[list[tuple[Path, Record]], list[str]]:
    """Records below some folders, and what could not be read.

    Args:
        folders: have to exist.
        trials: with the runs of sweeps, which were never tested.
        needed: whether it is an error to find none.

    Raises:
        UserError: a folder is missing, or there is no record.
    """
    from benchmark.records.folder import find_records
    from methods.config import nearest

    for folder in folders:
        if not folder.exists():
            beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
            there = f"; {nearest(folder.name, beside)}" if beside else ""
            raise UserError(f"{folder}: no such folder{there}")
    records, problems = find_records(folders)
    if not trials:
        records = [(path, record) for path, record in records if record.purpose == "result"]
    if needed and not records:
        searched = ", ".join(map(str, folders))
        raise UserError("\n".join([f"no record of a run below {searched}", *problems]))
    return records, problems


def _of_budget(records: list[tuple[Path, Record]], budget: str) -> list[tuple[Path, Record]]:
    """The runs of some budgets, written as for `bench run`.

    Raises:
        UserError: it is no budget, or no run's.
    """
    from pydantic import ValidationError

    from benchmark.cost.budget import BudgetSpec, parse_budget
    from benchmark.experiment.explain import explain
    from benchmark.records.budgets import budget_of, budget_text

    try:
        wanted = {(rung.kind, rung.limit) for rung in BudgetSpec(**parse_budget(budget)).rungs()}
    except ValidationError as error:
        raise UserError(explain(error, BudgetSpec, "--budget")) from None
    except ValueError as error:
        raise UserError(str(error)) from None
    found = [pair for pair in records if wanted & set(budget_of(pair[1]).items())]
    if not found:
        there = ", ".join(sorted({budget_text(record) for _, record in records})) or "none"
        raise UserError(f"--budget is '{budget}', which no run had; there are: {there}")
    return found


def write_pages(
    folders: list[Path], out: Path, *, trials: bool = False, pictures: bool = False, budget: str | None = None
) -> None:
    """Writes the report of some results, with the studies that lie there.

    Args:
        folders: have to exist.
        out: the report's folder.
        trials: with the runs of sweeps.
        pictures: with the images of other people's datasets.
        budget: with the runs of this one alone.

    Raises:
        UserError: there is nothing to report, or it cannot be written.
    """
    from benchmark.files import writing
    from benchmark.records.study import find_studies
    from benchmark.report.page import write_report

    studies, unreadable = find_studies(folders)
    records, problems = read_results(folders, trials=trials, needed=not studies)
    if budget is not None:
        records = _of_budget(records, budget)
    with writing(out, "choose another folder; the records are safe"):
        write_report(records, [*problems, *unreadable], out, studies=studies, pictures=pictures)
