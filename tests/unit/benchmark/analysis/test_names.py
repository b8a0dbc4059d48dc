"""Display names."""

from __future__ import annotations

import pytest

from benchmark.analysis.names import display


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ijepa", "I-JEPA"),
        ("simclr_vit.lr-0.003", "SimCLR (ViT), lr 0.003"),
        ("my.entry", "my.entry"),
        ("unheard_of", "unheard_of"),
    ],
)
def test_a_name_as_readers_write_it(name: str, shown: str) -> None:
    assert display(name) == shown
