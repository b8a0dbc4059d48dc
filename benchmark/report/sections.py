"""The sections of a report: one per ladder, with the tables of each comparison and the figures of each machine."""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from benchmark.analysis.calibration import NO_PRICES
from benchmark.analysis.comparability import grouped, hardware_key, ladder_key, machine_text
from benchmark.analysis.comparison import Comparison, comparisons, valid_rows
from benchmark.analysis.differences import reference_of
from benchmark.analysis.ladders import in_reading_order
from benchmark.analysis.probes import further_tables, probes_of
from benchmark.records.budgets import budget_kind, budget_text, has_time_budget
from benchmark.report import curves, notes
from benchmark.report.cost_chart import chart_data
from benchmark.report.cost_tables import cost_table, relative_table
from benchmark.report.curves import only_points
from benchmark.report.difference_tables import differences_table, pairs_table, tuning_table
from benchmark.report.explorer import explorer_data
from benchmark.report.explorer_files import read_explorer_files
from benchmark.report.section_figures import (
    histories_of,
    kept_pictures,
    machine_pictures,
    main_pictures,
    predicted_pictures,
    seen_pictures,
)
from benchmark.report.step_costs import hardware_note, hardware_table
from benchmark.report.summary import answer, further_sentences, name_of, question
from benchmark.report.tables import environment_facts, further_table, leaderboard_table, runs_table, targets_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.analysis.calibration import Prices
    from benchmark.analysis.ladder_curves import Prediction
    from benchmark.analysis.probes import Probes
    from benchmark.records.schema import Record
    from benchmark.report.run_files import RunFiles

Found = tuple["Path", "Record"]


def section(
    rungs: list[Comparison],
    found: Sequence[Found],
    files: RunFiles,
    out: Path,
    *,
    prices: Prices = NO_PRICES,
    longer: Sequence[Prediction] = (),
    alone: bool,
) -> dict[str, Any]:
    """What the page shows of one ladder, whose comparisons are equal but for their budgets; writes its figures.

    The answer is that of the rung which is read first (`in_reading_order`). `withheld` is the dataset whose pictures
    are left out because they are other people's. A section that is `alone` needs no suffix for its figures. `main` is
    the main figure where costs are calibrated, else there is one per machine; predictions (`longer`) follow it.
    """
    # A comparison counts a copied run once, so its records are looked up by identity.
    mine = {id(record) for comparison in rungs for record in comparison.records}
    pairs = [pair for pair in found if id(pair[1]) in mine]
    guests = {id(record) for rung in rungs for row in rung.guests for record in row.records}
    shown = [pair for pair in found if id(pair[1]) in mine | guests]
    groups = grouped([record for _, record in pairs], hardware_key)
    suffix = "" if alone else f"-{ladder_key(rungs[0].first)[:8]}"
    joined = _joined(rungs)
    main = main_pictures([record for _, record in pairs], rungs, out, suffix) if joined else []
    machines = []
    for index, records in enumerate(groups.values()):
        letter = ascii_uppercase[index % 26]
        ending = suffix + (f"-{letter.lower()}" if len(groups) > 1 else "")
        own = [] if joined else main_pictures(records, rungs, out, ending)
        machines.append({"letter": letter, "main": own, **_machine(records, rungs, files, out, ending)})
    ordered = in_reading_order(rungs)
    lead = ordered[0]
    leads = {budget_kind(rung.first): rung for rung in reversed(ordered)}  # the largest of each kind
    others = [" ".join(answer(rung)) for rung in reversed(list(leads.values())) if rung is not lead]
    dataset, config = lead.first.dataset.name, lead.first.config
    settings = {"image_size": "{} px", "batch_size": "batch {}", "precision": "precision {}"}
    probes, _ = probes_of(shown)
    return {
        "title": ", ".join([dataset, *(text.format(config[k]) for k, text in settings.items() if config.get(k))]),
        "question": question(lead),
        "answer": answer(lead),
        "further": [*further_sentences(lead), *others],
        "tables": [_board(comparison, list(groups), probes) for comparison in ordered],
        "hardware": hardware_table(lead, prices),
        "hardware_note": hardware_note(prices),
        "main": [*main, *predicted_pictures(rungs, longer, out, suffix)],
        "machines": machines,
        "kept": kept_pictures(lead, probes, files, out, suffix),
        "seen": seen_pictures(lead, files, out, suffix),
        "withheld": dataset if dataset in files.withheld else "",
        "own_images": dataset if dataset in files.own else "",
        "explorer": _explorer(lead, files),
        "chart": chart_data(rungs, list(groups), prices),
        "runs": runs_table(shown, out),
    }


