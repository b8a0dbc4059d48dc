"""Which code runs here, and how another process runs the same."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import benchmark
from benchmark.machine import code

if TYPE_CHECKING:
    import pytest

ROOT = str(Path(benchmark.__file__).parents[1])


def test_the_versions_that_all_machines_need_are_named() -> None:
    versions = {"cnn-jepa-bench": version("cnn-jepa-bench"), "torch": version("torch")}
    assert code.versions_here() == versions


def test_another_process_finds_this_code_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    assert code.own_code()["PYTHONPATH"] == os.pathsep.join((ROOT, "/theirs"))


def test_a_command_that_fails_prints_nothing() -> None:
    assert code.output(["echo", " words "]) == "words"
    assert code.output(["false"]) is None and code.output(["no-such-program"]) is None


def test_uncommitted_changes_are_part_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"commit": ("abc", True)}
    monkeypatch.setattr(code, "commit_here", lambda: answers["commit"])
    monkeypatch.setattr(code, "output", lambda command: "the changes")
    code.code_state.cache_clear()
    changed = code.code_state()
    answers["commit"] = ("abc", False)
    code.code_state.cache_clear()
    assert (changed[:4], code.code_state()) == ("abc+", "abc")
    answers["commit"] = ("abc", True)
    asked: list[list[str]] = []
    monkeypatch.setattr(code, "output", lambda command: asked.append(command) or "")  # type: ignore[func-returns-value]
    code.code_state.cache_clear()
    assert code.code_state() == "abc" and {":!docs", ":!results", ":!reports"} <= set(asked[0])  # pages alone changed
    code.code_state.cache_clear()
