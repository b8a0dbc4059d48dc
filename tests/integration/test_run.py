"""`bench run`, end to end."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmark.cost.ledger import Ledger
from benchmark.records.folder import find_records
from benchmark.records.locks import folder_lock
from benchmark.runs import measure
from benchmark.training import loop
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.simclr import SimCLR

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.reports
@pytest.mark.figures
def test_all_methods_leave_records_a_leaderboard_and_a_figure(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bench.finished(out, *(entry["method"] for entry in bench.tiny["entries"]))
    code, printed = bench("run", bench.config(), "--out", out)
    assert code == 0 and "nothing to do: all 7 runs are done" in printed
    records = bench.records(out)
    assert set(records) == {"cnn_jepa", "byol", "simclr", "vicreg", "ijepa", "supervised", "random_init"}
    for entry, record in records.items():
        assert record.status == "completed"
        assert record.metrics is not None and record.ledger is not None
        assert 0 < record.metrics.scores.linear_top1 <= 100
        assert record.metrics.scores.linear_top1 <= record.metrics.scores.linear_top5
        phases = record.ledger.phases.model_dump()
        assert sum(phases.values()) == pytest.approx(record.ledger.total_time, rel=0.01)
        trained = entry != "random_init"
        assert record.ledger.steps == (10 if trained else 0)
        assert record.ledger.samples == (160 if trained else 0)
        assert (record.ledger.training_time > 0) == trained
        assert record.ledger.flops == (10 * (record.ledger.flops_per_step or 0) if trained else 0)
        assert not trained or (record.ledger.flops or 0) > 0
        assert len(record.ledger.evaluation_points) == (2 if trained else 0)
        assert [point.progress for point in record.metrics.validation] == [
            point.progress for point in record.ledger.evaluation_points
        ]
    assert records["byol"].ledger.views == 4 * 160  # type: ignore[union-attr]
    assert records["ijepa"].config["tags"] == ["different backbone"]
    assert set(records["cnn_jepa"].metrics.encoders) == {"online", "ema"}  # type: ignore[union-attr]
    assert "classifier_top1" in records["supervised"].metrics.extra  # type: ignore[union-attr]
    report = out / "tiny" / "report"
    for name in ("index.html", "report.md", "leaderboard.csv", "runs.csv"):
        assert (report / name).stat().st_size > 0
    assert list(report.glob("figures/*.svg")) and list(report.glob("figures/*.png"))
    rows = list(csv.DictReader((report / "leaderboard.csv").open()))
    assert {row["entry"] for row in rows} == set(records)
    assert all(row["preliminary"] for row in rows)


def test_a_runs_folder_holds_these_files(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = bench.finished(out, "cnn_jepa")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.yaml", "environment.json", "history.jsonl", "record.json", "glimpse.npz", "glimpses", "breakdown.json",
        "encoder.safetensors",
    }  # fmt: skip
    record = bench.records(out)["cnn_jepa"]
    assert folder.name == f"seed-0-{record.key[:8]}"
    glimpse = np.load(folder / "glimpse.npz", allow_pickle=False)
    assert glimpse["images"].shape == glimpse["view_0"].shape == (8, 32, 32, 3)
    assert glimpse["context"].shape == (8, 4, 4)
    assert glimpse["targets"].shape == (8, 2, 4, 4)
    assert glimpse["predicted_pca"].shape == glimpse["target_pca"].shape == (8, 4, 4, 3)
    assert {"000.npz", "100.npz", "masks.npz"} <= {path.name for path in (folder / "glimpses").iterdir()}
    parts = json.loads((folder / "breakdown.json").read_text())
    assert set(parts["parts"]) == {
        "data", "views", "encoder", "target_encoder", "head", "loss", "backward", "optimizer", "ema", "other",
    }  # fmt: skip
    assert sum(parts["parts"].values()) == pytest.approx(parts["seconds_per_step"], rel=1e-6)
    network = build_backbone(BackboneSpec(name="resnet18", stem="small", width=8), 32).net
    network.load_state_dict(load_file(folder / "encoder.safetensors"), strict=True)


@pytest.mark.slow
def test_finished_runs_are_not_repeated_and_missing_ones_are_added(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = bench.config()
    bench.finished(out, "simclr", "random_init")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("record.json")}
    code, printed = bench("run", config, "--out", out, "--methods", "simclr,random_init")
    assert code == 0
    assert "nothing to do: all 2 runs are done" in printed
    code, printed = bench("run", config, "--out", out, "--methods", "simclr,random_init", "--seeds", "0,1")
    assert code == 0
    assert "2 of 4 runs are done" in printed
    assert len(list(out.rglob("record.json"))) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


@pytest.mark.slow
def test_each_budget_of_a_ladder_is_a_run_of_its_own(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _ = bench("run", bench.config(), "--out", out, "--methods", "simclr", "--budget", "steps=4,8")
    assert code == 0
    records, _ = find_records([out])
    assert sorted(record.ledger.steps for _, record in records if record.ledger) == [4, 8]
    assert len({record.key for _, record in records}) == 2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_history_bit_for_bit(bench: Any, tmp_path: Path) -> None:
    bench.finished(tmp_path / "one", "cnn_jepa", "simclr", "ijepa")
    assert bench("run", bench.config(), "--out", tmp_path / "two", "--methods", "cnn_jepa,simclr,ijepa")[0] == 0
    for entry in ("cnn_jepa", "simclr", "ijepa"):
        (once,), (again,) = ((tmp_path / n).glob(f"*/{entry}/*/history.jsonl") for n in ("one", "two"))
        assert once.read_bytes() == again.read_bytes()
        first, second = (bench.records(tmp_path / n)[entry].metrics for n in ("one", "two"))
        assert first == second
    losses = [line["loss"] for line in bench.history(tmp_path / "one", "simclr") if line["kind"] == "train"]
    assert len(losses) == 2 and losses[0] != losses[1]


@pytest.mark.slow
def test_a_picture_that_fails_does_not_fail_the_run(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no picture")

    monkeypatch.setattr(measure, "write_glimpse", fail)
    code, printed = bench("run", bench.config(), "--out", tmp_path, "--methods", "simclr")
    assert code == 0, printed
    assert "the views could not be measured (RuntimeError: no picture" in printed
    record = bench.records(tmp_path)["simclr"]
    assert record.status == "completed" and record.metrics is not None
    assert record.ledger.flops_per_step > 0
    left = {path.name for path in tmp_path.glob("tiny/simclr/*/*")}
    assert {"traceback.txt", "breakdown.json"} <= left and "glimpse.npz" not in left
    with pytest.raises(RuntimeError, match="no picture"):
        bench("--debug", "run", bench.config(), "--out", tmp_path / "debug", "--methods", "simclr")


@pytest.mark.slow
def test_another_seed_gives_another_history(bench: Any, tmp_path: Path) -> None:
    bench.finished(tmp_path, "simclr")
    assert bench("run", bench.config(), "--out", tmp_path, "--methods", "simclr", "--seeds", "1")[0] == 0
    first, second = (path.read_text() for path in sorted(tmp_path.glob("tiny/simclr/*/history.jsonl")))
    assert first != second


@pytest.mark.slow
def test_entries_start_from_equal_backbones_and_see_the_same_order(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    real = loop.run_step

    def spy(training: Any, *arguments: Any) -> Any:
        name = training.spec.entry.name
        if training.step == 0 and name not in seen:
            weights = next(training.method.backbone.parameters()).detach().clone()
            seen[name] = [weights, training.batches.sample_ids(0), training.batches.sample_ids(7)]
        return real(training, *arguments)

    monkeypatch.setattr(loop, "run_step", spy)
    assert bench("run", bench.config(), "--out", tmp_path, "--methods", "cnn_jepa,byol,supervised")[0] == 0
    first, *others = seen.values()
    assert len(others) == 2
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))


@pytest.mark.slow
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = bench.config()
    entries = ("cnn_jepa", "ijepa")
    bench.finished(tmp_path / "whole", *entries)
    real = loop.run_step
    seen: set[tuple[str, int]] = set()

    def interrupt(training: Any, progress: float, *arguments: Any) -> Any:
        place = (training.spec.entry.name, training.step)
        # Steps of the warm-up (progress 0) and of the breakdown (after the last step) are not the run's own.
        if progress > 0 and training.step in (2, 6) and place not in seen:
            seen.add(place)
            signal.raise_signal(signal.SIGINT if training.step == 2 else signal.SIGTERM)
        return real(training, progress, *arguments)

    monkeypatch.setattr(loop, "run_step", interrupt)
    stops = 0
    while True:
        code, printed = bench("run", config, "--out", tmp_path / "parts", "--methods", ",".join(entries))
        if code == 0:
            break
        assert code == 130, printed
        assert "the same command resumes" in printed
        stops += 1
    assert stops == 4
    for entry in entries:
        whole, parts = (bench.records(tmp_path / name)[entry] for name in ("whole", "parts"))
        assert parts.metrics == whole.metrics
        assert bench.history(tmp_path / "parts", entry) == bench.history(tmp_path / "whole", entry)
        assert parts.ledger.steps == 10
    assert any("resumed" in record.flags for record in bench.records(tmp_path / "parts").values())
    assert not list((tmp_path / "parts").rglob("state.pt"))


@pytest.mark.slow
def test_time_that_passes_while_a_state_is_saved_skips_no_evaluation(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk may carry a budget of time past an evaluation point, and past its end."""
    real, honest = loop.run_step, Ledger.state_dict
    late = {2: 600.0, 5: 1001.0}  # step: seconds of training in its saved state

    def interrupt(training: Any, progress: float, *arguments: Any) -> Any:
        if progress > 0 and training.step in late:
            signal.raise_signal(signal.SIGINT)
        return real(training, progress, *arguments)

    def slow(ledger: Ledger) -> dict[str, Any]:
        state = honest(ledger)
        if ledger.steps - 1 in late:
            state["seconds"]["training"] = late.pop(ledger.steps - 1)
        return state

    monkeypatch.setattr(loop, "run_step", interrupt)
    monkeypatch.setattr(Ledger, "state_dict", slow)
    command = ("run", bench.config(budget={"wall_clock": 1000}), "--out", tmp_path, "--methods", "simclr")
    assert [bench(*command)[0] for _ in range(3)] == [130, 130, 0]
    record = bench.records(tmp_path)["simclr"]
    assert record.ledger is not None and record.metrics is not None
    points = [point.progress for point in record.metrics.validation]
    assert points == [pytest.approx(0.6, abs=0.01), 1.0]
    assert [point.progress for point in record.ledger.evaluation_points] == points


