"""How the scripts in this folder report: a line for whoever looks on, and a JSON line for the page.

The JSON lines go to the file that the environment variable `PERF_CLAIMS` names; without it nothing is written.
`page.py` sets it, runs the scripts, and makes docs/performance.md of what they said.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

VARIABLE = "PERF_CLAIMS"
EMULATED = "this processor emulates bfloat16, which no run with `precision: auto` asks of it"


def about(text: str) -> None:
    """Says what all that follows was measured with: sizes, threads, repetitions."""
    print(text, flush=True)
    _write({"kind": "about", "text": text})


def claim(
    name: str,
    value: float,
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    holds: bool | None = None,
    detail: str = "",
    line: str | None = None,
) -> bool | None:
    """Reports one measured value, and whether it keeps what is claimed.

    Args:
        name: what was measured; one row of the page.
        value: the ratio or share, or a time where there is nothing to divide it by.
        unit: of the value: `x`, `%`, `ms`, ...
        at_least: the claim, where it is a lower bound.
        at_most: the claim, where it is an upper bound.
        holds: the verdict of a claim that is no bound.
        detail: both sides of the ratio, in words.
        line: printed instead of the line that is made of the above.

    Returns:
        Whether the claim holds; None where nothing is claimed.
    """
    limits = (("at least", at_least), ("at most", at_most))
    bounds = [f"{word} {number(limit)} {unit}" for word, limit in limits if limit is not None]
    if bounds:
        holds = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    verdict = "; MISSED" if holds is False else ""
    if line is not None:
        print(f"{line}{verdict}", flush=True)
    else:
        said = f" (claim: {', '.join(bounds)}{verdict})" if bounds else verdict
        print(f"{name:<52} {detail + ': ' if detail else ''}{number(value)} {unit}{said}", flush=True)
    _write(
        {
            "kind": "claim",
            "name": name,
            "value": value,
            "unit": unit,
            "bound": ", ".join(bounds),
            "holds": holds,
            "detail": detail,
        }
    )
    return holds


def unmeasured(name: str, reason: str, unit: str = "", *, at_least: float | None = None) -> None:
    """Reports what this machine cannot measure, where the rest of the script it can; the page has a row for it.

    Args:
        name: what would have been measured.
        reason: why it was not.
        unit: of the claim.
        at_least: the claim, where there is one.
    """
    bound = "" if at_least is None else f"at least {number(at_least)} {unit}"
    print(f"{name:<52} skipped: {reason}" + (f" (claim: {bound})" if bound else ""), flush=True)
    line = {"kind": "claim", "name": name, "value": None, "unit": unit, "bound": bound, "holds": None, "detail": reason}
    _write(line)


def number(value: float) -> str:
    """Three digits, and no power of ten."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def skip(reason: str) -> NoReturn:
    """Ends the script because this machine cannot run it; the page says why."""
    print(f"skipped: {reason}", flush=True)
    _write({"kind": "skipped", "text": reason})
    sys.exit(0)


def _write(line: dict[str, Any]) -> None:
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
