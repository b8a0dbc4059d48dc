"""The sections of a report about sweeps: the effect of each parameter, figures, tables, what the sweep cost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from benchmark.analysis.comparison import UNSAFE_TIMES
from benchmark.analysis.findings import COMPARISONS, comparison_name, difference_text, finding, points_text, sentence
from benchmark.analysis.published import is_imagenet100
from benchmark.analysis.studies import Effect, Level, Pair, complete_trials, effects
from benchmark.analysis.tables import relative
from benchmark.files.disk import write_atomically
from benchmark.records.study import trials_csv, value_key, value_text
from benchmark.report import study_figures as drawing
from benchmark.report import style
from benchmark.report.canvas import Caption, Picture, picture
from benchmark.report.tables import Cell, Table, make_table, number_cell
from benchmark.text import listing, p_text, with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.records.study import EntryStudy, PublishedScore, StudyRecord, TrialOutcome

_EFFECTS = (
    "Validation accuracy by value: small points are runs, large ones means with their 95% interval over seeds (each "
    "seed the mean of its runs with that value)."
)
_EFFECTS_DETAILS = (
    "Values that are numbers have their places on the axis. All figures of one sweep have axes of the same length in "
    "points of accuracy. The validation split also chose the probe's regularisation, so that all scores are slightly "
    "too high."
)
_UNDETECTABLE = (
    " Grey bars around the mean of the experiment's own value: differences from it that are too small for these seeds "
    "to detect (power 80%, corrected)."
)
_MAP = Caption("Mean validation accuracy of all runs at each combination.")
_IMPORTANCE = Caption(
    "Optuna's estimate (PED-ANOVA) of how much each parameter decides whether a trial is among the best."
)
_CURVES = Caption(
    "A line per trial, of more than eight the four best and the four worst: the mean of its seeds. Thin grey lines are "
    "pruned trials. Trials that were evaluated only once are not drawn."
)
_NO_CURVES = "No learning curves: each trial was evaluated only once."
_FRONT = Caption(
    "Validation accuracy over training time: large points are trials, small ones their runs. Filled and numbered "
    "trials are on the Pareto front (grey): no other trial is both cheaper and better."
)


def study_sections(studies: Sequence[tuple[Path, StudyRecord]], out: Path) -> list[dict[str, Any]]:
    """What the page shows of each sweep; writes its figures, and its trials as `trials-<study>.csv`."""
    return [_section(path, study, out) for path, study in studies]


def _section(path: Path, study: StudyRecord, out: Path) -> dict[str, Any]:
    csv = f"trials-{_stem(study.name)}.csv"
    write_atomically(out / csv, trials_csv(study))
    every = [effects(entry_study) for entry_study in study.studies]
    span = max((drawing.span_of(shown) for shown in every if any(effect.levels for effect in shown)), default=0.0)
    return {
        "title": f"{study.name}: a study on {study.dataset}, {study.budget}",
        "summary": _summary(study),
        "parts": [
            _part(path, study, entry_study, shown, out, span)
            for entry_study, shown in zip(study.studies, every, strict=True)
        ],
        "csv": csv,
    }


def _summary(study: StudyRecord) -> list[str]:
    trials = [trial for entry_study in study.studies for trial in entry_study.trials]
    states = [trial.state for trial in trials]
    seeds = f"{len(study.seeds)} seeds" if len(study.seeds) > 1 else "one seed"
    sentences = [
        *([f"{study.description[0].upper()}{study.description[1:]}."] if study.description else []),
        f"{states.count('complete')} of {study.trials_wanted} trials are complete, each the mean of {seeds}, sampler "
        f"{study.sampler}.",
    ]
    unfinished = [state for state in ("pruned", "failed", "running", "waiting") if state in states]
    others = [f"{states.count(state)} {state}" for state in unfinished]
    sentences += [f"Not complete: {listing(others)}."] if others else []
    sentences.append(
        f"The sweep took {study.device_hours:.2f} device-hours of training, {study.total_hours:.2f} with set-up and "
        "probes."
    )
    pruned = sum(run.device_hours for run in study.runs if run.status == "pruned")
    sentences += [f"Of these, {pruned:.2f} went into pruned runs."] if pruned else []
    flags = sorted({flag for run in study.runs for flag in run.flags if flag in UNSAFE_TIMES})
    sentences += [f"Times of some runs are marked unsafe ({listing(flags)})."] if flags else []
    if len(study.seeds) < 3:
        sentences.append("Fewer than three seeds: preliminary.")
    sentences.append("No trial was evaluated on the test split.")
    return sentences


def _part(
    path: Path, study: StudyRecord, entry_study: EntryStudy, shown: Sequence[Effect], out: Path, span: float
) -> dict[str, Any]:
    """One entry's study: its findings, figures, a note on figures that are missing, and tables."""
    sentences = [sentence(effect) for effect in shown] if complete_trials(entry_study) else ["No trial is complete."]
    if front := drawing.front_sentence(entry_study) if study.sampler == "nsga2" else "":
        sentences.append(front)
    return {
        "entry": style.display(entry_study.entry),
        "sentences": sentences,
        "pictures": _pictures(study, entry_study, shown, out, span),
        "note": _NO_CURVES if drawing.only_points(entry_study) else "",
        "levels": _levels_table(shown, study.published if is_imagenet100(study.dataset) else (), entry_study.entry),
        "comparisons": _comparisons_table(shown),
        "comparisons_note": COMPARISONS,
        "trials": _trials_table(entry_study, path.parent, out),
    }