@pytest.mark.slow
@pytest.mark.estimates
def test_a_failing_run_is_recorded_and_does_not_stop_the_others(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = bench.config()

    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("tried to allocate a lot")

    with monkeypatch.context() as patch:
        patch.setattr(SimCLR, "loss", fail)
        code, printed = bench("run", config, "--out", tmp_path, "--methods", "simclr,random_init")
    assert code == 1
    assert "failed (OutOfMemoryError: tried to allocate a lot)" in printed
    records = bench.records(tmp_path)
    assert (records["simclr"].status, records["simclr"].cause) == ("failed", "out_of_memory")
    assert records["simclr"].metrics is None
    assert "simclr: cannot be tried out (OutOfMemoryError" in printed
    assert records["random_init"].status == "completed"
    # The next call tries again and keeps the old record.
    assert bench("run", config, "--out", tmp_path, "--methods", "simclr,random_init")[0] == 0
    assert bench.records(tmp_path)["simclr"].status == "completed"
    assert len(list(tmp_path.rglob("record.failed-1.json"))) == 1


_WILD = ("--set", "simclr.optimizer.lr=1e30", "--set", "simclr.optimizer.name=sgd", "--set", "precision='32'")


@pytest.mark.slow
def test_weights_that_become_infinite_in_the_last_step_are_a_divergence(bench: Any, tmp_path: Path) -> None:
    options = ("--set", "supervised.optimizer.lr=1e30", "--set", "supervised.optimizer.warmup=0", "--budget", "steps=1")
    code, printed = bench("run", bench.config(), "--out", tmp_path, "--methods", "supervised", *options)
    assert code == 0, printed
    assert bench.records(tmp_path)["supervised"].status == "diverged"


@pytest.mark.slow
def test_divergence_is_a_status_without_scores(bench: Any, tmp_path: Path) -> None:
    code, _ = bench("run", bench.config(), "--out", tmp_path, "--methods", "simclr", *_WILD)
    record = bench.records(tmp_path)["simclr"]
    assert code == 0
    assert record.status == "diverged"
    assert record.metrics is None
    # The status is final: the run is not repeated.
    assert "nothing to do" in bench("run", bench.config(), "--out", tmp_path, "--methods", "simclr", *_WILD)[1]
    assert record.ledger is not None and record.ledger.training_time > 0


@pytest.mark.slow
def test_a_time_budget_ends_within_a_step_and_drives_the_schedule(bench: Any, tmp_path: Path) -> None:
    code, _ = bench("run", bench.config(), "--out", tmp_path, "--methods", "simclr", "--budget", "wall_clock=2s")
    assert code == 0
    record = bench.records(tmp_path)["simclr"]
    lines = [line for line in bench.history(tmp_path, "simclr") if line["kind"] == "train"]
    assert record.ledger.training_time >= 2.0
    assert record.ledger.steps > 2
    slowest = record.ledger.training_time / record.ledger.steps * 20
    assert record.ledger.training_time < 2.0 + slowest
    assert [line["progress"] for line in lines] == sorted(line["progress"] for line in lines)


@pytest.mark.slow
def test_a_budget_of_flops_ends_with_the_step_that_reaches_it(bench: Any, tmp_path: Path) -> None:
    code, printed = bench("run", bench.config(), "--out", tmp_path, "--methods", "cnn_jepa", "--budget", "flops=1e8")
    assert code == 0, printed
    ledger = bench.records(tmp_path)["cnn_jepa"].ledger
    assert ledger.flops_per_step > 0
    assert ledger.flops - ledger.flops_per_step < 1e8 <= ledger.flops
    lines = [line for line in bench.history(tmp_path, "cnn_jepa") if line["kind"] == "train"]
    assert lines[-1]["step"] == ledger.steps and lines[-1]["progress"] < 1.0


def test_report_and_leaderboard_need_only_records(bench: Any, tmp_path: Path) -> None:
    bench.finished(tmp_path / "r", "simclr", "random_init")
    assert bench("report", tmp_path / "r", "--out", tmp_path / "page")[0] == 0
    assert "random init" in (tmp_path / "page" / "report.md").read_text()
    assert bench("leaderboard", tmp_path / "r", "--csv", tmp_path / "board.csv")[0] == 0
    rows = list(csv.DictReader((tmp_path / "board.csv").open()))
    assert [row["n"] for row in rows] == ["1", "1"]


@pytest.mark.slow
def test_a_device_in_use_is_refused_or_shared(bench: Any, tmp_path: Path) -> None:
    take = "import sys; from benchmark.machine.locks import DeviceLock"
    hold = f"{take}\nwith DeviceLock('cpu'): print(flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        arguments = ("run", bench.config(), "--out", tmp_path, "--methods", "random_init", "--device", "cpu")
        code, printed = bench(*arguments)
        assert code == 2 and f"in use by another bench (process {other.pid})" in printed
        assert not bench.records(tmp_path)
        code, printed = bench(*arguments, "--share")
        assert code == 0, printed
    finally:
        other.kill()
        other.communicate()
    assert "shared device" in bench.records(tmp_path)["random_init"].flags


def test_a_run_that_another_process_is_running_is_skipped(bench: Any, tmp_path: Path) -> None:
    arguments = ("run", bench.config(), "--out", tmp_path / "out", "--methods", "random_init")
    record = bench.finished(tmp_path / "out", "random_init") / "record.json"
    assert not (record.parent / ".lock").exists()
    record.unlink()
    with folder_lock(record.parent):
        code, printed = bench(*arguments)
    assert code == 0 and "is already running in another process" in printed
    assert not record.exists()
