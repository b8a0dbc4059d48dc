"""The report: one HTML file that needs nothing else, the same in Markdown, figures and tables beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparability import ladder_key
from benchmark.analysis.comparison import Comparison, comparisons
from benchmark.analysis.probes import probes_of
from benchmark.analysis.tables import write_leaderboard
from benchmark.errors import UserError
from benchmark.files import write_atomically
from benchmark.records.budgets import budget_text
from benchmark.report import published_figure as published
from benchmark.report import style
from benchmark.report.pictures import Picture, picture
from benchmark.report.run_files import read_beside
from benchmark.report.sections import section
from benchmark.report.study_sections import study_sections
from benchmark.report.summary import limits
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.records.schema import Record
    from benchmark.records.study import StudyRecord
    from benchmark.report.tables import Table

Found = tuple[Path, "Record"]


def write_report(
    records: Sequence[Found],
    problems: Sequence[str],
    out: Path,
    *,
    looked_in: Sequence[Path] = (),
    studies: Sequence[tuple[Path, StudyRecord]] = (),
    pictures: bool = False,
) -> Path:
    """Writes `index.html`, `report.md`, `leaderboard.csv`, `runs.csv` and `figures/` into a folder.

    Args:
        records: record files and what they hold; `history.jsonl` beside them gives the learning curves,
            `breakdown.json` the parts of a step, `glimpse.npz` how each method sees.
        problems: what could not be read, one line each; the report names it.
        out: made if it does not exist.
        looked_in: where records were searched for; said if there are none.
        studies: files of sweeps and what they hold; each gets a section and a table `trials-<study>.csv`.
        pictures: show the images of other people's datasets, too; those that this project draws itself always are.

    Returns:
        The HTML file.

    Raises:
        UserError: there is neither a record nor a study.
    """
    if not records and not studies:
        where = f" in {listing(str(path) for path in looked_in)}" if looked_in else ""
        hint = f"; {len(problems)} not readable, the first: {problems[0]}" if problems else ""
        raise UserError(f"no records{where}: expected record.json files, as `bench run` writes them{hint}")
    found = sorted(records, key=lambda pair: (pair[1].entry, budget_text(pair[1]), pair[1].seed, str(pair[0])))
    every = comparisons([record for _, record in found])
    ladders: dict[str, list[Comparison]] = {}
    for comparison in every:
        ladders.setdefault(ladder_key(comparison.first), []).append(comparison)
    beside = read_beside(found, pictures=pictures)
    sections = [section(rungs, found, beside, out, alone=len(ladders) == 1) for rungs in ladders.values()]
    names = sorted({record.experiment for _, record in found} | {study.name for _, study in studies})
    context: dict[str, Any] = {
        "title": listing(names),
        "sections": sections,
        "studies": study_sections(studies, out),
        "published": _published(out) if published.belongs([record for _, record in found]) else None,
        "limits": limits(every, [*problems, *probes_of(found)[1], *beside.problems]),
        "runs": len(found),
        "completed": sum(record.status == "completed" for _, record in found),
        "ended": max((record.ended for _, record in found), default="")[:10],
    }
    write_leaderboard(found, out)
    for template, name in (("report.md.j2", "report.md"), ("index.html.j2", "index.html")):
        write_atomically(out / name, _render(template, context))
    return out / "index.html"


def _published(out: Path) -> tuple[Picture, Table, str]:
    wide, narrow = (published.published_figure(width=width) for width in (style.FULL_WIDTH, style.COLUMN_WIDTH))
    drawn = picture(wide, narrow, out, "published", "Published cost and accuracy", published.caption())
    return drawn, published.published_table(), published.note()


def _markdown(value: object) -> str:
    """Text that Markdown shows as it is, inside a table too."""
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