def _pictures(
    study: StudyRecord, entry_study: EntryStudy, shown: Sequence[Effect], out: Path, span: float
) -> list[Picture]:
    stem = _stem(f"study-{study.name}-{entry_study.entry}")
    # Of the samplers, this one minimises the cost as a second objective.
    front = drawing.trial_front(entry_study) if study.sampler == "nsga2" else None
    drawn: list[tuple[Any, str, str, Caption]] = [(front, "front", "Accuracy and cost", _FRONT)]
    grey = _UNDETECTABLE if any(e.reference and e.tested for e in shown) else ""
    caption = Caption(_EFFECTS, _EFFECTS_DETAILS + grey)
    drawn.append((drawing.effect_plots(shown, entry_study, span=span), "effects", "Effects", caption))
    for number, (first, second) in enumerate(drawing.pairs_of(entry_study), 1):
        title = f"{first} and {second}"
        drawn.append((drawing.heat_map(entry_study, first, second), f"pair-{number}", title, _MAP))
    drawn.append((drawing.importances(entry_study), "importances", "Importances", _IMPORTANCE))
    drawn.append((drawing.trial_curves(entry_study), "curves", "Learning curves", _CURVES))
    return [
        picture(
            figure,
            drawing.trial_front(entry_study, width=style.COLUMN_WIDTH) if figure is front else None,
            out,
            f"{stem}-{kind}",
            f"{title}, {style.display(entry_study.entry)}",
            caption,
        )
        for figure, kind, title, caption in drawn
        if figure is not None
    ]


def _stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)


def _levels_table(shown: Sequence[Effect], published: Sequence[PublishedScore], entry: str) -> Table:
    """Each value's means and published scores; published values that the sweep did not try have rows, too."""
    rows: list[dict[str, Cell]] = []
    for effect in shown:
        names = (effect.name, f"*.{effect.name.removeprefix(f'{entry}.')}")
        theirs = {value_key(score.value): score for score in published if score.parameter in names}
        if effect.listed or not effect.numeric or theirs:
            rows += [_level_row(effect, level.text, level, theirs.pop(level.text, None)) for level in effect.levels]
        rows += [_level_row(effect, text, None, score) for text, score in theirs.items()]
    heads = list(rows[0]) if rows else []
    kept = [head for head in heads if not head.startswith("Published") or any(row[head].text for row in rows)]
    numeric = [head for head in kept if head == "Runs" or head.endswith("(%)")]
    return make_table([{head: row[head] for head in kept} for row in rows], *numeric)


def _level_row(effect: Effect, text: str, level: Level | None, published: PublishedScore | None) -> dict[str, Cell]:
    runs, mean = (len(level.scores), level.summary.mean) if level else (0, None)
    knn = sum(level.knn) / len(level.knn) if level and level.knn else None
    linear, near = (published.linear_top1, published.knn) if published else (None, None)
    return {
        "Parameter": Cell(effect.name),
        "Value": Cell(text),
        "Runs": Cell(str(runs), runs),
        "Linear top-1 (%)": Cell(with_interval(mean, level.summary.ci95 if level else None), mean),
        "kNN-20 (%)": Cell(with_interval(knn), knn),
        "Published linear (%)": Cell(with_interval(linear), linear),
        "Published kNN (%)": Cell(with_interval(near), near),
        "Published where": Cell(published.source if published else ""),
    }


def _comparisons_table(shown: Sequence[Effect]) -> Table:
    """Each parameter's comparisons of two values that share at least two seeds."""
    rows = [_comparison_row(effect.name, pair) for effect in shown for pair in effect.compared]
    return make_table(rows, "Seeds", "Difference (points)", "p (Holm)", "Detectable (points)")


def _comparison_row(name: str, pair: Pair) -> dict[str, Cell]:
    return {
        "Parameter": Cell(name),
        "Comparison": Cell(comparison_name(pair)),
        "Seeds": Cell(str(pair.paired.n), pair.paired.n),
        "Difference (points)": Cell(difference_text(pair), pair.paired.mean),
        "p (Holm)": number_cell(pair.p, p_text),
        "Detectable (points)": number_cell(pair.detectable, points_text),
        "Finding": Cell(finding(pair)),
    }


def _trials_table(entry_study: EntryStudy, folder: Path, out: Path) -> Table:
    names = list(entry_study.parameters)
    heads = ("Trial", *(name.removeprefix(f"{entry_study.entry}.") for name in names))
    heads += ("Linear top-1 (%)", "State", "Device-hours", "Records")
    numeric = frozenset({0, len(names) + 1, len(names) + 3})
    ranked = sorted(entry_study.trials, key=lambda trial: -1.0 if trial.value is None else trial.value, reverse=True)
    return Table(heads, numeric, tuple(_trial_cells(trial, names, folder, out) for trial in ranked))


def _trial_cells(trial: TrialOutcome, names: Sequence[str], folder: Path, out: Path) -> tuple[Cell, ...]:
    hours = sum(run.device_hours for run in trial.runs)
    links = tuple((str(run.seed), quote(relative(folder / run.record, out))) for run in trial.runs)
    return (
        Cell(str(trial.point), trial.point),
        *(Cell(value_text(trial.parameters[name]) if name in trial.parameters else "") for name in names),
        Cell(with_interval(trial.value), trial.value),
        Cell(trial.state, note=trial.message),
        Cell(f"{hours:.3f}", hours) if trial.runs else Cell(""),
        Cell("seed", links=links) if links else Cell(""),
    )
