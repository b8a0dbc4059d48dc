"""`bench`: one short function per command. Heavy imports stay inside them, so that `--help` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmark.errors import UserError
from benchmark.options import (
    Config,
    Data,
    Device,
    Download,
    Limit,
    Methods,
    Out,
    Results,
    Seeds,
    Settings,
    Share,
    Trials,
    console,
    numbers,
    words,
)
from benchmark.results import read_results, write_pages
from benchmark.sweep_command import sweep

app = typer.Typer(
    name="bench",
    help="Compare self-supervised methods on images: what each one costs, and what it reaches.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(
    config: Config = "quickstart",
    methods: Methods = None,
    seeds: Seeds = None,
    budget: Limit = None,
    settings: Settings = None,
    data: Data = None,
    out: Out = Path("results"),
    device: Device = "auto",
    share: Share = False,
    download: Download = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but what goes wrong.")] = False,
) -> None:
    """Train and evaluate what is missing of an experiment; then write its leaderboard, figure and report."""
    from benchmark.console import ConsoleReporter
    from benchmark.data.datasets import load_dataset
    from benchmark.devices import choose_device
    from benchmark.experiment import load_experiment, resolve_entries
    from benchmark.interruption import Interruption
    from benchmark.runner import Options, run_experiment
    from benchmark.training.loop import Interrupted

    reporter = ConsoleReporter(quiet, console())
    choose_device(device)
    experiment, source = load_experiment(
        config, methods=words(methods), seeds=numbers(seeds), budget=budget, settings=settings
    )
    entries = resolve_entries(experiment, source)
    dataset = load_dataset(experiment.dataset, data, download, progress=reporter.data_progress)
    options = Options(out=out, device=device, share=share, plan=not quiet, debug=_debug())
    try:
        with Interruption(reporter.say) as interruption:
            records = run_experiment(experiment, entries, dataset, options, reporter, interruption)
    except Interrupted:
        reporter.stop()
        reporter.say("interrupted; the same command goes on from here")
        raise typer.Exit(130) from None
    except KeyboardInterrupt:
        reporter.stop()
        reporter.say("ended at once; the same command goes on from the last saved state")
        raise typer.Exit(130) from None
    finally:
        reporter.stop()
    if not records:  # another process is at all of them
        return
    reporter.table(records)
    folder = out / experiment.name
    write_pages([folder], folder / "report")
    reporter.say(f"leaderboard, figure and report: {folder / 'report'}")
    failed = sum(record.status == "failed" for record in records)
    if failed:
        raise typer.Exit(1)


@app.command()
def plan(
    config: Config = "quickstart",
    methods: Methods = None,
    seeds: Seeds = None,
    budget: Limit = None,
    settings: Settings = None,
    data: Data = None,
    device: Device = "auto",
    share: Share = False,
    download: Download = False,
) -> None:
    """Say what an experiment would take on this machine, from a few real steps of each entry; trains nothing."""
    from benchmark.console import ConsoleReporter
    from benchmark.data.datasets import load_dataset
    from benchmark.devices import choose_device
    from benchmark.experiment import load_experiment, resolve_entries
    from benchmark.interruption import Interruption
    from benchmark.plan import plan_experiment

    reporter = ConsoleReporter(False, console())
    choose_device(device)
    experiment, source = load_experiment(
        config, methods=words(methods), seeds=numbers(seeds), budget=budget, settings=settings
    )
    entries = resolve_entries(experiment, source)
    dataset = load_dataset(experiment.dataset, data, download, progress=reporter.data_progress)
    with Interruption(reporter.say) as interruption:
        reporter.planned(
            plan_experiment(experiment, entries, dataset, device, share, reporter, interruption), whole=True
        )


app.command()(sweep)


@app.command()
def report(
    results: Results,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    trials: Trials = False,
) -> None:
    """Write the report of some results: page, figures, leaderboard, studies."""
    write_pages(results, out, trials=trials)
    typer.echo(f"{out / 'index.html'}")


@app.command()
def leaderboard(
    results: Results,
    csv: Annotated[Path, typer.Option("--csv", help="The leaderboard's file; runs.csv lies beside it.")],
    trials: Trials = False,
) -> None:
    """Write the leaderboard of some results: a row per entry and comparison, and a row per run."""
    from benchmark.analysis.leaderboard import write_leaderboard

    records, problems = read_results(results, trials=trials)
    try:
        write_leaderboard(records, csv.parent, name=csv.name)
    except OSError as error:
        raise UserError(f"{csv}: cannot be written ({error.strerror or error})") from None
    for problem in problems:
        typer.echo(f"skipped: {problem}", err=True)
    typer.echo(f"{csv}")


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets, backbones, protocols, experiments or sweeps.")],
) -> None:
    """List what there is to choose from."""
    from benchmark.listing import LISTS, listing
    from methods.config import nearest

    if what not in LISTS:
        raise UserError(f"cannot list '{what}'; {nearest(what, LISTS)}")
    lines = list(listing(what))
    width = max(18, *(len(name) for name, _ in lines))
    for name, text in lines:
        typer.echo(f"{name:<{width}} {text}".rstrip())


@app.command()
def version() -> None:
    """Print the version."""
    from benchmark import __version__

    typer.echo(__version__)


_state = {"debug": False}


def _debug() -> bool:
    return _state["debug"]


@app.callback()
def _options(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False) -> None:
    _state["debug"] = debug


def main() -> None:
    """The console script. Exit codes: 0 all well, 1 some runs failed, 2 bad usage or input, 130 interrupted."""
    try:
        app()
    except UserError as error:
        if _debug():
            raise
        typer.secho(f"error: {error}", err=True, fg="red")
        sys.exit(2)
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True)
        sys.exit(130)
