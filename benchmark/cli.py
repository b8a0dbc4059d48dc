"""`bench`: one short function per command. Heavy imports stay inside them, so that `--help` answers at once."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.errors import UserError, is_spokesman

if TYPE_CHECKING:
    from benchmark.records import Record

app = typer.Typer(
    name="bench",
    help="Compare self-supervised methods on images: what each one costs, and what it reaches.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Out = Annotated[Path, typer.Option("--out", help="Results folder.", show_default=True)]
Results = Annotated[list[Path], typer.Argument(help="Results folders or parts of them.")]


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str | None) -> list[int] | None:
    words = _words(text)
    for word in words or []:
        if not (word.isascii() and word.isdecimal()):
            raise UserError(f"--seeds: '{word}' is not a seed; expected whole numbers such as 0,1,2")
    return None if words is None else [int(word) for word in words]


Config = Annotated[str, typer.Argument(help="A shipped experiment's name, or a YAML file.")]
Methods = Annotated[str | None, typer.Option(help="Entries or methods, separated by commas.")]
Seeds = Annotated[str | None, typer.Option(help="Seeds, for instance 0,1,2.")]
Limit = Annotated[
    str | None,
    typer.Option(
        "--budget",
        help="epochs=10, epochs=2,5,10 (a ladder), steps=, samples=, wall_clock=30m, device_hours= or flops=1e15.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any key of the experiment, or ENTRY.KEY of an entry's method; can be repeated.",
    ),
]
Data = Annotated[Path | None, typer.Option(help="Folder of the dataset's files.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Devices = Annotated[
    int | None,
    typer.Option("--devices", help="Processes to share each batch among, a device each; leave it out under torchrun."),
]
Share = Annotated[
    bool, typer.Option("--share", help="Use the device beside another bench; the times of both are marked.")
]
Download = Annotated[bool, typer.Option("--download", help="Fetch the dataset if it is missing.")]


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
    devices: Devices = None,
    share: Share = False,
    download: Download = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but what goes wrong.")] = False,
) -> None:
    """Train and evaluate what is missing of an experiment; then write its leaderboard, figure and report."""
    from benchmark.console import ConsoleReporter
    from benchmark.data.datasets import load_dataset
    from benchmark.devices import choose_device
    from benchmark.experiment import load_experiment, resolve_entries
    from benchmark.follow import follow
    from benchmark.interruption import Interruption
    from benchmark.plan import check_devices
    from benchmark.ranks import GroupLostError, find_place, join
    from benchmark.runner import Options, run_experiment
    from benchmark.training.loop import Interrupted

    kind = choose_device(device).type
    experiment, source = load_experiment(
        config, methods=_words(methods), seeds=_numbers(seeds), budget=budget, settings=settings
    )
    entries = resolve_entries(experiment, source)
    place = find_place(devices)
    check_devices(experiment, entries, kind, place.size)
    ranks = join(device, place)  # from here on, this happens in every process
    several, first = ranks.size > 1, ranks.is_first
    reporter = ConsoleReporter(quiet or not first, _console())
    options = Options(out=out, device=device, share=share, plan=not quiet, debug=_debug())
    try:
        load = partial(load_dataset, experiment.dataset, data, download, progress=reporter.data_progress)
        dataset = ranks.in_turn(load) if download else load()
        with Interruption(reporter.say, patience=1.0 if several else 0.0) as interruption, ranks:
            if not first:
                follow(experiment, entries, dataset, options, reporter, interruption, ranks)
                return
            group = ranks if several else None
            records = run_experiment(experiment, entries, dataset, options, reporter, interruption, group)
    except Interrupted:
        reporter.stop()
        reporter.say("interrupted; the same command goes on from here")
        raise typer.Exit(130 if first else 0) from None
    except KeyboardInterrupt:
        reporter.stop()
        reporter.say("ended at once; the same command goes on from the last saved state")
        raise typer.Exit(130 if first else 0) from None
    except GroupLostError as error:
        reporter.stop()
        if first:
            typer.secho(f"{error}; the same command goes on from the last saved state", err=True, fg="red")
        raise typer.Exit(1 if first else 0) from None
    finally:
        reporter.stop()
    if not records:  # another process is at all of them
        return
    reporter.table(records)
    folder = out / experiment.name
    _write_report([folder], folder / "report")
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

    reporter = ConsoleReporter(False, _console())
    choose_device(device)
    experiment, source = load_experiment(
        config, methods=_words(methods), seeds=_numbers(seeds), budget=budget, settings=settings
    )
    entries = resolve_entries(experiment, source)
    dataset = load_dataset(experiment.dataset, data, download, progress=reporter.data_progress)
    with Interruption(reporter.say) as interruption:
        reporter.planned(
            plan_experiment(experiment, entries, dataset, device, share, reporter, interruption), whole=True
        )


@app.command()
def report(results: Results, out: Annotated[Path, typer.Option("--out", help="Folder of the report.")]) -> None:
    """Write the report of some results: page, figures, leaderboard."""
    _write_report(results, out)
    typer.echo(f"{out / 'index.html'}")


def _write_report(results: list[Path], out: Path) -> None:
    from benchmark.report.page import write_report

    records, problems = _read(results)
    try:
        write_report(records, problems, out)
    except OSError as error:
        raise UserError(f"{out}: the report cannot be written ({error.strerror or error}); records are safe") from None


def _read(results: list[Path]) -> tuple[list[tuple[Path, Record]], list[str]]:
    from benchmark.records import find_records

    for folder in results:
        if not folder.exists():
            raise UserError(f"{folder}: no such folder")
    records, problems = find_records(results)
    if not records:
        searched = ", ".join(map(str, results))
        raise UserError("\n".join([f"no record of a run below {searched}", *problems]))
    return records, problems


@app.command()
def leaderboard(
    results: Results,
    csv: Annotated[Path, typer.Option("--csv", help="The leaderboard's file; runs.csv lies beside it.")],
) -> None:
    """Write the leaderboard of some results: a row per entry and comparison, and a row per run."""
    from benchmark.analysis.leaderboard import write_leaderboard

    records, problems = _read(results)
    try:
        write_leaderboard(records, csv.parent, name=csv.name)
    except OSError as error:
        raise UserError(f"{csv}: cannot be written ({error.strerror or error})") from None
    for problem in problems:
        typer.echo(f"skipped: {problem}", err=True)
    typer.echo(f"{csv}")


@app.command(name="list")
def list_(what: Annotated[str, typer.Argument(help="methods, datasets, backbones, protocols or experiments.")]) -> None:
    """List what there is to choose from."""
    from benchmark.listing import LISTS, listing
    from methods.config import nearest

    if what not in LISTS:
        raise UserError(f"cannot list '{what}'; {nearest(what, LISTS)}")
    for name, text in listing(what):
        typer.echo(f"{name:<18} {text}".rstrip())


@app.command()
def version() -> None:
    """Print the version."""
    from benchmark import __version__

    typer.echo(__version__)


def _console() -> Any:
    from rich.console import Console

    console = Console()
    # Files and pipes have no width; a table should not be squeezed for them.
    return console if console.is_terminal else Console(width=120)


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
        if not is_spokesman():
            sys.exit(0)  # another process says the same, and ends with the exit code
        typer.secho(f"error: {error}", err=True, fg="red")
        sys.exit(2)
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True)
        sys.exit(130)
