"""Signals: the first asks to stop, the second ends the program."""

from __future__ import annotations

import os
import signal

import pytest

from benchmark.machine.interrupt import StopSignal


def test_the_first_signal_asks_to_stop_and_the_second_ends_at_once() -> None:
    messages: list[str] = []
    handler = signal.getsignal(signal.SIGINT)
    with StopSignal(messages.append, first="the row is written") as stop_signal:
        assert not stop_signal.requested
        signal.raise_signal(signal.SIGTERM)
        assert stop_signal.requested
        assert messages == ["interrupting: the row is written; once more ends at once"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(messages) == 1


def test_within_its_patience_a_second_signal_counts_as_the_first() -> None:
    with StopSignal(lambda message: None, patience=60) as stop_signal:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert stop_signal.requested


def test_the_message_says_what_the_program_does_first() -> None:
    messages: list[str] = []
    with StopSignal(messages.append) as stop_signal:
        with stop_signal.first("the estimate ends"):
            pass
        signal.raise_signal(signal.SIGINT)
    assert messages == ["interrupting: the state is saved after this step; once more ends at once"]
    with StopSignal(messages.append) as stop_signal, stop_signal.first("the estimate ends"):
        signal.raise_signal(signal.SIGINT)
    assert messages[1] == "interrupting: the estimate ends; once more ends at once"


def test_the_end_of_the_parent_asks_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_signal = StopSignal(lambda message: None, parent=os.getppid())
    assert not stop_signal.requested
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert stop_signal.requested


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_closed_terminal_and_a_schedulers_signals_save_like_sigterm_however_often(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # SIGHUP is ignored where the tests run under `nohup`
    try:
        with StopSignal(lambda message: None) as stop_signal:
            signal.raise_signal(number)
            assert stop_signal.requested
            signal.raise_signal(number)  # a launcher may pass it on as well
    finally:
        signal.signal(number, before)


def test_in_a_job_no_second_signal_ends_at_once() -> None:
    messages: list[str] = []
    with StopSignal(messages.append, insist=False) as stop_signal:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        assert stop_signal.requested
    assert messages == ["interrupting: the state is saved after this step"]


def test_signals_are_caught_again_after_a_library_has_replaced_the_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal(str) as stop_signal:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop_signal.renew()
        signal.raise_signal(signal.SIGTERM)
        assert stop_signal.requested
    assert signal.getsignal(signal.SIGTERM) is before


def test_under_nohup_the_closed_terminal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal(lambda message: None) as stop_signal:
            signal.raise_signal(signal.SIGHUP)
            assert not stop_signal.requested
    finally:
        signal.signal(signal.SIGHUP, before)
