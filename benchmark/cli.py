"""`bench`: one short function per command. Heavy imports stay inside them, so that `--help` answers at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli_data import app as data_app
from benchmark.cli_evaluate import app as evaluate_app
from benchmark.cli_options import (
    Config,
    Data,
    Device,
    Devices,
    Download,
    Limit,
    Methods,
    Out,
    Quiet,
    Seeds,
    Settings,
    Share,
    Track,
    numbers,
    words,
)
from benchmark.cli_results import app as results_app
from benchmark.cli_sweep import app as sweep_app
from benchmark.errors import UserError, is_spokesman
from benchmark.results import write_pages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.console import ConsoleReporter
    from benchmark.data.datasets import Dataset
    from benchmark.experiment import Experiment, Resolved
    from benchmark.records import Record

app = typer.Typer(
    name="bench",
    help="Compare self-supervised methods on images: what each one costs, and what it reaches.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(data_app, name="data")


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
    track: Track = None,
    quiet: Quiet = False,
) -> None:
    """Train and evaluate what is missing of an experiment; then write its leaderboard, figure and report."""
    from benchmark.tracking import chosen_tools

    tools = chosen_tools(track)
    asked = Asked(config, methods, seeds, budget, settings, data, device, share, download)
    records = _run(asked, out, devices, quiet=quiet, track=tools)
    if not records:  # another process is at all of them
        return
    folder = out / records[0].experiment
    write_pages([folder], folder / "report")
    if not quiet:
        typer.echo(f"leaderboard, figure and report: {folder / 'report'}")
    if any(record.status == "failed" for record in records):
        raise typer.Exit(1)


@dataclass(frozen=True)
class Asked:
    """What `run`, `plan` and `check` ask for, as it stands on the command line."""

    config: str
    methods: str | None = None
    seeds: str | None = None
    budget: str | None = None
    settings: list[str] | None = None
    data: Path | None = None
    device: str = "auto"
    share: bool = False
    download: bool = False

    def read(self) -> tuple[Experiment, list[Resolved]]:
        """The experiment and its entries; configuration errors come before any data is read."""
        from benchmark.configs import find_experiment
        from benchmark.devices import choose_device
        from benchmark.experiment import load_experiment, resolve_entries
        from benchmark.messages import with_settings

        choose_device(self.device)

        def read(settings: Sequence[str]) -> tuple[Experiment, list[Resolved]]:
            experiment, source = load_experiment(
                self.config,
                methods=words(self.methods),
                seeds=numbers(self.seeds),
                budget=self.budget,
                settings=list(settings),
            )
            return experiment, resolve_entries(experiment, source)

        return with_settings(read, self.settings or [], find_experiment(self.config))

    def load(self, experiment: Experiment, reporter: ConsoleReporter) -> Dataset:
        """The experiment's dataset."""
        from benchmark.data.datasets import load_dataset

        with reporter:
            return load_dataset(experiment.dataset, self.data, self.download, progress=reporter.data_progress)


def _run(
    asked: Asked, out: Path, devices: int | None = None, *, quiet: bool, track: tuple[str, ...] = ()
) -> list[Record]:
    from benchmark.console import ConsoleReporter, plain_console
    from benchmark.devices import choose_device
    from benchmark.follow import follow
    from benchmark.interruption import Interruption
    from benchmark.plan import check_devices
    from benchmark.ranks import GroupLostError, find_place, join
    from benchmark.runner import Options, run_experiment
    from benchmark.training.loop import Interrupted

    experiment, entries = asked.read()
    place = find_place(devices)
    check_devices(experiment, entries, choose_device(asked.device).type, place.size)
    ranks = join(asked.device, place)  # from here on, this happens in every process
    several, first = ranks.size > 1, ranks.is_first
    reporter = ConsoleReporter(quiet or not first, plain_console())
    options = Options(out, asked.device, asked.share, plan=not quiet, debug=_debug(), track=track)
    try:
        load = partial(asked.load, experiment, reporter)
        dataset = ranks.in_turn(load) if asked.download else load()
        with Interruption(reporter.say, patience=1.0 if several else 0.0) as interruption, ranks:
            if not first:
                follow(experiment, entries, dataset, options, reporter, interruption, ranks)
                return []
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
    if records:
        reporter.table(records)
    return records


