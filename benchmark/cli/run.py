"""`bench run`, `plan` and `check`: the commands that train, or estimate what training would take."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import options
from benchmark.cli.console import ConsoleReporter
from benchmark.cli.cost import AFTER_BLOCK
from benchmark.cli.job import Job, reporter_of
from benchmark.cli.pages import write_pages
from benchmark.cli.predict import PredictionRequest, predict
from benchmark.cli.request import RunRequest, load_images
from benchmark.cli.submissions import plan_on
from benchmark.cli.submit_options import Wanted
from benchmark.errors import FirstFailedError, GroupLostError, Interrupted, UserError
from benchmark.experiment.entries import check_devices
from benchmark.machine.devices import choose_device
from benchmark.machine.interrupt import StopSignal
from benchmark.machine.launch import find_world, is_first_process
from benchmark.records.cost import cost_path
from benchmark.records.jobs import ELSEWHERE, read_job
from benchmark.runs import bands
from benchmark.runs.tracking import chosen_tools

if TYPE_CHECKING:
    from benchmark.data.datasets import Dataset
    from benchmark.experiment.entries import ResolvedEntry
    from benchmark.experiment.spec import Experiment
    from benchmark.records.schema import Record

app = typer.Typer()


@app.command()
def run(
    context: typer.Context,
    config: options.Config = "quickstart",
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
    job: Job = None,
) -> None:
    """Train and evaluate what is missing of an experiment; then write its leaderboard, figure and report."""
    tools = chosen_tools(track)
    debug = bool(context.find_root().params["debug"])
    request = RunRequest(
        config, methods, seeds, budget, settings, data, device, share, download, out, debug, costs, on_error
    )
    records = _run(request, out, devices, quiet=quiet, track=tools, job=job)
    if not records:  # other processes have all of them
        if job is not None and is_first_process():
            raise typer.Exit(ELSEWHERE)
        return
    folder = out / records[0].experiment
    if job is None:
        write_pages([folder], folder / "report")
        if not quiet:
            typer.echo(f"leaderboard, figure and report: {folder / 'report'}")
    if any(record.status == "failed" for record in records):
        raise typer.Exit(1)


def _run(
    request: RunRequest,
    out: Path,
    devices: int | None = None,
    *,
    quiet: bool,
    track: tuple[str, ...] = (),
    job: Path | None = None,
) -> list[Record]:
    only = None if job is None else read_job(job).key
    experiment, entries = request.read()  # most mistakes are found before the imports below
    world = find_world(devices)
    costs = request.cost_source(experiment, out, devices)
    if experiment.budget.is_calibrated and world.size == 1:  # of several processes the first alone looks, later
        costs.check()
    from benchmark.machine.ranks import join
    from benchmark.runs.experiment import run_experiment
    from benchmark.runs.runner import RunOptions

    check_devices(experiment, entries, choose_device(request.device).type, world.size)
    ranks = join(request.device, world)  # from here on, this happens in every process
    several, first = ranks.size > 1, ranks.is_first
    reporter = reporter_of(job, quiet=quiet or not first)
    run_options = RunOptions(
        out,
        request.device,
        request.share,
        plan=not quiet and job is None,
        debug=request.debug,
        track=track,
        costs=costs,
        only=only,
    )
    parent = None if job is None else os.getppid()  # which is gone where a node's manager was killed
    try:
        with reporter:
            spec, on_error = experiment.dataset, request.on_error
            load = partial(load_images, spec, request.data, reporter, download=request.download, on_error=on_error)
            dataset = ranks.in_turn(load) if request.download else load()
            patience = 1.0 if several else 0.0
            with StopSignal(reporter.say, patience, parent=parent, insist=job is None) as stop_signal, ranks:
                group = ranks if several else None
                records = run_experiment(experiment, entries, dataset, run_options, reporter, stop_signal, group)
    except Interrupted:
        reporter.say("interrupted; the same command resumes from here")
        raise typer.Exit(130 if first else 0) from None
    except KeyboardInterrupt:
        reporter.say("ended at once; the same command resumes from the last saved state")
        raise typer.Exit(130 if first else 0) from None
    except FirstFailedError:  # the first rank says why
        raise typer.Exit(0) from None
    except GroupLostError as error:
        if first:
            typer.secho(f"{error}; the same command resumes from the last saved state", err=True, fg="red")
        raise typer.Exit(1 if first else 0) from None
    if records:
        reporter.table(records)
    return records


@app.command()
def plan(
    config: options.Config = "quickstart",
    methods: options.Methods = None,
    seeds: options.Seeds = None,
    budget: options.Limit = None,
    settings: options.Settings = None,
    data: options.Data = None,
    device: options.Device = "auto",
    devices: Annotated[
        int, typer.Option(parser=options.whole(1), help="How many share each batch; steps are measured on one.")
    ] = 1,
    share: options.Share = False,
    download: options.Download = False,
    out: options.Out = Path("results"),
    costs: options.Costs = None,
    on_error: options.OnError = "fail",
    keep: Annotated[bool, typer.Option("--keep", help="Measure a step-cost record first, as bench cost does.")] = False,
    results: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="RESULTS", help="Predict accuracy from a finished ladder; can be repeated."),
    ] = None,
    held_out: Annotated[
        int | None,
        typer.Option(
            parser=options.whole(1), help="With --from: predict so many of the longest rungs from the shorter ones."
        ),
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="With --from: draw the prediction there, as SVG and PNG.")] = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="slurm|ray|local", help="Print the jobs of bench submit instead.")
    ] = None,
    cluster: Annotated[Path | None, typer.Option("--cluster", help="With --on: as of bench submit.")] = None,
) -> None:
    """Estimate what an experiment would take on this machine, or with --from what it would reach; trains nothing."""
    prediction = PredictionRequest.of(results, held_out, figure, keep=keep)
    if prediction is not None:
        predict(RunRequest(config, methods, seeds, budget, settings), prediction)
        return
    reporter = ConsoleReporter()
    if on is not None:
        if keep:
            raise UserError(
                "--keep measures on this machine; for one of the cluster give the command bench submit --cost"
            )
        wanted = RunRequest(config, methods, seeds, budget, settings, data, device, True, download, out, False, costs)
        plan_on(
            Wanted(
                replace(wanted, on_error=on_error), on, cluster, None, devices if devices > 1 else None, (), reporter
            )
        )
        return
    if cluster is not None:
        raise UserError("--cluster goes with --on")
    if keep and (devices > 1 or costs is not None):
        other = "--devices" if devices > 1 else "--costs"
        raise UserError(f"--keep measures on one device, below --out; for {other} give the command bench cost")
    request = RunRequest(config, methods, seeds, budget, settings, data, device, share, download, costs=costs)
    experiment, entries = request.read()
    source = request.cost_source(experiment, out, devices)
    if experiment.budget.is_calibrated and not keep:
        source.check()
    from benchmark.runs.estimate import TRYING_OUT, plan_experiment

    check_devices(experiment, entries, choose_device(device).type, devices)
    dataset = load_images(experiment.dataset, data, reporter, download=download, on_error=on_error)
    if keep:
        _keep(experiment, entries, dataset, out, device, share, reporter)
    with StopSignal(reporter.say, first=TRYING_OUT) as stop_signal:
        estimates = plan_experiment(experiment, entries, dataset, device, share, reporter, stop_signal, devices, source)
        reporter.planned(estimates, whole=True)
    if any(estimate.step and estimate.source is None for estimate in estimates):
        reporter.say("--keep measures these steps as bench cost does, and keeps them for plans, reports and budgets")


def _keep(
    experiment: Experiment,
    entries: list[ResolvedEntry],
    dataset: Dataset,
    out: Path,
    device: str,
    share: bool,
    reporter: ConsoleReporter,
) -> None:
    """Measures the step costs of an experiment's entries, and keeps them where plans, reports and budgets look."""
    from benchmark.runs.cost_rounds import CostOptions
    from benchmark.runs.step_cost import measure_experiment

    try:
        with reporter, StopSignal(reporter.say, first=AFTER_BLOCK) as stop_signal:
            folder = out / experiment.name
            cost = measure_experiment(
                experiment, entries, dataset, folder, CostOptions(), device, reporter, stop_signal, share=share
            )
    except Interrupted:
        reporter.say("interrupted; the same command resumes from the last complete round")
        raise typer.Exit(130) from None
    reporter.costs(cost, cost_path(folder, cost))


