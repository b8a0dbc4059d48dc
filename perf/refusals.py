"""How `bench` takes broken and hostile input: generated files and options, kind by kind.

Usage: python perf/refusals.py [--inputs N] [--seed N] [--before CHECKOUT]

Each input is given to a command in a process of its own, which has 20 s and 4 GiB of data.
The right outcome is a message of one line that names what is wrong, with exit code 2, and for one broken record among
good ones that it is named and the others are read. Wrong are a traceback, an end by a signal or by the time limit, and
silence. With `--before`, another checkout of this repository gets the same inputs. Times and peaks leave out what
importing torch takes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from claims import about, claim
from hostile import KINDS, RESULTS, Input

TIME, MEMORY = 20, 4 * 2**30  # seconds and bytes of data that an input may take
ROOT = Path(__file__).parents[1]
_ERROR = re.compile(r"^(error|Error|Usage|refused|left out|left behind):", re.MULTILINE)

# Forks for each input, so that torch is imported once. The child's peak is counted from its start.
_SERVER = """
import json, os, re, resource, signal, sys
from pathlib import Path
import torch
import benchmark.cli.main, benchmark.data.datasets, benchmark.encoders.foreign

def end(code, place):
    status = Path("/proc/self/status").read_text()
    Path(place).write_text(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass
    os._exit(code)

for line in sys.stdin:
    given = json.loads(line)
    child = os.fork()
    if not child:
        os.chdir(given["folder"])
        for number, path in ((0, os.devnull), (1, given["output"] or given["printed"]), (2, given["printed"])):
            os.dup2(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT), number)
        Path("/proc/self/clear_refs").write_text("5")
        resource.setrlimit(resource.RLIMIT_DATA, (given["memory"],) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (given["seconds"],) * 2)
        signal.alarm(given["seconds"])  # what waits takes no processor time
        sys.argv = ["bench", *given["arguments"]]
        try:
            benchmark.cli.main.main()
        except SystemExit as stop:
            end(stop.code if isinstance(stop.code, int) else bool(stop.code), given["peak"])
        except BaseException:
            import traceback
            traceback.print_exc()
            end(1, given["peak"])
        end(0, given["peak"])
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Outcome(NamedTuple):
    """What became of an input: what is wrong with that, or None, and what it took."""

    wrong: str | None
    seconds: float
    mebibytes: float


def main() -> None:
    """Gives the inputs to this checkout, and to another one; prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--before", type=Path, help="an older checkout, which has to import with this Python")
    parser.add_argument("--only", help="one kind")
    options = parser.parse_args()
    about(f"{options.inputs} inputs of each kind, seed {options.seed}; a process each")
    roots = {"now": ROOT} | ({"before": options.before.resolve()} if options.before else {})
    checkouts = {side: Checkout(root) for side, root in roots.items()}
    for kind, generate in KINDS.items():
        if options.only not in (None, kind):
            continue
        found: dict[str, list[Outcome]] = defaultdict(list)
        for side, checkout in checkouts.items():
            chance = random.Random(f"{options.seed} {kind}")
            for number in range(options.inputs):
                with tempfile.TemporaryDirectory() as folder:
                    outcome = checkout.give(generate(chance, number, Path(folder)), Path(folder))
                found[side].append(outcome)
                if outcome.wrong is not None and side == "now":
                    print(f"  {kind}, input {number}: {outcome.wrong}", flush=True)
        _report(kind, found)


def _report(kind: str, found: dict[str, list[Outcome]]) -> None:
    wrong = {side: sum(one.wrong is not None for one in outcomes) for side, outcomes in found.items()}
    now = found["now"]
    seconds, most = median(one.seconds for one in now), max(one.seconds for one in now)
    peak = max(one.mebibytes for one in now)
    earlier = f"{wrong['before']} before; " if "before" in wrong else ""
    detail = f"{earlier}median {seconds:.1f} s, at most {most:.1f} s and {peak:,.0f} MiB"
    claim(f"{kind}: taken wrongly, of {len(now)}", wrong["now"], "", at_most=0, detail=detail)


class Checkout:
    """A process that gives inputs to the commands of a checkout."""

    def __init__(self, root: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        command = [sys.executable, "-c", _SERVER]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._server = subprocess.Popen(command, env=environment, cwd=root, **pipes)

    def give(self, given: Input, folder: Path) -> Outcome:
        """The outcome of an input whose files lie in a folder."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        peak, printed = folder / "peak", folder / "printed"
        files = {"folder": str(folder), "peak": str(peak), "printed": str(printed), "output": given.output}
        start = time.monotonic()
        limits = {"memory": MEMORY, "seconds": TIME}
        self._server.stdin.write(json.dumps({"arguments": given.arguments, **files, **limits}) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        seconds = time.monotonic() - start
        text = printed.read_bytes().decode(errors="replace")
        mebibytes = int(peak.read_text()) / 1024 if peak.exists() else MEMORY / 2**20
        return Outcome(_wrong(given, code, text, folder), seconds, mebibytes)


def _wrong(given: Input, code: int, text: str, folder: Path) -> str | None:
    """What is wrong with the outcome, or None."""
    if code in (-signal.SIGXCPU, -signal.SIGALRM):
        return f"took more than {TIME} s"
    if code < 0 or code > 2:
        return f"ended with {code}"
    if "Traceback (most recent call last)" in text:
        return "a traceback: " + text.strip().splitlines()[-1][:150]
    longest = max(map(len, text.splitlines()), default=0)
    if longest > 2000:
        return f"a line of {longest:,} characters"
    if given.holds is not None:
        return None if given.holds(folder, text) else f"not as expected: {text[-200:]!r}"
    if f"{RESULTS}/" in text or f"{RESULTS}:" in text:  # the first that a run does with what it understood
        return f"accepted: {text[-200:]!r}"
    if code != 2 or not _ERROR.search(text):
        return f"exit code {code}: {text[-200:]!r}"
    return None


if __name__ == "__main__":
    main()
