"""The sentences of a report: the question, the answer, and the limits of the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.calibration import NO_PRICES
from benchmark.analysis.comparability import backbone_text, differing_fields, grouped, machine_text, tags_of
from benchmark.analysis.comparison import MIN_RANKED, MIN_RESULT, REFERENCES, Comparison, Row
from benchmark.analysis.differences import Difference, all_pairs, declared_references, differences
from benchmark.analysis.standings import not_worse, self_supervised
from benchmark.analysis.values import commit_text, row_flags
from benchmark.records.budgets import budget_text, fixed_cost
from benchmark.records.schema import TUNED
from benchmark.report import step_costs, style
from benchmark.report.breaks import breaks_between_rungs, breaks_between_runs
from benchmark.text import duration, listing, p_text, signed, with_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmark.analysis.calibration import Prices


def name_of(row: Row) -> str:
    """The row's entry as a reader writes it."""
    return style.display(row.first.entry)


def _seeds(n: int) -> str:
    return "one seed" if n == 1 else f"{n} seeds"


def _seeds_of(row: Row) -> str:
    """How many seeds the mean is over, of how many that were run (rule 18), and how many of them collapsed."""
    n, collapsed = len(row.measured), len(row.measured) - len(row.completed)
    counted = _seeds(n) if n == row.n else f"{n} of {_seeds(row.n)}"
    return f"{counted}, {collapsed} of them collapsed" if collapsed else counted


def question(comparison: Comparison) -> str:
    """The question that a comparison answers."""
    rows = [row for row in comparison.rows if row.first.method not in REFERENCES]
    entries = {row.first.entry for row in rows}  # an entry on two machines counts once
    seeds = {record.seed for record in comparison.records}
    budget = budget_text(comparison.first)
    after = (f" after {budget}" if budget else "") + f" on {comparison.first.dataset.name}"
    if len(entries) == 1:
        text = f"How good are the features of {name_of(rows[0])}{after}, and what do they cost to train?"
    elif rows:
        which = f"Which of {len(entries)} self-supervised entries has the best features"
        text = f"{which}{after}, and what does each cost to train?"
    else:
        text = f"What do the references reach{after}?"
    return f"{text} ({_seeds(len(seeds))})"


def answer(comparison: Comparison) -> list[str]:
    """The outcome of a comparison in at most three sentences, each of which can be checked in its tables.

    They name the most accurate entry and how sure that is, the cheapest one, and what training added over random init.
    Where it added nothing, that comes first, and no entry is called the best or the cheapest.
    """
    rows = self_supervised(comparison)
    if not rows:
        return ["No self-supervised entry in this comparison has a completed run, so there is nothing to rank."]
    sound = [row for row in rows if not row.collapsed]
    if not sound:
        return ["Every self-supervised entry in this comparison collapsed.", _against_random(rows, comparison)]
    if comparison.floors and not any(comparison.beats_random_init(row) == "yes" for row in sound):
        return [_none_better(sound, comparison), _against_random(rows, comparison)]
    return [_best(sound, comparison), *_cheapest(sound, rows), _against_random(rows, comparison)]


def further_sentences(comparison: Comparison) -> list[str]:
    """Further sentences below the answer: tested differences, collapsed entries, entries without a result."""
    unfinished = [row for row in comparison.rows if row.accuracy.mean is None]
    sentences = _against_reference(comparison)
    if collapsed := [row for row in self_supervised(comparison) if row.collapsed]:
        sentences.append("Collapsed and not ranked: " + listing(map(name_of, collapsed)) + ".")
        if above := [row for row in collapsed if comparison.beats_random_init(row) == "yes"]:
            sentences.append(
                f"{listing(map(name_of, above))} collapsed and yet exceeded random init: collapse is judged by the "
                "spread of the features during training, and a linear probe can still use what little is left of it."
            )
    if unfinished:
        sentences.append("No result: " + listing(f"{name_of(row)} ({row.status})" for row in unfinished) + ".")
    return sentences


