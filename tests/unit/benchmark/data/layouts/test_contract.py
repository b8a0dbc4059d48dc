"""The contract of layouts."""

from __future__ import annotations

from benchmark.data.layouts.contract import CERTAIN, GUESS, LIKELY, Near


def test_reasons_are_ordered_by_closeness() -> None:
    reasons = [Near("a guess"), Near("certain", CERTAIN), Near("likely", LIKELY)]
    assert max(reasons, key=lambda near: near.closeness).reason == "certain"
    assert Near("").closeness == GUESS
