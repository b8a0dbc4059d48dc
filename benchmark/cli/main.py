"""`bench`: one short function per command. Heavy imports stay inside them, so that `--help` answers at once."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.data import app as data_app
from benchmark.cli.evaluate import app as evaluate_app
from benchmark.cli.options import (
    Device,
    Out,
    debug_wanted,
    state,
)
from benchmark.cli.results import app as results_app
from benchmark.cli.run import app as run_app
from benchmark.cli.sweep import app as sweep_app
from benchmark.errors import UserError
from benchmark.machine.launch import is_spokesman

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(
    name="bench",
    help="Compare self-supervised methods on images: what each one costs, and what it reaches.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(data_app, name="data")


app.registered_commands += run_app.registered_commands
app.registered_commands += sweep_app.registered_commands
app.registered_commands += evaluate_app.registered_commands
app.registered_commands += results_app.registered_commands


LISTS = ("methods", "datasets", "backbones", "protocols", "formats", "experiments", "sweeps")


def listing(what: str) -> Iterator[tuple[str, str]]:
    """Names and one line about each."""
    if what == "methods":
        from methods.registry import method_class, method_names, package_of

        for name in method_names():
            try:
                method = method_class(name)
            except ValueError as error:  # somebody's broken package hides nobody else's
                yield name, f"unusable: {error}"
                continue
            module = inspect.getmodule(method)
            kinds = "/".join(method.backbone_kinds)
            package = package_of(name)
            about = ((module and inspect.getdoc(module)) or inspect.getdoc(method) or "").partition("\n")[0]
            yield name, f"[{kinds}] {about}{f' (from package {package})' if package else ''}"
    elif what == "datasets":
        from benchmark.data.spec import describe_datasets

        yield from describe_datasets()
    elif what == "backbones":
        from methods.backbone_spec import BACKBONES, BackboneSpec

        for name in BACKBONES:
            spec = BackboneSpec(name=name)
            unit = "patch size" if spec.kind == "vit" else "total stride"
            yield name, f"[{spec.kind}] {unit} {spec.stride}"
    elif what == "protocols":
        from benchmark.evaluation.protocols import FURTHER, PROTOCOLS

        yield from ((name, protocol.description) for name, protocol in {**PROTOCOLS, **FURTHER}.items())
    elif what == "formats":
        from benchmark.encoders.formats import FORMATS

        yield from ((name, form.description) for name, form in FORMATS.items())
    else:
        from benchmark.experiment.files import config_root, read_yaml, shipped_experiments, shipped_sweeps

        sweeps = what == "sweeps"
        folder = config_root() / "sweeps" if sweeps else config_root()
        for name in shipped_sweeps() if sweeps else shipped_experiments():
            yield name, str(read_yaml(folder / f"{name}.yaml").get("description", ""))


@app.command(name="list")
def list_(
    what: Annotated[
        str | None, typer.Argument(help="methods, datasets, backbones, protocols, formats, experiments or sweeps.")
    ] = None,
) -> None:
    """List what there is to choose from."""
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
    from benchmark.cli.doctor import examine

    for name, value in examine(device, out):
        typer.echo(f"{name:<10} {value}")


@app.command()
def version() -> None:
    """Print the version."""
    from benchmark import __version__

    typer.echo(__version__)


@app.callback()
def _options(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False) -> None:
    state["debug"] = debug


def main() -> None:
    """The console script. Exit codes: 0 all well, 1 some runs failed, 2 bad usage or input, 130 interrupted."""
    try:
        app()
    except UserError as error:
        if debug_wanted():
            raise
        if not is_spokesman():
            sys.exit(0)  # another process says the same, and ends with the exit code
        typer.secho(f"error: {error}", err=True, fg="red")
        sys.exit(2)
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True)
        sys.exit(130)
