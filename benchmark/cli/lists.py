"""`bench list`: names of what there is to choose from, with a line about each. No list imports torch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.data.registry import describe_datasets
from benchmark.encoders.formats import FORMATS, Format
from benchmark.errors import UserError
from benchmark.evaluation.protocols import FURTHER, PROTOCOLS, Protocol
from benchmark.experiment.files import config_root, read_yaml
from benchmark.runs.tracking import TOOLS
from methods import registry
from methods.backbone_spec import BACKBONES, BackboneSpec
from methods.config import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

app = typer.Typer()


def _methods() -> Iterator[tuple[str, str]]:
    for name in registry.method_names():
        try:
            summary = registry.describe_method(name)
        except ValueError as error:  # one broken package does not hide the other methods
            yield name, f"unusable: {error}"
            continue
        origin = f" (from package {summary.package})" if summary.package else ""
        yield name, f"[{'/'.join(summary.kinds)}] {summary.text}{origin}"


def _backbones() -> Iterator[tuple[str, str]]:
    for name in BACKBONES:
        spec = BackboneSpec(name=name)
        unit = "patch size" if spec.kind == "vit" else "total stride"
        yield name, f"[{spec.kind}] {unit} {spec.stride}"


def _described(table: Mapping[str, Protocol | Format]) -> Iterable[tuple[str, str]]:
    return [(name, choice.description) for name, choice in table.items()]


def _shipped(folder: str) -> Iterator[tuple[str, str]]:
    for path in sorted((config_root() / folder).glob("*.yaml"), key=lambda path: path.stem):
        yield path.stem, str(read_yaml(path).get("description", ""))


def _trackers() -> Iterator[tuple[str, str]]:
    for name, tool in TOOLS.items():
        missing = tool.missing()
        yield name, tool.description + (f" (not installed: pip install 'cnn-jepa-bench[{name}]')" if missing else "")


LISTS: dict[str, Callable[[], Iterable[tuple[str, str]]]] = {
    "methods": _methods,
    "datasets": describe_datasets,
    "backbones": _backbones,
    "protocols": partial(_described, {**PROTOCOLS, **FURTHER}),
    "formats": partial(_described, FORMATS),
    "experiments": partial(_shipped, "."),
    "sweeps": partial(_shipped, "sweeps"),
    "trackers": _trackers,
}


@app.command(name="list")
def list_(
    what: Annotated[
        str | None,
        typer.Argument(help="methods, datasets, backbones, protocols, formats, experiments, sweeps or trackers."),
    ] = None,
) -> None:
    """List what there is to choose from."""
    if what is None:
        raise UserError(f"say what to list: {', '.join(sorted(LISTS))}")
    if what not in LISTS:
        raise UserError(f"cannot list '{what}'; {nearest(what, LISTS)}")
    lines = list(LISTS[what]())
    width = max(18, *(len(name) for name, _ in lines))
    for name, text in lines:
        typer.echo(f"{name:<{width}} {text}".rstrip())
