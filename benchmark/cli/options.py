"""Options that several commands of `bench` share, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.errors import UserError
from benchmark.files.parse import ParseError, real_number, shortened, whole_number
from benchmark.machine.devices import check_device_name


def words(text: str | None, option: str) -> list[str] | None:
    """The words of a list separated by commas; None where the option was left out.

    Raises:
        UserError: nothing is between two commas, or at an end.
    """
    if text is None:
        return None
    found = [word.strip() for word in text.split(",")]
    if found == [""]:
        return []
    if "" in found:
        raise UserError(f"{option} is '{shortened(text)}'; expected something on both sides of every comma")
    return found


def numbers(text: str | None) -> list[int] | None:
    """The value of `--seeds`, None where it was left out; raises a `UserError` for other than whole numbers."""
    seeds = words(text, "--seeds")
    try:
        return None if seeds is None else [_seed(word) for word in seeds]
    except ParseError as error:
        raise UserError(f"--seeds: {error}") from None


def _seed(word: str) -> int:
    if not (word.isascii() and word.isdecimal()):
        raise ParseError(f"'{shortened(word)}' is not a seed; expected whole numbers such as 0,1,2")
    return whole_number(word)


_MOST = 10**6  # processes, pixels, rounds, ...


def whole(least: int, most: int = _MOST) -> Any:
    """A parser for an option: whole numbers in plain digits within a range. Python's own takes `1_0` and `١` too."""

    def integer(text: object) -> int:
        try:
            number = whole_number(str(text))
        except ParseError as error:
            raise typer.BadParameter(str(error)) from None
        if not least <= number <= most:
            raise typer.BadParameter(f"{number} is not in the range {least} to {most:,}.")
        return number

    return integer


def real(least: float) -> Any:
    """A parser for an option: finite numbers in plain digits, at least so large."""

    def number(text: object) -> float:
        try:
            value = real_number(str(text))
        except ParseError as error:
            raise typer.BadParameter(str(error)) from None
        if value < least:
            raise typer.BadParameter(f"{value:g} is not in the range from {least:g}.")
        return value

    return number


def _device(name: str) -> str:
    check_device_name(name)
    return name


def _devices(count: int | None) -> int | None:
    if count is not None and count < 1:
        raise UserError(f"--devices is {count}; expected at least 1")
    return count


def _costs(path: Path | None) -> Path | None:
    if path is not None and not path.exists():
        raise UserError(f"--costs: {path}: no such file or folder; bench cost writes a step-cost record")
    return path


def _on_error(choice: str) -> str:
    if choice not in ("fail", "skip"):
        raise UserError(f"--on-error is '{choice}'; choices: fail, skip")
    return choice


OnError = Annotated[
    str,
    typer.Option(
        "--on-error",
        callback=_on_error,
        metavar="fail|skip",
        help="Of unreadable images: fail, or skip them.",
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Results folder.", show_default=True)]
Costs = Annotated[
    Path | None,
    typer.Option(
        "--costs",
        callback=_costs,
        help="Step-cost record or a folder of them (bench cost); by default costs/ in the experiment's results.",
    ),
]
Results = Annotated[list[Path], typer.Argument(help="Results folders or parts of them.")]
Hardware = Annotated[
    str | None,
    typer.Option(
        "--hardware",
        metavar="NAME",
        help="Costs on this hardware (`bench cost`), by default that of the runs; a wrong name lists all.",
    ),
]
Trials = Annotated[bool, typer.Option("--trials", help="With the runs of sweeps, which were never tested.")]

Config = Annotated[str, typer.Argument(help="A shipped experiment's name, or a YAML file.")]
Methods = Annotated[str | None, typer.Option(help="Entries or methods, separated by commas.")]
Seeds = Annotated[str | None, typer.Option(help="Seeds, for instance 0,1,2.")]
Limit = Annotated[
    str | None,
    typer.Option(
        "--budget",
        help="epochs=10, epochs=2,5,10 (a ladder), steps=, samples=, wall_clock=30m, device_hours=, "
        "calibrated_time=30m, calibrated_device_hours= or flops=1e15.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any key of the experiment, or ENTRY.KEY of an entry's method; can be repeated.",
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="Folder or file of the dataset: class folders, a CSV file, X.h5 and others.")
]
Device = Annotated[str, typer.Option(callback=_device, help="auto, cpu, cuda or cuda:N.")]
Devices = Annotated[
    int | None,
    typer.Option(
        "--devices",
        parser=whole(-_MOST),
        callback=_devices,
        help="Processes to share each batch among, a device each; leave it out under torchrun and srun.",
    ),
]
Share = Annotated[
    bool, typer.Option("--share", help="Use the device beside another bench; the times of both are marked.")
]
Download = Annotated[bool, typer.Option("--download", help="Fetch the dataset if it is missing.")]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="TOOL",
        help="Show the runs in tensorboard, wandb (offline) or mlflow too; can be repeated, or separated by commas.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but what goes wrong.")]