@app.command(name="check")
def check_(
    methods: options.Methods = None,
    measure: Annotated[
        int | None,
        typer.Option(parser=options.whole(2), help="Print bands from so many seeds instead of comparing with them."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the runs there; else nothing stays.")] = None,
    device: options.Device = "auto",
    share: options.Share = False,
    quiet: options.Quiet = False,
) -> None:
    """Train every method at a small fixed budget and compare what it reaches with its band; fails outside."""
    seeds = None if measure is None else ",".join(map(str, range(measure)))
    request = RunRequest(bands.EXPERIMENT, methods, seeds, device=device, share=share, out=out)
    request.experiment()
    from benchmark.machine.environment import describe

    if out is not None:
        bands.refuse_older(out, describe(choose_device(device), 1))
    with tempfile.TemporaryDirectory() as folder:
        records = _run(request, out or Path(folder), quiet=quiet)
    if measure is not None:
        typer.echo(bands.measure(records))
        return
    findings = bands.compare(records)
    for finding in findings:
        reached = "-" if finding.reached is None else f"{finding.reached:.4g}"
        band = f"expected {finding.low:.4g} to {finding.high:.4g}"
        typer.echo(f"{finding.entry:<18} {finding.what:<12} {reached:>8}   {band:<32} {finding.verdict}")
    if any(finding.verdict != "ok" for finding in findings):
        raise typer.Exit(1)