def _none_better(rows: Sequence[Row], comparison: Comparison) -> str:
    """That training added nothing: no row exceeds the untrained network."""
    seeds = {_seeds_of(row) for row in rows}
    how = (
        f" ({seeds.pop()} each)" if len(rows) > 1 and len(seeds) == 1 else f" ({seeds.pop()})" if len(rows) == 1 else ""
    )
    where = _where(comparison)
    return f"No method is significantly better than an untrained network {where[0].lower()}{where[1:]}{how}."


def _where(comparison: Comparison) -> str:
    budget, dataset = budget_text(comparison.first), comparison.first.dataset.name
    return f"After {budget} on {dataset}" if budget else f"On {dataset}"  # unknown for encoders trained elsewhere


def _best(rows: Sequence[Row], comparison: Comparison) -> str:
    best = rows[0]
    kind = "95% interval over seeds" if best.accuracy.ci95 is not None else "sampling error of the test split"
    status = f"preliminary, {_seeds_of(best)}" if best.preliminary else _seeds_of(best)
    width = "" if best.half_width is None else f"; ± is the {kind}"
    reached = with_interval(best.accuracy.mean, best.half_width)
    # Equal as readers see them: means that differ by less than the digit shown have no order.
    equal = [row for row in rows if with_interval(row.accuracy.mean) == with_interval(best.accuracy.mean)]
    if len(equal) > 1:
        same = listing(f"{name_of(row)} ({with_interval(row.accuracy.mean, row.half_width)}%)" for row in equal)
        above = "" if len(equal) == len(rows) else ", above the other self-supervised entries"
        return f"{_where(comparison)}, the same linear top-1 is reached by {same}{above} ({status}{width})."
    tail = f"({status}{width})"
    if len(rows) == 1:
        return f"{_where(comparison)}, {name_of(best)} reaches a linear top-1 of {reached}% {tail}."
    alike = not_worse(best, rows[1:], comparison)
    if not alike:
        tested = all(pair.p is not None for pair in all_pairs(rows, differences(comparison)) if pair.row is best)
        return (
            f"{_where(comparison)}, {name_of(best)} has the highest linear top-1 of the self-supervised entries"
            f"{', significantly above every other' * tested}: {reached}% {tail}."
        )
    return (
        f"{_where(comparison)}, no self-supervised entry leads alone: {name_of(best)} at {reached}% is not "
        f"significantly different from {listing(_alike(*pair) for pair in alike)} {tail}."
    )


def _alike(row: Row, test: Difference | None) -> str:
    """A row that is not significantly worse than the best, and what it was judged by."""
    judged = "the intervals overlap" if test is None else _tested(test)
    return f"{name_of(row)} at {with_interval(row.accuracy.mean)}% ({judged})"


def _tested(pair: Difference) -> str:
    """A tested difference with its corrected interval: without it, "not significantly different" would say little."""
    return f"{signed(pair.paired.mean or 0.0, pair.half_width)} points, p {p_text(pair.p or 0.0)}"


def _cheapest(rows: Sequence[Row], others: Sequence[Row]) -> list[str]:
    """The cheapest of the rows that did not collapse; a collapsed one that cost less is mentioned."""
    if fixed_cost(rows[0].first) is not None:
        return []  # equal by definition
    # Only times that are safe (rules 12 to 14) and of one clock (rule 1) are compared.
    here = [row for row in rows if row.cost.mean and row.clock == rows[0].clock]
    if any(row.unsafe for row in here):
        return ["Some times in this comparison are marked unsafe (see the limits), so no entry is called the cheapest."]
    if len(here) < 2:
        return []
    cheapest = min(here, key=lambda row: row.cost.mean or 0.0)
    elsewhere = [row for row in rows if row.cost.mean and row not in here]
    where = f" on {machine_text(rows[0].first)}" if elsewhere else ""
    took = "took"
    if rows[0].price is not None:
        where, took = f" in calibrated time on {rows[0].price.cost.hardware.text}", "takes"
    near = [row for row in here if row is not cheapest and _costs_alike(row, cheapest)]
    if near:
        alike = listing(f"{name_of(row)} ({duration(row.cost.mean)})" for row in [cheapest, *near])
        least = ", the least of these entries" if len(near) + 1 < len(here) else ""
        return [f"{alike} cost about the same to train{where}{least}."]
    also = "also " if cheapest is rows[0] else ""
    text = f"{name_of(cheapest)} is {also}the cheapest to train{where} ({duration(cheapest.cost.mean)})"
    less = [
        f"{name_of(row)} {took} {duration(row.cost.mean)} but collapsed"
        for row in others
        if row.collapsed and not row.unsafe and row.clock == rows[0].clock
        if 0.0 < (row.cost.mean or 0.0) < (cheapest.cost.mean or 0.0)
    ]
    besides = f"; {listing(less)}" if less else ""
    if cheapest is rows[0]:
        return [f"{text}{besides}."]
    ratio = (rows[0].cost.mean or 0.0) / (cheapest.cost.mean or 1.0)
    best = f"{name_of(rows[0])} {took} {duration(rows[0].cost.mean)}, {ratio:.1f} times as long"
    return [f"{text}; {best}{besides}."]


