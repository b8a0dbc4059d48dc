"""The jobs of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmark.cli.console import ConsoleReporter
from benchmark.cli.request import RunRequest
from benchmark.cli.submit_options import Wanted
from benchmark.cli.submit_sweep import sweep_submission
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

_SWEEP = {
    "name": "heat",
    "entries": ["simclr"],
    "parameters": {"simclr.temperature": {"values": [0.1, 0.2, 0.5]}},
    "seeds": [0, 1],
}


def _wanted(out: Path, on: str = "local", **changes: Any) -> Wanted:
    request = RunRequest("quickstart", share=True, out=out, **changes)
    return Wanted(request, on, None, None, None, (), ConsoleReporter(quiet=True))


@pytest.mark.parametrize(("settings", "count"), [([], 3), (["cluster.parallel=2"], 2)])
def test_there_is_a_worker_for_each_trial_at_most(tiny: Any, tmp_path: Path, settings: list[str], count: int) -> None:
    path = tmp_path / "heat.yaml"
    path.write_text(yaml.safe_dump({**_SWEEP, "experiment": str(tiny(precision="32"))}))
    submission = sweep_submission(_wanted(tmp_path / "out", settings=settings), str(path))
    assert [name for name, _ in submission.jobs] == [f"worker-{number + 1}" for number in range(count)]
    job = submission.jobs[0][1]
    assert job.arguments[:2] == ["sweep", str(path)] and submission.results == tmp_path / "out" / "heat"
    assert "--storage" not in job.arguments


def test_methods_are_in_the_sweeps_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--methods: a sweep's entries are in its file"):
        sweep_submission(_wanted(tmp_path, methods="simclr"), "mask_ratio")
