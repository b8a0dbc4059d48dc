"""What is measured after a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

from benchmark.cost.ledger import Ledger
from benchmark.machine.ranks import Ranks
from benchmark.runs.build import build_method, build_training
from benchmark.runs.measure import Measurements

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.runs.runner import RunContext


def test_measurements_leave_files_numbers_and_the_weights_as_they_were(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, context: RunContext, tmp_path: Path
) -> None:
    (spec,) = make_specs("simclr")
    ranks, ledger = Ranks(torch.device("cpu")), Ledger(lambda: None)
    method = build_method(spec, dataset, ranks)
    training = build_training(spec, method, dataset, ranks, ledger)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    measurements = Measurements(training, dataset, tmp_path)
    for _, measure in measurements.parts:
        measure()
    assert (tmp_path / "glimpse.npz").is_file()
    parts = json.loads((tmp_path / "breakdown.json").read_text())
    assert parts and training.step == 0
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    record = measurements.added_to(ledger.record(None))
    assert record.flops_per_step is not None and record.flops_per_step > 1e6
    assert record.ready_made_per_second is None  # the images are in memory: there is no waiting to leave out
    counted = ledger.flops_per_step
    measurements.count_flops()
    assert ledger.flops_per_step == counted
    training.batches.__exit__(None, None, None)
