"""What every engine has."""

from __future__ import annotations

import inspect

import pytest

from benchmark.cluster.engine import Engine
from benchmark.cluster.local import Local


def _engines() -> list[type]:
    engines: list[type] = [Local]
    for module, name in (("slurm", "Slurm"), ("ray", "Ray")):
        try:
            engines.append(getattr(__import__(f"benchmark.cluster.{module}", fromlist=[name]), name))
        except ModuleNotFoundError:
            continue
    return engines


@pytest.mark.parametrize("engine", _engines())
def test_it_has_what_bench_submit_calls(engine: type) -> None:
    for name, function in inspect.getmembers(Engine, inspect.isfunction):
        if not name.startswith("_"):
            wanted, found = inspect.signature(function), inspect.signature(getattr(engine, name))
            assert list(found.parameters) == list(wanted.parameters), name
    assert isinstance(engine.waits, bool)  # type: ignore[attr-defined]
