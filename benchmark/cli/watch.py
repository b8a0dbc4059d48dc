"""`bench report --watch`: writes the report again whenever its records change."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from benchmark.cli.pages import read_results, write_pages
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# The files that a report is made from; others change during a run.
_SOURCES = ("record.json", "study.json", "breakdown.json", "glimpse.npz", "probes/*.json")
_INTERVAL = 2.0  # seconds


def _state(folders: list[Path]) -> frozenset[tuple[str, int, int]]:
    """Path, time of change and size of the files below some folders that a report is made from."""
    state = set()
    for folder in folders:
        for name in _SOURCES:
            # A file that vanishes between two calls is noticed next time.
            with suppress(FileNotFoundError):
                for path in folder.rglob(name):
                    status = path.stat()
                    state.add((str(path), status.st_mtime_ns, status.st_size))
    return frozenset(state)


def watch_pages(
    folders: list[Path],
    out: Path,
    say: Callable[[str], object],
    *,
    trials: bool = False,
    pictures: bool = False,
    budget: str | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Writes the report, and writes it again whenever its records change, until the user interrupts.

    Args:
        folders: have to exist; there need not be a record yet.
        out: the report's folder.
        say: prints a line for each report that was written, or why it could not be.
        trials: include the runs of sweeps.
        pictures: show images of other people's datasets.
        budget: only the runs of this budget.
        wait: waits some seconds.

    Raises:
        UserError: a folder is missing.
    """
    read_results(folders, needed=False)
    written: frozenset[tuple[str, int, int]] | None = None
    try:
        while True:
            state = _state(folders)
            if state != written:
                # Set before writing: records that arrive meanwhile are noticed next time.
                written = state
                try:
                    write_pages(folders, out, trials=trials, pictures=pictures, budget=budget)
                except UserError as error:
                    say(f"waiting: {error}")
                else:
                    say(f"{time.strftime('%H:%M:%S')} {out / 'index.html'}")
            wait(_INTERVAL)
    except KeyboardInterrupt:
        say("stopped watching")
