"""`bench evaluate`: further protocols on finished runs, and encoders from elsewhere; `bench export`: ours to others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from benchmark.cli.options import Data, Device, Download, Out, Quiet, Share, words
from benchmark.cli.pages import read_results
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.cli.console import ConsoleReporter
    from benchmark.data.spec import DatasetSpec
    from methods.backbone_spec import BackboneSpec

app = typer.Typer()


@app.command()
def evaluate(
    targets: Annotated[list[Path], typer.Argument(help="Results folders, or one checkpoint file.")],
    protocols: Annotated[
        str | None, typer.Option(help="Further protocols, separated by commas; see bench list protocols.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Probe on this dataset; a run's own by default.")] = None,
    data: Data = None,
    size: Annotated[int | None, typer.Option(help="Input size in pixels, for a checkpoint.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Of a checkpoint: a name, or NAME,KEY=VALUE,... such as resnet18,stem=small.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="Of a checkpoint; see bench list formats.")] = "auto",
    prefix: Annotated[str | None, typer.Option(help="What stands before the network's names in a checkpoint.")] = None,
    name: Annotated[str | None, typer.Option(help="Of a checkpoint's row; its file's by default.")] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Go on though weights are missing or left over.")
    ] = False,
    out: Out = Path("results"),
    device: Device = "auto",
    share: Share = False,
    download: Download = False,
    quiet: Quiet = False,
) -> None:
    """Probe finished runs by further protocols, or a checkpoint from elsewhere by all that ours are probed by."""
    from benchmark.cli.console import ConsoleReporter, plain_console

    reporter = ConsoleReporter(quiet, plain_console())
    wanted = tuple(words(protocols) or ())
    if len(targets) == 1 and not targets[0].is_dir() and (targets[0].is_file() or backbone is not None):
        if backbone is None:
            raise UserError(f"{targets[0]}: is a file; a checkpoint needs --backbone NAME")
        if not targets[0].is_file():
            raise UserError(f"{targets[0]}: no such file")
        if dataset is None:
            raise UserError("a checkpoint needs --dataset NAME to be probed on")
        from benchmark.encoders.foreign import Foreign

        foreign = Foreign(targets[0], _backbone(backbone), name or targets[0].stem, form, prefix, allow_partial)
        targets = [_checkpoint(foreign, _dataset(dataset, size), data, download, out, device, share, reporter)]
        dataset = None
        if not wanted:
            return
    else:
        given = {"--backbone": backbone, "--prefix": prefix, "--name": name, "--size": size}
        given |= {"--format": None if form == "auto" else form, "--allow-partial": allow_partial or None}
        if wrong := [option for option, value in given.items() if value is not None]:
            raise UserError(f"{' and '.join(wrong)}: for one checkpoint file, not for results folders")
    if not wanted:
        raise UserError("--protocols is missing; see bench list protocols")
    _further(targets, wanted, dataset, data, download, device, share, reporter)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    to: Annotated[str, typer.Option("--to", help="timm, torchvision or onnx.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
) -> None:
    """Hand a run's encoder on to another library; says how it is loaded there."""
    from benchmark.encoders.export import export as export_encoder

    typer.echo(export_encoder(run, to, out))


def _further(
    results: list[Path],
    protocols: tuple[str, ...],
    dataset: str | None,
    data: Path | None,
    download: bool,
    device: str,
    share: bool,
    reporter: ConsoleReporter,
) -> None:
    from benchmark.encoders.probe import Probes, evaluate_runs
    from benchmark.errors import Interrupted
    from benchmark.machine.interrupt import StopSignal

    asked = Probes(protocols, dataset, data, download)
    records, problems = read_results(results)
    for problem in problems:
        reporter.say(f"left out: {problem}")
    try:
        first = "after the protocol under way, whose scores are kept"
        with reporter, StopSignal(reporter.say, first=first) as stop_signal:
            failures = evaluate_runs(records, asked, device, reporter, stop_signal, share=share)
    except Interrupted:
        reporter.say("interrupted; the same command goes on from here")
        raise typer.Exit(130) from None
    if failures:
        raise typer.Exit(1)


def _checkpoint(
    foreign: Any,
    spec: DatasetSpec,
    data: Path | None,
    download: bool,
    out: Path,
    device: str,
    share: bool,
    reporter: ConsoleReporter,
) -> Path:
    """Scores a checkpoint; returns the folder of its record."""
    from benchmark.data.datasets import load_dataset
    from benchmark.encoders.foreign import evaluate_foreign

    with reporter:
        loaded = load_dataset(spec, data, download, progress=reporter.data_progress)
    return evaluate_foreign(foreign, loaded, spec, out, device, reporter, share=share).parent


def _dataset(name: str, size: int | None) -> DatasetSpec:
    from pydantic import ValidationError

    from benchmark.data.spec import DatasetSpec
    from benchmark.experiment.explain import explain

    try:
        return DatasetSpec(name=name, size=size)
    except ValidationError as error:
        raise UserError(explain(error, DatasetSpec, "--dataset")) from None


def _backbone(text: str) -> BackboneSpec:
    """`resnet18` or `resnet18,stem=small,width=16`."""
    from pydantic import ValidationError

    from benchmark.experiment.explain import explain
    from methods.backbone_spec import BackboneSpec

    name, *settings = text.split(",")
    values: dict[str, Any] = {"name": name.strip()}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise UserError(f"--backbone: '{setting}' is no setting; expected NAME,KEY=VALUE,...")
        try:
            values[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"--backbone: '{value}' is not a value for {key.strip()}") from None
    try:
        return BackboneSpec.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, BackboneSpec, "--backbone")) from None
