"""data2vec: what is refused."""

from __future__ import annotations

from typing import Any

import pytest


def test_more_blocks_than_there_are_are_refused(lab: Any) -> None:
    with pytest.raises(ValueError, match="blocks is 3; the network has 2"):
        lab.build("data2vec", "vit", blocks=3)
