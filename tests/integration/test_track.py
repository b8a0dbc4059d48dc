"""Trackers (`--track`): what they receive, that they change no result, and that their failures end no run."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.cost.ledger import Ledger
from benchmark.runs import tracking
from benchmark.runs.tracking import Subject, Tool
from benchmark.training import loop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SIMCLR = ("--methods", "simclr", "--quiet")


class FakeLogger:
    """Keeps what it receives, and the ledger's phase at that time; draws random numbers as a tracker might."""

    def __init__(self, subject: Subject, phase: Callable[[], str], fails_at: int | None = None) -> None:
        self.subject, self._phase, self._fails_at = subject, phase, fails_at
        self.received: list[tuple[dict[str, float], int]] = []
        self.phases = [phase()]
        self.ended: list[str] = []

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        torch.rand(3), random.random()
        self.phases.append(self._phase())
        if len(self.received) == self._fails_at:
            raise ConnectionError("the server is gone\nand more about it")
        self.received.append((values, step))

    def finalize(self, status: str) -> None:
        self.phases.append(self._phase())
        self.ended.append(status)

    def lines(self, group: str) -> list[tuple[dict[str, float], int]]:
        lines = [({k.removeprefix(f"{group}/"): v for k, v in values.items() if k.startswith(f"{group}/")}, step)
                 for values, step in self.received]  # fmt: skip
        return [(values, step) for values, step in lines if values]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[FakeLogger]]:
    """Adds a tracker `fake`; returns the list of the loggers that it opens."""
    ledgers: list[Any] = []
    make = Ledger.__init__

    def noted(self: Any, *arguments: Any, **options: Any) -> None:
        ledgers.append(self)
        make(self, *arguments, **options)

    monkeypatch.setattr(Ledger, "__init__", noted)

    def place(name: str = "fake", fails_at: int | None = None) -> list[FakeLogger]:
        made: list[FakeLogger] = []

        def start(subject: Subject) -> Any:
            made.append(FakeLogger(subject, lambda: ledgers[-1]._phase, fails_at))
            return made[-1]

        monkeypatch.setitem(tracking.TOOLS, name, Tool((), start))
        return made

    return place


@pytest.mark.slow
def test_a_tracker_receives_the_history_and_scores_and_changes_no_result(
    bench: Any, tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 3)
    made, config = fake(), bench.config()
    assert bench("run", config, "--out", tmp_path / "plain", *_SIMCLR) == (0, "")
    assert not made
    arguments = ("--methods", "simclr,random_init", "--quiet", "--track", "fake")
    assert bench("run", config, "--out", tmp_path / "out", *arguments) == (0, "")
    logger, untrained = made

    history = bench.history(tmp_path / "out", "simclr")
    assert history == bench.history(tmp_path / "plain", "simclr")
    (plain,), (tracked,) = (tmp_path.glob(f"{out}/*/simclr/*/encoder.safetensors") for out in ("plain", "out"))
    assert plain.read_bytes() == tracked.read_bytes()

    trained = logger.lines("train")
    speeds = [values.pop("images_per_second", None) for values, _ in trained]
    # Throughput is measured over a window; the first one has ended by the last line.
    assert len(speeds) == 5 and all(speed is None or speed > 0 for speed in speeds) and speeds[-1] is not None
    for kind, lines in (("train", trained), ("evaluation", logger.lines("validation"))):
        wanted = [{k: v for k, v in line.items() if k != "kind"} for line in history if line["kind"] == kind]
        assert [{"step": step, **values} for values, step in lines] == wanted

    record = bench.records(tmp_path / "out")["simclr"]
    assert "tracked" in record.flags and "tracked" not in bench.records(tmp_path / "plain")["simclr"].flags
    ((scores, step),) = logger.lines("test/online")
    expected = record.metrics.scores.model_dump()
    assert step == 10 and scores["linear_top1"] == expected["linear_top1"] and scores["knn20"] == expected["knn20"]
    ((cost, _),) = logger.lines("cost")
    assert cost == {"training_time": record.ledger.training_time, "device_hours": record.ledger.device_hours,
                    "samples": 160.0}  # fmt: skip
    assert set(logger.phases) == {"logging"} and logger.ended == ["success"]
    assert logger.subject.folder == tmp_path / "out" / "tiny" / "tracking"
    assert [len(untrained.lines(group)) for group in ("train", "validation", "test/online")] == [0, 0, 1]


