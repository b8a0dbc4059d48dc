"""`bench submit`, `status` and `cancel`: what they refuse, and a submission to this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from made_records import make_record

from benchmark.cluster import local
from benchmark.machine.code import own_code
from benchmark.records.jobs import JobRecord, find_jobs, note, read_job, write_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--on", "slrum"), "--on is 'slrum'; did you mean 'slurm'"),
        (("--cost", "--sweep", "x"), "--sweep, --evaluate and --cost exclude each other"),
        (("--set", "cluster.tme=4h"), "unknown key 'cluster.tme'"),
        (("--on", "local", "--set", "cluster.nodes=2"), "--on local has this machine alone"),
        (("--on", "local", "--address", "auto"), "--address is of a Ray cluster"),
        (("--evaluate", "nowhere"), "--protocols is missing"),
        (("--protocols", "lowshot-v1"), "--protocols goes with --evaluate"),
        (
            ("--evaluate", "nowhere", "--protocols", "lowshot-v1", "--methods", "byol", "--seeds", "1"),
            "--methods and --seeds: not with --evaluate, which scores all runs of its results",
        ),
        (("--on", "ray", "--device", "cuda"), "--device is 'cuda', but cluster.gpus is 0; expected at least 1, or"),
        (("--cost", "--device", "gpu"), "--device is 'gpu'; choices: auto, cpu, cuda, cuda:N"),
    ],
)
def test_mistakes_are_one_line(bench: Any, tiny: Any, arguments: tuple[str, ...], message: str) -> None:
    code, printed = bench("submit", tiny(), *arguments)
    assert code == 2 and message in printed and "Traceback" not in printed, printed


def test_jobs_carry_out_the_runs_and_are_not_submitted_twice(
    bench: Callable[..., tuple[int, str]], tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    record = tmp_path / "record.json"
    record.write_text(make_record().model_dump_json())
    program = """
import shutil, sys
from pathlib import Path
from benchmark.records.jobs import note, read_job
folder, record = map(Path, sys.argv[1:])
failed = "simclr" in folder.name
if not failed:
    (folder / read_job(folder).target).resolve().mkdir(parents=True)
    shutil.copy(record, folder / read_job(folder).target)
note(folder, "ended", code=int(failed), reason="no luck")
"""
    command = [local.sys.executable, "-c", program]
    monkeypatch.setattr(local, "_command", lambda folder: [*command, str(folder), str(record)])
    code, printed = bench("submit", tiny(seeds=[0, 1]), "--out", out, "--on", "local", "--set", "cluster.parallel=4")
    assert (
        code == 1 and "2 of 4 jobs done, 2 failed" in printed and "simclr, seed 1, steps=2: failed (no luck)" in printed
    )
    jobs = [read_job(folder) for folder in find_jobs([out])]
    assert len({job.key for job in jobs}) == 4 and all(job.arguments == jobs[0].arguments for job in jobs)
    assert jobs[0].arguments[:2] == ["run", str(tmp_path / "tiny.yaml")] and "--share" in jobs[0].arguments
    code, printed = bench("submit", tiny(seeds=[0, 1]), "--out", out, "--on", "local", "--dry-run")
    assert code == 0 and printed.splitlines()[-1].startswith("2 of 4 jobs would be submitted: ")
    code, printed = bench("status", out)
    assert code == 0 and "2 of 4 jobs done, 2 failed" in printed
    assert bench("status", out, "--watch")[0] == 0  # all have ended
    shutil.rmtree(out / "tiny" / "random_init")
    assert "2 waiting, 2 failed" in bench("status", out)[1]
    code, printed = bench("submit", tiny(seeds=[0, 1]), "--out", out, "--on", "local", "--dry-run")
    assert code == 0 and printed.splitlines()[-1].startswith("4 of 4 jobs would be submitted: ")


def test_a_device_in_use_is_said_before_any_job_begins(bench: Any, tiny: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("submit", tiny(), "--out", out, "--on", "local")
    holder = "import sys; from benchmark.machine.locks import DeviceLock; lock = DeviceLock('cpu').__enter__()"
    command = [sys.executable, "-c", f"{holder}; print(flush=True); sys.stdin.read()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=own_code()) as process:
        assert process.stdout is not None
        process.stdout.readline()
        code, printed = bench(*arguments)
        assert code == 2 and "device cpu is in use by another bench" in printed and not find_jobs([out])
        assert bench(*arguments, "--dry-run")[0] == 0 and bench("plan", *arguments[1:])[0] == 0
        process.communicate()


def test_status_and_cancel_say_that_there_is_nothing(bench: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    assert "no such folder" in bench("status", tmp_path / "none")[1]
    assert "no jobs; bench submit makes some" in bench("status", tmp_path)[1]
    code, printed = bench("cancel", tmp_path)
    assert code == 2 and "no job is waiting or running" in printed
    assert "no such folder" in bench("cancel", tmp_path / "none")[1]
    job = tmp_path / "jobs" / "a"
    write_job(job, JobRecord(kind="cost", name="a", arguments=[], engine="local"))
    note(job, "started", machine="here")
    code, printed = bench("cancel", tmp_path)
    assert code == 2 and "jobs on local end with the bench submit that waits for them" in printed
    damaged = tmp_path / "jobs" / "b"
    damaged.mkdir()
    (damaged / "job.json").touch()
    code, printed = bench("status", tmp_path)
    assert code == 0 and f"left out: {damaged / 'job.json'}: not a JSON file" in printed and "1 running" in printed
    (job / "job.json").unlink()
    code, printed = bench("status", tmp_path)
    assert code == 2 and printed.startswith(f"error: {damaged / 'job.json'}: not a JSON file")
