"""`bench data`: HDF5 files of images, and pictures of views. One short function per command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.console import ConsoleReporter
from benchmark.cli.options import OnError, whole
from benchmark.cli.request import load_images, named_dataset
from benchmark.data.hdf5.paths import SUFFIXES, existing_file, output_paths, stands_for_two
from benchmark.data.layouts.find import every_image, find_layout, list_images
from benchmark.data.listing import prefix_of
from benchmark.data.registry import dataset_names
from benchmark.data.spec import DEFAULT_ROOT, DatasetSpec, check_request
from benchmark.errors import UserError
from benchmark.experiment.files import find_recipe, read_recipe
from benchmark.files.disk import check_writable
from methods.config import nearest
from methods.registry import method_names

app = typer.Typer(no_args_is_help=True, help="Convert, inspect and verify images; look at views.")

File = Annotated[Path, typer.Argument(help="An HDF5 file of images.")]


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="Images in any layout (docs/data.md), or a dataset's name.")],
    out: Annotated[Path, typer.Argument(help="X.h5, for X-train.h5 and X-test.h5.")],
    resize: Annotated[
        int | None, typer.Option(parser=whole(0), help="Short side in pixels; encodes anew as JPEG.")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(parser=whole(0), help="JPEG quality, with --resize; 95 by default.")
    ] = None,
    on_error: OnError = "fail",
    data: Annotated[Path | None, typer.Option(help="Folder of a dataset's files.")] = None,
) -> None:
    """Write images into one HDF5 file per split: a folder's files as they are, a named dataset's images as PNG."""
    named = source in dataset_names() and not Path(source).is_dir()
    if quality is not None and resize is None:
        raise UserError("--quality is for images that are encoded anew; it needs --resize")
    if named:
        _check_named(source, out, resize, data, on_error)
        spec = named_dataset(source, data)
    elif data is not None:
        raise UserError(f"--data says where a named dataset lies; '{source}' is taken for an image folder itself")
    else:
        find_layout(Path(source))
    output_paths(out)
    check_writable(out.parent)
    from benchmark.data.folder import with_test_split
    from benchmark.data.hdf5.convert import Reencode, convert_dataset, convert_listing

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
            reading = reporter.counting("reading images")
            listing = with_test_split(list_images(Path(source)), DatasetSpec(name="folder"), reading)
            skip, say = on_error == "skip", reporter.say
            for line in (f"{source}: {listing.layout}", *listing.notes):
                say(line)
            paths = convert_listing(listing, out, reencode, skip=skip, say=say, progress=progress, checked=checked)
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
    file: Annotated[Path, typer.Argument(help="An HDF5 file, or images in any layout.")],
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet there, as PNG.")] = None,
) -> None:
    """Show what an HDF5 file holds, or what is found in a folder, in a pair of HDF5 files (X.h5) or in another file."""
    if file.is_dir() or (file.exists() and file.suffix not in SUFFIXES) or stands_for_two(file):
        if sheet is not None:
            raise UserError(f"{file}: --sheet is for a single HDF5 file, such as one that bench data convert writes")
        _inspect_layout(file)
        return
    existing_file(file)
    from benchmark.data.hdf5.inspect import contact_sheet, describe_contents
    from benchmark.data.hdf5.source import open_any

    encoded = open_any(file)
    for name, value in describe_contents(encoded):
        typer.echo(f"{name:<10} {value}")
    if sheet is not None:
        contact_sheet(encoded, sheet)
        typer.echo(f"{'sheet':<10} {sheet}")


def _inspect_layout(path: Path) -> None:
    """Prints what `bench run --data PATH` would train on; bad images, which that refuses, are listed and counted."""
    spec = DatasetSpec(name="folder")
    check_request(spec, path)
    from benchmark.data.datasets import load_dataset

    reporter = ConsoleReporter()
    with reporter:
        dataset = load_dataset(spec, path, progress=reporter.data_progress, resident_limit=0, skip_bad=True)
    for line in (dataset.summary(), *dataset.notes):
        typer.echo(line)
    if dataset.left_out:
        count, total = len(dataset.left_out), len(dataset.left_out) + sum(dataset.manifest.counts.values())
        typer.echo(f"{count:,} of {total:,} images cannot be used; bench run needs --on-error skip to leave them out")
        raise typer.Exit(1)


@app.command()
def verify(path: Annotated[Path, typer.Argument(help="Images in any layout, any folder, or an HDF5 file.")]) -> None:
    """Decode every image of a folder or file, and check the checksums of an HDF5 file; names what is bad."""
    if path.is_dir() or (path.exists() and path.suffix not in SUFFIXES):
        bad = _verify_images(path)
    else:
        existing_file(path)
        bad = _verify_file(path)
    if bad:
        raise typer.Exit(1)


def _verify_images(path: Path) -> bool:
    """Whether an image anywhere below a folder, or in a file of a layout, is bad."""
    parts = every_image(path)
    total = sum(map(len, parts))
    from benchmark.data.examine import undecodable

    bad = 0
    with ConsoleReporter() as reporter:
        for image in undecodable(parts, prefix_of(path), reporter.counting("checking images")):
            bad += 1
            reporter.say(f"bad: {image}")
    typer.echo(f"{total - bad:,} of {total:,} images are sound")
    return bad > 0


def _verify_file(file: Path) -> bool:
    """Whether anything in an HDF5 file is bad."""
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
    return bad > 0 or changed


@app.command()
def views(
    method: Annotated[str, typer.Option(help="Whose views.")],
    out: Annotated[Path, typer.Option("--out", help="The PNG to write.")],
    dataset: Annotated[str, typer.Option(help="Whose images.")] = "shapes",
    data: Annotated[Path | None, typer.Option(help="Folder of the dataset's files.")] = None,
    recipe: Annotated[str, typer.Option(help="Scale or file of the recipe.")] = "small",
    on_error: OnError = "fail",
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
    images = load_images(spec, data, ConsoleReporter(), on_error=on_error, outcome="nothing was drawn")
    columns = write_gallery(images, method, recipe, out)
    typer.echo(f"columns: image; then three times: {', '.join(columns)}")
    typer.echo(out)
