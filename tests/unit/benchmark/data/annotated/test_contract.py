"""What layouts find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmark.data.annotated.contract import Annotated, Item
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_split_without_images_is_refused(tmp_path: Path) -> None:
    item = Item(tmp_path / "a.png", count=1)
    assert Annotated(tmp_path, "counts", (item,), None).test is None
    with pytest.raises(UserError, match="counts, but there is no image in test"):
        Annotated(tmp_path, "counts", (item,), ())
