"""Writes the table of docs/methods.md: every method's networks, length, and deviation from its reference.

Usage: python docs/make_methods.py [--check]

Deviations are those that tests/parity/test_method_steps.py measures here; they differ by rounding from machine to
machine. `--check` measures nothing, writes nothing, and fails if anything else in the table is not current.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from methods.registry import describe_method, method_class, own_methods

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "methods.md"
TEST = ROOT / "tests" / "parity" / "test_method_steps.py"
_TABLE = re.compile(r"\| method \|.*?\n(?=\n|\Z)", re.DOTALL)
_HEAD = (
    "| method | name | what it does | CNN | ViT | lines | loss | step |\n"
    "| --- | --- | --- | --- | --- | ---: | ---: | ---: |\n"
)


def main() -> None:
    """Writes the page, or checks it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    if options.check:
        if not is_current(text):
            sys.exit(f"{PAGE.name} is not current; make docs")
    else:
        PAGE.write_text(render(text, measured()), encoding="utf-8")


def render(text: str, deviations: dict[tuple[str, str], float]) -> str:
    """The page with a new table.

    Args:
        deviations: by method, of its `loss` and of its `step`.
    """
    rows = []
    for name in own_methods():
        kind, about = method_class(name), describe_method(name)
        lines = len((ROOT / "methods" / f"{name}.py").read_text(encoding="utf-8").splitlines())
        networks = ["yes" if network in kind.backbone_kinds else "" for network in ("cnn", "vit")]
        found = [f"{deviations[name, part]:.0e}" if (name, part) in deviations else "" for part in ("loss", "step")]
        what = about.text.partition(": ")[2].rstrip(".") or about.text.rstrip(".")
        cells = [f"`{name}`", kind.display_name or name, what, *networks, str(lines), *found]
        rows.append(f"| {' | '.join(cells)} |\n".replace("|  |", "| |").replace("|  |", "| |"))
    written, count = _TABLE.subn(lambda _: _HEAD + "".join(rows), text)
    if count != 1:
        sys.exit(f"{PAGE.name} has {count} tables of methods; expected 1")
    return written


def measured() -> dict[tuple[str, str], float]:
    """The largest deviation of each method's loss, and of what its step leaves behind, over networks and progress."""
    found: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "steps.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", TEST, "--junitxml", report]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, "-o", "junit_family=xunit1"], check=True, cwd=ROOT, env=one_thread, stdout=sys.stderr)
        cases = list(ElementTree.parse(report).iter("testcase"))
    for case in cases:
        values = {each.get("name", ""): each.get("value", "") for each in case.iter("property")}
        name = values.pop("method")
        for key, value in values.items():
            part = name, "loss" if key == "loss" else "step"
            found[part] = max(found.get(part, 0.0), float(value))
    return found


def is_current(text: str) -> bool:
    """Whether the table is that of the methods as they are, deviations apart."""
    return _without_deviations(text) == _without_deviations(render(text, {}))


def _without_deviations(text: str) -> str:
    return re.sub(r"^(\| `.*\|)[^|]*\|[^|]*\|$", r"\1", text, flags=re.MULTILINE)


if __name__ == "__main__":
    main()
