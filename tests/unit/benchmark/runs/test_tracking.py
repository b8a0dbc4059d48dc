"""Trackers: which are chosen, what they receive, and that a failing tracker ends nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest
import torch

from benchmark.cost.ledger import Ledger
from benchmark.errors import UserError
from benchmark.machine.ranks import Ranks
from benchmark.runs import tracking
from benchmark.runs.tracking import Tool, Tracker, chosen_tools

if TYPE_CHECKING:
    from collections.abc import Iterator

RANKS = Ranks(torch.device("cpu"))
HISTORY = [
    {"kind": "train", "step": 20, "progress": 0.5, "loss": 1.0},
    {"kind": "evaluation", "step": 20, "progress": 0.5, "knn20": 30.0},
    {"kind": "train", "step": 40, "progress": 1.0, "loss": 0.5},
]


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[MagicMock]:
    """A tracker called `notes`."""
    made = MagicMock()
    monkeypatch.setitem(tracking.TOOLS, "notes", Tool(("json",), lambda subject: made))
    return made


def test_trackers_are_named_once_and_have_to_be_installed(logger: MagicMock, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_tools(None) == ()
    assert chosen_tools(["notes, notes", "notes"]) == ("notes",)
    with pytest.raises(UserError, match="--track: unknown tracker 'note'; did you mean 'notes'"):
        chosen_tools(["note"])
    monkeypatch.setitem(tracking.TOOLS, "notes", Tool(("no_such_module",), lambda subject: logger))
    with pytest.raises(UserError, match="--track notes: no_such_module is not installed"):
        chosen_tools(["notes"])


def test_each_line_is_sent_once_at_its_step(logger: MagicMock) -> None:
    ledger = Ledger(lambda: None)
    tracker = Tracker(["notes"], ledger, RANKS)
    tracker.open(MagicMock(resumed_step=None))
    tracker.follow(HISTORY[:2], 100.0)
    tracker.follow(HISTORY, 200.0)
    tracker.finish({"test/online": {"linear_top1": 50.0, "weights": "online"}}, well=True)
    sent = [call.args for call in logger.log_metrics.call_args_list]
    assert sent == [
        ({"train/progress": 0.5, "train/loss": 1.0}, 20),
        ({"validation/progress": 0.5, "validation/knn20": 30.0}, 20),
        ({"train/progress": 1.0, "train/loss": 0.5, "train/images_per_second": 200.0}, 40),
        ({"test/online/linear_top1": 50.0}, 40),
    ]
    logger.finalize.assert_called_once_with("success")
    assert ledger.tracked


def test_a_tracker_that_fails_is_dropped(logger: MagicMock, caplog: pytest.LogCaptureFixture) -> None:
    logger.log_metrics.side_effect = RuntimeError("server gone\nmore")
    tracker = Tracker(["notes"], Ledger(lambda: None), RANKS)
    tracker.open(MagicMock(resumed_step=None))
    tracker.follow(HISTORY)
    tracker.finish({}, well=True)
    assert logger.log_metrics.call_count == 1 and not logger.finalize.called
    assert "server gone" in caplog.text and "more" not in caplog.text


def test_without_trackers_nothing_is_charged() -> None:
    ledger = Ledger(lambda: None)
    tracker = Tracker([], ledger, RANKS)
    subject: Any = MagicMock(resumed_step=None)
    tracker.open(subject)
    tracker.follow(HISTORY)
    assert not ledger.tracked and ledger.record(None).phases.logging == 0.0
