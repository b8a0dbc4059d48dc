"""What a report says in words: the answer, and the limits of what it can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.comparability import (
    backbone_text,
    differing_fields,
    hardware_key,
    machine_text,
    tags_of,
)
from benchmark.analysis.comparison import MIN_RANKED, MIN_RESULT, REFERENCES, Comparison, Row
from benchmark.analysis.differences import all_pairs, declared_references, differences
from benchmark.analysis.tables import commit_text, row_flags
from benchmark.records.budgets import budget_text, fixed_cost
from benchmark.records.schema import TUNED
from benchmark.report import style
from benchmark.report.breaks import breaks_between_rungs, breaks_between_runs
from benchmark.text import duration, listing, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmark.records.schema import Record


def name_of(row: Row) -> str:
    """The row's entry as a reader writes it."""
    return style.display(row.first.entry)


def _seeds(n: int) -> str:
    return "one seed" if n == 1 else f"{n} seeds"


def _seeds_of(row: Row) -> str:
    """How many seeds stand in the mean, of how many (rule 18), and how many of them collapsed."""
    n, collapsed = len(row.measured), len(row.measured) - len(row.completed)
    counted = _seeds(n) if n == row.n else f"{n} of {_seeds(row.n)}"
    return f"{counted}, {collapsed} of them collapsed" if collapsed else counted


def self_supervised(comparison: Comparison) -> list[Row]:
    """The valid rows with a mean that are no reference, the most accurate first."""
    return [
        row
        for row in comparison.rows
        if row.accuracy.mean is not None and row.invalid is None and row.first.method not in REFERENCES
    ]


def question(comparison: Comparison) -> str:
    """What a comparison asks, with what it was asked of."""
    rows = [row for row in comparison.rows if row.first.method not in REFERENCES]
    entries = {row.first.entry for row in rows}  # on two machines it is asked once
    seeds = {record.seed for record in comparison.records}
    budget = budget_text(comparison.first)
    after = f" after {budget} on {comparison.first.dataset.name}" if budget else f" on {comparison.first.dataset.name}"
    if len(entries) == 1:
        name = name_of(rows[0])
        return f"How good are the features of {name}{after}, and what do they cost to train? ({_seeds(len(seeds))})"
    if not rows:
        return f"What do the references reach{after}? ({_seeds(len(seeds))})"
    which = f"Which of {len(entries)} self-supervised entries has the best features"
    return f"{which}{after}, and what does each cost to train? ({_seeds(len(seeds))})"


def answer(comparison: Comparison) -> list[str]:
    """The outcome of a comparison in at most three sentences, each one traceable to its tables.

    Who reached most and whether that is sure; who was cheapest; what training added over random init.
    """
    rows = self_supervised(comparison)
    if not rows:
        return ["No self-supervised entry of this comparison has a completed run, so that there is nothing to rank."]
    sound = [row for row in rows if not row.collapsed]
    if not sound:
        return ["Every self-supervised entry of this comparison has collapsed.", _against_random(rows, comparison)]
    return [_best(sound, comparison), *_cheapest(sound, rows), _against_random(rows, comparison)]


def beside_the_answer(comparison: Comparison) -> list[str]:
    """What a reader of the answer should know, too: differences that were tested, entries without a result."""
    unfinished = [row for row in comparison.rows if row.accuracy.mean is None]
    said = _against_reference(comparison)
    if collapsed := [row for row in self_supervised(comparison) if row.collapsed]:
        said.append("Collapsed, and in no contest: " + listing(map(name_of, collapsed)) + ".")
    if unfinished:
        said.append("Without a result: " + listing(f"{name_of(row)} ({row.status})" for row in unfinished) + ".")
    return said


def _best(rows: Sequence[Row], comparison: Comparison) -> str:
    best = rows[0]
    kind = "95% interval over seeds" if best.accuracy.ci95 is not None else "sampling error of the test split"
    status = f"preliminary, {_seeds_of(best)}" if best.preliminary else _seeds_of(best)
    where = f"{budget_text(comparison.first)} on {comparison.first.dataset.name}".strip()
    width = "" if best.half_width is None else f"; ± is the {kind}"
    verb = (
        "has the highest linear top-1 of the self-supervised entries:" if len(rows) > 1 else "reaches a linear top-1 of"
    )
    said = f"After {where}, {name_of(best)} {verb} {percent(best.accuracy.mean, best.half_width)}% ({status}{width})"
    return said + _open_order(best, rows[1:], comparison) + "."


