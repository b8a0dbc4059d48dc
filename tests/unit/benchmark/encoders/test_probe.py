"""Protocols on finished runs: which are missing, what is written, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from benchmark.data.datasets import load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.encoders import probe as module
from benchmark.encoders.probe import Probes, evaluate_runs, probe_run, unprobed
from benchmark.errors import Interrupted, UserError
from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.protocols import NotApplicableError
from benchmark.records.folder import predictions_path, probe_path, read_probes
from benchmark.records.locks import folder_lock

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset

CPU = torch.device("cpu")
RUNNING = SimpleNamespace(requested=False)


class Lines(list[str]):
    """Receives messages."""

    say = list.append


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(DatasetSpec(name="digits", size=32), None)


@pytest.fixture
def run(stored_run: Any, tmp_path: Path, digits: Dataset) -> Any:
    """A finished run on digits: its record's file, and the record."""
    settings = {"name": "resnet18", "stem": "small", "width": 8}
    record, _ = stored_run(settings, dataset={"name": "digits", "manifest": digits.manifest.digest})
    return tmp_path / "record.json", record


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each protocol gives; an exception is raised."""
    answers: dict[str, Any] = {"lowshot-v1": {"lowshot1_top1": 12.5}}

    def score(protocol: str, _: Any) -> Any:
        if isinstance(answers[protocol], Exception):
            raise answers[protocol]
        return answers[protocol]

    monkeypatch.setattr(module, "score", score)
    return answers


def _probe(run: Any, dataset: Any, *protocols: str, **options: Any) -> tuple[int, Lines]:
    lines = Lines()
    failures = probe_run(*run, Probes(protocols, **options), dataset, CPU, lines, RUNNING)  # type: ignore[arg-type]
    return failures, lines


def test_scores_are_written_beside_the_record_once(run: Any, digits: Any, scores: Any) -> None:
    assert unprobed([run], ["lowshot-v1"]) == [run]
    failures, lines = _probe(run, digits, "lowshot-v1")
    assert failures == 0 and lines[-1].startswith("byol, seed 0: lowshot-v1: lowshot1_top1 12.5 (")
    ((probe,), problems) = read_probes(*run)
    assert not problems
    assert (probe.key, probe.protocol, probe.scores) == (run[1].key, "lowshot-v1", {"lowshot1_top1": 12.5})
    assert probe.dataset.manifest == digits.manifest.digest
    assert unprobed([run], ["lowshot-v1"]) == []
    scores.clear()
    assert _probe(run, digits, "lowshot-v1") == (0, ["byol, seed 0: lowshot-v1: there already"])


def test_scores_on_another_dataset_have_a_file_of_their_own(run: Any, digits: Any, scores: Any) -> None:
    _probe(run, digits, "lowshot-v1", other_dataset="digits")
    assert probe_path(run[0].parent, "lowshot-v1", f"digits-{digits.manifest.digest[:8]}").is_file()
    assert unprobed([run], ["lowshot-v1"]) == [run]


def test_a_protocol_that_fails_is_counted_and_the_next_one_runs(run: Any, digits: Any, scores: Any) -> None:
    scores["linear-cnnjepa"] = NonFiniteError("training features: 3 of 9 feature vectors are not finite")
    scores["lowlevel-v1"] = RuntimeError("out of luck")
    failures, lines = _probe(run, digits, "linear-cnnjepa", "lowlevel-v1", "lowshot-v1")
    assert failures == 2
    assert "byol, seed 0: linear-cnnjepa failed: training features: 3 of 9 feature vectors are not finite" in lines
    assert "byol, seed 0: lowlevel-v1 failed: RuntimeError: out of luck" in lines
    assert [probe.protocol for probe in read_probes(*run)[0]] == ["lowshot-v1"]


def test_a_protocol_that_does_not_apply_to_an_encoder_is_passed_over(run: Any, digits: Any, scores: Any) -> None:
    scores["segmentation-stages-v1"] = NotApplicableError("needs the stages of a CNN")
    failures, lines = _probe(run, digits, "segmentation-stages-v1", "lowshot-v1")
    assert failures == 0
    assert "byol, seed 0: segmentation-stages-v1 needs the stages of a CNN; passed over" in lines
    assert [probe.protocol for probe in read_probes(*run)[0]] == ["lowshot-v1"]


def test_what_a_dataset_lacks_is_an_error_unless_a_group_was_asked_for(run: Any, digits: Any, scores: Any) -> None:
    scores["depth-v1"] = NotApplicableError("needs depths, which digits does not have", of_dataset=True)
    with pytest.raises(UserError, match="depth-v1 needs depths, which digits does not have"):
        _probe(run, digits, "depth-v1")
    failures, lines = _probe(run, digits, "depth-v1", "lowshot-v1", optional=frozenset({"depth-v1"}))
    assert failures == 0 and "byol, seed 0: depth-v1 needs depths, which digits does not have; passed over" in lines


def test_predictions_and_seconds_of_earlier_calls_are_kept(
    run: Any, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    def score(_: str, subject: Any) -> dict[str, float]:
        folders.append(subject.folder)
        subject.keep({"truth": torch.arange(6).view(2, 3)})
        subject.charge(100.0)  # of a call that was interrupted
        return {"miou": 10.0}

    monkeypatch.setattr(module, "score", score)
    _probe(run, digits, "segmentation-v1")
    file = predictions_path(probe_path(run[0].parent, "segmentation-v1"))
    with np.load(file) as arrays:
        assert arrays["truth"].tolist() == [[0, 1, 2], [3, 4, 5]]
    ((probe,), problems) = read_probes(*run)
    assert folders == [file.parent] and not problems
    assert 100.0 < probe.seconds < 110.0


def test_images_without_classes_are_for_dense_protocols_alone(run: Any, digits: Any, scores: Any) -> None:
    unclassified = replace(digits, classes=("image",))
    with pytest.raises(
        UserError, match="lowshot-v1 needs classes, which digits does not have; expected --protocols dense"
    ):
        _probe(run, unclassified, "segmentation-v1", "lowshot-v1", other_dataset="voc2012")


def test_a_run_that_another_process_probes_is_skipped(run: Any, digits: Any, scores: Any) -> None:
    with folder_lock(run[0].parent):
        failures, lines = _probe(run, digits, "lowshot-v1")
    assert failures == 0 and "is already being probed by another process; skipped" in lines[0]


def test_an_interrupt_stops_before_the_next_protocol(run: Any, digits: Any, scores: Any) -> None:
    stopped: Any = SimpleNamespace(requested=True)
    listener: Any = Lines()
    with pytest.raises(Interrupted):
        probe_run(*run, Probes(("lowshot-v1",)), digits, CPU, listener, stopped)
    assert read_probes(*run) == ([], [])


def test_a_dataset_that_is_not_the_runs_own_has_to_be_asked_for(run: Any, digits: Any, scores: Any) -> None:
    other = load_dataset(DatasetSpec(name="shapes", shapes_train=40, shapes_test=10), None)
    with pytest.raises(UserError, match=r"was trained on digits .*, the data given is shapes"):
        _probe(run, other, "lowshot-v1")


def test_protocols_are_checked_by_name() -> None:
    with pytest.raises(UserError, match=r"unknown protocol 'lowshot'; did you mean 'lowshot-v1'\?"):
        Probes(("lowshot",))
    with pytest.raises(UserError, match="transfer-v1 needs --dataset NAME"):
        Probes(("transfer-v1",))


def test_runs_without_an_encoder_are_counted_and_skipped(run: Any, make_record: Any, tmp_path: Path) -> None:
    path = tmp_path / "gone" / "record.json"
    listener: Any = Lines()
    with pytest.raises(UserError, match=r"none of the 1 runs has left an encoder\.safetensors"):
        evaluate_runs([(path, make_record())], Probes(()), "cpu", listener, RUNNING, share=True)  # type: ignore[arg-type]
    assert unprobed([(path, make_record())], ["lowshot-v1"]) == []
