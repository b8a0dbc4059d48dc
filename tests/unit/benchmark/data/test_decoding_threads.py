"""The pool of threads that decode: how many, and that there is one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from benchmark.data import decode as images
from benchmark.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Executor


@pytest.fixture(autouse=True)
def _no_pool_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_POOLS", {})


def test_their_number_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(images.THREADS_VARIABLE, "3")
    assert images._pool()._max_workers == 3


@pytest.mark.parametrize("quick", [0.0, 1e9])
def test_only_work_that_takes_its_time_is_handed_to_threads(monkeypatch: pytest.MonkeyPatch, quick: float) -> None:
    monkeypatch.setattr(images, "_QUICK", quick)
    told: list[tuple[int, int]] = []

    def work(number: int) -> tuple[int, bool]:
        return 2 * number, threading.current_thread() is threading.main_thread()

    for count in (0, 1, 32, 33, 1000):
        found = list(images.in_order(work, range(count), lambda *progress: told.append(progress)))
        assert [value for value, _ in found] == [2 * number for number in range(count)]
        assert [here for _, here in found] == [number < 32 or quick > 0 for number in range(count)]
    assert told == [(1, 1), (32, 32), (33, 33), (544, 1000), (1000, 1000)]


@pytest.mark.parametrize("asked", ["0", "many", "-1", "1000", "2.5"])
def test_what_is_no_number_of_threads_is_refused(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv(images.THREADS_VARIABLE, asked)
    with pytest.raises(UserError, match=rf"BENCH_DECODE_THREADS is '{asked}'; expected 1 to 256"):
        images._pool()


def test_callers_that_come_first_together_share_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(4)

    def when_all_have_found_none() -> int:
        together.wait(10)
        return 2

    monkeypatch.setattr(images, "_threads", when_all_have_found_none)
    found: list[Executor] = []
    with ThreadPoolExecutor(4) as callers:
        for _ in range(4):
            callers.submit(lambda: found.append(images._pool()))
    assert len(found) == 4 and all(pool is found[0] for pool in found)
