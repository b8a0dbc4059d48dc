"""A figure of a method's views and masks, and for the JEPAs of predicted and target features.

Shape suffixes: B images, M target blocks, H W pixels, h w cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.report import style
from benchmark.report.canvas import Caption, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from benchmark.report.run_files import MethodViews

# Of masked cells: a light grey on white paper, a dark one on a dark page.
_HIDDEN = np.array([128, 128, 128, 24], dtype=np.uint8)
_LARGEST = 96  # pixels of a picture's side, so that a page stays small
_GAP = 0.06  # between two pictures, in parts of one

_FIRST = "The first training images; views before masks."
_SEEN = (
    f"{_FIRST} The prediction, from what is visible, is compared with the target features where it is drawn; similar "
    "colours are similar features."
)
_FEATURES = (
    "“Visible” is the encoder's input; “to predict” is where its prediction is compared with the target encoder's "
    "features. Features are shown by their first three principal components as red, green and blue, fitted to the "
    "targets. The prediction is shown with the same components, only where the loss uses it."
)
_RECONSTRUCTED = f"{_FIRST} “Visible” is the encoder's input; “reconstructed” has the predicted pixels."
_PIXELS = "Each reconstructed cell has its own mean and contrast, which the method does not predict."
_VIEWS = "The first images of the training split, and the method's views of them."


def seen(views: MethodViews, *, width: float = style.FULL_WIDTH) -> Figure:
    """A column per image, a row per view, mask or feature map; a narrow figure shows half of the images."""
    return tiled(_rows(views), width)


def tiled(rows: Sequence[tuple[str, Any]], width: float) -> Figure:
    """Named rows of pictures, each `(B, side, side, 3 or 4)` as uint8; a narrow figure shows half of the columns."""
    count = len(rows[0][1])
    shown = count if width > 4 else max(1, count // 2)
    size = min(_LARGEST, max(tiles.shape[1] for _, tiles in rows))
    gap = max(1, round(_GAP * size))
    step = size + gap
    canvas = np.zeros((len(rows) * step - gap, shown * step - gap, 4), dtype=np.uint8)  # gaps are transparent
    for row, (_, tiles) in enumerate(rows):
        for column in range(shown):
            tile = _resized(_opaque(tiles)[column], size)
            canvas[row * step : row * step + size, column * step : column * step + size] = tile
    margin = 1.15  # inches for the rows' names
    with style.applied():
        high = (width - margin) * canvas.shape[0] / canvas.shape[1]
        figure, (axes,) = new_figure(width, high + 0.08)
        figure.set_layout_engine("none")
        axes.set_position((margin / width, 0.04 / (high + 0.08), 1 - margin / width, high / (high + 0.08)))
        axes.imshow(canvas, interpolation="none", aspect="equal")
        axes.set_yticks([row * step + size / 2 for row in range(len(rows))], [name for name, _ in rows])
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    return figure


def caption(views: MethodViews) -> Caption:
    """What the figure shows; masks and features are explained only if there are any."""
    if "reconstruction" in views:
        return Caption(_RECONSTRUCTED, _PIXELS)
    return Caption(_SEEN, _FEATURES) if "context" in views else Caption(_VIEWS)


def _rows(views: MethodViews) -> list[tuple[str, Any]]:
    """The rows' names and pictures, each `(B, side, side, 3 or 4)` as uint8."""
    names = sorted(
        (name for name in views if name.startswith("view_") and name[5:].isdecimal()), key=lambda name: int(name[5:])
    )
    rows = [("image", views["images"])]
    rows += [("view" if len(names) == 1 else f"view {i}", views[name]) for i, name in enumerate(names, 1)]
    seen_by_encoder = views[names[0]] if names else views["images"]
    if "context" in views:
        rows.append(("visible", _masked(seen_by_encoder, views["context"])))
    hidden = views["targets"].any(axis=1) if "targets" in views else None
    if hidden is not None:
        rows.append(("to predict", _masked(seen_by_encoder, hidden)))
    if "reconstruction" in views:
        rows.append(("reconstructed", views["reconstruction"]))
    if "target_pca" in views:
        rows.append(("target features", _colours(views["target_pca"])))
    if "predicted_pca" in views:
        predicted = _colours(views["predicted_pca"])
        # Elsewhere some methods predict nothing, and the colour there means nothing.
        rows.append(("predicted", _masked(predicted, hidden) if hidden is not None else predicted))
    return rows


def _colours(features_BhwC: Any) -> Any:
    return np.rint(255 * np.clip(np.nan_to_num(features_BhwC), 0, 1)).astype(np.uint8)


def _opaque(pixels_BHWC: Any) -> Any:
    """The pictures with an alpha channel."""
    if pixels_BHWC.shape[-1] == 4:
        return pixels_BHWC
    return np.concatenate([pixels_BHWC, np.full_like(pixels_BHWC[..., :1], 255)], axis=-1)


def _masked(pixels_BHWC: Any, cells_Bhw: Any) -> Any:
    """The pictures with all but some cells blanked."""
    side = pixels_BHWC.shape[1:3]
    rows, columns = (np.arange(n) * cells // n for n, cells in zip(side, cells_Bhw.shape[1:], strict=True))
    kept_BHW = cells_Bhw[:, rows][:, :, columns]
    return np.where(kept_BHW[..., None], _opaque(pixels_BHWC), _HIDDEN)


def _resized(tile_HWC: Any, size: int) -> Any:
    """A square picture of some size, by repeating or averaging pixels; other shapes are stretched."""
    from PIL import Image

    method = Image.Resampling.BOX if tile_HWC.shape[0] > size else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(tile_HWC).resize((size, size), method))