@app.command()
def plan(
    config: Config = "quickstart",
    methods: Methods = None,
    seeds: Seeds = None,
    budget: Limit = None,
    settings: Settings = None,
    data: Data = None,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many are to share each batch; one is tried out.")] = 1,
    share: Share = False,
    download: Download = False,
) -> None:
    """Say what an experiment would take on this machine, from a few real steps of each entry; trains nothing."""
    from benchmark.console import ConsoleReporter, plain_console
    from benchmark.devices import choose_device, take_device
    from benchmark.interruption import Interruption
    from benchmark.plan import TRYING_OUT, check_devices, plan_experiment

    reporter = ConsoleReporter(False, plain_console())
    asked = Asked(config, methods, seeds, budget, settings, data, device, share, download)
    experiment, entries = asked.read()
    check_devices(experiment, entries, choose_device(device).type, devices)
    with take_device(device, share=share):
        pass  # a device in use is said before images are read
    dataset = asked.load(experiment, reporter)
    with Interruption(reporter.say, first=TRYING_OUT) as interruption:
        found = plan_experiment(experiment, entries, dataset, device, share, reporter, interruption, devices)
        reporter.planned(found, whole=True)


@app.command(name="check")
def check_(
    methods: Methods = None,
    measure: Annotated[
        int | None, typer.Option(min=2, help="Print bands from so many seeds instead of comparing with them.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the runs there; else nothing stays.")] = None,
    device: Device = "auto",
    share: Share = False,
    quiet: Quiet = False,
) -> None:
    """Train every method at a small fixed budget and compare what it reaches with its band; fails outside."""
    import tempfile

    from benchmark import check
    from benchmark.devices import choose_device
    from benchmark.environment import describe

    if out is not None:
        check.refuse_older(out, describe(choose_device(device), 1))
    seeds = None if measure is None else ",".join(map(str, range(measure)))
    with tempfile.TemporaryDirectory() as folder:
        records = _run(
            Asked(check.EXPERIMENT, methods, seeds, device=device, share=share), out or Path(folder), quiet=quiet
        )
    if measure is not None:
        typer.echo(check.measure(records))
        return
    findings = check.compare(records)
    for one in findings:
        reached = "-" if one.reached is None else f"{one.reached:.4g}"
        band = f"expected {one.low:.4g} to {one.high:.4g}"
        typer.echo(f"{one.entry:<18} {one.what:<12} {reached:>8}   {band:<32} {one.verdict}")
    if any(one.verdict != "ok" for one in findings):
        raise typer.Exit(1)


app.registered_commands += sweep_app.registered_commands
app.registered_commands += evaluate_app.registered_commands
app.registered_commands += results_app.registered_commands


@app.command(name="list")
def list_(
    what: Annotated[
        str | None, typer.Argument(help="methods, datasets, backbones, protocols, formats, experiments or sweeps.")
    ] = None,
) -> None:
    """List what there is to choose from."""
    from benchmark.listing import LISTS, listing
    from methods.config import nearest

    if what is None:
        raise UserError(f"bench list lists one of: {', '.join(sorted(LISTS))}")
    if what not in LISTS:
        raise UserError(f"cannot list '{what}'; {nearest(what, LISTS)}")
    lines = list(listing(what))
    width = max(18, *(len(name) for name, _ in lines))
    for name, text in lines:
        typer.echo(f"{name:<{width}} {text}".rstrip())


@app.command()
def doctor(device: Device = "auto", out: Out = Path("results")) -> None:
    """Say what this machine has, what runs will use, and what is missing."""
    from benchmark.doctor import examine

    for name, value in examine(device, out):
        typer.echo(f"{name:<10} {value}")


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
        if not is_spokesman():
            sys.exit(0)  # another process says the same, and ends with the exit code
        typer.secho(f"error: {error}", err=True, fg="red")
        sys.exit(2)
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True)
        sys.exit(130)
