"""Shared parts of all figures: the canvas, the unit of cost, a figure's files and its SVG as an HTML element."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparability import grouped
from benchmark.files.disk import write_atomically
from benchmark.records.budgets import budget_of, budget_size
from benchmark.report import style

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.analysis.comparison import Row


def new_figure(
    width: float, height: float, columns: int = 1, *, rows: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with its own canvas, which needs no window system and no global state. Sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Writes `<stem>.svg` and `<stem>.png` (300 dpi) and returns them; equal figures give equal bytes."""
    svg, png = stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")
    metadata: dict[Path, dict[str, Any]] = {svg: {"Date": None, "Creator": None}, png: {"Software": None}}
    for path, unnamed in metadata.items():
        buffer = io.BytesIO()
        with style.applied():
            figure.savefig(buffer, format=path.suffix[1:], dpi=300 if path is png else "figure", metadata=unnamed)
        write_atomically(path, buffer.getvalue())
    return svg, png


def freeze(figure: Figure) -> None:
    """Lays a figure out once and for all, so that labels can be placed between what is drawn."""
    figure.canvas.draw()
    figure.set_layout_engine("none")


@dataclass(frozen=True)
class Caption:
    """What a figure shows, in at most two lines of the page, and how to read it in detail."""

    text: str
    details: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure in the page.

    Attributes:
        stem: its file without ending, relative to the page.
        svg: inlined.
        narrow: inlined, for narrow screens; empty where there is none.
        images: whether it holds photographs, whose colours have to stay as they are.
        width: in inches, of `svg`, so that the page does not enlarge small figures.
    """

    stem: str
    svg: str
    narrow: str
    title: str
    caption: Caption
    images: bool = False
    width: float = style.FULL_WIDTH


def picture(
    figure: Figure, narrow: Figure | None, out: Path, stem: str, title: str, caption: Caption, *, images: bool = False
) -> Picture:
    """Writes a figure's files into `<out>/figures/`: at full width, and for a column if there is a narrow one."""
    svg, _ = save(figure, out / "figures" / stem)
    said = f"{title}. {caption.text}"
    small = "" if narrow is None else inline_svg(save(narrow, out / "figures" / f"{stem}-column")[0], said)
    return Picture(f"figures/{stem}", inline_svg(svg, said), small, title, caption, images, figure.get_figwidth())


def inline_svg(path: Path, said: str = "") -> str:
    """An SVG file of matplotlib as an element for an HTML page: scalable, with ids unique to the file.

    `said`: what a screen reader says in its place.
    """
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    head, body = text.split(">", 1)
    head = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    prefix = re.sub(r"\W", "-", path.stem)
    body = re.sub(r'(<[^<>]*\sid=")', rf"\g<1>{prefix}-", body)
    body = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{prefix}-", body)
    return f'{head} role="img" aria-label="{escape(said, quote=True)}">{body}'


def cost_unit(seconds: Sequence[float], devices: int = 1, word: str = "Training") -> tuple[float, str]:
    """The unit of training time in seconds, and the label of its axis, which begins with a word."""
    longest = max(seconds, default=0.0)
    if devices > 1 or longest > 2 * 3600:
        return 3600.0, f"{word} cost (device-hours)"
    return (60.0, f"{word} time (minutes)") if longest > 120 else (1.0, f"{word} time (seconds)")


def ladders(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each entry, by rising budget; calibrated budgets by different records are apart."""

    def ladder(row: Row) -> tuple[object, ...]:
        first = row.first
        return first.experiment, first.entry, first.backbone, budget_of(first).get("step_cost")

    groups = grouped(rows, ladder)
    return [sorted(rungs, key=lambda row: budget_size(row.first)) for rungs in groups.values()]


def far_above(value: float, rest: Sequence[float]) -> bool:
    """Whether a value (the supervised ceiling) is so high that showing it would squeeze all others."""
    return bool(rest) and value > max(rest) + max(max(rest) - min(rest), 3.0)


def draw_front(
    axes: Axes, points: Sequence[tuple[float, float]], floor: float, *, dashed: bool = False
) -> list[tuple[float, float]]:
    """Draws a Pareto front as a step line and returns its corners; none without points.

    Args:
        axes: with final limits, because the line continues to the right edge.
        points: (cost, accuracy) pairs of the front, by rising cost.
        floor: the height from which the line rises to the first point.
    """
    if not points:
        return []
    corners = [(points[0][0], floor)]
    for x, y in points:
        corners += [(x, corners[-1][1])] if len(corners) > 1 else []
        corners.append((x, y))
    corners.append((axes.get_xlim()[1], corners[-1][1]))
    dashes = (0, (1.6, 0.8)) if dashed else "-"
    axes.plot(
        *zip(*corners, strict=True), color="#b6bcc6", linewidth=2.2, linestyle=dashes, solid_joinstyle="miter",
        zorder=1.8,
    )  # fmt: skip
    return corners


def plain_log_ticks(axes: Axes) -> None:
    """Writes 0.5, 5 and 50 instead of powers of ten, at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
