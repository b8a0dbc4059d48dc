"""A figure of what each method keeps: a small multiple per property, methods on the same axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.values import joined
from benchmark.report import style
from benchmark.report.canvas import Caption, freeze, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.analysis.comparison import Row
    from benchmark.analysis.kept import Kept
    from benchmark.analysis.statistics import Summary

_ROW, _HEAD, _NAMES = 0.19, 0.72, 1.15  # inches: of an entry, of a panel's axis and title, of the entries' names
_WIDE = 4  # panels beside each other in a wide figure
Panel = tuple[str, bool, "dict[int, Summary]", "float | None"]  # label, whether higher is better, scores, floor


def kept_figure(rows: Sequence[Row], measured: Sequence[Kept], *, width: float = style.FULL_WIDTH) -> Figure | None:
    """Means and 95% intervals of top-1 and of each property; the dotted line is what knowing nothing scores.

    Returns:
        The figure; None if no property was measured.
    """
    if not measured:
        return None
    panels: list[Panel] = [("top-1 (%)", True, {id(row): row.accuracy for row in rows if row.accuracy.n}, None)]
    panels += [(_label(each, measured), each.property.higher, each.summaries, each.floor) for each in measured]
    shown = [row for row in rows if any(id(row) in scores for _, _, scores, _ in panels[1:])][::-1]
    columns = min(len(panels), _WIDE if width > 4 else 2)
    lines = -(-len(panels) // columns)
    with style.applied():
        figure, axes = new_figure(width, lines * (_HEAD + _ROW * len(shown)), columns, rows=lines, sharey=True)
        for place, panel in zip(axes, panels, strict=False):
            _draw(place, shown, panel)
        for empty in axes[len(panels) :]:
            empty.set_visible(False)
        freeze(figure)
    return figure


def _label(one: Kept, measured: Sequence[Kept]) -> str:
    """The axis's words, with the dataset where not all are of one."""
    several = len({each.dataset for each in measured}) > 1
    return one.property.label + (f"\n{one.dataset}" if several else "")


def _draw(axes: Axes, rows: Sequence[Row], panel: Panel) -> None:
    label, higher, scores, floor = panel
    for height, row in enumerate(rows):
        summary = scores.get(id(row))
        if summary is None or summary.mean is None:
            continue
        shade = style.colour(row.first.entry, row.first.method)
        axes.errorbar(
            summary.mean, height, xerr=summary.ci95, fmt=style.marker(row.first), color=shade, markersize=4.2,
            elinewidth=1.0, capsize=0, zorder=3,
        )  # fmt: skip
    if floor is not None:
        axes.axvline(floor, color=style.FAINT, linewidth=0.8, linestyle=":", zorder=1)
    axes.set_yticks(range(len(rows)), [style.display(row.first.entry) for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(label)
    axes.set_title(
        "better →" if higher else "← better", fontsize=6.5, color=style.FAINT, loc="right" if higher else "left"
    )
    axes.grid(visible=True, axis="y", linewidth=0.4)


def caption(measured: Sequence[Kept]) -> Caption:
    """What the figure shows, and on which data."""
    places = joined(each.dataset for each in measured)
    return Caption(
        f"Means over seeds with 95% intervals; dense scores on {places}, test split. Dotted: what knowing nothing of "
        "the image scores.",
        "Encoders are frozen, but for AP, for which they are fine-tuned. Each property has the scale of its own unit. "
        "An interval needs two seeds, and few seeds give wide ones; it is not adjusted for the number of properties or "
        "entries. An untrained network keeps places, too: what training added is the distance to random init of the "
        "same network. Feature maps of different networks have different grids, and a finer grid helps segmentation "
        "and depth.",
    )
