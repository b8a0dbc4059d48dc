from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from benchmark.records.schema import FINAL_STATUSES, LedgerRecord, Metrics, Record


def test_a_failed_run_alone_is_tried_again() -> None:
    assert set(FINAL_STATUSES) == {"completed", "collapsed", "diverged", "pruned"}


def test_the_primary_encoder_has_to_be_among_the_encoders(make_record: Any) -> None:
    metrics = make_record("byol", ema_top1=47.0).metrics
    assert metrics.scores.linear_top1 == 45.0
    assert Metrics.model_validate({**metrics.model_dump(), "primary": "ema"}).scores.linear_top1 == 47.0
    with pytest.raises(ValidationError, match="primary is 'x', but the encoders are online, ema"):
        Metrics.model_validate({**metrics.model_dump(), "primary": "x"})


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", -1), ("status", "done"), ("cause", "bad luck"), ("purpose", "fun"), ("crops", "none"), ("host", "here")],
)
def test_a_record_refuses_unknown_words_and_keys(make_record: Any, key: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate({**make_record("byol").model_dump(), key: value})


def test_what_an_older_ledger_lacks_is_unknown(make_record: Any) -> None:
    old = make_record("byol").ledger.model_dump(exclude={"energy", "flops", "tracked", "resumed", "other_cores"})
    ledger = LedgerRecord.model_validate(old)
    assert (ledger.energy, ledger.flops, ledger.other_cores, ledger.resumed, ledger.tracked) == (
        None,
        None,
        None,
        0,
        False,
    )
