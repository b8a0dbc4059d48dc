"""The runs of an experiment: those that are missing, in order, and one alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmark.errors import UserError
from benchmark.experiment.entries import resolve_entries
from benchmark.runs.experiment import run_experiment

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.schema import Record
    from benchmark.runs.runner import RunContext


def _run(specs: list[RunSpec], context: RunContext, only: str | None = None) -> list[Record]:
    experiment = specs[0].experiment
    options = replace(context.options, only=only, share=True)
    entries = resolve_entries(experiment, Path("few.yaml"))
    return run_experiment(experiment, entries, context.dataset, options, context.reporter, context.stop_signal)


def test_missing_runs_are_made_in_order_and_finished_ones_read(
    make_specs: Callable[..., list[RunSpec]], context: RunContext
) -> None:
    specs = make_specs("random_init", seeds=[0, 1])
    second = specs[1]
    (one,) = _run(specs, context, only=second.key)
    assert (one.seed, one.status) == (1, "completed")
    records = _run(specs, context)
    assert {record.seed for record in records} == {0, 1} and one in records
    lines: list[str] = context.reporter.lines  # type: ignore[attr-defined]
    assert "1 of 2 runs are done; running the rest" in lines
    assert [line for line in lines if line.startswith("started")] == [
        "started random_init 1/1 None",
        "started random_init 2/2 None",
    ]
    assert _run(specs, context) and lines[-1] == "nothing to do: all 2 runs are done"


def test_a_key_that_no_run_has_says_what_may_have_changed(
    make_specs: Callable[..., list[RunSpec]], context: RunContext
) -> None:
    with pytest.raises(UserError, match="no run here has the key 0123abcd: the configuration, the images or"):
        _run(make_specs("random_init"), context, only="0123abcd" * 4)