def _costs_alike(row: Row, cheapest: Row) -> bool:
    """Whether two costs have overlapping intervals, or read the same where there are none."""
    reach = (row.cost.ci95 or 0.0) + (cheapest.cost.ci95 or 0.0)
    near = (row.cost.mean or 0.0) - (cheapest.cost.mean or 0.0) <= reach
    return near or duration(row.cost.mean) == duration(cheapest.cost.mean)


def _against_random(rows: Sequence[Row], comparison: Comparison) -> str:
    floors = comparison.floors
    if not floors:
        return "This comparison has no untrained network (random init), so it is unknown what training added."
    by_verdict = grouped(rows, comparison.beats_random_init)

    def named(row: Row, verdict: str) -> str:
        reached = f" at {with_interval(row.accuracy.mean, row.half_width)}%" if verdict == "tie" else ""
        return name_of(row) + (" (collapsed)" if row.collapsed else "") + reached

    verdicts = {
        verdict: listing(named(row, verdict) for row in by_verdict.get(verdict, ())) for verdict in ("yes", "tie", "no")
    }
    floor = listing(f"{with_interval(row.accuracy.mean, row.half_width)}%" for row in floors)
    networks = {backbone_text(row.first) for row in floors}
    own = len(networks) > 1 and all(backbone_text(row.first) in networks for row in rows)
    each = "; each entry with that of its own network" if own else ""
    parts = [
        f"higher, beyond the intervals: {verdicts['yes'] or 'none'}",
        f"not significantly different, as the intervals overlap: {verdicts['tie']}" if verdicts["tie"] else "",
        f"lower: {verdicts['no']}" if verdicts["no"] else "",
    ]
    return f"Compared with random init ({floor}{each}): " + "; ".join(part for part in parts if part) + "."


def _against_reference(comparison: Comparison) -> list[str]:
    """The entries that differ significantly from the declared reference (rule 20); empty below three common seeds."""
    tested = [d for d in differences(comparison) if d.verdict and d.row.first.method not in REFERENCES]
    if not tested:
        return []

    parts = []
    for verdict, words in {"higher": "higher", "lower": "lower", "tie": "not significantly different"}.items():
        alike = [d for d in tested if d.verdict == verdict]
        named = listing(f"{name_of(d.row)} ({_tested(d)})" for d in alike)
        parts += [f"{words}: {named}"] if alike else []
    return [
        f"Compared with {name_of(tested[0].reference)}, the declared reference (paired by seed, corrected for "
        f"{sum(d.p is not None for d in differences(comparison))} comparisons): {'; '.join(parts)}."
    ]


def _by_word(rows: Iterable[Row], words: dict[int, list[str]], what: str) -> list[str]:
    named = dict.fromkeys((word, name_of(row)) for row in rows for word in words[id(row)])
    by_word = sorted(grouped(named, lambda pair: pair[0]).items())
    return [f"{what} “{word}”: {listing(name for _, name in pairs)}." for word, pairs in by_word]


