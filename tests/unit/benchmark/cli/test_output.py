"""Standard output that is full, closed or of few characters."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

import pytest

from benchmark.cli.output import CLOSED, safe_output

if TYPE_CHECKING:
    from collections.abc import Callable


class Broken(io.StringIO):
    """A stream that fails from some write on, or when it is flushed."""

    def __init__(self, number: int, after: int) -> None:
        super().__init__()
        self.number, self.after = number, after

    def write(self, text: str) -> int:
        if self.after <= 0:
            raise OSError(self.number, "")
        self.after -= 1
        return super().write(text)

    def flush(self) -> None:
        if self.after <= 0:
            raise OSError(self.number, "")


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (errno.EPIPE, CLOSED, ""),
        (errno.ENOSPC, 2, "error: the output cannot be written (No space left on device)"),
        (errno.EIO, 2, "error: the output cannot be written (Input/output error)"),
    ],
)
def test_a_lost_output_ends_the_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
    message: str,
    after: int,
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(number, after))
    with pytest.raises(SystemExit) as stop, safe_output():
        try:
            for _ in range(5):
                print("line", end="")
        except OSError:  # what a command does about its own files
            pytest.fail("the output's error became another one")
    assert (stop.value.code, capsys.readouterr().err.strip()) == (code, message)


def test_characters_that_the_terminal_lacks_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with safe_output():
        print("caf\udce9 ±")
    assert raw.getvalue() == b"caf\\udce9 \\xb1\n"


def test_the_command_line_has_it(bench: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC, 0))
    code, printed = bench("list", "methods")
    assert code == 2 and "the output cannot be written" in printed


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
@pytest.mark.parametrize("arguments", [["run", "no-such.yaml"], ["run", "--no-such"], ["no-such"]])
def test_a_lost_standard_error_leaves_the_exit_code(
    bench: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, number: int, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(number, 0))
    assert bench(*arguments) == (2, "")


def test_closed_streams_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)  # as Python has it after `>&-`
    monkeypatch.setattr("sys.stderr", None)
    with safe_output():
        print("lost")
    assert sys.stdout is not None and sys.stdout.name == sys.stderr.name == os.devnull