def _open_order(best: Row, others: Sequence[Row], comparison: Comparison) -> str:
    """Whom the most accurate row is not told apart from: by the paired test where there is one, else by intervals."""
    pairs = all_pairs([best, *others], differences(comparison))
    tested = {id(one.reference): one for one in pairs if one.row is best and one.p is not None}
    alike = [row for row in others if id(row) in tested and tested[id(row)].verdict != "higher"]
    floor = (best.accuracy.mean or 0.0) - (best.half_width or 0.0)
    near = [
        row for row in others if id(row) not in tested and (row.accuracy.mean or 0.0) + (row.half_width or 0.0) >= floor
    ]
    said = []
    if alike:
        said.append(f"seed by seed, over all pairs of them, it is not told apart from {listing(map(name_of, alike))}")
    if near:
        whose = "those" if len(near) > 1 else "that"
        said.append(f"its interval meets {whose} of {listing(map(name_of, near))}")
    return f"; {', and '.join(said)}, so that their order is open" if said else ""


def _cheapest(rows: Sequence[Row], others: Sequence[Row]) -> list[str]:
    """Who was cheapest among the sound rows; a collapsed one that cost less is named, since it did train."""
    if fixed_cost(rows[0].first) is not None:
        return []  # equal by definition
    # Times are compared on one machine alone (rule 1), and only where nothing speaks against them (rules 12 to 14).
    here = [row for row in rows if row.cost.mean and hardware_key(row.first) == hardware_key(rows[0].first)]
    if any(row.unsafe for row in here):
        return ["Some of its times are marked unsafe (see the limits), so that no entry is called the cheapest."]
    if len(here) < 2:
        return []
    cheapest = min(here, key=lambda row: row.cost.mean or 0.0)
    elsewhere = [row for row in rows if row.cost.mean and row not in here]
    where = f" on {machine_text(rows[0].first)}" if elsewhere else ""
    text = f"{name_of(cheapest)} is the cheapest of them to train{where} ({duration(cheapest.cost.mean)}"
    less = [
        f"{name_of(row)}, which took {duration(row.cost.mean)}, has collapsed"
        for row in others
        if row.collapsed
        and not row.unsafe
        and hardware_key(row.first) == hardware_key(rows[0].first)
        and 0.0 < (row.cost.mean or 0.0) < (cheapest.cost.mean or 0.0)
    ]
    besides = f"; {listing(less)}" if less else ""
    if cheapest is rows[0]:
        return [f"{text}), too{besides}."]
    ratio = (rows[0].cost.mean or 0.0) / (cheapest.cost.mean or 1.0)
    took = f"{name_of(rows[0])} took {duration(rows[0].cost.mean)}, {ratio:.1f} times as long"
    return [f"{text}); {took}{besides}."]


def _against_random(rows: Sequence[Row], comparison: Comparison) -> str:
    floors = [
        row
        for row in comparison.rows
        if row.first.method == "random_init" and row.accuracy.mean is not None and row.invalid is None
    ]
    if not floors:
        return "No random-init row stands in this comparison, so that nobody knows what training added."
    verdicts: dict[str, list[str]] = {"yes": [], "tie": [], "no": []}
    for row in rows:
        verdict = comparison.beats_random_init(row)
        if verdict:
            verdicts[verdict].append(f"{name_of(row)} (collapsed)" if row.collapsed else name_of(row))
    floor = listing(f"{percent(row.accuracy.mean, row.half_width)}%" for row in floors)
    networks = {backbone_text(row.first) for row in floors}
    own = len(networks) > 1 and all(backbone_text(row.first) in networks for row in rows)
    each = ", each entry against that of its own network" if own else ""
    parts = [
        f"above it beyond the intervals: {listing(verdicts['yes']) or 'none'}",
        f"not told apart from it: {listing(verdicts['tie'])}" if verdicts["tie"] else "",
        f"below it: {listing(verdicts['no'])}" if verdicts["no"] else "",
    ]
    return f"Against random init ({floor}{each}): " + "; ".join(part for part in parts if part) + "."


def _against_reference(comparison: Comparison) -> list[str]:
    """Which entries differ from the declared reference beyond chance (rule 20); nothing below three common seeds."""
    found = [one for one in differences(comparison) if one.verdict and one.row.first.method not in REFERENCES]
    if not found:
        return []

    def named(verdict: str) -> str:
        return listing(
            f"{name_of(one.row)} ({one.paired.mean or 0.0:+.1f} points)" for one in found if one.verdict == verdict
        )

    parts = [
        f"{words}: {named(verdict)}"
        for verdict, words in (("higher", "higher"), ("lower", "lower"), ("tie", "not told apart"))
        if named(verdict)
    ]
    return [
        f"Against {name_of(found[0].reference)}, the declared reference, paired by seed and corrected for "
        f"{sum(one.p is not None for one in differences(comparison))} comparisons: {'; '.join(parts)}."
    ]


