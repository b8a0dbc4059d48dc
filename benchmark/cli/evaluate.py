"""`bench evaluate` (further protocols on finished runs, checkpoints trained elsewhere) and `bench export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.console import ConsoleReporter
from benchmark.cli.options import Data, Device, Download, OnError, Out, Quiet, Share, whole, words
from benchmark.cli.pages import read_results
from benchmark.cli.request import load_images, named_dataset
from benchmark.data.registry import check_classified, dataset_info
from benchmark.encoders.export import export as export_encoder
from benchmark.encoders.formats import Foreign
from benchmark.encoders.hub import CONFIG, HUB, fetched, is_model_folder, no_model_because
from benchmark.errors import Interrupted, UserError
from benchmark.evaluation.protocols import check_further, expanded
from benchmark.experiment.explain import validate
from benchmark.files.disk import check_writable
from benchmark.files.parse import ParseError, load_yaml, shortened
from benchmark.machine.devices import check_device_free
from benchmark.machine.interrupt import StopSignal
from methods.backbone_spec import BackboneSpec

if TYPE_CHECKING:
    from benchmark.data.spec import DatasetSpec

app = typer.Typer()


@app.command()
def evaluate(
    targets: Annotated[
        list[str],
        typer.Argument(help="Results folders; or one checkpoint: a file, a model's folder, hf://ORGANISATION/NAME."),
    ],
    protocols: Annotated[
        str | None, typer.Option(help="Further protocols, separated by commas, or dense; see bench list protocols.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Probe on this dataset; a run's own by default.")] = None,
    data: Data = None,
    size: Annotated[int | None, typer.Option(parser=whole(0), help="Input size in pixels, for a checkpoint.")] = None,
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
    checkpoint = _checkpoint(targets, backbone is not None, download=download)
    if targets[0].startswith(HUB) and dataset is not None and _is_embedded(dataset):
        download = False  # it was for the model: such a dataset has nothing to fetch
    evaluation = _Evaluation(data, download, device, share, on_error, ConsoleReporter(quiet))
    # A checkpoint's own dataset is the one of `--dataset`: there is none to transfer to.
    other = None if checkpoint else dataset
    named = tuple(words(protocols, "--protocols") or ())
    further = expanded(named)
    check_further(further, other)
    if checkpoint is not None:
        spec = _backbone(checkpoint, backbone)
        if dataset is None:
            raise UserError("a checkpoint needs --dataset NAME to be probed on")
        own_name = checkpoint.name if checkpoint.is_dir() else checkpoint.stem
        if targets[0].startswith(HUB):
            own_name = targets[0].rstrip("/").rpartition("/")[2].partition("@")[0]
        foreign = Foreign(checkpoint, spec, name or own_name, form, prefix, allow_partial)
        images = named_dataset(dataset, data, size=size, download=download)
        try:
            check_classified(dataset)
        except ValueError as error:
            raise UserError(f"--dataset: {error}") from None
        results = [evaluation.score_checkpoint(foreign, images, out)]
    else:
        given = {"--backbone": backbone, "--prefix": prefix, "--name": name, "--size": size}
        given |= {"--format": None if form == "auto" else form, "--allow-partial": allow_partial or None}
        if wrong := [option for option, value in given.items() if value is not None]:
            raise UserError(f"{' and '.join(wrong)}: for one checkpoint file, not for results folders")
        if dataset is not None:
            named_dataset(dataset, data, download=download)
        if not further:
            raise UserError("--protocols is missing; see bench list protocols")
        results = [Path(target) for target in targets]
    if further:
        evaluation.score_runs(results, further, other, optional=frozenset(further) - frozenset(named))


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

    def score_runs(
        self, results: list[Path], protocols: tuple[str, ...], dataset: str | None, optional: frozenset[str]
    ) -> None:
        """Scores finished runs by further protocols; `optional` ones, of a group, where they apply."""
        records, problems = read_results(results)
        from benchmark.encoders.probe import Probes, evaluate_runs

        say = self.reporter.say
        for problem in problems:
            say(f"left out: {problem}")
        skip_bad = self.on_error == "skip"
        probes = Probes(protocols, dataset, self.data, self.download, skip_bad=skip_bad, optional=optional)
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
        from benchmark.encoders.hub import read_foreign

        content = read_foreign(foreign.path)
        if spec.size is not None:
            recognise(foreign, content, spec.size)
        if not self.share:
            check_device_free(self.device)
        dataset = load_images(
            spec,
            self.data,
            self.reporter,
            download=self.download,
            on_error=self.on_error,
            outcome="nothing was scored",
        )
        return evaluate_foreign(foreign, dataset, spec, out, self.device, self.reporter, share=self.share).parent


def _checkpoint(targets: list[str], described: bool, *, download: bool) -> Path | None:
    """The checkpoint that is meant, or None where results are.

    Args:
        described: whether its backbone is given, so that a path that does not exist is no results folder.
        download: fetch a model of the hub; otherwise it has to be in the local cache.
    """
    hub = [target for target in targets if target.startswith(HUB)]
    if len(targets) > 1:
        if hub:
            raise UserError(f"{hub[0]}: one model at a time")
        return None
    if hub:
        return fetched(hub[0], download=download)
    path = Path(targets[0])
    if path.is_file() or is_model_folder(path):
        return path
    if path.is_dir() and next(path.rglob("record.json"), None) is None:
        raise UserError(f"{path}: {no_model_because(path)}")
    if path.is_dir() or not described:
        return None
    raise UserError(f"{path}: no such file")


def _is_embedded(dataset: str) -> bool:
    """Whether a dataset comes with a package, so that there is nothing to fetch."""
    try:
        return dataset_info(dataset).location == "embedded"
    except ValueError:  # its name is checked, and explained, where it is read
        return False


def _backbone(checkpoint: Path, text: str | None) -> BackboneSpec:
    """The backbone: the value of `--backbone`, or what a model's folder says of itself."""
    if text is not None:
        return _parsed(text)
    if not checkpoint.is_dir():
        raise UserError(f"{checkpoint}: is a file; a checkpoint needs --backbone NAME")
    from benchmark.encoders.traits import backbone_of

    return backbone_of(checkpoint / CONFIG)


def _parsed(text: str) -> BackboneSpec:
    """The value of `--backbone`: `resnet18`, or `resnet18,stem=small,width=16`."""
    name, *settings = text.split(",")
    values: dict[str, Any] = {"name": name.strip()}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise UserError(f"--backbone: '{setting}' is no setting; expected NAME,KEY=VALUE,...")
        try:
            values[key.strip()] = load_yaml(value)
        except ParseError as error:
            raise UserError(f"--backbone: '{shortened(value)}' is not a value for {key.strip()} ({error})") from None
    return validate(BackboneSpec, values, "--backbone")
