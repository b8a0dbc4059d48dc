"""Writes the report: one self-contained HTML file, the same in Markdown, with figures and tables next to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.analysis.calibration import NO_PRICES
from benchmark.analysis.comparison import comparisons
from benchmark.analysis.ladder_curves import predictions
from benchmark.analysis.ladders import ladders
from benchmark.analysis.probes import probes_of
from benchmark.analysis.tables import write_leaderboard
from benchmark.errors import UserError
from benchmark.files.disk import write_atomically
from benchmark.records.budgets import budget_text
from benchmark.report import published_figure as published
from benchmark.report import style
from benchmark.report.canvas import picture
from benchmark.report.run_files import read_run_files
from benchmark.report.sections import section
from benchmark.report.study_sections import study_sections
from benchmark.report.summary import limits
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.calibration import Prices
    from benchmark.analysis.ladder_curves import Prediction
    from benchmark.records.schema import Record
    from benchmark.records.study import StudyRecord
    from benchmark.report.run_files import RunFiles

Found = tuple[Path, "Record"]
_FIGURE = re.compile(r"\]\(figures/([\w.-]+)\.svg\)")


def write_report(
    records: Sequence[Found],
    problems: Sequence[str],
    out: Path,
    *,
    looked_in: Sequence[Path] = (),
    studies: Sequence[tuple[Path, StudyRecord]] = (),
    pictures: bool | None = None,
    prices: Prices = NO_PRICES,
    predict: tuple[str, float] | None = None,
) -> Path:
    """Writes `index.html`, `report.md`, `figures/` and the tables of `write_leaderboard` into a folder.

    Args:
        records: record files with their records; next to them, `history.jsonl` has the learning curves,
            `breakdown.json` the parts of a step, `glimpse.npz` the views.
        problems: a line for each file that could not be read; the report names it.
        looked_in: the folders that were searched; named if there are no records.
        studies: files of sweeps with their records; each gets a section and a table `trials-<study>.csv`.
        pictures: whether images are shown; None: those that this project draws, and the user's own files.
        prices: the step-cost records.
        predict: kind and limit of a longer budget; a figure then shows what the ladders predict for it.

    Returns:
        The HTML file.

    Raises:
        UserError: there is neither a record nor a study, or nothing to predict from.
    """
    if not records and not studies:
        where = f" in {listing(str(path) for path in looked_in)}" if looked_in else ""
        hint = f"; {len(problems)} could not be read, the first: {problems[0]}" if problems else ""
        raise UserError(f"no records{where}: expected record.json files, as `bench run` writes them{hint}")
    style.learn(record for _, record in records)
    found = sorted(records, key=lambda pair: (pair[1].entry, budget_text(pair[1]), pair[1].seed, str(pair[0])))
    longer = predictions([record for _, record in found], prices, *predict) if predict else []
    context = _context(found, problems, out, studies, read_run_files(found, pictures=pictures), prices, longer)
    write_leaderboard(found, out, prices=prices)
    before = _figures(out)
    for template, name in (("report.md.j2", "report.md"), ("index.html.j2", "index.html")):
        write_atomically(out / name, _render(template, context))
    for stem in before - _figures(out):  # of an earlier report in this folder
        for name in (f"{stem}.svg", f"{stem}.png", f"{stem}-column.svg", f"{stem}-column.png"):
            (out / "figures" / name).unlink(missing_ok=True)
    return out / "index.html"


def _figures(out: Path) -> set[str]:
    """The names of the figures that the report in a folder shows; empty where there is none."""
    try:
        return set(_FIGURE.findall((out / "report.md").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return set()


def _context(
    found: Sequence[Found],
    problems: Sequence[str],
    out: Path,
    studies: Sequence[tuple[Path, StudyRecord]],
    files: RunFiles,
    prices: Prices,
    longer: Sequence[Prediction],
) -> dict[str, Any]:
    """The values that the templates show; writes the figures."""
    records = [record for _, record in found]
    every = comparisons(records, prices)
    every_ladder = ladders(every)
    published_numbers = None
    if published.belongs(records):
        wide, narrow = (published.published_figure(width=width) for width in (style.FULL_WIDTH, style.COLUMN_WIDTH))
        drawn = picture(wide, narrow, out, "published", "Published cost and accuracy", published.caption())
        published_numbers = drawn, published.published_table(), published.note()
    return {
        "title": listing(sorted({record.experiment for record in records} | {study.name for _, study in studies})),
        "sections": [
            section(rungs, found, files, out, prices=prices, longer=longer, alone=len(every_ladder) == 1)
            for rungs in every_ladder
        ],
        "studies": study_sections(studies, out),
        "published": published_numbers,
        "limits": limits(every, [*problems, *probes_of(found)[1], *files.problems], prices),
        "runs": len(found),
        "completed": sum(record.status == "completed" for record in records),
        "ended": max((record.ended for record in records), default="")[:10],
    }


def _markdown(value: object) -> str:
    """Escapes text for Markdown, also inside a table."""
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|])", r"\\\1", text)
    return " ".join(text.split())


def _render(template: str, context: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = _markdown
    return environment.get_template(template).render(**context)
