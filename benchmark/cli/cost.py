"""`bench cost`: what a training step of each entry costs on this machine, measured apart from any run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import options
from benchmark.cli.console import ConsoleReporter
from benchmark.cli.options import real, whole, words
from benchmark.cli.pages import read_results
from benchmark.cli.request import RunRequest, load_images
from benchmark.cost.step_cost import BLOCK, PRECISE, ROUNDS
from benchmark.data.registry import dataset_info
from benchmark.data.spec import check_request
from benchmark.errors import FirstFailedError, GroupLostError, Interrupted, UserError
from benchmark.experiment.entries import check_devices
from benchmark.files.disk import check_writable
from benchmark.files.parse import real_number
from benchmark.machine.devices import check_device_free, choose_device
from benchmark.machine.interrupt import StopSignal
from benchmark.machine.launch import find_world, is_spokesman
from benchmark.records.cost import cost_path
from methods.config import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.experiment.entries import ResolvedEntry
    from benchmark.experiment.spec import Experiment
    from benchmark.records.schema import Record
    from benchmark.runs.cost_rounds import CostOptions

app = typer.Typer()
AFTER_BLOCK = "after this block; complete rounds are kept"  # when an interruption takes effect
Run = tuple[Path, "Record"]


def _percent(text: str) -> float:
    """The share that `2%` or `0.02` says."""
    try:
        share = real_number(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0.0 < share < 1.0:
        raise UserError(f"--precise is '{text}'; expected a share such as 2%")
    return share


@app.command()
def cost(
    context: typer.Context,
    targets: Annotated[
        list[str] | None, typer.Argument(help="An experiment (name or YAML file), or results folders.")
    ] = None,
    methods: options.Methods = None,
    settings: options.Settings = None,
    rounds: Annotated[
        int, typer.Option(parser=whole(5), help="Rounds at most; in each, every entry has one block.")
    ] = ROUNDS,
    block: Annotated[float, typer.Option(parser=real(0.01), help="Seconds of a block; one step at least.")] = BLOCK,
    precise: Annotated[
        str, typer.Option(help="End when half the 95% interval of every ratio is narrower.")
    ] = f"{PRECISE:.0%}",
    against: Annotated[
        str | None, typer.Option(help="The entry that ratios are to; by default the experiment's reference.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of results: 32, bf16 or auto instead of the recorded one.")
    ] = None,
    data: options.Data = None,
    out: options.Out = Path("results"),
    device: options.Device = "auto",
    devices: options.Devices = None,
    share: options.Share = False,
    download: options.Download = False,
    on_error: options.OnError = "fail",
    quiet: options.Quiet = False,
) -> None:
    """Measure what a training step of each entry costs here, by interleaved blocks of steps; trains nothing to its end.

    The record goes to costs/ in the experiment's results folder. Reports, plans and budgets of calibrated time use it.
    """
    folders = [Path(target) for target in targets or [] if Path(target).is_dir()]
    share_of = _percent(precise)
    reporter = ConsoleReporter(quiet)
    if folders:
        _check_results(targets or [], settings, out)
        jobs = _recorded(folders, words(methods, "--methods"), precision, data, download, reporter)
        _check_against(against, {entry.entry.name for job in jobs for entry in job.entries})
        if not share and is_spokesman():
            check_device_free(device)
    else:
        missing = [target for target in targets or [] if "/" in target and not Path(target).exists()]
        for target in [*missing, *(targets or [])[1:]]:
            raise UserError(f"{target}: no such folder; expected one experiment, or results folders")
        config = targets[0] if targets else "quickstart"
        settings = [*(settings or []), *([] if precision is None else [f"precision={precision}"])]
        debug = bool(context.find_root().params["debug"])
        request = RunRequest(config, methods, None, None, settings, data, device, share, download, out, debug)
        _check_against(against, {entry.name for entry in request.experiment().entries})
        experiment, entries = request.read()
        jobs = [_Job(experiment, entries, out / experiment.name, data)]
    from benchmark.runs.cost_rounds import CostOptions

    wanted = CostOptions(rounds, block, share_of, against)
    _measure(jobs, wanted, device, devices, reporter, share=share, download=download, on_error=on_error)


@dataclass(frozen=True)
class _Job:
    """What is measured together: an experiment's entries, its results folder, and the runs that they are to price."""

    experiment: Experiment
    entries: list[ResolvedEntry]
    folder: Path
    data: Path | None
    runs: Sequence[Run] = ()


