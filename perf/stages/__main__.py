"""One stage, in a process of its own: `python -m stages MODULE --results FILE --device DEVICE --seconds N`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from stages.plan import Context
from stages.results import Results

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Runs the stage; 1 if it failed, which its file then says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args(arguments)
    end = time.monotonic() + options.seconds
    data = json.loads(options.results.read_text(encoding="utf-8"))
    results = Results(options.results, data["stage"], data["identity"])
    folder = options.results.parent / data["stage"]
    context = Context(options.device, options.tiny, options.data, folder, results, end)
    missing: str | None = None
    try:
        missing = import_module(options.module).run(context)
    except Exception as error:  # a stage may fail in any way; its file says in which
        traceback.print_exc()
        context.failed.append(f"{type(error).__name__}: {error}".splitlines()[0])
    if context.failed:
        results.end("failed", "; ".join(context.failed)[:300])
        return 1
    results.end("unfinished" if missing else "done", missing or "")
    return 0


def end_with(parent: int) -> None:
    """Ends the stage, and what it has started, when nobody is left who would end it at its limit."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    sys.exit(main(sys.argv[1:]))
