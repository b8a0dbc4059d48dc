"""Figures for the page: their files, and their SVG as an HTML element."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.report import canvas, style

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure in the page.

    Attributes:
        stem: its file without ending, relative to the page.
        svg: inlined.
        narrow: inlined, for narrow screens; empty where there is none.
        title: in bold before the caption.
        caption: explains the figure.
        images: whether it holds photographs, whose colours have to stay as they are.
        width: in inches, of `svg`, so that the page does not enlarge small figures.
    """

    stem: str
    svg: str
    narrow: str
    title: str
    caption: str
    images: bool = False
    width: float = style.FULL_WIDTH


def picture(
    figure: Figure, narrow: Figure | None, out: Path, stem: str, title: str, caption: str, *, images: bool = False
) -> Picture:
    """Writes a figure's files into `<out>/figures/`: at full width, and for a column if there is a narrow one."""
    svg, _ = canvas.save(figure, out / "figures" / stem)
    small = "" if narrow is None else inline_svg(canvas.save(narrow, out / "figures" / f"{stem}-column")[0])
    return Picture(f"figures/{stem}", inline_svg(svg), small, title, caption, images, figure.get_figwidth())


def inline_svg(path: Path) -> str:
    """An SVG file of matplotlib as an element for an HTML page: scalable, with ids unique to the file."""
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    head, body = text.split(">", 1)
    head = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    prefix = re.sub(r"\W", "-", path.stem)
    body = re.sub(r'(<[^<>]*\sid=")', rf"\g<1>{prefix}-", body)
    body = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{prefix}-", body)
    return f'{head} role="img">{body}'
