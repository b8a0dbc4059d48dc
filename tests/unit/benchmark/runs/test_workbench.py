"""Entries side by side, and what happens where they do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.machine.ranks import Ranks
from benchmark.runs import workbench
from benchmark.runs.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec

CPU = torch.device("cpu")


class Built:
    """In place of a training; tells what is there at the same time."""

    def __init__(self, name: str, there: set[str]) -> None:
        self.name, self.there = name, there
        self.batches = self
        there.add(name)

    def __exit__(self, *_: object) -> None:
        self.there.discard(self.name)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A bench that builds nothing real; `there` holds what is built, `most` limits it."""
    made = Workbench(None, Ranks(CPU))  # type: ignore[arg-type]
    made.there, made.most = set(), 99  # type: ignore[attr-defined]

    def build(self: Any, spec: Any) -> Built:
        if len(self.there) >= self.most:
            raise MemoryError
        self.needs[spec.entry.name] = 10
        return Built(spec.entry.name, self.there)

    monkeypatch.setattr(Workbench, "_build", build)
    monkeypatch.setattr(workbench, "release", lambda device: None)
    return made


def _spec(name: str) -> Any:
    class Spec:
        class entry:  # noqa: N801
            pass

    Spec.entry.name = name  # type: ignore[attr-defined]
    return Spec


def test_what_fits_is_built_once_and_kept(bench: Any) -> None:
    first = bench.use(_spec("a"), lambda training: training)
    bench.use(_spec("b"), lambda training: training)
    assert bench.use(_spec("a"), lambda training: training) is first
    assert bench.there == {"a", "b"} and not bench.crowded
    bench.clear()
    assert bench.there == set()


def test_what_has_no_room_takes_turns(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench, "free", lambda device: 12 if len(bench.there) > 1 else 99)
    for name in ("a", "b", "c", "d", "c"):
        bench.use(_spec(name), lambda training: None)
    assert bench.there == {"a", "b", "c"}  # c in place of d: the first two stay
    assert bench.crowded == {"c", "d"}


def test_out_of_memory_beside_others_is_tried_again_alone(bench: Any) -> None:
    bench.most = 1
    bench.use(_spec("a"), lambda training: None)
    bench.use(_spec("b"), lambda training: None)
    assert bench.there == {"b"} and bench.alone and bench.crowded == {"b"}
    bench.use(_spec("a"), lambda training: None)
    assert bench.there == {"a"} and bench.crowded == {"a", "b"}


def test_out_of_memory_alone_is_the_callers_to_name(bench: Any) -> None:
    bench.use(_spec("a"), lambda training: None)

    def fails(training: Any) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        bench.use(_spec("b"), fails)
    assert bench.there == set()
    with pytest.raises(ZeroDivisionError):
        bench.use(_spec("c"), lambda training: 1 / 0)
    assert bench.there == set()


@pytest.mark.slow
def test_the_need_of_an_entry_is_its_own(make_specs: Callable[..., list[RunSpec]], dataset: Dataset) -> None:
    small, large = (
        make_specs("simclr"),
        make_specs("simclr", backbone={"name": "resnet18", "stem": "small", "width": 32}),
    )
    with Workbench(dataset, Ranks(CPU)) as bench:
        for name, (spec,) in (("small", small), ("large", large)):
            named = spec.entry.model_copy(update={"name": name})
            object.__setattr__(spec, "entry", named)
            assert bench.use(spec, lambda training: training.step) == 3  # warmed up, not undone
    needs = {name: need or 0 for name, need in bench.needs.items()}
    # 2.8 million parameters with gradients and two moments, against 0.2 million.
    assert needs["large"] > needs["small"] + 25 * 2**20
    assert bench.peak("small") == needs["small"] + (bench._base or 0)
    assert bench.peak("unknown") is None
