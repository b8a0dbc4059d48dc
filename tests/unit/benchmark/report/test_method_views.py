from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmark.report.canvas import save
from benchmark.report.method_views import _masked, _rows, seen

if TYPE_CHECKING:
    from pathlib import Path


def hidden(pixels_BHWC: Any) -> bool:
    """Whether all pixels are nearly transparent, so that the page's ground, light or dark, shows through."""
    return bool((pixels_BHWC[..., 3] < 32).all())


@pytest.mark.slow
def test_a_jepas_rows_show_views_masks_and_features(make_views: Any, tmp_path: Path) -> None:
    rows = dict(_rows(make_views()))
    assert list(rows) == ["image", "view", "visible", "to predict", "target features", "predicted"]
    # The upper half is context, the lower one target; both are cut from the view, not from the image.
    view = make_views()["view_0"]
    assert np.array_equal(rows["visible"][:, :4, :, :3], view[:, :4]) and hidden(rows["visible"][:, 4:])
    assert np.array_equal(rows["to predict"][:, 4:, :, :3], view[:, 4:]) and hidden(rows["to predict"][:, :4])
    assert hidden(rows["predicted"][:, 0])
    assert np.array_equal(rows["predicted"][:, 1, :, :3], rows["target features"][:, 1])
    assert rows["target features"].max() == 255 and rows["target features"].min() == 0
    figure = seen(make_views())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(rows)
    svg, _ = save(figure, tmp_path / "seen")
    text = svg.read_text(encoding="utf-8")
    assert "data:image/png;base64," in text and 'href="http' not in text


def test_cells_that_do_not_divide_the_picture_still_cover_it() -> None:
    pixels = np.full((1, 7, 7, 3), 9, dtype=np.uint8)
    kept = _masked(pixels, np.ones((1, 3, 3), dtype=bool))
    assert (kept[..., :3] == 9).all() and (kept[..., 3] == 255).all()


def test_methods_with_two_views_number_them_and_large_pictures_shrink() -> None:
    pixels = np.zeros((8, 224, 224, 3), dtype=np.uint8)
    arrays = {"images": pixels, "view_1": pixels, "view_0": pixels, "view_10": pixels}
    assert [name for name, _ in _rows(arrays)] == ["image", "view 1", "view 2", "view 3"]
    (image,) = seen(arrays, width=3.3).axes[0].get_images()
    assert image.get_size() == (4 * 96 + 3 * 6, 4 * 96 + 3 * 6)  # a narrow figure shows four of eight
