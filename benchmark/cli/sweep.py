"""`bench sweep`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.console import ConsoleReporter
from benchmark.cli.job import Job
from benchmark.cli.options import (
    Costs,
    Data,
    Device,
    Download,
    Limit,
    OnError,
    Out,
    Seeds,
    Settings,
    Share,
    numbers,
    real,
    whole,
)
from benchmark.cli.pages import write_pages
from benchmark.cli.request import RunRequest, load_images
from benchmark.cli.seeds import check_points, print_file_plan, print_study_plan, read_or_refuse
from benchmark.data.spec import check_request
from benchmark.errors import Interrupted, UserError
from benchmark.experiment.explain import with_settings
from benchmark.experiment.files import find_experiment, shipped_experiments
from benchmark.files.disk import check_writable
from benchmark.machine.devices import choose_device
from benchmark.machine.interrupt import StopSignal
from benchmark.records.study import STUDY_FILE
from benchmark.sweep.spec import load_sweep, read_base
from methods.config import nearest

if TYPE_CHECKING:
    from benchmark.sweep.sweep import Sweep

app = typer.Typer()


@app.command()
def sweep(
    config: Annotated[str | None, typer.Argument(help="A shipped sweep's name, or a YAML file.")] = None,
    study: Annotated[str | None, typer.Option(help="Name of the study and its folder; by default the sweep's.")] = None,
    workers: Annotated[
        int, typer.Option(parser=whole(1), help="Processes that work on it; a device has one run at a time.")
    ] = 1,
    storage: Annotated[
        str | None,
        typer.Option(help="Address of a database, or journal:PATH; by default study.db in the study's folder."),
    ] = None,
    trials: Annotated[int | None, typer.Option(parser=whole(1), help="Points of each study.")] = None,
    seeds: Seeds = None,
    budget: Limit = None,
    settings: Settings = None,
    data: Data = None,
    out: Out = Path("results"),
    device: Device = "auto",
    share: Share = False,
    download: Download = False,
    costs: Costs = None,
    on_error: OnError = "fail",
    show: Annotated[str | None, typer.Option(metavar="STUDY", help="Print a study's trials (name or folder).")] = None,
    detect: Annotated[
        float | None,
        typer.Option(
            parser=real(-1e9),
            metavar="POINTS",
            callback=check_points,
            help="Print how many seeds detect a difference of so many points of linear top-1; train nothing.",
        ),
    ] = None,
    worker: Annotated[int | None, typer.Option("--worker", hidden=True, help="Process of the caller.")] = None,
    job: Job = None,
) -> None:
    """Try out settings of an experiment with Optuna; then write the study's table and report."""
    reporter = ConsoleReporter()
    if show is not None:
        _show_study(show, out, reporter, detect)
        return
    if config is None:
        raise UserError("a sweep is missing; `bench list sweeps` names the shipped ones, --show STUDY prints one")
    spec, path = load_sweep(config, study=study, seeds=numbers(seeds), trials=trials)
    files = (path, find_experiment(spec.experiment, path.parent))
    base = with_settings(lambda settings: read_base(spec, path, budget, settings), settings or [], *files)
    if detect is not None:
        print_file_plan(spec, path, out, detect, reporter, budget, settings or [])
        return
    check_request(base.experiment.dataset, data, download)
    check_writable(out / spec.name, "choose another --out")
    named = spec.experiment if spec.experiment in shipped_experiments() else str(files[1])
    request = RunRequest(named, ",".join(spec.entries), settings=settings, data=data, device=device, costs=costs)
    source = request.cost_source(base.experiment, out)
    if base.experiment.budget.is_calibrated:
        source.check()
    if storage is not None:
        from benchmark.sweep.storage import check_storage

        check_storage(storage)
    from benchmark.sweep.space import check_on_data, resolve_sweep
    from benchmark.sweep.sweep import Sweep
    from benchmark.sweep.trial_runs import SweepOptions, sweep_cost

    chosen = choose_device(device)
    resolved = resolve_sweep(spec, path, budget=budget, settings=settings or [])
    dataset = load_images(resolved.experiment.dataset, data, reporter, download=download, on_error=on_error)
    specs = check_on_data(resolved, dataset, chosen)

    def announce(text: str) -> None:
        if worker is None:  # the caller says it for all
            reporter.say(text)
        running.stop_workers()

    # A worker stops, too, where its caller was killed.
    parent = worker if job is None else os.getppid()
    stop_signal = StopSignal(announce, parent=parent, insist=job is None)
    cost = sweep_cost(resolved, specs, dataset, source, chosen, ConsoleReporter(worker is not None).say)
    sweep_options = SweepOptions(out, storage, data, device, share, skip_bad=on_error == "skip")
    running = Sweep(resolved, dataset, sweep_options, reporter.say, stop_signal, cost)
    _work(running, stop_signal, reporter, workers, worker, job)


def _work(
    running: Sweep,
    stop_signal: StopSignal,
    reporter: ConsoleReporter,
    workers: int,
    worker: int | None,
    job: Path | None = None,
) -> None:
    """Runs the trials that are left, then writes table and report; a worker, and a job, does the former alone.

    Raises:
        typer.Exit: 130 after an interruption, 1 if a trial failed.
    """
    try:
        with stop_signal:
            if worker is not None:
                if running.undecided():
                    running.work(wait=False)
                else:
                    running.confirm(wait=False, again=False)
                return
            running.write()
            if workers > 1:
                running.work_beside(workers, _worker_arguments(sys.argv[1:]))
            failed = running.work(wait=job is None)
            if workers > 1 and running.unconfirmed():
                running.work_beside(workers, _worker_arguments(sys.argv[1:]))
            failed += running.confirm(wait=job is None)
    except (Interrupted, KeyboardInterrupt):
        if worker is None:
            reporter.say("interrupted; the same command resumes from here")
        raise typer.Exit(130) from None
    record = running.write()
    if job is not None:
        raise typer.Exit(1 if failed else 0)
    reporter.study(record)
    write_pages([running.folder], running.folder / "report")
    reporter.say(f"table and report: {running.folder / 'trials.csv'}, {running.folder / 'report'}")
    if failed or any(trial.state == "failed" for one in record.studies for trial in one.trials):
        raise typer.Exit(1)


def _worker_arguments(arguments: list[str]) -> list[str]:
    """This command's own arguments for one of its workers."""
    return [*arguments[arguments.index("sweep") + 1 :], "--workers", "1", "--worker", str(os.getpid())]


def _show_study(study: str, out: Path, reporter: ConsoleReporter, detect: float | None) -> None:
    for path in (Path(study) / STUDY_FILE, out / study / STUDY_FILE):
        if path.is_file():
            reporter.study(read_or_refuse(path))
            if detect is not None:
                print_study_plan(path, detect, reporter)
            return
    known = [path.parent.name for path in out.glob(f"*/{STUDY_FILE}")]
    hint = nearest(study, known) if known else f"{out} holds none; --out names another results folder"
    raise UserError(f"--show: no study '{study}'; {hint}")