def _by_word(rows: Iterable[Row], words: dict[int, list[str]], what: str) -> list[str]:
    found: dict[str, list[str]] = {}
    for row in rows:
        for word in words[id(row)]:
            names = found.setdefault(word, [])
            if name_of(row) not in names:
                names.append(name_of(row))
    return [f"{what} “{word}”: {listing(names)}." for word, names in sorted(found.items())]


def limits(comparisons: Sequence[Comparison], problems: Sequence[str]) -> list[str]:
    """What a reader has to know before believing a report (rule 26)."""
    unreadable = [f"Not readable, and so missing here: {problem}" for problem in problems]
    if not comparisons:
        return unreadable
    rows = [row for comparison in comparisons for row in comparison.rows]
    records = [record for row in rows for record in row.records]
    said = [*_counts(rows), *_references(comparisons)]
    tags = {id(row): list(dict.fromkeys(tag for r in row.records for tag in tags_of(r))) for row in rows}
    if not any(TUNED in words for words in tags.values()):
        said.append("No entry is tagged as tuned: how well a recipe suits this scale is not known.")
    said += _by_word(rows, tags, "Tagged")
    said += _by_word(rows, {id(row): row_flags(row) for row in rows}, "Flagged")
    said += [_failure(record) for record in records if record.status != "completed"]
    commits = sorted({commit_text(record) or "unknown" for record in records})
    if len(commits) > 1:
        said.append(f"The runs come from {len(commits)} states of the code: {', '.join(commits)}.")
    if any(record.environment.dirty for record in records):
        said.append("Some runs come from a working tree with uncommitted changes (+dirty).")
    said += breaks_between_runs(comparisons) + breaks_between_rungs(comparisons)
    for comparison in comparisons:
        if len(names := declared_references(comparison)) > 1:
            said.append(
                f"Experiments of {budget_text(comparison.first)} declare different references ({listing(names)}), so "
                "that no differences are tested."
            )
    if len(comparisons) > 1:
        fields = differing_fields(records)
        named = "; ".join(f"{name} ({', '.join(_short(v) for v in values)})" for name, values in fields.items())
        said.append(f"There are {len(comparisons)} comparisons; ranks hold inside one. They differ in: {named or '-'}.")
    return said + unreadable


def _short(value: str) -> str:
    return value if len(value) <= 48 else value[:45] + "..."


def _counts(rows: Sequence[Row]) -> list[str]:
    said = []
    preliminary = [row for row in rows if row.preliminary]
    if preliminary:
        who = "All rows are" if len(preliminary) == len(rows) else f"{len(preliminary)} of {len(rows)} rows are"
        said.append(f"{who} preliminary: fewer than {MIN_RESULT} completed seeds.")
    if not any(row.may_be_ranked for row in rows):
        said.append(f"No row is ranked: that takes {MIN_RANKED} seeds, all completed.")
    if any(len(row.measured) == 1 for row in rows):
        said.append(
            "A single seed has no interval; the sampling error of the test split stands in for it and does not know "
            "how much seeds vary."
        )
    return said


def _references(comparisons: Sequence[Comparison]) -> list[str]:
    said = []
    for method, role in (("random_init", "floor (random init)"), ("supervised", "ceiling (supervised)")):
        missing = [c for c in comparisons if all(row.first.method != method for row in c.rows)]
        if missing:
            where = listing(dict.fromkeys(budget_text(c.first) or c.key for c in missing))
            said.append(f"No {role} row in the comparison of {where}.")
    strangers = [
        row
        for comparison in comparisons
        for row in self_supervised(comparison)
        if (floor := comparison.floor(row)) is not None and backbone_text(floor.first) != backbone_text(row.first)
    ]
    if strangers:
        names = listing(dict.fromkeys(map(name_of, strangers)))
        said.append(f"Judged against the random init of another backbone, for want of one of their own: {names}.")
    return said


def _failure(record: Record) -> str:
    cause = f" ({record.cause})" if record.cause else ""
    message = f": {record.message}" if record.message else ""
    return f"{style.display(record.entry)}, seed {record.seed}, {budget_text(record)}: {record.status}{cause}{message}"