def limits(comparisons: Sequence[Comparison], problems: Sequence[str], prices: Prices = NO_PRICES) -> list[str]:
    """The limits of the results: what a reader has to know before believing a report (rule 26)."""
    unreadable = [f"Could not be read and is missing here: {problem}" for problem in problems]
    if not comparisons:
        return unreadable
    rows = [row for comparison in comparisons for row in comparison.rows]
    records = [record for row in rows for record in row.records]
    sentences = [*_counts(rows), *_references(comparisons)]
    tags = {id(row): list(dict.fromkeys(tag for r in row.records for tag in tags_of(r))) for row in rows}
    if not any(TUNED in words for words in tags.values()):
        sentences.append("No entry was tuned on these images, so it is unknown how well the recipes suit them.")
    sentences += _by_word(rows, tags, "Tagged")
    sentences += _by_word(rows, {id(row): row_flags(row) for row in rows}, "Flagged")
    for record in records:
        if record.status != "completed":
            cause = f" ({record.cause})" if record.cause else ""
            run = f"{style.display(record.entry)}, seed {record.seed}, {budget_text(record)}"
            sentences.append(f"{run}: {record.status}{cause}" + (f": {record.message}" if record.message else ""))
    commits = sorted({commit_text(record) or "unknown" for record in records})
    if len(commits) > 1:
        sentences.append(f"The runs come from {len(commits)} versions of the code: {', '.join(commits)}.")
    if any(record.environment.dirty for record in records):
        sentences.append("Some runs come from a working tree with uncommitted changes (+dirty).")
    sentences += step_costs.sentences(comparisons, prices)
    own_clocks = [comparison for comparison in comparisons if comparison.step_cost is None]
    sentences += breaks_between_runs(own_clocks) + breaks_between_rungs(own_clocks)
    for comparison in comparisons:
        if len(names := declared_references(comparison)) > 1:
            sentences.append(
                f"Experiments of {budget_text(comparison.first)} declare different references ({listing(names)}), so "
                "no differences are tested."
            )
    if len(comparisons) > 1:
        fields = differing_fields(records)
        cut = {name: [v if len(v) <= 48 else f"{v[:45]}..." for v in values] for name, values in fields.items()}
        named = "; ".join(f"{name} ({', '.join(values)})" for name, values in cut.items())
        sentences.append(
            f"There are {len(comparisons)} comparisons; ranks hold only within one. They differ in: {named or '-'}."
        )
    return sentences + unreadable


def _counts(rows: Sequence[Row]) -> list[str]:
    sentences = []
    preliminary = [row for row in rows if row.preliminary]
    if preliminary:
        who = "All rows are" if len(preliminary) == len(rows) else f"{len(preliminary)} of {len(rows)} rows are"
        sentences.append(f"{who} preliminary: fewer than {MIN_RESULT} completed seeds.")
    if not any(row.may_be_ranked for row in rows):
        sentences.append(f"No row is ranked: a rank needs {MIN_RANKED} seeds, all completed.")
    if any(len(row.measured) == 1 for row in rows):
        sentences.append(
            "A single seed has no interval. Its ± is the sampling error of the test split, which does not include the "
            "variation between seeds."
        )
    return sentences


def _references(comparisons: Sequence[Comparison]) -> list[str]:
    sentences = []
    for method, role in (("random_init", "untrained network (random init)"), ("supervised", "supervised ceiling")):
        missing = [c for c in comparisons if all(row.first.method != method for row in c.rows)]
        if missing:
            where = listing(dict.fromkeys(budget_text(c.first) or c.key for c in missing))
            sentences.append(f"No {role} in the comparison of {where}.")
    strangers = [
        row
        for comparison in comparisons
        for row in self_supervised(comparison)
        if (floor := comparison.floor(row)) is not None and backbone_text(floor.first) != backbone_text(row.first)
    ]
    if strangers:
        names = listing(dict.fromkeys(map(name_of, strangers)))
        sentences.append(
            f"Compared with the random init of another backbone, because there is none of their own: {names}."
        )
    return sentences