@pytest.mark.slow
def test_a_tracker_that_fails_is_dropped_and_the_others_continue(
    bench: Any, tmp_path: Path, fake: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (broken, sound), config = (fake("broken", fails_at=1), fake("sound")), bench.config()

    def never(subject: Subject) -> Any:
        raise OSError("no space left")

    tracking.TOOLS["never"] = Tool((), never)
    try:
        code, _ = bench("run", config, "--out", tmp_path, *_SIMCLR, "--track", "broken,never", "--track", "sound")
    finally:
        del tracking.TOOLS["never"]
    assert code == 0
    assert bench.records(tmp_path)["simclr"].status == "completed"
    assert len(broken[0].received) == 1 and not broken[0].ended
    assert len(sound[0].lines("validation")) == 2 and sound[0].ended == ["success"]
    assert [message for message in caplog.messages if "--track" in message] == [
        "--track never: dropped for this run (OSError: no space left); the run continues",
        "--track broken: dropped for this run (ConnectionError: the server is gone); the run continues",
    ]


@pytest.mark.slow
def test_a_resumed_run_sends_only_what_is_new(
    bench: Any, tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, config = fake(), bench.config()
    from benchmark.runs.run import Run

    stop = Run.stop_requested
    monkeypatch.setattr(Run, "stop_requested", lambda self: self.training.step >= 6)
    assert bench("run", config, "--out", tmp_path, *_SIMCLR, "--track", "fake")[0] == 130
    monkeypatch.setattr(Run, "stop_requested", stop)
    assert bench("run", config, "--out", tmp_path, *_SIMCLR, "--track", "fake")[0] == 0
    first, second = made
    assert (first.ended, second.ended) == (["interrupted"], ["success"])
    assert (first.subject.resumed_step, second.subject.resumed_step) == (None, 6)
    assert first.subject.spec.key == second.subject.spec.key
    assert [step for logger in made for _, step in logger.lines("validation")] == [5, 10]


def test_missing_and_misspelt_trackers_are_refused_before_anything_runs(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tracking.TOOLS, "wandb", Tool(("no_such_module",), tracking.TOOLS["wandb"].open))
    (tmp_path / "tensorboard_of_mine").mkdir()
    monkeypatch.syspath_prepend(tmp_path)  # a folder is no package
    monkeypatch.setitem(tracking.TOOLS, "mlflow", Tool(("tensorboard_of_mine",), tracking.TOOLS["mlflow"].open))
    for tool, message in (
        ("wandb", "--track wandb: no_such_module is not installed (pip install 'cnn-jepa-bench[wandb]')"),
        ("mlflow", "--track mlflow: tensorboard_of_mine is not installed (pip install 'cnn-jepa-bench[mlflow]')"),
        ("tensorbord", "--track: unknown tracker 'tensorbord'; did you mean 'tensorboard'?"),
    ):
        code, printed = bench("run", bench.config(), "--out", tmp_path / "out", "--track", tool)
        assert code == 2 and message in printed
    assert not (tmp_path / "out").exists()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Clears the user's tracker settings; returns the list of addresses that a tracker tried to reach."""
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    tried: list[Any] = []
    connect = socket.socket.connect

    def watched(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "localhost", "::1"):
            tried.append(address)
            raise OSError("there is no network in this test")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    return tried


def test_tensorboard(bench: Any, tmp_path: Path, offline: list[Any]) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'cnn-jepa-bench[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert bench("run", bench.config(), "--out", tmp_path, *_SIMCLR, "--track", "tensorboard") == (0, "")
    (folder,) = tmp_path.glob("tiny/tracking/tensorboard/simclr/seed-0-*")
    events = EventAccumulator(str(folder)).Reload()
    history, record = bench.history(tmp_path, "simclr"), bench.records(tmp_path)["simclr"]
    losses = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert losses == [(x["step"], pytest.approx(x["loss"])) for x in history if x["kind"] == "train"]
    points = [(event.step, event.value) for event in events.Scalars("validation/knn20")]
    assert points == [(x["step"], pytest.approx(x["knn20"])) for x in history if x["kind"] == "evaluation"]
    (final,) = events.Scalars("test/online/linear_top1")
    assert final.value == pytest.approx(record.metrics.scores.linear_top1)
    assert "configuration/text_summary" in events.Tags()["tensors"]
    assert not offline


def test_wandb_writes_offline(bench: Any, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'cnn-jepa-bench[wandb]'")
    assert bench("run", bench.config(), "--out", tmp_path, *_SIMCLR, "--track", "wandb") == (0, "")
    key = bench.records(tmp_path)["simclr"].key
    (file,) = tmp_path.glob(f"tiny/tracking/wandb/offline-run-*-{key}/run-{key}.wandb")
    content = file.read_bytes()
    for name in (b"train/loss", b"train/images_per_second", b"validation/linear_top1", b"test/online/knn20", b"simclr"):
        assert name in content


def test_mlflow_writes_a_database_of_its_own(bench: Any, tmp_path: Path, offline: list[Any]) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'cnn-jepa-bench[mlflow]'")
    assert bench("run", bench.config(), "--out", tmp_path, *_SIMCLR, "--track", "mlflow") == (0, "")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/tiny/tracking/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    history, record = bench.history(tmp_path, "simclr"), bench.records(tmp_path)["simclr"]
    assert run.info.status == "FINISHED" and run.data.tags["bench_key"] == record.key
    points = [(x.step, x.value) for x in client.get_metric_history(run.info.run_id, "validation/linear_top1")]
    assert points == [(x["step"], x["linear_top1"]) for x in history if x["kind"] == "evaluation"]
    assert run.data.metrics["test/online/knn20"] == record.metrics.scores.knn20
    assert run.data.params["entry/method"] == "simclr" and run.data.params["batch_size"] == "16"
    assert not offline
