"""`bench report --watch`: the report again whenever its records change."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from benchmark.cli.pages import read_results, write_pages
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# What a report is made from; the rest of a run's folder changes while it is under way and is not looked at.
_SOURCES = ("record.json", "study.json", "breakdown.json", "glimpse.npz", "probes/*.json")
_EVERY = 2.0  # seconds between two looks


def _state(folders: list[Path]) -> frozenset[tuple[str, int, int]]:
    """What lies below some folders, so that a change is seen: path, time of change, size."""
    found = set()
    for folder in folders:
        for name in _SOURCES:
            # What moves away between two calls is seen at the next look.
            with suppress(FileNotFoundError):
                for path in folder.rglob(name):
                    status = path.stat()
                    found.add((str(path), status.st_mtime_ns, status.st_size))
    return frozenset(found)


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
    """Writes the report, and again whenever its records change, until the user interrupts.

    Args:
        folders: have to exist; there need not be a record yet.
        out: the report's folder.
        say: is told of each report that was written, and why one could not be.
        trials: with the runs of sweeps.
        pictures: with the images of other people's datasets.
        budget: with the runs of this one alone.
        wait: between two looks, in seconds.

    Raises:
        UserError: a folder is missing.
    """
    read_results(folders, needed=False)
    written: frozenset[tuple[str, int, int]] | None = None
    try:
        while True:
            state = _state(folders)
            if state != written:
                # Remembered before it is written, so that what arrives meanwhile is seen next time.
                written = state
                try:
                    write_pages(folders, out, trials=trials, pictures=pictures, budget=budget)
                except UserError as error:
                    say(f"waiting: {error}")
                else:
                    say(f"{time.strftime('%H:%M:%S')} {out / 'index.html'}")
            wait(_EVERY)
    except KeyboardInterrupt:
        say("stopped watching")