def _board(comparison: Comparison, machines: list[str], probes: Probes) -> dict[str, Any]:
    """The tables of one comparison; None for those that would be empty."""
    reference = reference_of(comparison)
    pairs, unpaired = pairs_table(comparison)
    calibrated = comparison.step_cost is not None
    rows, relative = leaderboard_table(comparison, machines), relative_table(comparison, machines)
    return {
        "title": budget_text(comparison.first) or "No budget recorded",
        "key": comparison.key,
        "rows": rows,
        "costs": cost_table(comparison, machines),
        "relative": relative,
        "reference": "" if reference is None else name_of(reference),
        "differences": differences_table(comparison),
        "tuning": tuning_table(comparison),
        "pairs": pairs,
        "unpaired": unpaired,  # which entries are not in `pairs`, and why
        "targets": targets_table(comparison, machines),
        "further": [
            (f"{table.protocol} on {table.dataset}", further_table(table))
            for table in further_tables(comparison, probes)
        ],
        "notes": {
            "rows": notes.leaderboard(rows),
            "relative": notes.relative(relative, calibrated=calibrated),
            "costs": notes.costs(calibrated=calibrated),
            "differences": notes.DIFFERENCES,
            "tuning": notes.TUNING,
            "pairs": notes.PAIRS,
            "targets": notes.targets(calibrated=calibrated),
        },
    }


def _joined(rungs: Sequence[Comparison]) -> bool:
    """Whether one main figure shows the runs of all machines, because their costs are calibrated.

    Not if an entry ran on several of them, since it would be there several times, or under a budget that buys something
    else on each.
    """
    rows = [row for rung in rungs for row in rung.rows if row.invalid is None]
    places = {(row.first.experiment, row.first.entry, budget_text(row.first)) for row in rows}
    several = len({hardware_key(row.first) for row in rows}) > 1
    apart = several and (len(places) < len(rows) or any(has_time_budget(row.first) for row in rows))
    return any(rung.step_cost for rung in rungs) and not apart


def _machine(
    records: Sequence[Record], rungs: Sequence[Comparison], files: RunFiles, out: Path, suffix: str
) -> dict[str, Any]:
    """The runs of one machine: its name, its own figures, a note on missing ones, its environment."""
    largest = in_reading_order(comparisons(records))[0].records
    shown = f", {budget_text(largest[0])}" if len({budget_text(record) for record in records}) > 1 else ""
    rows = [row for rung in rungs for row in rung.rows]
    return {
        "name": f"{machine_text(records[0])}, {records[0].environment.visible_cores} cores",
        "pictures": machine_pictures(largest, rows, files, out, suffix, shown),
        "note": curves.NO_CURVES if only_points(histories_of(largest, files)) else "",
        "facts": environment_facts(records),
    }


def _explorer(comparison: Comparison, files: RunFiles) -> str:
    """The explorer's data: of each entry the first run that kept something for it."""
    explored = []
    entries: set[str] = set()
    for row in valid_rows(comparison.records):
        for record in row.records if row.first.entry not in entries else ():
            if (folder := files.folders.get(id(record))) is None:
                continue
            try:
                kept = read_explorer_files(folder)
            except ValueError as error:
                files.problems.append(str(error))
                continue
            if kept is not None:
                explored.append((row, record, kept))
                entries.add(row.first.entry)
                break
    return explorer_data(explored)
