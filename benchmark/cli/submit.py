"""`bench submit`, `status` and `cancel`: many runs on a cluster."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import options
from benchmark.cli.console import ConsoleReporter
from benchmark.cli.jobs_view import Progress, print_status, summary
from benchmark.cli.request import RunRequest
from benchmark.cli.submissions import cost_submission, evaluation_submission, run_submission
from benchmark.cli.submit_options import Wanted
from benchmark.cluster.engines import check_engine, open_engine
from benchmark.errors import UserError
from benchmark.machine.devices import check_device_free
from benchmark.machine.interrupt import StopSignal
from benchmark.records.jobs import CANCEL, job_state, job_states

if TYPE_CHECKING:
    from benchmark.cluster.submit import Submission
    from benchmark.records.jobs import JobState

app = typer.Typer()


@app.command()
def submit(
    config: options.Config = "quickstart",
    on: Annotated[str, typer.Option("--on", metavar="slurm|ray|local", help="Where the jobs run.")] = "local",
    sweep: Annotated[str | None, typer.Option("--sweep", help="A sweep instead of an experiment.")] = None,
    evaluate: Annotated[
        list[Path] | None, typer.Option("--evaluate", help="Results whose runs --protocols score; can be repeated.")
    ] = None,
    protocols: Annotated[str | None, typer.Option(help="Further protocols, separated by commas.")] = None,
    cost: Annotated[bool, typer.Option("--cost", help="Measure step costs, on a node of each kind asked for.")] = False,
    cluster: Annotated[
        Path | None, typer.Option("--cluster", help="YAML file with a cluster: section, for all experiments.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster that is there.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the scripts; submit nothing.")] = False,
    methods: options.Methods = None,
    seeds: options.Seeds = None,
    budget: options.Limit = None,
    settings: options.Settings = None,
    data: options.Data = None,
    out: options.Out = Path("results"),
    device: options.Device = "auto",
    devices: options.Devices = None,
    share: options.Share = False,
    download: options.Download = False,
    costs: options.Costs = None,
    on_error: options.OnError = "fail",
    track: options.Track = None,
    quiet: options.Quiet = False,
) -> None:
    """Carry out an experiment's runs as jobs on a cluster, one for each run; submits only what is missing."""
    check_engine(on)
    if sum([sweep is not None, bool(evaluate), cost]) > 1:
        raise UserError("--sweep, --evaluate and --cost exclude each other")
    if protocols is not None and not evaluate:
        raise UserError("--protocols goes with --evaluate")
    chosen = {"--methods": methods, "--seeds": seeds, "--budget": budget, "--costs": costs, "--track": track}
    if evaluate and (wrong := [option for option, value in chosen.items() if value]):
        raise UserError(f"{' and '.join(wrong)}: not with --evaluate, which scores all runs of its results")
    given_request = RunRequest(
        config, methods, seeds, budget, settings, data, device, share, download, out, False, costs, on_error
    )
    wanted = Wanted(given_request, on, cluster, address, devices, tuple(track or ()), ConsoleReporter(quiet))
    if sweep is not None:
        from benchmark.cli.submit_sweep import sweep_submission

        submission = sweep_submission(wanted, sweep)
    elif evaluate:
        submission = evaluation_submission(wanted, evaluate, protocols)
    elif cost:
        submission = cost_submission(wanted)
    else:
        submission, _ = run_submission(wanted, claim=not dry_run)
    if dry_run:
        path, count = submission.dry_run()
        typer.echo(f"{count} of {len(submission.jobs)} jobs would be submitted: {path}")
        return
    if on == "local" and not wanted.shares(submission.cluster) and submission.missing():
        check_device_free(device)  # else job after job would fail
    _submit(submission, wanted.reporter)


def _submit(submission: Submission, reporter: ConsoleReporter) -> None:
    """Submits, shows the jobs of an engine that waits, and ends with their outcome."""
    view = Progress(reporter.say)
    with StopSignal(reporter.say, first="running jobs save their state", insist=False) as stop_signal:
        folders = submission.submit(stop_signal, view.tell)
    total = len(submission.jobs)
    shown = shlex.quote(str(submission.results))
    if not folders:
        states = [job_state(submission.folder / name) for name, _ in submission.jobs]
        reporter.say(f"nothing to submit: {summary(states) if states else 'nothing is missing'}")
        if not submission.engine.waits and any(state.state != "done" for state in states):
            reporter.say(f"to submit the rest with other settings of the cluster, first bench cancel {shown}")
    if not submission.engine.waits:
        if folders:
            reporter.say(f"{len(folders)} of {total} jobs submitted; bench status {shown} shows them")
        return
    states = [job_state(folder) for folder in folders]
    for state in states:
        if state.state == "failed":
            typer.secho(f"{state.job.name}: failed ({state.reason}); {state.log}", err=True, fg="red")
    if folders:
        reporter.say(summary(states))
    if stop_signal.requested:
        reporter.say("interrupted; the same command resumes from here")
        raise typer.Exit(130)
    if any(state.state != "done" for state in states):
        raise typer.Exit(1)


@app.command()
def status(
    results: options.Results,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print again every few seconds, until all have ended.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 10.0,
) -> None:
    """Say how jobs stand, from their files alone: done, running, waiting, or failed with the reason and the log."""
    while True:
        states = _readable(results)
        if not states:
            raise UserError(f"{', '.join(map(str, results))}: no jobs; bench submit makes some")
        print_status(states, results)
        if not watch or all(state.state in ("done", "failed", "cancelled") for state in states):
            return
        time.sleep(every)


def _readable(results: list[Path]) -> list[JobState]:
    """The states of the jobs of results; says which cannot be read, and refuses where none can."""
    states, problems = job_states(results)
    if problems and not states:
        raise UserError(problems[0])
    for problem in problems:
        typer.secho(f"left out: {problem}", err=True, fg="red")
    return states


@app.command()
def cancel(results: options.Results) -> None:
    """Cancel the jobs of results that are waiting or running; those that are running save first."""
    live = [state for state in _readable(results) if state.state in ("waiting", "running")]
    if not live:
        raise UserError(f"{', '.join(map(str, results))}: no job is waiting or running")
    engines = {state.job.engine for state in live}
    if foreground := engines - {"slurm"}:
        raise UserError(
            f"jobs on {', '.join(sorted(foreground))} end with the bench submit that waits for them; interrupt that one"
        )
    engine = open_engine("slurm")
    queued = engine.queued([state.job.id for state in live])
    for state in live:
        (state.folder / CANCEL).touch()
    if queued:
        engine.cancel(sorted(queued))
    typer.echo(f"{len(live)} jobs cancelled; bench submit takes them up again")
