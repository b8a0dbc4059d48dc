"""How the scripts in this folder report: a line on the screen, and a JSON line for the performance page.

The JSON lines go to the file that the environment variable `PERF_CLAIMS` names; without it nothing is written.
`page.py` sets it, runs the scripts, and writes docs/performance.md from these lines.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

VARIABLE = "PERF_CLAIMS"
EMULATED = "this processor emulates bfloat16, and `precision: auto` does not use it there"


def about(text: str) -> None:
    """Reports the conditions of the measurements that follow: sizes, threads, repetitions."""
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
    """Reports one measured value, and whether its claim holds.

    Args:
        name: what was measured; one row of the page.
        value: a ratio or share, or a time if there is nothing to compare it with.
        unit: of the value: `x`, `%`, `ms`, ...
        at_least: the claim, if it is a lower bound.
        at_most: the claim, if it is an upper bound.
        holds: the verdict on a claim that is not a bound.
        detail: both sides of the ratio, in words.
        line: printed instead of the line that is made from the above.

    Returns:
        Whether the claim holds; None without a claim.
    """
    limits = (("at least", at_least), ("at most", at_most))
    bounds = [f"{word} {number(limit)} {unit}" for word, limit in limits if limit is not None]
    if bounds:
        holds = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    verdict = "; MISSED" if holds is False else ""
    if line is not None:
        print(f"{line}{verdict}", flush=True)
    else:
        suffix = f" (claim: {', '.join(bounds)}{verdict})" if bounds else verdict
        print(f"{name:<52} {detail + ': ' if detail else ''}{number(value)} {unit}{suffix}", flush=True)
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
    """Reports a value that this machine cannot measure, as a row of the page, and why; the script goes on."""
    bound = "" if at_least is None else f"at least {number(at_least)} {unit}"
    print(f"{name:<52} skipped: {reason}" + (f" (claim: {bound})" if bound else ""), flush=True)
    line = {"kind": "claim", "name": name, "value": None, "unit": unit, "bound": bound, "holds": None, "detail": reason}
    _write(line)


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def skip(reason: str) -> NoReturn:
    """Ends the script because this machine cannot run it; the page gives the reason."""
    print(f"skipped: {reason}", flush=True)
    _write({"kind": "skipped", "text": reason})
    sys.exit(0)


def _write(line: dict[str, Any]) -> None:
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
