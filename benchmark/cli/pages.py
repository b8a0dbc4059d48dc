"""Records and studies below some folders, and the report made from them."""

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
        trials: include the runs of sweeps, which were never tested.
        needed: whether it is an error to find no record.

    Raises:
        UserError: a folder is missing, or there is no record.
    """
    from benchmark.records.folder import find_records
    from methods.config import nearest

    for folder in folders:
        if not folder.exists():
            parent = folder.parent
            siblings = [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
            hint = f"; {nearest(folder.name, siblings)}" if siblings else ""
            raise UserError(f"{folder}: no such folder{hint}")
    records, problems = find_records(folders)
    if not trials:
        records = [(path, record) for path, record in records if record.purpose == "result"]
    if needed and not records:
        searched = ", ".join(map(str, folders))
        raise UserError("\n".join([f"no record of a run below {searched}", *problems]))
    return records, problems


def _of_budget(records: list[tuple[Path, Record]], budget: str) -> list[tuple[Path, Record]]:
    """The runs that had a budget, which is written as for `bench run`; several limits select several budgets.

    Raises:
        UserError: it is not a budget, or no run had it.
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
    matching = [pair for pair in records if wanted & set(budget_of(pair[1]).items())]
    if not matching:
        existing = ", ".join(sorted({budget_text(record) for _, record in records})) or "none"
        raise UserError(f"--budget is '{budget}', which no run had; there are: {existing}")
    return matching


def write_pages(
    folders: list[Path], out: Path, *, trials: bool = False, pictures: bool = False, budget: str | None = None
) -> None:
    """Writes the report of some results, with the studies found there.

    Args:
        folders: have to exist.
        out: the report's folder.
        trials: include the runs of sweeps.
        pictures: show images of other people's datasets.
        budget: only the runs of this budget.

    Raises:
        UserError: there is nothing to report, or it cannot be written.
    """
    from benchmark.files import writing
    from benchmark.records.study import find_studies

    studies, unreadable = find_studies(folders)
    records, problems = read_results(folders, trials=trials, needed=not studies)
    if budget is not None:
        records = _of_budget(records, budget)
    from benchmark.report.page import write_report

    with writing(out, "choose another folder; the records are safe"):
        write_report(records, [*problems, *unreadable], out, studies=studies, pictures=pictures)
