from __future__ import annotations

import pytest

from benchmark.cli.options import numbers, words
from benchmark.errors import UserError


def test_words_are_stripped_and_empty_ones_dropped() -> None:
    assert words(" byol, ,simclr,") == ["byol", "simclr"]
    assert words("") == []
    assert words(None) is None


def test_seeds_are_whole_numbers() -> None:
    assert numbers("0, 12") == [0, 12]
    assert numbers(None) is None
    for text in ("a", "-1", "1.5", "\u00b2", "\u0663"):
        with pytest.raises(UserError, match="is not a seed; expected whole numbers such as 0,1,2"):
            numbers(f"0,{text}")
