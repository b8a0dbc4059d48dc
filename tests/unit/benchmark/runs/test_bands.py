from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmark.errors import UserError
from benchmark.experiment.files import find_experiment, read_yaml
from benchmark.experiment.spec import Experiment
from benchmark.records.folder import write_record
from benchmark.runs import bands as check

if TYPE_CHECKING:
    from pathlib import Path


def test_a_result_outside_its_band_fails_in_either_direction(make_record: Any, monkeypatch: Any) -> None:
    bands = {"byol": {"linear top-1": (40.0, 50.0)}, "simclr": {"linear top-1": (40.0, 50.0), "final loss": (1.0, 2.0)}}
    monkeypatch.setattr(check, "read_bands", lambda: bands)
    records = [make_record("byol", top1=top1) for top1 in (39.0, 39.5, 49.5, 49.6)]  # half a point less on test
    assert [finding.verdict for finding in check.compare(records)] == ["below", "ok", "ok", "above"]
    failed = make_record("simclr", status="failed", cause="exception", measured=False)
    assert [finding.verdict for finding in check.compare([failed])] == ["failed", "failed"]
    assert [finding.verdict for finding in check.compare([_with_loss(make_record("simclr", top1=45.0), 2.5)])] == [
        "ok",
        "above",
    ]
    with pytest.raises(UserError, match="entry 'vicreg' has no band; byol, simclr have"):
        check.compare([make_record("vicreg")])


def _with_loss(record: Any, loss: float | None) -> Any:
    return record.model_copy(update={"metrics": record.metrics.model_copy(update={"final_loss": loss})})


def test_runs_of_another_state_of_the_code_are_not_taken_for_new_ones(make_record: Any, tmp_path: Path) -> None:
    before = make_record("byol")
    here = before.environment.model_copy(update={"commit": "c" * 40, "dirty": False})
    check.refuse_older(tmp_path, here)
    write_record(tmp_path / "check" / "byol" / "seed-0-12345678", before.model_copy(update={"environment": here}))
    check.refuse_older(tmp_path, here)
    for changed in ({"commit": "d" * 40}, {"dirty": True}, {"commit": None, "dirty": None}):
        with pytest.raises(UserError, match="name another --out"):
            check.refuse_older(tmp_path, here.model_copy(update=changed))


def test_bands_are_four_deviations_wide_but_never_narrow(make_record: Any) -> None:
    records = [_with_loss(make_record("byol", s, top1=top1), -0.7) for s, top1 in enumerate((39.5, 40.5))]
    records += [_with_loss(make_record("simclr", s, top1=99.5), 2.0 + s) for s in range(2)]
    records += [_with_loss(make_record("random_init", s, top1=30.0), None) for s in range(2)]
    bands = yaml.safe_load(check.measure(records))["bands"]
    assert bands["byol"] == {"linear top-1": [36.5, 44.5], "final loss": [-0.714, -0.686]}
    assert bands["simclr"] == {"linear top-1": [96.0, 100.0], "final loss": [-0.3284, 5.3284]}
    assert list(bands["random_init"]) == ["linear top-1"]
    with pytest.raises(UserError, match="at least two seeds"):
        check.measure(records[:1])


def test_every_entry_of_the_check_has_bands_that_tell_something() -> None:
    experiment = Experiment.model_validate(read_yaml(find_experiment(check.EXPERIMENT)))
    bands = check.read_bands()
    assert {entry.name for entry in experiment.entries} == set(bands)
    for entry in experiment.entries:
        low, high = bands[entry.name]["linear top-1"]
        # Ten classes: an encoder that tells nothing reaches 10%.
        assert 10.0 < low < high <= 100.0 and high - low <= 30.0
        assert ("final loss" in bands[entry.name]) is (entry.method != "random_init")
