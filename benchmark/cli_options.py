"""Options that several commands of `bench` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", help="Results folder.", show_default=True)]
Data = Annotated[Path | None, typer.Option(help="Folder of the dataset's files.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Share = Annotated[
    bool, typer.Option("--share", help="Use the device beside another bench; the times of both are marked.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but what goes wrong.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch the dataset if it is missing.")]


def words_of(text: str | None) -> list[str] | None:
    """The words of a list such as `a, b`; None stays None."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]
