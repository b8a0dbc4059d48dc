"""The report: one HTML file that needs nothing else, the same in Markdown, figures and tables beside them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparison import MEASURED, Comparison, budget_text, comparisons, hardware_key, ladder_key
from benchmark.analysis.differences import reference_of
from benchmark.analysis.further import further_tables, probes_of
from benchmark.analysis.leaderboard import write_leaderboard
from benchmark.errors import UserError
from benchmark.records import write_atomically
from benchmark.report import figures, style
from benchmark.report.pictures import Picture, picture
from benchmark.report.studies import study_sections
from benchmark.report.summary import answer, limits, listing, name_of
from benchmark.report.tables import (
    Table,
    differences_table,
    environment_facts,
    further_table,
    leaderboard_table,
    runs_table,
    targets_table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.records import ProbeRecord, Record
    from benchmark.study_records import StudyRecord

Found = tuple[Path, "Record"]

_COST_CAPTION = (
    "Training time against linear top-1 on the test split. Large markers are means over seeds, with 95% intervals on "
    "both axes from two seeds on; small ones are seeds; a line joins the budgets of one entry. The grey step is the "
    "Pareto front of the self-supervised means. The dashed line is random init, which pays nothing. Where runs had "
    "budgets of data and budgets of cost, each kind has a panel of its own."
)
_CURVES_CAPTION = (
    "Validation accuracy during the runs. A point in the middle describes a run under way; it is no result of a "
    "shorter budget, whose schedule would have ended there."
)
_TIME_CAPTION = "Where the total time went: means over the runs that were probed at their end."


@dataclass(frozen=True)
class Machine:
    """The runs of one machine: what it is, its pictures, its runs."""

    letter: str
    name: str
    pictures: tuple[Picture, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Board:
    """The tables of one comparison; the last three where there is something to say."""

    title: str
    key: str
    rows: Table
    reference: str
    differences: Table | None
    targets: Table | None
    further: tuple[tuple[str, Table], ...]


@dataclass(frozen=True)
class Section:
    """The comparisons of one ladder: equal but for their budgets."""

    title: str
    answer: tuple[str, ...]
    tables: tuple[Board, ...]
    machines: tuple[Machine, ...]
    runs: Table


def write_report(
    records: Sequence[Found],
    problems: Sequence[str],
    out: Path,
    *,
    looked_in: Sequence[Path] = (),
    studies: Sequence[tuple[Path, StudyRecord]] = (),
) -> Path:
    """Writes `index.html`, `report.md`, `leaderboard.csv`, `runs.csv` and `figures/` into a folder.

    Args:
        records: record files and what they hold; `history.jsonl` beside them gives the learning curves.
        problems: what could not be read, one line each; the report names it.
        out: made if it does not exist.
        looked_in: where records were searched for; said if there are none.
        studies: files of sweeps and what they hold; each gets a section and a table `trials-<study>.csv`.

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
    sections = [_section(rungs, found, out, alone=len(ladders) == 1) for rungs in ladders.values()]
    names = sorted({record.experiment for _, record in found} | {study.name for _, study in studies})
    context: dict[str, Any] = {
        "title": listing(names),
        "sections": sections,
        "studies": study_sections(studies, out),
        "limits": limits(every, [*problems, *probes_of(found)[1]]),
        "runs": len(found),
        "completed": sum(record.status == "completed" for _, record in found),
        "ended": max((record.ended for _, record in found), default="")[:10],
    }
    write_leaderboard(found, out)
    for template, name in (("report.md.j2", "report.md"), ("index.html.j2", "index.html")):
        write_atomically(out / name, _render(template, context))
    return out / "index.html"


def _section(rungs: list[Comparison], found: Sequence[Found], out: Path, *, alone: bool) -> Section:
    # A comparison counts a copied run once, so that what stands in it is found again by identity.
    mine = {id(record) for comparison in rungs for record in comparison.records}
    pairs = [pair for pair in found if id(pair[1]) in mine]
    groups: dict[str, list[Found]] = {}
    for pair in pairs:
        groups.setdefault(hardware_key(pair[1]), []).append(pair)
    suffix = "" if alone else f"-{ladder_key(rungs[0].first)[:8]}"
    machines = []
    for index, key in enumerate(groups):
        letter = chr(ord("A") + index % 26)
        machines.append(_machine(letter, groups[key], out, suffix + (f"-{letter.lower()}" if len(groups) > 1 else "")))
    return Section(
        _title(rungs[0].first),
        tuple(answer(rungs[-1])),
        tuple(_board(comparison, list(groups), probes_of(pairs)[0]) for comparison in reversed(rungs)),
        tuple(machines),
        runs_table(pairs, out),
    )


def _board(comparison: Comparison, machines: list[str], probes: dict[str, list[ProbeRecord]]) -> Board:
    reference = reference_of(comparison)
    return Board(
        budget_text(comparison.first) or "No budget recorded",
        comparison.key,
        leaderboard_table(comparison, machines),
        "" if reference is None else name_of(reference),
        differences_table(comparison),
        targets_table(comparison, machines),
        tuple((f"{one.protocol} on {one.dataset}", further_table(one)) for one in further_tables(comparison, probes)),
    )


def _title(record: Record) -> str:
    config = record.config
    parts = [record.dataset.name]
    if config.get("image_size"):
        parts.append(f"{config['image_size']} px")
    if config.get("batch_size"):
        parts.append(f"batch {config['batch_size']}")
    if config.get("precision"):
        parts.append(f"precision {config['precision']}")
    return ", ".join(parts)


def _machine(letter: str, pairs: Sequence[Found], out: Path, suffix: str) -> Machine:
    records = [record for _, record in pairs]
    first = records[0].environment
    name = first.cpu_model if first.device == "cpu" else f"{first.devices} x {first.device_model}"
    pictures: list[Picture] = []
    if any(record.status in MEASURED and record.metrics for record in records):
        narrow = figures.cost_vs_accuracy(records, width=style.COLUMN_WIDTH)
        pictures.append(
            picture(
                figures.cost_vs_accuracy(records),
                narrow,
                out,
                f"cost_vs_accuracy{suffix}",
                "Cost and accuracy",
                _COST_CAPTION,
            )
        )
    largest = comparisons(records)[-1].records  # of the ladder's rungs, the one with the largest budget
    histories = [(record, read_history(path.parent / "history.jsonl")) for path, record in pairs if record in largest]
    curves = figures.learning_curves(histories)
    if curves is not None:
        pictures.append(picture(curves, None, out, f"learning_curves{suffix}", "Learning curves", _CURVES_CAPTION))
    shares = figures.time_shares(largest)
    if shares is not None:
        pictures.append(picture(shares, None, out, f"time{suffix}", "Where the time went", _TIME_CAPTION))
    return Machine(letter, f"{name}, {first.visible_cores} cores", tuple(pictures), tuple(environment_facts(records)))


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's history; without the file none, and a line cut off by a crash is left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


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
