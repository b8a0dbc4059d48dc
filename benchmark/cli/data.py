"""`bench data`: HDF5 files of images, and pictures of views. One short function per command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.console import ConsoleReporter
from benchmark.cli.request import load_images, named_dataset
from benchmark.data.folder import split_folders
from benchmark.data.hdf5.paths import existing_file, output_paths
from benchmark.data.spec import DEFAULT_ROOT, dataset_names
from benchmark.errors import UserError
from benchmark.experiment.files import find_recipe, read_recipe
from benchmark.files import check_writable
from methods.config import nearest
from methods.registry import method_names

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
    """Write images into one HDF5 file per split: a folder's files as they are, a named dataset's images as PNG."""
    if on_error not in ("fail", "skip"):
        raise UserError(f"--on-error is '{on_error}'; choices: fail, skip")
    named = source in dataset_names() and not Path(source).is_dir()
    if quality is not None and resize is None:
        raise UserError("--quality is for images that are encoded anew; it needs --resize")
    if named:
        _check_named(source, out, resize, data, on_error)
        spec = named_dataset(source, data)
    elif data is not None:
        raise UserError(f"--data says where a named dataset lies; '{source}' is taken for an image folder itself")
    else:
        split_folders(Path(source))
    output_paths(out)
    check_writable(out.parent)
    from benchmark.data.hdf5.convert import Reencode, convert_dataset, convert_folder

    reencode = None if resize is None else Reencode(resize, 95 if quality is None else quality)
    with ConsoleReporter() as reporter:
        progress = reporter.counting("converting images")
        checked = reporter.counting("reading back what was written")
        if named:
            if source == "stl10":
                reporter.say("stl10: its unlabelled images are left out; the files hold train and test")
            dataset = load_images(spec, data, reporter)
            paths = convert_dataset(dataset, out, say=reporter.say, progress=progress, checked=checked)
        else:
            skip, say = on_error == "skip", reporter.say
            paths = convert_folder(Path(source), out, reencode, skip=skip, say=say, progress=progress, checked=checked)
    for path in paths:
        typer.echo(path)


def _check_named(name: str, out: Path, resize: int | None, data: Path | None, on_error: str) -> None:
    """Refuses a named dataset that has files to convert itself, and options that would lose something of it."""
    if name in ("folder", "hdf5"):
        what = "an image folder is given itself" if name == "folder" else "its images lie in HDF5 files already"
        raise UserError(f"'{name}' is no dataset to convert: {what}; bench data convert FOLDER X.h5")
    if name == "imagenette":
        root = data or DEFAULT_ROOT
        folder = next((path for path in sorted(root.glob("imagenette2*")) if path.is_dir()), root / "imagenette2-160")
        raise UserError(
            "imagenette lies in JPEG files, which would be encoded anew; convert its folder, whose names the classes "
            f"then have: bench data convert {folder} {out}"
        )
    if resize is not None:
        raise UserError("--resize is for image folders; a dataset is written in its own size, without loss")
    if on_error != "fail":
        raise UserError("--on-error is for image folders; a named dataset has no files to skip")


@app.command()
def inspect(
    file: File, sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet there, as PNG.")] = None
) -> None:
    """Show what a file holds."""
    existing_file(file)
    from benchmark.data.hdf5.inspect import contact_sheet, describe_contents
    from benchmark.data.hdf5.source import open_any

    encoded = open_any(file)
    for name, value in describe_contents(encoded):
        typer.echo(f"{name:<10} {value}")
    if sheet is not None:
        contact_sheet(encoded, sheet)
        typer.echo(f"{'sheet':<10} {sheet}")


@app.command()
def verify(file: File) -> None:
    """Check every checksum and decode every image; names what is bad."""
    existing_file(file)
    from benchmark.data.hdf5.inspect import differs_from_digest, unsound
    from benchmark.data.hdf5.source import open_any

    encoded = open_any(file)
    bad = 0
    with ConsoleReporter() as reporter:
        for line in unsound(encoded, reporter.counting("checking images")):
            bad += 1
            reporter.say(f"bad: {line}")
    typer.echo(f"{len(encoded) - bad:,} of {len(encoded):,} images are sound")
    changed = differs_from_digest(encoded)
    if changed:
        typer.echo(
            "bad: labels, classes or checksums are not those that the file was written with (its digest differs)"
        )
    if bad or changed:
        raise typer.Exit(1)


@app.command()
def views(
    method: Annotated[str, typer.Option(help="Whose views.")],
    out: Annotated[Path, typer.Option("--out", help="The PNG to write.")],
    dataset: Annotated[str, typer.Option(help="Whose images.")] = "shapes",
    data: Annotated[Path | None, typer.Option(help="Folder of the dataset's files.")] = None,
    recipe: Annotated[str, typer.Option(help="Scale or file of the recipe.")] = "small",
) -> None:
    """Draw eight images, the views that a method sees of them, and its masks."""
    if method not in method_names():
        raise UserError(f"unknown method '{method}'; {nearest(method, method_names())}")
    path = find_recipe(recipe, method, None)
    if path is not None:
        read_recipe(path, method)
    spec = named_dataset(dataset, data)
    check_writable(out.parent)
    from benchmark.runs.method_views import view_config, write_gallery

    view_config(method, recipe)
    columns = write_gallery(load_images(spec, data, ConsoleReporter()), method, recipe, out)
    typer.echo(f"columns: image; then three times: {', '.join(columns)}")
    typer.echo(out)