def _check_against(against: str | None, entries: set[str]) -> None:
    if against is not None and against not in entries:
        raise UserError(f"--against: '{against}' is not an entry; {nearest(against, entries)}")


def _check_results(targets: Sequence[str], settings: Sequence[str] | None, out: Path) -> None:
    for target in targets:
        if not Path(target).is_dir():
            raise UserError(f"{target}: no such folder; expected results folders, or one experiment")
    if settings:
        raise UserError("--set applies to an experiment; results are measured as they were configured")
    if out != Path("results"):
        raise UserError("--out applies to an experiment; the costs of results go to their own folder")


def _recorded(
    folders: list[Path],
    methods: list[str] | None,
    precision: str | None,
    data: Path | None,
    download: bool,
    reporter: ConsoleReporter,
) -> list[_Job]:
    """What is measured together, from the runs below some results folders."""
    records, problems = read_results(folders, trials=True)
    for problem in problems:
        reporter.say(f"left out: {problem}")
    names = {name for _, record in records for name in (record.entry, record.method)}
    for name in methods or []:
        if name not in names:
            raise UserError(f"--methods: unknown method or entry '{name}'; {nearest(name, names)}")
    chosen = [run for run in records if methods is None or {run[1].entry, run[1].method} & set(methods)]
    from benchmark.experiment.recorded import measurable, measured_together, recorded_experiment

    jobs = []
    groups = measured_together(chosen)
    for runs in groups:
        if len(groups) > 1 and not measurable(runs):
            where = sorted({str(path.parents[2]) for path, _ in runs})
            reporter.say(f"left out: {', '.join(where)}: no run that trained and says what its key was made from")
            continue
        experiment, entries = recorded_experiment(runs, precision)
        own = None if dataset_info(experiment.dataset.name).location == "embedded" else data
        check_request(experiment.dataset, own, download and own is not None)
        folder = next(path.parents[2] for path, record in runs if record.experiment == experiment.name)
        check_writable(folder, "results have to be writable, for their costs")
        jobs.append(_Job(experiment, entries, folder, own, runs))
    if not jobs:
        raise UserError(f"{', '.join(map(str, folders))}: no run whose steps could be measured")
    return jobs


def _measure(
    jobs: Sequence[_Job],
    wanted: CostOptions,
    device: str,
    devices: int | None,
    reporter: ConsoleReporter,
    *,
    share: bool,
    download: bool,
    on_error: str,
) -> None:
    from benchmark.experiment.recorded import check_same_steps
    from benchmark.machine.ranks import join
    from benchmark.runs.step_cost import measure_experiment

    world = find_world(devices)
    for job in jobs:
        check_devices(job.experiment, job.entries, choose_device(device).type, world.size)
    ranks = join(device, world)
    if not ranks.is_first:
        reporter = ConsoleReporter(quiet=True)
    failed = False
    try:
        with (
            reporter,
            StopSignal(reporter.say, patience=1.0 if ranks.size > 1 else 0.0, first=AFTER_BLOCK) as stop_signal,
            ranks,
        ):
            for job in jobs:
                spec = job.experiment.dataset
                load = partial(load_images, spec, job.data, reporter, download=download, on_error=on_error)
                dataset = ranks.in_turn(load) if download else load()
                cost = measure_experiment(
                    job.experiment,
                    job.entries,
                    dataset,
                    job.folder,
                    wanted,
                    device,
                    reporter,
                    stop_signal,
                    share=share,
                    group=ranks if ranks.size > 1 else None,
                    check=lambda specs, job=job: check_same_steps(job.runs, {spec.step_key for spec in specs}),  # type: ignore[misc]
                )
                reporter.costs(cost, cost_path(job.folder, cost))
                failed |= any(entry.status != "measured" for entry in cost.entries)
    except (Interrupted, KeyboardInterrupt):
        reporter.say("interrupted; the same command resumes from the last complete round")
        raise typer.Exit(130 if ranks.is_first else 0) from None
    except FirstFailedError:  # the first rank says why
        raise typer.Exit(0) from None
    except GroupLostError as error:
        if ranks.is_first:
            typer.secho(f"{error}; the same command resumes from the last complete round", err=True, fg="red")
        raise typer.Exit(1 if ranks.is_first else 0) from None
    if failed and ranks.is_first:
        raise typer.Exit(1)
