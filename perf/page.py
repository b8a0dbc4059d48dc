"""Runs the scripts in this folder and writes docs/performance.md from what they report.

Usage: python perf/page.py [--only a,b] [--out FILE] [-- ARGUMENTS]

Each script in a process of its own, one after the other; measure on a machine that does nothing else. A script that
fails, is left out by `--only`, or finds that the machine cannot run it, stands on the page as that; so does a row that
it cannot measure. ARGUMENTS go to every script that is run. The environment variable `PERF_DATA` names an image folder
with `train/<class>/` and `test/<class>/` (small square images, such as CIFAR-10 as JPEGs) for the scripts that measure
on images; without it they make their own. Exit code 1 if a script failed; a claim that is missed fails nothing, and is
named.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
import torch
from claims import VARIABLE, number

from benchmark.machine.environment import describe

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs" / "performance.md"
HELPERS = ("claims.py", "images.py", "page.py")
LONG = 20  # rows; a longer table is folded


@dataclass
class Outcome:
    """What became of one script.

    Attributes:
        script: its file name.
        purpose: the first paragraph of its docstring.
        status: `ran`, `failed` or `skipped`.
        reason: why it failed or was skipped.
        notes: what it said of its measurements.
        claims: what it measured, as `claims.claim` wrote it.
        seconds: how long it took.
    """

    script: str
    purpose: str
    status: str
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def main() -> None:
    """Runs the scripts, writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="scripts to run, by name and without .py, separated by commas")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("arguments", nargs="*", help="for every script that is run, behind --")
    options = parser.parse_args()
    scripts = sorted(path for path in FOLDER.glob("*.py") if path.name not in HELPERS)
    wanted = options.only.split(",") if options.only else [path.stem for path in scripts]
    if unknown := sorted(set(wanted) - {path.stem for path in scripts}):
        parser.error(f"--only: no script '{unknown[0]}'; choices: {', '.join(path.stem for path in scripts)}")
    machine = describe_machine()
    outcomes = []
    for path in scripts:
        if path.stem in wanted:
            print(f"== {path.name}", flush=True)
            outcomes.append(run(path, options.arguments))
        else:
            outcomes.append(Outcome(path.name, purpose(path), "skipped", "left out of this measurement"))
    options.out.write_text(render(outcomes, machine), encoding="utf-8")
    print(f"== {options.out}")
    sys.exit(any(outcome.status == "failed" for outcome in outcomes))


def run(path: Path, arguments: list[str]) -> Outcome:
    """Runs one script; its output goes where ours goes."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "claims.jsonl"
        done = subprocess.run([sys.executable, path, *arguments], env={**os.environ, VARIABLE: str(said)}, check=False)
        lines = [json.loads(line) for line in said.read_text(encoding="utf-8").splitlines()] if said.exists() else []
    skipped = [line["text"] for line in lines if line["kind"] == "skipped"]
    status = "failed" if done.returncode else "skipped" if skipped else "ran"
    return Outcome(
        path.name,
        purpose(path),
        status,
        f"exit code {done.returncode}" if done.returncode else "".join(skipped),
        [line["text"] for line in lines if line["kind"] == "about"],
        [line for line in lines if line["kind"] == "claim"],
        time.perf_counter() - start,
    )


def purpose(path: Path) -> str:
    """The first paragraph of a script's docstring."""
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
    return " ".join(first.split())


def describe_machine() -> dict[str, str]:
    """What was measured on, and when. No names of hosts or users."""
    here = describe(torch.device("cuda" if torch.cuda.is_available() else "cpu"), 1)
    load = psutil.getloadavg()[0]
    commit = f"{(here.commit or 'unknown')[:12]}{', with changes' if here.dirty else ''}"
    return {
        "Measured": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "CPU": f"{here.cpu_model}, {here.visible_cores} cores visible, {here.threads} threads",
        "Accelerator": here.device_model if here.device == "cuda" else "none",
        "Memory": f"{here.memory_bytes / 2**30:.1f} GiB",
        "System": f"{here.platform}, Python {here.python}",
        "Packages": ", ".join(f"{name} {version}" for name, version in sorted(here.packages.items())),
        "Commit": commit,
        "Load before": f"{load:.2f} processes in the minute before",
    }


def render(outcomes: list[Outcome], machine: dict[str, str]) -> str:
    """The page."""
    judged = [(one.script, claim) for one in outcomes for claim in one.claims if claim["holds"] is not None]
    missed = [f"{claim['name']} (`{script}`)" for script, claim in judged if not claim["holds"]]
    lines = [
        "# Performance",
        "",
        "Made by `make perf`, which runs the scripts in `perf/`: one a claim, both sides in one run. Ratios are what",
        "travels from machine to machine; times do not.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {key} | {_cell(value)} |" for key, value in machine.items()),
        "",
        f"{sum(outcome.status == 'ran' for outcome in outcomes)} of {len(outcomes)} scripts ran; "
        f"{len(judged) - len(missed)} of {len(judged)} claims held."
        + (f" Missed: {'; '.join(missed)}." if missed else ""),
        "",
    ]
    for outcome in outcomes:
        lines += _section(outcome)
    return "\n".join(lines)


def _section(outcome: Outcome) -> list[str]:
    lines = [f"## {outcome.script}", "", outcome.purpose, ""]
    if outcome.status != "ran":
        lines += [f"**{outcome.status.capitalize()}**: {outcome.reason}.", ""]
    elif not outcome.claims:
        lines += ["It ran, and reports nothing here; what it measures it prints.", ""]
    for note in outcome.notes:
        lines += [_cell(note) + ".", ""]
    if not outcome.claims:
        return lines
    table = [
        "| measured | value | claim | verdict | from |",
        "| --- | ---: | --- | --- | --- |",
        *(
            f"| {_cell(one['name'])} | {_value(one)} | {one['bound']} "
            f"| {_verdict(one['holds'])} | {_cell(one['detail'])} |"
            for one in outcome.claims
        ),
        "",
    ]
    if len(table) > LONG:
        table = [f"<details><summary>{len(outcome.claims)} rows</summary>", "", *table, "</details>", ""]
    return lines + table


def _value(row: dict[str, Any]) -> str:
    return "skipped" if row["value"] is None else f"{number(row['value'])} {row['unit']}"


def _verdict(holds: bool | None) -> str:
    return "" if holds is None else "held" if holds else "**missed**"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    main()
