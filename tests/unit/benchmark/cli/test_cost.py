"""The options of `bench cost`."""

from __future__ import annotations

import pytest

from benchmark.cli.cost import _percent
from benchmark.errors import UserError


@pytest.mark.parametrize(("text", "share"), [("2%", 0.02), ("0.5%", 0.005), ("0.03", 0.03)])
def test_a_precision_is_a_share(text: str, share: float) -> None:
    assert _percent(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "-1%", "100%", "two", "nan", ""])
def test_other_precisions_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"--precise is '{text}'; expected a share such as 2%"):
        _percent(text)
