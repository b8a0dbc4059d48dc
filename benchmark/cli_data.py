"""`bench data`: HDF5 files of images, and pictures of views. One short function per command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Convert, inspect and verify images; look at views.")

File = Annotated[Path, typer.Argument(help="An HDF5 file of images.")]


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="An image folder, or a dataset's name.")],
    out: Annotated[Path, typer.Argument(help="X.h5, for X-train.h5 and X-test.h5.")],
    resize: Annotated[int | None, typer.Option(help="Short side in pixels; encodes anew as JPEG.")] = None,
    quality: Annotated[int | None, typer.Option(help="JPEG quality, with --resize; 95 by default.")] = None,
    on_error: Annotated[str, typer.Option(help="fail, or skip unreadable images.")] = "fail",
    data: Annotated[Path | None, typer.Option(help="Folder of a dataset's files.")] = None,
) -> None:
    """Write images into one HDF5 file per split, their bytes as they are."""
    from benchmark.console import ConsoleReporter, plain_console
    from benchmark.data.convert import Reencode, convert_dataset, convert_folder
    from benchmark.data.datasets import DatasetSpec, dataset_names, load_dataset

    if on_error not in ("fail", "skip"):
        raise UserError(f"--on-error is '{on_error}'; choices: fail, skip")
    reporter = ConsoleReporter(False, plain_console())
    if Path(source).is_dir() or source not in dataset_names():
        if quality is not None and resize is None:
            raise UserError("--quality is for images that are encoded anew; it needs --resize")
        reencode = None if resize is None else Reencode(resize, 95 if quality is None else quality)
        made = convert_folder(
            Path(source), out, reencode, skip=on_error == "skip", progress=reporter.data_progress, say=reporter.say
        )
    else:
        if resize is not None:
            raise UserError("--resize is for image folders; a dataset is written in its own size, without loss")
        dataset = load_dataset(DatasetSpec(name=source), data, progress=reporter.data_progress)
        made = convert_dataset(dataset, out, progress=reporter.data_progress)
    for path in made:
        typer.echo(path)


@app.command()
def inspect(
    file: File, sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet there, as PNG.")] = None
) -> None:
    """Say what a file holds."""
    from benchmark.data.contents import contact_sheet, describe_contents
    from benchmark.data.hdf5_source import open_any

    encoded = open_any(file)
    for name, value in describe_contents(encoded):
        typer.echo(f"{name:<10} {value}")
    if sheet is not None:
        contact_sheet(encoded, sheet)
        typer.echo(f"{'sheet':<10} {sheet}")


@app.command()
def verify(file: File) -> None:
    """Check every checksum and decode every image; names what is bad."""
    from benchmark.console import ConsoleReporter, plain_console
    from benchmark.data.contents import unsound
    from benchmark.data.hdf5_source import open_any

    reporter = ConsoleReporter(False, plain_console())
    encoded = open_any(file)
    bad = 0
    for line in unsound(encoded, reporter.data_progress):
        bad += 1
        typer.echo(f"bad: {line}")
    typer.echo(f"{len(encoded) - bad:,} of {len(encoded):,} images are sound")
    if bad:
        raise typer.Exit(1)


@app.command()
def views(
    method: Annotated[str, typer.Option(help="Whose views.")],
    out: Annotated[Path, typer.Option("--out", help="The PNG to write.")],
    dataset: Annotated[str, typer.Option(help="Whose images.")] = "shapes",
    data: Annotated[Path | None, typer.Option(help="Folder of the dataset's files.")] = None,
    recipe: Annotated[str, typer.Option(help="Scale or file of the recipe.")] = "small",
) -> None:
    """Draw eight images and what a method sees of them."""
    from pydantic import ValidationError

    from benchmark.console import ConsoleReporter, plain_console
    from benchmark.data.datasets import DatasetSpec, load_dataset
    from benchmark.data.gallery import write_gallery
    from benchmark.messages import explain

    reporter = ConsoleReporter(False, plain_console())
    try:
        spec = DatasetSpec(name=dataset)
    except ValidationError as error:
        raise UserError(explain(error, DatasetSpec, "--dataset")) from None
    write_gallery(load_dataset(spec, data, progress=reporter.data_progress), method, recipe, out)
    typer.echo(out)
