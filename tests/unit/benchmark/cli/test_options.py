from __future__ import annotations

import pytest
import typer

from benchmark.cli.options import numbers, real, whole, words
from benchmark.errors import UserError


def test_words_are_stripped() -> None:
    assert words(" byol,simclr ", "--methods") == ["byol", "simclr"]
    assert words("", "--methods") == []
    assert words(None, "--methods") is None


def test_seeds_are_whole_numbers() -> None:
    assert numbers("0, 12") == [0, 12]
    assert numbers(None) is None
    for text in ("a", "-1", "1.5", "\u00b2", "\u0663"):
        with pytest.raises(UserError, match="is not a seed; expected whole numbers such as 0,1,2"):
            numbers(f"0,{text}")


@pytest.mark.parametrize("text", ["0,,1", ",0", "0,", " , ", ","])
def test_nothing_between_two_commas_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--seeds is .*; expected something on both sides of every comma"):
        numbers(text)


@pytest.mark.parametrize("text", ["1_0", "\u0661", "1.0", "1e3", "", "0x1", "9" * 5000, "7", "12"])
def test_options_are_plain_numbers_in_a_range(text: str) -> None:
    with pytest.raises(
        typer.BadParameter, match=r"not a whole number|out of range|not in the range 8 to 11"
    ) as refused:
        whole(8, 11)(text)
    assert len(str(refused.value)) < 200
    assert (whole(8, 11)("8"), whole(1)(4), real(0.01)("1e-2")) == (8, 4, 0.01)
    with pytest.raises(typer.BadParameter, match=r"not a number|not in the range from 0.01|out of range"):
        real(0.01)({"7": "0.001", "12": "-1", "1.0": "nan", "1e3": "inf"}.get(text, f"{text}_"))
