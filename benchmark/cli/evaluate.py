"""`bench evaluate` (further protocols on finished runs, checkpoints trained elsewhere) and `bench export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from benchmark.cli.console import ConsoleReporter
from benchmark.cli.options import Data, Device, Download, OnError, Out, Quiet, Share, words
from benchmark.cli.pages import read_results
from benchmark.cli.request import load_images, named_dataset
from benchmark.encoders.export import export as export_encoder
from benchmark.encoders.formats import Foreign
from benchmark.errors import Interrupted, UserError
from benchmark.evaluation.protocols import check_further
from benchmark.experiment.explain import validate
from benchmark.files import check_writable
from benchmark.machine.devices import check_device_free
from benchmark.machine.interrupt import StopSignal
from methods.backbone_spec import BackboneSpec

if TYPE_CHECKING:
    from benchmark.data.spec import DatasetSpec

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
    prefix: Annotated[str | None, typer.Option(help="Prefix of the network's names in a checkpoint.")] = None,
    name: Annotated[str | None, typer.Option(help="Of a checkpoint's row; its file's by default.")] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Go on though weights are missing or left over.")
    ] = False,
    out: Out = Path("results"),
    device: Device = "auto",
    share: Share = False,
    download: Download = False,
    on_error: OnError = "fail",
    quiet: Quiet = False,
) -> None:
    """Score finished runs by further protocols, or a checkpoint trained elsewhere as our runs are scored."""
    evaluation = _Evaluation(data, download, device, share, on_error, ConsoleReporter(quiet))
    is_checkpoint = len(targets) == 1 and not targets[0].is_dir() and (targets[0].is_file() or backbone is not None)
    # A checkpoint's own dataset is the one of `--dataset`: there is none to transfer to.
    other = None if is_checkpoint else dataset
    further = tuple(words(protocols) or ())
    check_further(further, other)
    if is_checkpoint:
        if backbone is None:
            raise UserError(f"{targets[0]}: is a file; a checkpoint needs --backbone NAME")
        if not targets[0].is_file():
            raise UserError(f"{targets[0]}: no such file")
        if dataset is None:
            raise UserError("a checkpoint needs --dataset NAME to be probed on")
        foreign = Foreign(targets[0], _backbone(backbone), name or targets[0].stem, form, prefix, allow_partial)
        spec = named_dataset(dataset, data, size=size, download=download)
        targets = [evaluation.score_checkpoint(foreign, spec, out)]
    else:
        given = {"--backbone": backbone, "--prefix": prefix, "--name": name, "--size": size}
        given |= {"--format": None if form == "auto" else form, "--allow-partial": allow_partial or None}
        if wrong := [option for option, value in given.items() if value is not None]:
            raise UserError(f"{' and '.join(wrong)}: for one checkpoint file, not for results folders")
        if dataset is not None:
            named_dataset(dataset, data, download=download)
        if not further:
            raise UserError("--protocols is missing; see bench list protocols")
    if further:
        evaluation.score_runs(targets, further, other)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    to: Annotated[str, typer.Option("--to", help="timm, torchvision or onnx.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
) -> None:
    """Write a run's encoder for another library; prints how it is loaded there."""
    check_writable(out.parent, "choose another --out")
    typer.echo(export_encoder(run, to, out))


@dataclass(frozen=True)
class _Evaluation:
    """With which data and on which device encoders are scored."""

    data: Path | None
    download: bool
    device: str
    share: bool
    on_error: str
    reporter: ConsoleReporter

    def score_runs(self, results: list[Path], protocols: tuple[str, ...], dataset: str | None) -> None:
        """Scores finished runs by further protocols."""
        records, problems = read_results(results)
        from benchmark.encoders.probe import Probes, evaluate_runs

        say = self.reporter.say
        for problem in problems:
            say(f"left out: {problem}")
        probes = Probes(protocols, dataset, self.data, self.download, skip_bad=self.on_error == "skip")
        try:
            with (
                self.reporter,
                StopSignal(say, first="after the current protocol, whose scores are kept") as stop_signal,
            ):
                failures = evaluate_runs(records, probes, self.device, self.reporter, stop_signal, share=self.share)
        except Interrupted:
            say("interrupted; the same command resumes from here")
            raise typer.Exit(130) from None
        if failures:
            raise typer.Exit(1)

    def score_checkpoint(self, foreign: Foreign, spec: DatasetSpec, out: Path) -> Path:
        """Scores a checkpoint; returns the folder of its record."""
        check_writable(out, "choose another --out")
        from benchmark.encoders.foreign import evaluate_foreign, recognise
        from benchmark.encoders.read import read_checkpoint

        content = read_checkpoint(foreign.path)
        if spec.size is not None:
            recognise(foreign, content, spec.size)
        if not self.share:
            check_device_free(self.device)
        dataset = load_images(spec, self.data, self.reporter, download=self.download, on_error=self.on_error)
        return evaluate_foreign(foreign, dataset, spec, out, self.device, self.reporter, share=self.share).parent


def _backbone(text: str) -> BackboneSpec:
    """The value of `--backbone`: `resnet18`, or `resnet18,stem=small,width=16`."""
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
    return validate(BackboneSpec, values, "--backbone")
