"""What commands read back: records and studies below some folders, and the pages made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.records import Record


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
    from benchmark.records import find_records

    for folder in folders:
        if not folder.exists():
            raise UserError(f"{folder}: no such folder")
    records, problems = find_records(folders)
    if not trials:
        records = [(path, record) for path, record in records if record.purpose == "result"]
    if needed and not records:
        searched = ", ".join(map(str, folders))
        raise UserError("\n".join([f"no record of a run below {searched}", *problems]))
    return records, problems


def write_pages(folders: list[Path], out: Path, *, trials: bool = False) -> None:
    """Writes the report of some results, with the studies that lie there.

    Raises:
        UserError: there is nothing to report, or it cannot be written.
    """
    from benchmark.report.page import write_report
    from benchmark.study_records import find_studies

    studies, unreadable = find_studies(folders)
    records, problems = read_results(folders, trials=trials, needed=not studies)
    try:
        write_report(records, [*problems, *unreadable], out, studies=studies)
    except OSError as error:
        raise UserError(f"{out}: the report cannot be written ({error.strerror or error}); records are safe") from None
