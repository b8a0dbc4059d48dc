"""Entries built side by side for measurements: each with memory of its own, those that do not fit in turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import torch

from benchmark.cost.memory import PeakMemory, free, held, release
from benchmark.runs.build import build_method, build_training, make_ledger
from benchmark.runs.record import cause_of
from benchmark.training.loop import advance
from benchmark.training.profile import WARM_UP_STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.ranks import Ranks
    from benchmark.training.loop import Training

T = TypeVar("T")

_RESERVE = 1.5  # times the largest need so far: what has to be free for the next entry to be built beside the others


@dataclass
class Workbench:
    """Builds entries when they are first used and keeps them, as long as there is room.

    Attributes:
        alone: one entry at a time; set when one ran out of memory beside others.
        needs: peak bytes of each entry above what was held before it was built; None where it cannot be measured.
        crowded: entries that found no room beside the others, and are built anew for every use.
    """

    dataset: Dataset
    ranks: Ranks
    alone: bool = False
    needs: dict[str, int | None] = field(default_factory=dict)
    crowded: set[str] = field(default_factory=set)
    _built: dict[str, Training] = field(default_factory=dict)
    _base: int | None = None

    def peak(self, name: str) -> int | None:
        """Peak bytes of the process, or of the device's allocator, as if this entry alone had been built."""
        need = self.needs.get(name)
        return None if need is None else need + (self._base or 0)

    def use(self, spec: RunSpec, work: Callable[[Training], T]) -> T:
        """The result of `work` with the training of an entry, which is built and warmed up if it is not there.

        If memory runs out beside other entries, they are thrown away and the entry is tried once more, alone.

        Raises:
            Exception: whatever building or `work` raises; out of memory only if the entry was alone.
        """
        name = spec.entry.name
        try:
            return self._use(spec, work)
        except Exception as error:
            self.discard(name)
            if cause_of(error) != "out_of_memory" or not self._built or self.ranks.size > 1:
                raise
        # Not inside `except`: the error holds on to the tensors of the calls that it went through.
        self.clear()
        self.alone = True
        try:
            return self._use(spec, work)
        except Exception:
            self.discard(name)
            raise

    def _use(self, spec: RunSpec, work: Callable[[Training], T]) -> T:
        name = spec.entry.name
        if name not in self._built:
            for other in set(self._built) if self.alone else self.crowded & self._built.keys():
                self.discard(other)
            if self.alone or not self._has_room():
                self.crowded.add(name)
            self._built[name] = self._build(spec)
        return work(self._built[name])

    def _has_room(self) -> bool:
        """Whether another entry can be built beside those that are there, judged by their needs."""
        largest = max(filter(None, self.needs.values()), default=0)
        return not self.ranks.any(free(self.ranks.device) < _RESERVE * largest)

    def _build(self, spec: RunSpec) -> Training:
        device = self.ranks.device
        release(device)
        if self._base is None:
            self._base = held(device)
        memory = PeakMemory(device)
        ledger = make_ledger(device, self.ranks.size)
        method = build_method(spec, self.dataset, self.ranks)
        training = build_training(spec, method, self.dataset, self.ranks, ledger)
        finite = torch.ones((), dtype=torch.bool, device=device)
        training.method.train()
        with ledger.phase("warmup"):
            for _ in range(WARM_UP_STEPS):
                advance(training, 0.5, finite)
        self.needs[spec.entry.name] = memory.growth()
        return training

    def discard(self, name: str) -> None:
        """Throws an entry's weights away, if it is there."""
        training = self._built.pop(name, None)
        if training is not None:
            training.batches.__exit__(None, None, None)
            del training
            release(self.ranks.device)

    def clear(self) -> None:
        """Throws everything away."""
        for name in list(self._built):
            self.discard(name)

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
