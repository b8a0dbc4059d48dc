"""The commands that README and docs tell people to type: where they stand, and what the command line makes of them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from benchmark.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_PROGRAMS = (".venv/bin/bench", "bench", "make", "torchrun", "python", "pip", "optuna-dashboard")
# Words in capitals that stand for something of the reader's, where a path or a name will not do.
_STAND_INS = {"N": "2", "KEY=VALUE": "batch_size=2"}


@dataclass(frozen=True)
class Command:
    """A command, and the page it stands on."""

    page: str
    text: str

    @property
    def bench(self) -> list[str] | None:
        """What `bench` is given; None for other programs' commands."""
        words = [_STAND_INS.get(word, word) for word in shlex.split(self.text)]
        if words[0].endswith("bench"):
            return words[1:]
        if "-m" in words and words[words.index("-m") + 1] == "benchmark":
            return words[words.index("-m") + 2 :]
        return None


def block_commands() -> list[Command]:
    """What stands in blocks, to be typed as it is."""
    found = []
    for page in PAGES:
        for language, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.M | re.S):
            for line in block.splitlines() if language in ("", "sh", "bash") else ():
                text = re.sub(r"\s+#.*", "", line.strip())
                if text.split(" ")[0] in _PROGRAMS:
                    found.append(Command(page.name, " ".join(text.split())))
    return found


def config_commands() -> list[Command]:
    """What the heads of the shipped experiments and sweeps tell to type; a remark follows behind three spaces."""
    found = []
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("# bench "):
                found.append(Command(path.name, re.split(r"\s{3,}", line.removeprefix("# "))[0]))
    return found


def mentions() -> list[Command]:
    """What running text says between backticks: commands in part, such as `bench leaderboard --csv`."""
    found = []
    for page in PAGES:
        text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for code in re.findall(r"`([^`]+)`", text):
            words = " ".join(code.split())
            if words.split(" ")[0] in _PROGRAMS and " " in words:
                found.append(Command(page.name, words))
    return found


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
    """The options that a mention names, and those that its command has."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands") and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    named = {word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"}
    return named, known if not hasattr(command, "commands") or not rest else set()
