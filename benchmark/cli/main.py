"""`bench`: one short function per command. Heavy imports (torch, Optuna) stay inside, so that `--help` is quick."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from benchmark import __version__
from benchmark.cli.cost import app as cost_app
from benchmark.cli.data import app as data_app
from benchmark.cli.evaluate import app as evaluate_app
from benchmark.cli.lists import app as lists_app
from benchmark.cli.new_method import app as new_method_app
from benchmark.cli.options import Device, Out
from benchmark.cli.output import safe_output
from benchmark.cli.results import app as results_app
from benchmark.cli.run import app as run_app
from benchmark.cli.submit import app as submit_app
from benchmark.cli.sweep import app as sweep_app
from benchmark.errors import UserError
from benchmark.files.parse import short_words, shortened
from benchmark.machine.launch import is_spokesman
from benchmark.text import on_one_line

if TYPE_CHECKING:
    from types import FrameType


_UsageError: Any = typer.BadParameter.__base__  # typer exports its subclass alone


class _Bench(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Runs a subcommand; a user's mistake ends it with a line and exit code 2, Ctrl-C with 130."""
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            error.message = short_words(error.message)
            raise
        except UserError as error:
            if ctx.params["debug"]:
                raise
            if not is_spokesman():
                sys.exit(0)  # the first process prints the message and sets the exit code
            typer.secho(f"error: {short_words(str(error))}", err=True, fg="red")
            sys.exit(2)
        except OSError as error:  # the first look at any path may find this
            if error.errno != errno.ENAMETOOLONG or ctx.params["debug"]:
                raise
            name = on_one_line(shortened(os.fsdecode(error.filename or "")))
            typer.secho(f"error: {name}: is longer than this disk's file names may be", err=True, fg="red")
            sys.exit(2)
        except KeyboardInterrupt:
            typer.secho("interrupted", err=True)
            sys.exit(130)


app = typer.Typer(
    name="bench",
    cls=_Bench,
    help="Compare self-supervised methods on images: what each one costs, and what it reaches.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
for part in (run_app, cost_app, sweep_app, submit_app, evaluate_app, results_app, lists_app, new_method_app):
    app.registered_commands += part.registered_commands


@app.command()
def doctor(device: Device = "auto", out: Out = Path("results")) -> None:
    """Say what this machine has, what runs will use, and what is missing."""
    from benchmark.cli.doctor import examine

    for name, value in examine(device, out):
        typer.echo(f"{name:<10} {value}")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del debug, version  # `_Bench` and `_print_version` read them


def main() -> None:
    """The console script. Exit codes: 0 all well, 1 some runs failed, 2 bad usage or input, 130 interrupted."""
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        with safe_output():
            app()
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # During an import, libraries turn a KeyboardInterrupt into errors of their own. Nothing has begun then.
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            typer.secho("interrupted", err=True)
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt
