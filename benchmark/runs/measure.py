"""What is measured and drawn after a finished run, outside its times: FLOPs, throughput, views, the parts of a step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmark.files.disk import write_atomically
from benchmark.runs.explorer_views import write_masks
from benchmark.runs.method_views import write_glimpse
from benchmark.training.profile import BREAKDOWN_STEPS, breakdown, flops_per_step, ready_made_throughput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.records.schema import LedgerRecord
    from benchmark.training.loop import Training


class Measurements:
    """The measurements of one run. All of them leave weights and position as they were."""

    def __init__(self, training: Training, dataset: Dataset, folder: Path) -> None:
        self._training, self._dataset, self._folder = training, dataset, folder
        self._ready_made: float | None = None
        # Names and work, the same on all ranks and in the same order.
        self.parts: tuple[tuple[str, Callable[[], None]], ...] = (
            ("FLOPs", self.count_flops),
            ("the throughput without waiting", self._measure_throughput),
            ("the views", self._save_views),
            ("the parts of a step", self._save_breakdown),
        )

    def count_flops(self) -> None:
        """Counts the FLOPs of a step, unless that was done."""
        ledger = self._training.ledger
        if ledger.flops_per_step is None:
            ledger.flops_per_step = flops_per_step(self._training)

    def _measure_throughput(self) -> None:
        if not self._training.batches.resident:
            self._ready_made = ready_made_throughput(self._training)

    def _save_views(self) -> None:
        def save() -> None:
            write_glimpse(self._folder / "glimpse.npz", self._training, self._dataset)
            write_masks(self._folder, self._training.method, self._training.spec.seed)

        self._training.ranks.first(save)

    def _save_breakdown(self) -> None:
        steps = min(BREAKDOWN_STEPS, max(5, self._training.step // 50))
        text = json.dumps(breakdown(self._training, steps), indent=2) + "\n"
        self._training.ranks.first(lambda: write_atomically(self._folder / "breakdown.json", text))

    def added_to(self, record: LedgerRecord) -> LedgerRecord:
        """The ledger's record with what was counted and measured since."""
        flops = {name: getattr(self._training.ledger, name) for name in ("flops_per_step", "flops")}
        return record.model_copy(update={**flops, "ready_made_per_second": self._ready_made})
