"""Sweeps through the command line: processes, interruption, kill -9, several workers."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import optuna
import psutil
import pytest
import yaml
from optuna.storages.journal import JournalFileBackend, JournalStorage

from benchmark.records.folder import find_records
from benchmark.records.study import StudyRecord, read_study

if TYPE_CHECKING:
    from pathlib import Path

DEPTH = "cnn_jepa.predictor_depth"


def _sweep(bench: Any, experiment: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Writes a sweep over the predictor's depth of the tiny experiment."""
    bench.config(**(experiment or {}))
    path: Path = bench.folder / "depth.yaml"
    content = {
        "experiment": "tiny.yaml",
        "entries": ["cnn_jepa"],
        "parameters": {DEPTH: {"values": [1, 2]}},
        "seeds": [0],
    }
    path.write_text(yaml.safe_dump({**content, **changes}))
    return path


def _study(out: Path) -> StudyRecord:
    return read_study(out / "depth" / "study.json")


_MAIN = "from benchmark.training import profile; profile.FLOP_DRAWS = 2; from benchmark.cli.main import main; main()"


def _start(*arguments: object) -> subprocess.Popen[str]:
    """`bench sweep` in a process of its own, in as little time as in this one."""
    return subprocess.Popen(
        [sys.executable, "-c", _MAIN, "sweep", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def _workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The workers of a sweep. It has other children too (git, the compiler), which end while one looks at them."""
    workers = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # so is a zombie
            if "--worker" in child.cmdline():
                workers.append(child)
    return workers


def _wait_for(process: subprocess.Popen[str], pattern: str, times: int = 1) -> None:
    """Reads until the pattern was met, so many times with something else in its group."""
    assert process.stdout is not None
    seen, met = "", set()
    for line in process.stdout:
        seen += line
        met |= {match.groups() for match in re.finditer(pattern, line)}
        if len(met) == times:
            return
    raise AssertionError(f"'{pattern}' was never said, but: {seen}")


def _states(out: Path, name: str = "depth.cnn_jepa") -> list[str]:
    storage = f"sqlite:///{out / 'depth' / 'study.db'}"
    study = optuna.load_study(study_name=name, storage=storage)
    return [trial.state.name for trial in study.trials]


def _journal_states(path: Path) -> list[str]:
    study = optuna.load_study(study_name="depth.simclr", storage=JournalStorage(JournalFileBackend(str(path))))
    return [trial.state.name for trial in study.trials]


@pytest.mark.slow
def test_a_sweep_leaves_records_a_table_a_report_and_one_tested_winner(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sweep = _sweep(bench, confirm_seeds=[7], confirm_recipe=True)
    code, printed = bench("sweep", sweep, "--out", out)
    assert code == 0, printed
    assert "2 of 2 trials done; 2 runs took" in printed
    records, problems = find_records([out])
    assert problems == []
    purposes = sorted((record.purpose, record.seed) for _, record in records)
    assert purposes == [("result", 7), ("result", 7), ("trial", 0), ("trial", 0)]
    for _, record in records:
        assert record.status == "completed" and record.experiment == "depth"
        assert (record.metrics is None) == (record.purpose == "trial")
    study = _study(out)
    values = {trial.parameters[DEPTH]: trial.value for trial in study.studies[0].trials}
    scores = {r.config["method"]["predictor_depth"]: r.trial_metrics for _, r in records if r.trial_metrics}
    assert values == {depth: metrics.scores.linear_top1 for depth, metrics in scores.items()}
    best = max(values, key=lambda depth: (values[depth], -depth))
    confirmed = {record.entry: record for _, record in records if record.purpose == "result"}
    recipe = confirmed.pop("cnn_jepa")
    (winner,) = confirmed.values()
    assert values[winner.config["method"]["predictor_depth"]] == values[best]
    assert "tuned" in winner.config["tags"]
    assert "untuned" in recipe.config["tags"] and recipe.config["method"]["predictor_depth"] == 3
    for trial in study.studies[0].trials:
        assert (out / "depth" / trial.runs[0].record).is_file()
    assert not (out / "depth" / ".workers").exists()
    report = out / "depth" / "report"
    assert (report / "trials-depth.csv").is_file() and list((report / "figures").glob("study-*.svg"))
    # Trials are in no leaderboard unless requested.
    for options, rows in (((), 2), (("--trials",), 4)):
        assert bench("leaderboard", out, "--csv", tmp_path / "board.csv", *options)[0] == 0
        assert len(list(csv.DictReader((tmp_path / "runs.csv").open()))) == rows
    code, printed = bench("sweep", "--show", "depth", "--out", out)
    assert code == 0 and "predictor_depth=2" in printed and "complete" in printed
    before = {path: path.stat().st_mtime_ns for path in out.rglob("record.json")}
    assert bench("sweep", sweep, "--out", out)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("record.json")} == before


@pytest.mark.slow
def test_interrupted_killed_and_resumed(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tiny = {"budget": {"steps": 50}, "evaluation": {"points": 5, "images": 100}}
    sweep = _sweep(bench, tiny, parameters={DEPTH: {"values": [1]}})
    arguments = (sweep, "--out", out)
    # Ctrl-C: the state is saved, the trial is back in its queue.
    process = _start(*arguments)
    _wait_for(process, r"seed 0: \d+%")
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    assert "RUNNING" not in _states(out) and _states(out).count("WAITING") == 1
    assert list(out.rglob("state.pt"))
    # kill -9: the trial stays under way in the storage until the next command finds its worker's lock free.
    process = _start(*arguments)
    _wait_for(process, "resuming from")
    process.kill()
    process.wait()
    assert "RUNNING" in _states(out)
    code, printed = bench("sweep", *arguments)
    assert code == 0, printed
    study = _study(out)
    assert [trial.state for trial in study.studies[0].trials] == ["complete"]
    assert "RUNNING" not in _states(out) and "WAITING" not in _states(out)
    records, _ = find_records([out])
    ((_, record),) = records
    assert record.status == "completed" and record.ledger is not None
    assert record.ledger.steps == 50 and "resumed" in record.flags


def _work_in_pairs(bench: Any, out: Path, *options: str) -> None:
    """Two workers on one queue of two points, then on two fresh seeds: every run once."""
    # Nothing is trained: this is about processes.
    points = {"backbone.width": {"values": [8, 16]}}
    sweep = _sweep(bench, entries=["random_init"], parameters=points, confirm_seeds=[7, 8])
    code, printed = bench("sweep", sweep, "--out", out, "--workers", "2", "--share", *options)
    assert code == 0, printed
    trials = _study(out).studies[0].trials
    assert sorted(trial.parameters["backbone.width"] for trial in trials) == [8, 16]
    assert [trial.state for trial in trials] == ["complete"] * 2
    records, _ = find_records([out])
    assert sorted(record.seed for _, record in records) == [0, 0, 7, 8]
    assert not list(out.rglob("record.failed-*.json"))


@pytest.mark.slow
def test_two_workers_on_one_sqlite_file(bench: Any, tmp_path: Path) -> None:
    _work_in_pairs(bench, tmp_path / "out")
    states = _states(tmp_path / "out", "depth.random_init")
    assert states.count("COMPLETE") == 2 and set(states) <= {"COMPLETE", "FAIL"}


@pytest.mark.slow
@pytest.mark.thorough
def test_one_of_two_workers_is_killed_and_then_the_sweep_interrupted(bench: Any, tmp_path: Path) -> None:
    """On a journal file, which knows no heartbeat: a dead worker is known by its lock alone."""
    out, journal = tmp_path / "out", tmp_path / "study.journal"
    tiny = {"budget": {"steps": 60}, "evaluation": {"points": 6, "images": 100}}
    sweep = _sweep(bench, tiny, entries=["simclr"], parameters={"simclr.temperature": {"values": [0.1, 0.5]}})
    arguments = (sweep, "--out", out, "--storage", f"journal:{journal}", "--share")
    process = _start(*arguments, "--workers", "2")
    _wait_for(process, r"trial (\d), seed 0: \d+%", times=2)
    end = time.monotonic() + 20
    while len(list(out.rglob("state.pt"))) < 2 and time.monotonic() < end:  # both have a state to resume from
        time.sleep(0.02)
    first, second = _workers(process)
    # kill -9 of one: its trial is put back into the queue, and the other worker continues.
    first.kill()
    first.wait(30)
    assert second.is_running() and second.status() != psutil.STATUS_ZOMBIE
    # Ctrl-C, as a terminal sends it: to all that have not left its group, which is the caller alone.
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert not second.is_running()
    left = _journal_states(journal)
    assert left.count("WAITING") == 2 and set(left) == {"WAITING", "FAIL"}
    assert [trial.state for trial in _study(out).studies[0].trials] == ["waiting", "waiting"]
    code, printed = bench("sweep", *arguments)
    assert code == 0, printed
    left = _journal_states(journal)
    assert left.count("COMPLETE") == 2 and set(left) == {"COMPLETE", "FAIL"}
    records, problems = find_records([out])
    assert problems == [] and len(records) == 2
    for _, record in records:
        assert record.status == "completed" and record.ledger is not None
        assert record.ledger.steps == 60 and "resumed" in record.flags
    assert not (out / "depth" / "study.db").exists()
    assert not list(out.rglob("record.*-*.json")) and not list(out.rglob("state.pt"))
    assert not (out / "depth" / ".workers").exists()


@pytest.mark.slow
def test_two_workers_on_one_postgresql_database(bench: Any, tmp_path: Path, postgresql: str) -> None:
    _work_in_pairs(bench, tmp_path / "out", "--storage", postgresql)
    study = optuna.load_study(study_name="depth.random_init", storage=postgresql)
    assert sum(trial.state.name == "COMPLETE" for trial in study.trials) == 2
    assert not (tmp_path / "out" / "depth" / "study.db").exists()


@pytest.mark.slow
def test_bad_requests_end_before_the_first_trial(bench: Any, tmp_path: Path) -> None:
    started = time.monotonic()
    for changes, options, message in (
        ({"parameters": {"cnn_jepa.predictor_dept": {"values": [1]}}}, (), "did you mean 'predictor_depth'"),
        ({"parameters": {DEPTH: {"values": [1, 0]}}}, (), f"with {DEPTH}=0"),
        ({"parameters": {"cnn_jepa.masking.target_share": {"values": [0.95]}}}, (), "target_share is 0.95"),
        ({}, ("--storage", "nonsense"), "not the address of a storage"),
        ({}, ("--storage", f"journal:{tmp_path}/no/such/folder.log"), "cannot be written"),
        ({"pruner": "median", "seeds": [0]}, ("--set", "evaluation.points=2"), "pruner is 'median', but evaluation"),
        ({}, ("--device", "tpu"), "choices: auto, cpu, cuda, cuda:N"),
        ({}, ("--seeds", "x"), "'x' is not a seed"),
    ):
        code, printed = bench("sweep", _sweep(bench, **changes), "--out", tmp_path / "out", *options)
        assert code == 2 and message in printed and "Traceback" not in printed, printed
    assert not list(tmp_path.rglob("record.json"))
    assert bench("sweep", "mask_rato")[1].count("did you mean 'mask_ratio'") == 1
    code, printed = bench("sweep")
    assert code == 2 and "a sweep is missing" in printed
    code, printed = bench("sweep", "--show", "nothing", "--out", tmp_path)
    assert code == 2 and f"no study 'nothing'; {tmp_path} holds none; --out names another" in printed
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "study.json").write_text("{")
    code, printed = bench("sweep", "--show", "mask", "--out", tmp_path)
    assert code == 2 and "no study 'mask'; did you mean 'masks'" in printed
    code, printed = bench("sweep", "--show", "masks", "--out", tmp_path)
    assert code == 2 and "study.json: not a JSON file" in printed and "Traceback" not in printed
    code, printed = bench("sweep", "mask_ratio", "--workers", "0")
    assert code == 2 and "--workers" in printed and "Traceback" not in printed
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_workers_stop_when_their_caller_is_killed_while_they_start(bench: Any, tmp_path: Path) -> None:
    tiny = {"budget": {"steps": 2000}, "evaluation": {"points": 5, "images": 100}}
    sweep = _sweep(bench, tiny, entries=["simclr"], parameters={"simclr.temperature": {"values": [0.1, 0.5]}})
    process = _start(sweep, "--out", tmp_path / "out", "--share", "--workers", "2")
    workers: list[psutil.Process] = []
    while len(workers) < 2:
        assert process.poll() is None
        workers = _workers(process)
    process.kill()
    process.wait()
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    (trials,) = (one.trials for one in _study(tmp_path / "out").studies)
    assert "RUNNING" not in _states(tmp_path / "out", "depth.simclr") and len(trials) == 2
