"""The tables that commands print, and the sentences that go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from benchmark.records.budgets import budget_text, unit_text
from benchmark.records.study import StudyRecord, TrialOutcome, value_text
from benchmark.text import duration, p_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.held_out import HeldOut
    from benchmark.analysis.ladder_curves import Prediction
    from benchmark.records.cost import StepCost
    from benchmark.records.schema import Record
    from benchmark.runs.progress import Estimate


def runs_text(count: int) -> str:
    """`1 run`, `2 runs`."""
    return "1 run" if count == 1 else f"{count} runs"


def sharing_text(estimates: list[Estimate]) -> str:
    """The assumption behind an estimate for several devices; empty for one device."""
    devices = max((estimate.devices for estimate in estimates if estimate.source is None), default=1)
    if devices == 1:
        return ""
    return f"; assumes that {devices} devices divide the work without loss, which was not measured"


def plan_table(estimates: list[Estimate]) -> Table:
    """The expected time, memory and disk space of each entry."""
    table = _captioned(f"{_basis(estimates)}, per run; without probes of entries that train nothing")
    for name in ("entry", "budget", "runs", "ms/step", "img/s", "training", "probes", "device-hours", "memory", "disk"):
        table.add_column(name, justify="left" if name in ("entry", "budget") else "right", no_wrap=True)
    for estimate in estimates:
        spec, step, hours = estimate.spec, estimate.step, estimate.device_hours
        cells = [spec.entry.name, str(spec.budget), str(estimate.runs)]
        cells += [f"{1e3 * step:,.0f}", f"{spec.experiment.batch_size / step:,.0f}"] if step else ["-", "-"]
        cells += [_training(estimate), "-" if estimate.evaluation is None else duration(estimate.evaluation)]
        cells += [f"{hours:.2f}" if hours >= 0.095 else f"{hours:.2g}"]
        cells += ["-" if size is None else f"{size / 2**20:,.0f} MiB" for size in (estimate.memory, estimate.disk)]
        table.add_row(*map(escape, cells))
    return table


def cost_table(cost: StepCost) -> Table:
    """What a step of each entry costs, the cheapest first; entries that could not be measured last."""
    flags = f"; {', '.join(cost.flags)}" if cost.flags else ""
    table = _captioned(
        f"{cost.hardware.text}; {cost.rounds} rounds{flags}; medians with half of their 95% intervals, "
        f"ratios to {cost.reference} within rounds"
    )
    for name in ("entry", "ms/step", "img/s", "ratio", "data wait", "memory", "GFLOPs/step", "J/step", "others"):
        table.add_column(name, justify="left" if name == "entry" else "right", no_wrap=True)
    last = float("inf")
    for entry in sorted(cost.entries, key=lambda e: e.seconds_per_image.median if e.seconds_per_image else last):
        seconds, ratio = entry.seconds_per_step, entry.ratio
        if seconds is None:
            table.add_row(escape(entry.entry), entry.status.replace("_", " "))
            continue
        cells = [
            f"{1e3 * seconds.median:,.1f} ± {100 * seconds.half_width:.1f}%",
            f"{entry.batch_size / seconds.median:,.0f}",
            "-" if ratio is None else f"{ratio.median:.3f} ± {100 * ratio.half_width:.1f}%",
            "-" if entry.data_wait_share is None else f"{entry.data_wait_share:.1%}",
            "-" if entry.peak_memory_bytes is None else f"{entry.peak_memory_bytes / 2**20:,.0f} MiB",
            "-" if entry.flops_per_step is None else f"{entry.flops_per_step / 1e9:,.1f}",
            "-" if entry.joules_per_step is None else f"{entry.joules_per_step.median:.3g}",
            "-" if entry.other_cores is None else f"{entry.other_cores:.2f}",
        ]
        table.add_row(escape(entry.entry), *cells)
    return table


def _basis(estimates: list[Estimate]) -> str:
    """What the estimates are made from."""
    priced: dict[str, dict[str, None]] = {}
    for estimate in estimates:
        if estimate.source is not None:
            priced.setdefault(estimate.source, {})[estimate.spec.entry.name] = None
    parts = [f"by {source}: {', '.join(names)}" for source, names in priced.items()]
    if not parts or any(estimate.step and estimate.source is None for estimate in estimates):
        parts.append("others from a few steps" if parts else "from a few steps of each entry")
    return f"estimates {'; '.join(parts)}"


def _training(estimate: Estimate) -> str:
    """The expected training time, with half of its interval in percent where a record gives one."""
    text = duration(estimate.training)
    return text if estimate.interval is None else f"{text} ±{100 * estimate.interval.half_width:.1f}%"


def runs_table(records: Sequence[Record]) -> Table:
    """Accuracy, time and status of runs, the most accurate first."""
    table = _captioned("test split, primary encoder; accuracies in percent")
    top5 = any(record.dataset.classes > 5 for record in records)  # else it is 100% by definition
    scores = ["top-1", *(["top-5"] if top5 else []), "kNN-20", "kNN-200"]
    for name in ("entry", "budget", "seed", *scores, "training", "total", "img/s", "status"):
        is_text = name in ("entry", "budget", "status")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name != "status")
    for record in sorted(records, key=lambda record: -(record.metrics.scores.linear_top1 if record.metrics else -1.0)):
        table.add_row(*map(escape, record_cells(record, top5=top5)))
    return table


def record_cells(record: Record, *, top5: bool) -> list[str]:
    """A run as a row of `runs_table`."""
    cells = [record.entry, budget_text(record), str(record.seed)]
    names = ("linear_top1", *(("linear_top5",) if top5 else ()), "knn20", "knn200")
    cells += [f"{getattr(record.metrics.scores, name):.1f}" if record.metrics else "-" for name in names]
    if record.ledger is None:
        cells += ["-"] * 3
    else:
        speed = record.ledger.samples_per_second
        cells += [duration(record.ledger.training_time), duration(record.ledger.total_time)]
        cells += [f"{speed.median:,.0f}" if speed else "-"]
    return [*cells, ", ".join([record.status, *record.flags])]


def unlike_table(first: Sequence[Record], second: Sequence[Record]) -> Table | str:
    """How the runs of two results folders were made differently; a sentence where they were not."""
    from benchmark.analysis.compare import unlike

    rows = unlike(first, second)
    if not rows:
        return "run alike: data, budgets, seeds, machines, versions and commit are the same"
    table = Table("what differs", "first", "second", box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def change_table(first: Sequence[Record], second: Sequence[Record]) -> Table:
    """What changed between two results folders, entry by entry."""
    from benchmark.analysis.compare import changes

    table = Table("entry", "budget", "n", "top-1", "change", "time", "verdict", box=SIMPLE_HEAD)
    for change in changes(first, second):
        rows = (change.first, change.second)
        means = [None if row is None else row.accuracy.mean for row in rows]
        difference = "-" if change.difference is None else f"{change.difference:+.1f}"
        table.add_row(
            escape(change.entry),
            change.budget,
            ", ".join("-" if row is None else str(row.n) for row in rows),
            " to ".join("-" if mean is None else f"{mean:.1f}" for mean in means),
            difference + (f" ± {change.ci95:.1f}" if change.ci95 is not None else ""),
            "-" if change.time_ratio is None else f"x {change.time_ratio:.2f}",
            change.verdict,
        )
    return table


def prediction_table(prediction: Prediction) -> Table:
    """What each entry is predicted to reach at the longer budget, from which law and at what cost."""
    kind, target = prediction.ladder.kind, prediction.target
    table = _captioned(
        "linear top-1 on the test split, in percent; 90% intervals of what would be measured with as many seeds; law: "
        f"a - b x^-c, x in {unit_text(kind)}; training: device time, in proportion to the longest rung"
    )
    heads = ("entry", "rungs", "seeds", "longest rung", f"at {prediction.target_text}", "90% interval", "a", "b", "c")
    for name in (*heads, "training"):
        table.add_column(name, justify="left" if name in ("entry", "rungs") else "right", no_wrap=True)
    for entry in prediction.entries:
        curve, law, top1 = entry.source.curve, entry.fit.law, entry.top1
        counts = sorted({len(rung.values) for rung in curve.rungs})
        cost = entry.source.cost(target)
        cells = [entry.entry, ", ".join(f"{rung.budget:g}" for rung in curve.rungs)]
        cells += [f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}", f"{curve.longest.mean:.1f}"]
        cells += [f"{top1.median:.1f}", f"{top1.low:.1f} to {top1.high:.1f}"]
        cells += [f"{law.a:.1f}", f"{law.b:.3g}", f"{law.c:.2f}", "-" if cost is None else duration(cost)]
        table.add_row(*map(escape, cells))
    return table


def pair_table(prediction: Prediction) -> Table:
    """How sure the order of every two entries is at the longer budget, and where their curves cross."""
    table = _captioned(
        f"P: probability that the first is measured higher at {prediction.target_text}; crossing: of the two laws, the "
        "last one, where at least half of the draws have one, with its 90% interval"
    )
    for name in ("first", "second", "P", f"crossing ({unit_text(prediction.ladder.kind)})"):
        table.add_column(name, justify="right" if name == "P" else "left", no_wrap=True)
    for pair in prediction.pairs():
        at, share = pair.crossing.budget, f"{pair.crossing.share:.0%} of the draws"
        where = f"none from {pair.shortest:g} to {prediction.target:g} ({share} cross)"
        if at is not None:
            where = f"{at.median:.3g}, {at.low:.3g} to {at.high:.3g} ({share})"
        table.add_row(*map(escape, (pair.first, pair.second, f"{pair.probability:.2f}", where)))
    return table


def held_out_table(check: HeldOut, kind: str) -> Table:
    """Each rung that was left out: what the shorter ones predict, and what was measured."""
    table = _captioned("linear top-1 on the test split, in percent; predicted from the shorter rungs alone")
    for name in ("entry", unit_text(kind), "predicted", "90% interval", "measured", "inside"):
        table.add_column(name, justify="left" if name in ("entry", "inside") else "right", no_wrap=True)
    for rung in check.checks:
        low, median, high = rung.predicted
        cells = [rung.entry, f"{rung.budget:g}", f"{median:.1f}", f"{low:.1f} to {high:.1f}", f"{rung.measured:.1f}"]
        table.add_row(*map(escape, (*cells, "yes" if rung.inside else "no")))
    return table


def trials_text(record: StudyRecord) -> str:
    """How many trials of a sweep are done, and what they cost, in a sentence."""
    states = [trial.state for study in record.studies for trial in study.trials]
    done = states.count("complete") + states.count("pruned")
    failed = f", {states.count('failed')} failed" if "failed" in states else ""
    return (
        f"{done} of {record.trials_wanted} trials done{failed}; {runs_text(len(record.runs))} took "
        f"{record.device_hours:.2f} device-hours of training, {record.total_hours:.2f} with everything"
    )


def trials_table(record: StudyRecord) -> Table:
    """The trials of a sweep, the best of each entry first."""
    from benchmark.analysis.fronts import front_trials

    has_front = record.sampler == "nsga2"  # two objectives
    front = "; front: no other trial is as accurate for as little" if has_front else ""
    table = _captioned(f"validation split, primary encoder; mean of the seeds, in percent{front}")
    for name in ("entry", "point", "linear", "kNN-20", "runs", "device-hours", *["front"] * has_front, "state"):
        is_number = name in ("linear", "kNN-20", "runs", "device-hours")
        table.add_column(name, justify="right" if is_number else "left", no_wrap=is_number)
    for study in record.studies:
        best = {trial.point for trial in front_trials(study)} if has_front else set()
        for trial in sorted(study.trials, key=lambda trial: -1.0 if trial.value is None else trial.value, reverse=True):
            names = {name: name.removeprefix(f"{study.entry}.") for name in trial.parameters}
            point = ", ".join(f"{names[name]}={value_text(value)}" for name, value in trial.parameters.items())
            *cells, state = _trial_cells(trial)
            mark = ["*" if trial.point in best else ""] if has_front else []
            table.add_row(*map(escape, (study.entry, point, *cells, *mark, state)))
    return table


def comparisons_table(record: StudyRecord) -> Table | None:
    """The comparisons of each parameter's values; None where no two values share two seeds."""
    from benchmark.analysis.findings import COMPARISONS, comparison_name, difference_text, finding, points_text
    from benchmark.analysis.studies import effects

    table = _captioned(COMPARISONS)
    for name in ("entry", "comparison", "seeds", "difference", "p (Holm)", "detectable", "finding"):
        is_number = name in ("seeds", "difference", "p (Holm)", "detectable")
        table.add_column(name, justify="right" if is_number else "left", no_wrap=is_number)
    for study in record.studies:
        for effect in effects(study):
            for pair in effect.compared:
                what = f"{effect.name.removeprefix(f'{study.entry}.')}: {comparison_name(pair)}"
                p = "-" if pair.p is None else p_text(pair.p)
                detectable = "-" if pair.detectable is None else points_text(pair.detectable)
                cells = (what, str(pair.paired.n), difference_text(pair), p, detectable, finding(pair))
                table.add_row(*map(escape, (study.entry, *cells)))
    return table if table.row_count else None


def _captioned(caption: str) -> Table:
    return Table(caption=caption, caption_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _trial_cells(trial: TrialOutcome) -> tuple[str, ...]:
    neighbours = [run.knn20 for run in trial.runs if run.knn20 is not None]
    hours = sum(run.device_hours for run in trial.runs)
    return (
        "-" if trial.value is None else f"{trial.value:.1f}",
        f"{sum(neighbours) / len(neighbours):.1f}" if neighbours else "-",
        str(len(trial.runs)),
        f"{hours:.3f}" if trial.runs else "-",
        f"{trial.state} ({trial.message})" if trial.message else trial.state,
    )
