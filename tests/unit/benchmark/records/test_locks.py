"""Locks on folders: one process at a time, whatever happens to the others."""

import subprocess
import sys
import threading
from pathlib import Path

from benchmark.records.locks import folder_lock

_HOLD_AND_FORK = """
import os, sys
from pathlib import Path
from benchmark.records.locks import folder_lock
with folder_lock(Path(sys.argv[1])) as mine:
    if os.fork():
        print(mine is not None, flush=True)
    sys.stdin.read()  # the child too, as a worker that has not yet noticed the end of its parent
"""


def test_a_folder_has_one_process_at_a_time_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", _HOLD_AND_FORK, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        with folder_lock(folder) as mine:
            assert not mine
        other.kill()
        other.wait()
        with folder_lock(folder, wait=10) as mine:  # a child that is just being forked has it for a moment
            assert mine
    assert (folder / ".lock").is_file()


def test_who_waits_for_a_lock_file_that_is_removed_takes_a_new_one(tmp_path: Path) -> None:
    waiting, entered, leave = threading.Event(), threading.Event(), threading.Event()

    def wait_for_it() -> None:
        waiting.set()
        with folder_lock(tmp_path, wait=10) as mine:
            if mine:
                entered.set()
            leave.wait(10)

    waiter = threading.Thread(target=wait_for_it)
    with folder_lock(tmp_path) as mine:
        assert mine
        waiter.start()
        waiting.wait(10)
        assert not entered.wait(0.1)
        (tmp_path / ".lock").unlink()
    assert entered.wait(10)
    with folder_lock(tmp_path) as mine:
        assert not mine
    leave.set()
    waiter.join()
    with folder_lock(tmp_path) as mine:
        assert mine
