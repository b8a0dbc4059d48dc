"""Whoever reports progress has every method of the protocol, with its parameters."""

from __future__ import annotations

import inspect

import pytest

from benchmark.cli.console import ConsoleReporter
from benchmark.runs.progress import Reporter
from benchmark.sweep.progress import TrialReporter


@pytest.mark.parametrize("kind", [ConsoleReporter, TrialReporter])
def test_reporters_fit_the_protocol(kind: type) -> None:
    for name, wanted in vars(Reporter).items():
        if not name.startswith("_") and inspect.isfunction(wanted):
            assert list(inspect.signature(getattr(kind, name)).parameters) == list(inspect.signature(wanted).parameters)
