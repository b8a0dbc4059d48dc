"""The parts of a report: a section per ladder, with a board per comparison and the figures of each machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import hardware_key, ladder_key, machine_text
from benchmark.analysis.comparison import MEASURED, Comparison, Row, comparisons, in_reading_order, valid_rows
from benchmark.analysis.differences import reference_of
from benchmark.analysis.probes import further_tables, probes_of
from benchmark.analysis.published import on_published_axes
from benchmark.records.budgets import budget_kind, budget_text
from benchmark.report import style
from benchmark.report.bars import step_parts, time_shares
from benchmark.report.cost_figure import cost_vs_accuracy
from benchmark.report.cost_tables import cost_table, relative_table
from benchmark.report.curves import learning_curves, only_points
from benchmark.report.difference_tables import differences_table, pairs_table, tuning_table
from benchmark.report.method_views import seen
from benchmark.report.pictures import Picture, picture
from benchmark.report.published_figure import caption
from benchmark.report.summary import answer, beside_the_answer, name_of, question
from benchmark.report.tables import (
    Table,
    environment_facts,
    further_table,
    leaderboard_table,
    runs_table,
    targets_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from benchmark.records.schema import ProbeRecord, Record
    from benchmark.report.run_files import Beside

Found = tuple["Path", "Record"]

_COST = (
    "Training time against linear top-1 on the test split. Large markers are means over seeds, with 95% intervals on "
    "both axes from three seeds on; below, a bar without ends is the test split's sampling error, which knows nothing "
    "of how seeds vary. Small ones are seeds; a line joins the budgets of one entry. Times are of the runs against "
    "which nothing speaks; where something speaks against all, the marker is hollow and on no front. The grey step is "
    "the Pareto front of the self-supervised means above every untrained network, whether the bars tell them apart or "
    "not. Dashed are the untrained networks, which pay nothing. Where runs had budgets of data and budgets of cost, "
    "each kind has a panel of its own; where all were given the same time, they stand side by side in the order of "
    "their accuracy, without an axis of cost and without a front."
)
_NO_CURVES = "No learning curves: each run was evaluated once, and a point is no curve."
_CURVES = (
    "Validation accuracy of the primary encoder during the runs: the mean over seeds, each seed as a thin line, and "
    "from three seeds on the mean's 95% interval as a band; dashed are vision transformers. The probes on the way may "
    "learn from fewer images than the final ones, so that a curve need not end at the table's value. A point in the "
    "middle describes a run under way; it is no result of a shorter budget, whose schedule would have ended there."
)
_TIME = "Means over the runs that were probed at their end."
_STEP = (
    "Means over profiled steps outside the timed run, each over a whole batch. The device is waited for after every "
    "part, so that a bar is an upper bound of a real step."
)
_FORWARD = {
    "encoder": "encoder is the network that is trained and evaluated",
    "target_encoder": "target encoder the one that follows it and only gives targets",
    "head": "projector and predictor are all heads",
    "loss": "masks and loss are what is left",
}
_UNDIVIDED = " Of older records the forward pass is one part, with all of masks, encoders, heads and loss in it."
_SEEN = (
    "The first images of the training split; views before masks. “Visible” is what the encoder gets, “to predict” "
    "where its prediction is compared with the target encoder's features. Features are shown by their first three "
    "principal components as red, green and blue, fitted to the targets: like colours, like features. The prediction "
    "is shown with the same components, where it counts."
)
_VIEWS = "The first images of the training split, and the views that the method got of them."


@dataclass(frozen=True)
class Machine:
    """The runs of one machine: what it is, the main figure, the others, what is not drawn and why, facts."""

    letter: str
    name: str
    main: tuple[Picture, ...]
    pictures: tuple[Picture, ...]
    note: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Board:
    """The tables of one comparison; those that may be None where there is nothing to say.

    `unpaired` says what is not in `pairs`, and why.
    """

    title: str
    key: str
    rows: Table
    costs: Table | None
    relative: Table | None
    reference: str
    differences: Table | None
    tuning: Table | None
    pairs: Table | None
    unpaired: str
    targets: Table | None
    further: tuple[tuple[str, Table], ...]


@dataclass(frozen=True)
class Section:
    """The comparisons of one ladder: equal but for their budgets.

    Attributes:
        title: what all have in common.
        question: that the section answers.
        answer: at most three sentences, of the rung that is read first (`in_reading_order`).
        beside: what else there is to say of it, and the answer under each other kind of budget.
        tables: a board per comparison, in that order.
        machines: where the runs ran.
        seen: how each method sees, a figure per entry.
        withheld: the dataset whose pictures are there and left out; empty otherwise.
        runs: a row each.
    """

    title: str
    question: str
    answer: tuple[str, ...]
    beside: tuple[str, ...]
    tables: tuple[Board, ...]
    machines: tuple[Machine, ...]
    seen: tuple[Picture, ...]
    withheld: str
    runs: Table


def section(rungs: list[Comparison], found: Sequence[Found], beside: Beside, out: Path, *, alone: bool) -> Section:
    """The section of one ladder; writes its figures.

    Args:
        rungs: of the ladder, in any order.
        found: all record files and what they hold.
        beside: what lies beside them.
        out: the report's folder.
        alone: whether there is no other section, so that figures need no suffix.
    """
    # A comparison counts a copied run once, so that what stands in it is found again by identity.
    mine = {id(record) for comparison in rungs for record in comparison.records}
    pairs = [pair for pair in found if id(pair[1]) in mine]
    groups: dict[str, list[Record]] = {}
    for _, record in pairs:
        groups.setdefault(hardware_key(record), []).append(record)
    suffix = "" if alone else f"-{ladder_key(rungs[0].first)[:8]}"
    machines = []
    for index, records in enumerate(groups.values()):
        letter = chr(ord("A") + index % 26)
        ending = suffix + (f"-{letter.lower()}" if len(groups) > 1 else "")
        machines.append(_machine(letter, records, beside, out, ending))
    ordered = in_reading_order(rungs)
    lead = ordered[0]
    leads = {budget_kind(rung.first): rung for rung in reversed(ordered)}  # the largest of each kind
    others = [" ".join(answer(rung)) for rung in reversed(list(leads.values())) if rung is not lead]
    dataset = lead.first.dataset.name
    return Section(
        _title(lead.first),
        question(lead),
        tuple(answer(lead)),
        (*beside_the_answer(lead), *others),
        tuple(_board(comparison, list(groups), probes_of(pairs)[0]) for comparison in ordered),
        tuple(machines),
        tuple(_seen(lead, beside, out, suffix)),
        dataset if dataset in beside.withheld else "",
        runs_table(pairs, out),
    )


def _board(comparison: Comparison, machines: list[str], probes: Mapping[tuple[str, str], list[ProbeRecord]]) -> Board:
    reference = reference_of(comparison)
    pairs, unpaired = pairs_table(comparison)
    return Board(
        budget_text(comparison.first) or "No budget recorded",
        comparison.key,
        leaderboard_table(comparison, machines),
        cost_table(comparison, machines),
        relative_table(comparison, machines),
        "" if reference is None else name_of(reference),
        differences_table(comparison),
        tuning_table(comparison),
        pairs,
        unpaired,
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


def _machine(letter: str, records: Sequence[Record], beside: Beside, out: Path, suffix: str) -> Machine:
    first, name = records[0].environment, machine_text(records[0])
    main: list[Picture] = []
    if any(record.status in MEASURED and record.metrics for record in records):
        main = _drawn(
            lambda width: cost_vs_accuracy(records, width=width),
            out,
            f"cost_vs_accuracy{suffix}",
            "Cost and accuracy",
            f"{_COST} Hollow and grey: {caption()}" if all(map(on_published_axes, records)) else _COST,
        )
    largest = in_reading_order(comparisons(records))[0].records
    budgets = {budget_text(record) for record in records}
    shown = f" Shown: {budget_text(largest[0])}." if len(budgets) > 1 else ""
    histories = [(record, beside.histories.get(id(record), [])) for record in largest]
    pictures = [
        *_drawn(
            lambda width: learning_curves(histories, width=width),
            out,
            f"learning_curves{suffix}",
            "Learning curves",
            _CURVES + shown,
        ),
        *_drawn(
            lambda width: time_shares(largest, width=width),
            out,
            f"time{suffix}",
            "Where the total time went",
            _TIME + shown,
        ),
        *_drawn(
            lambda width: step_parts(largest, beside.parts, width=width),
            out,
            f"step{suffix}",
            "Where the time of a step goes",
            _step_caption([beside.parts[id(record)] for record in largest if id(record) in beside.parts]) + shown,
        ),
    ]
    facts = tuple(environment_facts(records))
    note = _NO_CURVES if only_points(histories) else ""
    return Machine(letter, f"{name}, {first.visible_cores} cores", tuple(main), tuple(pictures), note, facts)


def _step_caption(parts: Sequence[Mapping[str, float]]) -> str:
    """What the bars are; only parts that are there are explained."""
    there = {name for one in parts for name, seconds in one.items() if seconds > 0}
    words = [text for name, text in _FORWARD.items() if name in there]
    divided = f" Of the forward pass, {'; '.join(words)}." if words else ""
    return _STEP + divided + (_UNDIVIDED if "forward" in there else "")


def _drawn(
    draw: Callable[[float], Figure | None], out: Path, stem: str, title: str, caption: str, *, images: bool = False
) -> list[Picture]:
    """A figure at the widths of a page and of a column; nothing where there is nothing to draw."""
    wide = draw(style.FULL_WIDTH)
    if wide is None:
        return []
    return [picture(wide, draw(style.COLUMN_WIDTH), out, stem, title, caption, images=images)]


def _seen(comparison: Comparison, beside: Beside, out: Path, suffix: str) -> list[Picture]:
    """A figure per entry, of its first run that left a glimpse."""
    found: list[Picture] = []
    used: set[str] = set()
    rows: list[tuple[Row, Record]] = []
    for row in valid_rows(comparison.records):
        record = next((record for record in row.records if id(record) in beside.glimpses), None)
        if record is not None and row.first.entry not in {other.first.entry for other, _ in rows}:
            rows.append((row, record))
    for row, record in sorted(rows, key=lambda pair: pair[0].first.entry):
        glimpse = beside.glimpses[id(record)]
        stem = "seen-" + re.sub(r"[^A-Za-z0-9_-]+", "-", row.first.entry)
        while stem in used:
            stem += "-2"
        used.add(stem)
        caption = f"Seed {record.seed}, run {record.key[:8]}. {_SEEN if 'context' in glimpse else _VIEWS}"
        found += _drawn(
            lambda width, glimpse=glimpse: seen(glimpse, width=width),  # type: ignore[misc]
            out,
            f"{stem}{suffix}",
            name_of(row),
            caption,
            images=True,
        )
    return found
