"""What an engine does for `bench submit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from benchmark.experiment.cluster_spec import ClusterSpec
    from benchmark.machine.interrupt import StopSignal
    from benchmark.records.jobs import JobRecord

Posted = tuple["Path", "JobRecord"]
"""A job's folder, and the job."""


class Engine(Protocol):
    """Carries out jobs (`benchmark.cluster.attempt`) somewhere.

    Attributes:
        waits: whether `start` returns only when all jobs have ended.
    """

    waits: bool

    def check(self, cluster: ClusterSpec) -> None:
        """Raises a `UserError` where the engine is missing, or cannot do what is asked for."""

    def queued(self, ids: Collection[str]) -> set[str]:
        """Those of its jobs that have not ended."""

    def failed(self, ids: Collection[str]) -> set[str]:
        """Those of its jobs that it calls failed, as far as it still knows them."""

    def start(
        self, posted: Sequence[Posted], cluster: ClusterSpec, stop_signal: StopSignal, tell: Callable[[], None]
    ) -> None:
        """Hands jobs over, and writes down their ids; `tell` is called from time to time by one that waits.

        Raises:
            UserError: the engine refuses them.
        """

    def cancel(self, ids: Collection[str]) -> None:
        """Ends jobs; those that are running save first."""

    def script(self, posted: Sequence[Posted], cluster: ClusterSpec) -> str:
        """What would be handed over, as text."""
