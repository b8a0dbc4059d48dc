"""The commands in README, docs and configurations: on which page each is, and how the command line parses it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from benchmark.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_PROGRAMS = (".venv/bin/bench", "bench", "make", "torchrun", "python", "pip", "optuna-dashboard")
# Values for placeholders in capitals that are neither a path nor a name.
_PLACEHOLDERS = {"N": "2", "KEY=VALUE": "batch_size=2"}


@dataclass(frozen=True)
class Command:
    """A command, and the page it is on."""

    page: str
    text: str

    @property
    def bench(self) -> list[str] | None:
        """The arguments of `bench`; None for other programs' commands."""
        words = [_PLACEHOLDERS.get(word, word) for word in shlex.split(self.text)]
        if words[0].endswith("bench"):
            return words[1:]
        if "-m" in words and words[words.index("-m") + 1] == "benchmark":
            return words[words.index("-m") + 2 :]
        return None


def block_commands() -> list[Command]:
    """The commands in code blocks."""
    commands = []
    for page in PAGES:
        for language, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.M | re.S):
            for line in block.splitlines() if language in ("", "sh", "bash") else ():
                text = re.sub(r"\s+#.*", "", line.strip())
                if text.split(" ")[0] in _PROGRAMS:
                    commands.append(Command(page.name, " ".join(text.split())))
    return commands


def config_commands() -> list[Command]:
    """The commands in the comments of shipped experiments and sweeps; three spaces separate a remark."""
    commands = []
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("# bench "):
                commands.append(Command(path.name, re.split(r"\s{3,}", line.removeprefix("# "))[0]))
    return commands


def mentions() -> list[Command]:
    """The commands between backticks in running text, often incomplete: `bench leaderboard --csv`."""
    commands = []
    for page in PAGES:
        text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for code in re.findall(r"`([^`]+)`", text):
            words = " ".join(code.split())
            if words.split(" ")[0] in _PROGRAMS and " " in words:
                commands.append(Command(page.name, words))
    return commands


def parse(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The subcommand's name and its parameters, as the command line itself reads them.

    Raises:
        typer's usage errors.
    """
    command: Any = typer.main.get_command(app)
    name, parent, rest = "bench", None, list(words)
    while True:
        context = command.make_context(name, rest, parent=parent)
        if not hasattr(command, "resolve_command"):
            return context.command_path.removeprefix("bench "), context.params
        rest = [*getattr(context, "_protected_args", []), *context.args]
        name, command, rest = command.resolve_command(context, rest)
        parent = context


def options_of(words: list[str]) -> tuple[set[str], set[str]]:
    """The options in a mention, and those that its command has."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands") and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    named = {word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"}
    return named, known if not hasattr(command, "commands") or not rest else set()
