from __future__ import annotations

from benchmark.analysis.comparison import UNSAFE_TIMES
from benchmark.report.badges import WORDS, badges


def test_words_come_with_their_explanation_and_unknown_ones_without() -> None:
    (known, unknown, counted) = badges(["preliminary", "invalid: a bug; fixed", "2 completed, 1 diverged"])
    assert known == ("preliminary", "fewer than 3 completed seeds: no result yet")
    assert unknown == ("invalid: a bug; fixed", "")
    assert counted == ("2 completed, 1 diverged", "a loss was not finite")


def test_every_flag_that_makes_times_unsafe_is_explained() -> None:
    assert set(WORDS) >= UNSAFE_TIMES
    assert all("times are unsafe" in WORDS[flag] for flag in UNSAFE_TIMES)
