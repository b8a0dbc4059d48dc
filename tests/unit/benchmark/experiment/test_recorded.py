"""Experiments made again from records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import UserError
from benchmark.experiment.recorded import check_same_steps, measured_together, recorded_experiment
from benchmark.experiment.run_spec import run_specs
from benchmark.records.folder import find_records

ROOT = Path(__file__).parents[4] / "results" / "reference"


def _runs(name: str) -> list[tuple[Path, Any]]:
    return find_records([ROOT / name])[0]


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("cifar10-jpeg", "byol cnn_jepa cnn_jepa_dense ijepa simclr simclr_vit supervised vicreg"),
        # Rates do not change what a step costs: one entry of each method.
        ("tune_learning_rate", "byol.lr cnn_jepa.lr ijepa.lr simclr.lr simclr_vit.lr vicreg.lr"),
    ],
)
def test_committed_results_resolve_to_the_steps_that_they_recorded(name: str, entries: str) -> None:
    runs = _runs(name)
    experiment, resolved = recorded_experiment(runs)
    assert sorted(each.entry.name.partition("-0")[0] for each in resolved) == entries.split()
    assert (experiment.batch_size, experiment.precision, experiment.name) == (64, "32", name)
    specs = run_specs(experiment, resolved, 32, runs[0][1].dataset.manifest)
    check_same_steps(runs, {spec.step_key for spec in specs})


def test_the_precision_may_be_another_one() -> None:
    assert recorded_experiment(_runs("quickstart"), "bf16")[0].precision == "bf16"


def test_the_declared_reference_stays() -> None:
    assert recorded_experiment(_runs("cifar10-jpeg"))[0].declared_reference == "cnn_jepa"


def test_configurations_that_no_longer_resolve_are_named() -> None:
    runs = _runs("quickstart")
    path, record = next(run for run in runs if run[1].entry == "simclr")

    def changed(**config: Any) -> list[tuple[Path, Any]]:
        return [(path, record.model_copy(update={"config": {**record.config, **config}}))]

    with pytest.raises(UserError, match=r"record\.json: entry 'simclr': unknown key 'temprature'; did you mean 'tem"):
        recorded_experiment(changed(method={"temprature": 1}))
    with pytest.raises(UserError, match=r"record\.json: entry 'simclr': no longer resolves"):
        recorded_experiment(changed(backbone={"name": "resnet19"}))
    gone = record.model_copy(update={"method": "simclr2"})
    with pytest.raises(UserError, match=r"entry 'simclr': no longer resolves .*unknown method 'simclr2'"):
        recorded_experiment([(path, gone)])
    with pytest.raises(UserError, match="no longer resolves to the step that it recorded"):
        check_same_steps(runs, {"another"})


def test_folders_with_nothing_to_measure_are_refused() -> None:
    floors = [run for run in _runs("quickstart") if run[1].method == "random_init"]
    with pytest.raises(UserError, match="quickstart: no record of a run that trained anything"):
        recorded_experiment(floors)
    with pytest.raises(UserError, match="no record of a run that trained anything"):
        recorded_experiment(_runs("ablations"))  # older than what step keys are made from


def test_what_may_be_compared_is_measured_together() -> None:
    runs = [run for name in ("quickstart", "ijepa_small", "tune_learning_rate", "cifar10-jpeg") for run in _runs(name)]
    groups = {recorded_experiment(group)[0].name: recorded_experiment(group)[1] for group in measured_together(runs)}
    assert sorted(groups) == ["cifar10-jpeg", "quickstart"]
    names = [each.entry.name for each in groups["cifar10-jpeg"]]
    # Two entries of one name that differ: the ceilings of two experiments, on two networks.
    assert {"supervised", "ijepa_small.supervised", "ijepa_terms"} < set(names) and len(names) == len(set(names)) == 10


def test_entries_of_one_name_with_other_settings_all_stay() -> None:
    path, record = next(run for run in _runs("quickstart") if run[1].entry == "simclr")
    runs = []
    for depth in (2, 3, 4, 5):
        settings = {**record.config["method"], "projector_hidden": 64 * depth}
        made_from = record.key_settings.model_copy(update={"settings": {"projector_hidden": 64 * depth}})
        config = {**record.config, "method": settings}
        runs.append((path, record.model_copy(update={"config": config, "key_settings": made_from})))
    names = [each.entry.name for each in recorded_experiment(runs)[1]]
    assert names == ["simclr", "quickstart.simclr", "simclr-2", "simclr-3"]


def test_runs_on_other_splits_are_measured_apart() -> None:
    path, record = _runs("quickstart")[0]
    other = {**record.config, "dataset": {**record.config["dataset"], "pretrain": "train+unlabelled"}}
    assert len(measured_together([(path, record), (path, record.model_copy(update={"config": other}))])) == 2
