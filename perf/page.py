"""Runs the scripts in this folder and writes docs/performance.md from what they report.

Usage: python perf/page.py [--only a,b] [--out FILE] [-- ARGUMENTS]

Each script runs in a process of its own, one after the other; measure on a machine that does nothing else. The page
says which scripts failed or cannot run on this machine, and which rows could not be measured. Of scripts that `--only`
leaves out, the page keeps what it says, with the time and the commit of that measurement. ARGUMENTS go to every script
that runs. The environment variable `PERF_DATA` names an image folder with `train/<class>/` and `test/<class>/` (small
square images, such as CIFAR-10 as JPEGs) for the scripts that measure on images; without it they make their own. Exit
code 1 if a script failed. A missed claim is named on the page and does not change the exit code.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
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
HELPERS = ("claims.py", "commands.py", "gpu.py", "hostile.py", "images.py", "page.py", "slurm_runs.py")
LONG = 20  # rows; longer tables are collapsed


@dataclass
class Outcome:
    """The outcome of one script.

    Attributes:
        script: its file name.
        purpose: the first paragraph of its docstring.
        status: `ran`, `failed`, `skipped` or `kept`, from an earlier measurement.
        reason: why it failed or was skipped.
        notes: the conditions of its measurements.
        claims: its measurements, as `claims.claim` wrote them.
        seconds: its running time.
        text: the section of a kept one.
    """

    script: str
    purpose: str
    status: str
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    text: str = ""


def main() -> None:
    """Runs the scripts and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="scripts to run, by name and without .py, separated by commas")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("arguments", nargs="*", help="for every script that runs, after --")
    options = parser.parse_args()
    scripts = sorted(path for path in FOLDER.glob("*.py") if path.name not in HELPERS)
    wanted = options.only.split(",") if options.only else [path.stem for path in scripts]
    if unknown := sorted(set(wanted) - {path.stem for path in scripts}):
        parser.error(f"--only: no script '{unknown[0]}'; choices: {', '.join(path.stem for path in scripts)}")
    machine = describe_machine()
    earlier = sections(options.out)
    outcomes = []
    for path in scripts:
        if path.stem in wanted:
            print(f"== {path.name}", flush=True)
            outcomes.append(run(path, options.arguments))
        else:
            kept = earlier.get(path.name, "")
            outcomes.append(
                Outcome(path.name, purpose(path), "kept" if kept else "skipped", "never measured", text=kept)
            )
    options.out.write_text(render(outcomes, machine), encoding="utf-8")
    print(f"== {options.out}")
    sys.exit(any(outcome.status == "failed" for outcome in outcomes))


def sections(page: Path) -> dict[str, str]:
    """The sections of a page by script, each saying when and on which commit it was measured."""
    if not page.is_file():
        return {}
    head, *parts = page.read_text(encoding="utf-8").split("\n## ")
    facts = dict(re.findall(r"^\| (Measured|Commit) \| (.*) \|$", head, flags=re.M))
    stamp = f"From {facts.get('Measured', 'an unknown time')}, commit {facts.get('Commit', 'unknown')}."
    kept = {}
    for part in parts:
        name, _, text = part.partition("\n")
        if "**Skipped**: never measured" not in text:
            kept[name] = text.strip("\n") if "\nFrom 20" in text else f"{stamp}\n\n{text.strip()}"
    return kept


def run(path: Path, arguments: list[str]) -> Outcome:
    """Runs one script, which prints to the same output."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "claims.jsonl"
        environment = {**os.environ, VARIABLE: str(log)}
        completed = subprocess.run([sys.executable, path, *arguments], env=environment, check=False)
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    skipped = [line["text"] for line in lines if line["kind"] == "skipped"]
    status = "failed" if completed.returncode else "skipped" if skipped else "ran"
    return Outcome(
        path.name,
        purpose(path),
        status,
        f"exit code {completed.returncode}" if completed.returncode else "".join(skipped),
        [line["text"] for line in lines if line["kind"] == "about"],
        [line for line in lines if line["kind"] == "claim"],
        time.perf_counter() - start,
    )


def purpose(path: Path) -> str:
    """The first paragraph of a script's docstring."""
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
    return " ".join(first.split())


def describe_machine() -> dict[str, str]:
    """The machine and the time of the measurement, without names of hosts or users."""
    machine = describe(torch.device("cuda" if torch.cuda.is_available() else "cpu"), 1)
    load = psutil.getloadavg()[0]
    commit = f"{(machine.commit or 'unknown')[:12]}{', with changes' if machine.dirty else ''}"
    return {
        "Measured": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "CPU": f"{machine.cpu_model}, {machine.visible_cores} cores visible, {machine.threads} threads",
        "Accelerator": machine.device_model if machine.device == "cuda" else "none",
        "Memory": f"{machine.memory_bytes / 2**30:.1f} GiB",
        "System": f"{machine.platform}, Python {machine.python}",
        "Packages": ", ".join(f"{name} {version}" for name, version in sorted(machine.packages.items())),
        "Commit": commit,
        "Load before": f"{load:.2f} processes on average in the last minute",
    }


def render(outcomes: list[Outcome], machine: dict[str, str]) -> str:
    """The page."""
    kept = sum(outcome.status == "kept" for outcome in outcomes)
    judged = [(outcome.script, claim) for outcome in outcomes for claim in outcome.claims if claim["holds"] is not None]
    missed = [f"{claim['name']} (`{script}`)" for script, claim in judged if not claim["holds"]]
    lines = [
        "# Performance",
        "",
        "Written by `make perf`, which runs the scripts in `perf/`. Each measures both sides of a claim in one run.",
        "Ratios carry over to other machines; times do not.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {key} | {_cell(value)} |" for key, value in machine.items()),
        "",
        f"{sum(outcome.status == 'ran' for outcome in outcomes)} of {len(outcomes)} scripts ran"
        + (f", {kept} kept from earlier measurements" if kept else "")
        + (f"; {len(judged) - len(missed)} of {len(judged)} claims of this measurement held." if judged else ".")
        + (f" Missed: {'; '.join(missed)}." if missed else ""),
        "",
    ]
    for outcome in outcomes:
        lines += _section(outcome)
    return "\n".join(lines)


def _section(outcome: Outcome) -> list[str]:
    if outcome.status == "kept":
        return [f"## {outcome.script}", "", outcome.text.lstrip("\n"), ""]
    lines = [f"## {outcome.script}", "", outcome.purpose, ""]
    if outcome.status != "ran":
        lines += [f"**{outcome.status.capitalize()}**: {outcome.reason}.", ""]
    elif not outcome.claims:
        lines += ["It ran and reports nothing here; it prints its measurements.", ""]
    for note in outcome.notes:
        lines += [_cell(note) + ".", ""]
    if not outcome.claims:
        return lines
    table = [
        "| measured | value | claim | verdict | from |",
        "| --- | ---: | --- | --- | --- |",
        *(
            f"| {_cell(row['name'])} | {_value(row)} | {row['bound']} "
            f"| {_verdict(row['holds'])} | {_cell(row['detail'])} |"
            for row in outcome.claims
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
