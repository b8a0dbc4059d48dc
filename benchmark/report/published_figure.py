"""A figure and a table of published numbers: hollow, so that none looks like a run of this project.

They appear only where the experiment is theirs: on ImageNet-100 at 224 px.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.published import DESCRIPTION, REPOSITORY, PublishedRun, on_published_axes, published
from benchmark.report import style
from benchmark.report.canvas import Caption, freeze, new_figure
from benchmark.report.labels import Box, Label, place
from benchmark.report.tables import Cell, Table, make_table, number_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.records.schema import Record


def caption() -> Caption:
    """What the published points are."""
    source = published()[REPOSITORY]
    return Caption(
        "Published by others, not measured here; on a ResNet-50 where no network is named.",
        f"Source: {source.citation}. {source.conditions}",
    )


def note() -> str:
    """How to read the table of all sources."""
    sources = published()
    return (
        f"There are two sources, and they contradict each other: {sources[REPOSITORY].citation}; and "
        f"{sources[DESCRIPTION].citation}. Hardware, images and protocol differ from those of the runs above: compare "
        "orders and ratios, not values."
    )


def counted() -> list[PublishedRun]:
    """The published runs whose device-hours are known."""
    return [run for source in published().values() for run in source.runs if run.device_hours is not None]


def name_of(run: PublishedRun) -> str:
    """The method, with its network if that is not the ResNet-50."""
    name = style.display(run.method)
    return name if run.backbone == "ResNet-50" else f"{name} ({run.backbone})"


def belongs(records: Sequence[Record]) -> bool:
    """Whether published numbers suit these records: CNN-JEPA and another published method on their images and size."""
    if not records or not all(map(on_published_axes, records)):
        return False
    methods = {record.method for record in records}
    known = {run.method for source in published().values() for run in source.runs}
    return "cnn_jepa" in methods and len(methods & known) > 1


def draw_points(axes: Axes) -> list[tuple[Label, tuple[Box, float]]]:
    """Draws the published runs over device-hours, hollow, in their methods' colours; returns labels and obstacles.

    The obstacles are in display coordinates, so the axes' limits have to be final.
    """
    labels = []
    dot = axes.figure.dpi / 72
    for run in counted():
        x, y = run.device_hours or 0.0, run.linear_top1
        colour, marker = style.colour(run.method), "s" if run.vit else "o"
        axes.scatter([x], [y], s=20, marker=marker, facecolors="none", edgecolors=colour, linewidths=0.8, zorder=2)
        left, top = axes.transData.transform((x, y))
        box = Box.around(left, top, 3.4 * dot)
        labels.append((Label(name_of(run), x, y, style.text_colour(colour)), (box, 12.0)))
    return labels


def published_figure(*, width: float = style.COLUMN_WIDTH) -> Figure:
    """Published device-hours against published accuracy."""
    with style.applied():
        figure, (axes,) = new_figure(width, 0.8 * width if width < 4 else 0.5 * width)
        hours = [run.device_hours or 0.0 for run in counted()]
        scores = [run.linear_top1 for run in counted()]
        axes.set_xlim(0.0, 1.3 * max(hours))
        axes.set_ylim(min(scores) - 6, max(scores) + 6)
        axes.set(xlabel="Published cost, whole job (device-hours)", ylabel="Published linear top-1 (%)")
        key = "\u25cb CNN\u2003\u25a1 ViT\u2003published, not ours"
        axes.set_title(key, loc="right", fontsize=6.5, fontweight="normal", color=style.FAINT)
        freeze(figure)
        drawn = draw_points(axes)
        place(axes, [label for label, _ in drawn], [obstacle for _, obstacle in drawn])
    return figure


def published_table() -> Table:
    """All published runs, source by source."""
    rows = [
        {
            "Method": Cell(style.display(run.method)),
            "Network": Cell(run.backbone),
            "Epochs": number_cell(run.epochs, lambda epochs: f"{epochs}"),
            "Device-hours": number_cell(run.device_hours, lambda hours: f"{hours:.1f}"),
            "Relative to CNN-JEPA": number_cell(source.ratio(run), lambda ratio: f"{ratio:.2f}"),
            "Linear top-1 (%)": number_cell(run.linear_top1, lambda score: f"{score:.1f}"),
            "Source": Cell(source.label),
        }
        for source in published().values()
        for run in source.runs
    ]
    return make_table(rows, "Epochs", "Device-hours", "Relative to CNN-JEPA", "Linear top-1 (%)")
