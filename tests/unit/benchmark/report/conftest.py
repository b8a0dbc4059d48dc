"""Figures left out, and a method's views as a run saves them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmark.report import section_figures


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections without their figures, which are most of what a page takes."""
    monkeypatch.setattr(section_figures, "drawn", lambda *_, **__: [])


@pytest.fixture
def make_views() -> Any:
    """Makes the arrays of `glimpse.npz` of a JEPA: eight images, two by two cells."""

    def make(cells: int = 2, size: int = 8) -> dict[str, Any]:
        pixels = np.arange(8 * size * size * 3, dtype=np.uint8).reshape(8, size, size, 3)
        context = np.zeros((8, cells, cells), dtype=bool)
        context[:, 0] = True
        features = np.linspace(0, 1, 8 * cells * cells * 3, dtype=np.float32).reshape(8, cells, cells, 3)
        return {
            "images": pixels,
            "view_0": pixels[::-1].copy(),
            "context": context,
            "targets": np.stack([~context, ~context], axis=1),
            "target_pca": features,
            "predicted_pca": features,
        }

    return make
