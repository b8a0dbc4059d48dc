"""A live bar on a terminal: of a run, or of images that are read, converted or checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


class LiveBar:
    """One bar at a time, which leaves nothing behind.

    Args:
        console: a terminal.

    Attributes:
        label: of the bar that is there; None where there is none.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self.label: str | None = None

    def start(self, label: str, share: float, state: str) -> None:
        """Shows a bar, in the place of any other."""
        self.stop()
        self.label = label
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[state]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._live.start()
        self._task = self._live.add_task(label, total=1.0, completed=0, state=state)
        self._live.update(self._task, completed=share)

    def advance(self, share: float, state: str) -> None:
        """The bar has come so far, 0 to 1; nothing where there is none."""
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=share, state=state)

    def stop(self) -> None:
        """Takes the bar away."""
        if self._live is not None:
            self._live.stop()
            self._live = self._task = self.label = None
