"""Finds what installed packages add to this suite through entry points. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from methods.config import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from importlib.metadata import EntryPoint


@dataclass(frozen=True)
class Plugins:
    """The entry points of one group, beside the names that this suite has itself.

    Attributes:
        kind: of what they add, as messages call it (`method`).
        group: of the entry points.
        ours: this suite's own names, which no package may take.
    """

    kind: str
    group: str
    ours: Collection[str]

    def names(self) -> tuple[str, ...]:
        """All known names, ours first."""
        return (*self.ours, *sorted({point.name for point in entry_points(group=self.group)} - set(self.ours)))

    def find(self, name: str) -> EntryPoint | None:
        """The entry point of a name; None for ours.

        Raises:
            ValueError: the name is unknown (the nearest is named), or several packages bring it.
        """
        points = list(entry_points(group=self.group, name=name))
        if not points:
            if name not in self.ours:
                raise ValueError(f"unknown {self.kind} '{name}'; {nearest(name, self.names())}")
            return None
        owners = ["this suite itself"] * (name in self.ours) + sorted(_package(point) for point in points)
        if len(owners) > 1:
            raise ValueError(
                f"{self.kind} '{name}' comes from {' and from '.join(owners)}; uninstall one of them, or register it "
                f"under another name (group {self.group})"
            )
        return points[0]

    def load(self, point: EntryPoint, problem: Callable[[Any, str], str | None]) -> Any:
        """Imports what an entry point names.

        Args:
            point: as `find` returns it.
            problem: receives what was imported and the registered name; says why it does not fit, None where it does.

        Raises:
            ValueError: it cannot be imported, or does not fit.
        """
        where = f"{self.kind} '{point.name}' of package {_package(point)}"
        try:
            loaded = point.load()
        except Exception as error:  # another package's module may raise anything when it is imported
            raise ValueError(
                f"{where} cannot be loaded: importing {point.value} gave {type(error).__name__}: {error}"
            ) from error
        if reason := problem(loaded, point.name):
            raise ValueError(f"{where}: {point.value} {reason}")
        return loaded


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
