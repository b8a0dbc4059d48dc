"""`bench list`: names of what there is to choose from, with a line about each. No list imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

app = typer.Typer()


def _methods() -> Iterator[tuple[str, str]]:
    from methods.registry import describe_method, method_names

    for name in method_names():
        try:
            summary = describe_method(name)
        except ValueError as error:  # one broken package does not hide the other methods
            yield name, f"unusable: {error}"
            continue
        origin = f" (from package {summary.package})" if summary.package else ""
        yield name, f"[{'/'.join(summary.kinds)}] {summary.text}{origin}"


def _datasets() -> Iterator[tuple[str, str]]:
    from benchmark.data.spec import describe_datasets

    yield from describe_datasets()


def _backbones() -> Iterator[tuple[str, str]]:
    from methods.backbone_spec import BACKBONES, BackboneSpec

    for name in BACKBONES:
        spec = BackboneSpec(name=name)
        unit = "patch size" if spec.kind == "vit" else "total stride"
        yield name, f"[{spec.kind}] {unit} {spec.stride}"


def _protocols() -> Iterator[tuple[str, str]]:
    from benchmark.evaluation.protocols import FURTHER, PROTOCOLS

    for name, protocol in {**PROTOCOLS, **FURTHER}.items():
        yield name, protocol.description


def _formats() -> Iterator[tuple[str, str]]:
    from benchmark.encoders.formats import FORMATS

    for name, form in FORMATS.items():
        yield name, form.description


def _experiments() -> Iterator[tuple[str, str]]:
    from benchmark.experiment.files import find_experiment, read_yaml, shipped_experiments

    for name in shipped_experiments():
        yield name, str(read_yaml(find_experiment(name)).get("description", ""))


def _sweeps() -> Iterator[tuple[str, str]]:
    from benchmark.experiment.files import find_sweep, read_yaml, shipped_sweeps

    for name in shipped_sweeps():
        yield name, str(read_yaml(find_sweep(name)).get("description", ""))


LISTS: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "methods": _methods,
    "datasets": _datasets,
    "backbones": _backbones,
    "protocols": _protocols,
    "formats": _formats,
    "experiments": _experiments,
    "sweeps": _sweeps,
}


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
    lines = list(LISTS[what]())
    width = max(18, *(len(name) for name, _ in lines))
    for name, text in lines:
        typer.echo(f"{name:<{width}} {text}".rstrip())
