"""The columns of the leaderboard: one entry each, with its explanation and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.analysis.columns import (
    COMPARISON_KEY,
    KEYS,
    LEADERBOARD_VERSION,
    SETTINGS,
    Column,
    attribute,
    count,
    number,
    text,
)
from benchmark.analysis.comparability import tags_of
from benchmark.analysis.differences import differences, ranks
from benchmark.analysis.kept import PROPERTIES, kept_of
from benchmark.analysis.values import (
    commit_text,
    data_wait_share,
    flops_per_image,
    joined,
    other_encoder,
    other_linear_top1,
    peak_memory_mib,
    row_flags,
    times_to_targets,
    watts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.analysis.comparison import Comparison, Row
    from benchmark.analysis.differences import Difference, Rank
    from benchmark.analysis.kept import Kept, Property
    from benchmark.records.schema import Metrics, Record

    Value = Callable[[Record], float | None]


@dataclass(frozen=True)
class BoardRow:
    """A row of a comparison, with what several columns need; `kept` are the comparison's dense scores."""

    comparison: Comparison
    row: Row
    kept: tuple[Kept, ...] = ()

    @property
    def record(self) -> Record:
        """The record that stands for what all runs of the row have in common."""
        return self.row.first

    @cached_property
    def metrics(self) -> Metrics | None:
        """Of the first run that was probed at its end."""
        return self.row.measured[0].metrics if self.row.measured else self.record.metrics

    @cached_property
    def difference(self) -> Difference | None:
        """To the declared reference; None for the reference itself, and without one."""
        return next((pair for pair in differences(self.comparison) if pair.row is self.row), None)

    @cached_property
    def rank(self) -> Rank | None:
        """None for rows that may not be ranked."""
        return ranks(self.comparison).get(id(self.row))


def _mean(value: str | Value, part: str = "mean") -> Callable[[BoardRow], float | None]:
    """A value's mean over a row's measured runs, or another part of its summary."""
    read = attribute(value) if isinstance(value, str) else value
    return lambda at: getattr(at.row.summary(read), part)


def _mean_time(value: str | Value, part: str = "mean") -> Callable[[BoardRow], float | None]:
    """The same over the runs with safe times."""
    read = attribute(value) if isinstance(value, str) else value
    return lambda at: getattr(at.row.time_summary(read), part)


def _calibrated_device_hours(at: BoardRow) -> float | None:
    price, steps = at.row.price, at.row.steps
    return None if price is None or steps is None else price.device_seconds(steps).median / 3600


def _calibrated_joules(at: BoardRow) -> float | None:
    energy = None if at.row.price is None or at.row.steps is None else at.row.price.joules(at.row.steps)
    return None if energy is None else energy.median


def _score(name: str, meaning: str) -> tuple[Column[BoardRow], Column[BoardRow]]:
    """A score's mean and its interval."""
    path = f"metrics.scores.{name}"
    return (
        number(f"{name}_mean", meaning, _mean(path)),
        number(f"{name}_ci95", "half of its 95% interval", _mean(path, "ci95")),
    )


def _kept(wanted: Property) -> tuple[Column[BoardRow], Column[BoardRow]]:
    """A dense score's mean and its interval."""

    def part(name: str) -> Callable[[BoardRow], float | None]:
        return lambda at: getattr(kept_of(at.row, list(at.kept), wanted.name), name)

    return (
        number(f"{wanted.name}_mean", wanted.meaning, part("mean")),
        number(f"{wanted.name}_ci95", "half of its 95% interval", part("ci95")),
    )


LEADERBOARD: tuple[Column[BoardRow], ...] = (
    count("schema_version", "version of this table; columns change only with it", lambda _: LEADERBOARD_VERSION),
    *SETTINGS,
    count("n", "runs, failed ones included", "row.n"),
    count(
        "n_completed",
        "runs that completed. A run whose features collapsed (spread of L2-normalised features under 0.05 of an even "
        "one, or RankMe under 2, at two evaluation points in a row after progress 0.4, or at the only one) is "
        "`collapsed`: probed, in the means, and never ranked",
        lambda at: len(at.row.completed),
    ),
    count(
        "n_timed",
        "runs that times, and what is computed from them (hours, images/s, watts, waits), are averaged over: those "
        "without a flag that makes times unsafe, or all if each has one",
        lambda at: len(at.row.timed),
    ),
    text(
        "preliminary",
        "`yes` for fewer than 3 completed runs (rule 19)",
        lambda at: "yes" if at.row.preliminary else "no",
    ),
    text(
        "status",
        "`completed`, or how each run ended, such as `2 completed, 1 diverged`; a failure's cause in brackets",
        "row.status",
    ),
    text(
        "rank",
        "the place among the rows that may be ranked: 5 or more runs, all completed (rule 19), and neither "
        "random-init nor supervised. Empty otherwise. `2`, or `tie 2` where other rows share it, see below",
        "rank.text",
    ),
    number("linear_top1_mean", "linear probe, top-1 on the test split, primary encoder", "row.accuracy.mean"),
    number("linear_top1_sd", "its standard deviation over runs (n - 1); empty for one run", "row.accuracy.sd"),
    number("linear_top1_ci95", "half the width of its 95% Student-t interval; empty for one run", "row.accuracy.ci95"),
    number(
        "linear_top1_sampling95",
        "the test split's sampling error: half the width of the 95% Wilson interval at the mean, for as many images "
        "as the test split has",
        "row.sampling95",
    ),
    *_score("linear_top5", "linear probe, top-5"),
    *_score("knn20", "kNN with k = 20, top-1"),
    *_score("knn200", "kNN with k = 200, top-1"),
    text(
        "kept_on",
        "the dataset of each dense score that follows, such as `shapes-depth`: the comparison's own where it was "
        "scored there; several are separated by `; `",
        lambda at: joined(each.dataset for each in at.kept if id(at.row) in each.summaries),
    ),
    *(column for wanted in PROPERTIES for column in _kept(wanted)),
    text("beats_random_init", "`yes`, `no` or `tie`, see below", lambda at: at.comparison.beats_random_init(at.row)),
    text(
        "reference",
        "the entry that the experiment declares as the reference of all comparisons (`reference:` in its file, by "
        "default the first one of CNN-JEPA); empty for that entry itself, and without one",
        "difference.reference.first.entry",
    ),
    count(
        "difference_pairs",
        "seeds on which both the row and the reference were probed at their end",
        "difference.paired.n",
    ),
    number(
        "difference_mean",
        "mean over these seeds of linear top-1, row - reference, in percentage points",
        "difference.paired.mean",
    ),
    number(
        "difference_ci95",
        "half the width of its 95% Student-t interval; not adjusted for the number of rows",
        "difference.paired.ci95",
    ),
    number(
        "difference_p_holm",
        "p of the paired, two-sided t-test, Holm-corrected over all rows of the comparison with 3 or more pairs; "
        "empty below that",
        "difference.p",
    ),
    number(
        "improvement_probability",
        "how often a run of the row beats a run of the reference, over all pairs of runs, ties counting half; 0.5 is "
        "chance",
        "difference.improvement",
    ),
    text(
        "differs",
        "`higher` or `lower` where that p is under 0.05, else `tie`; empty for fewer than 3 pairs (rule 20)",
        "difference.verdict",
    ),
    text(
        "encoder",
        "the encoder with these scores: the `online` weights, or `ema`, their moving average",
        "metrics.primary",
    ),
    text(
        "other_encoder",
        "the encoder that is not compared, if there is one (rule 28)",
        lambda at: other_encoder(at.metrics),
    ),
    number("other_linear_top1_mean", "its linear top-1", _mean(other_linear_top1)),
    number(
        "training_time_mean",
        "steps with their data wait, EMA and whatever the method itself needs; no evaluation, set-up or warm-up (rule "
        "9)",
        _mean_time("ledger.training_time"),
    ),
    number("training_time_ci95", "half of its 95% interval", _mean_time("ledger.training_time", "ci95")),
    number(
        "calibrated_time_mean",
        "optimizer steps x seconds per step, from the step-cost record that prices every entry of the ladder; empty "
        "where there is none. The mean over the measured runs, whatever their flags",
        "row.calibrated_time.median",
    ),
    number(
        "calibrated_time_low",
        "lower end of its 95% interval, by bootstrap over the rounds of the measurement",
        "row.calibrated_time.low",
    ),
    number("calibrated_time_high", "upper end of that interval", "row.calibrated_time.high"),
    number(
        "calibrated_device_hours_mean",
        "devices of the measurement x calibrated time, in hours",
        _calibrated_device_hours,
    ),
    number(
        "calibrated_joules_mean",
        "optimizer steps x joules per step; `costs.csv` says of which device. Empty where no counter can be read",
        _calibrated_joules,
    ),
    number(
        "relative_cost",
        "seconds per step relative to the reference entry of the measurement, paired within its rounds",
        "row.price.entry.ratio.median",
    ),
    number(
        "own_clock_ratio",
        "training time by the runs' own clocks (over the `n_timed` runs) divided by the calibrated time; empty if "
        "they were made on other hardware",
        "row.own_clock_ratio",
    ),
    text("calibrated_on", "the hardware of the step-cost record", "row.price.cost.hardware.text"),
    text("step_cost", "12 hex digits of the record's key", "row.price.short_key"),
    text(
        "time_to_targets",
        "for each accuracy of the experiment's `targets:`, the median over all runs of the training time at the first "
        "evaluation point whose validation linear top-1 reaches it, such as `40%: 123 s`; `inf` where half of the "
        "runs or more missed it or failed (rules 18 and 21). Empty for records that hold no validation scores",
        lambda at: times_to_targets(at.row),
    ),
    number("total_time_mean", "everything", _mean_time("ledger.total_time")),
    number("device_hours_mean", "devices x training time, in hours", _mean_time("ledger.device_hours")),
    number(
        "images_per_second_mean", "mean of the runs' median throughput", _mean_time("ledger.samples_per_second.median")
    ),
    number(
        "flops_per_image",
        "floating-point operations of a training step for each image of the batch: convolutions, matrix products and "
        "attention, forward and backward, a multiplication and an addition as two; no norms, optimizer or EMA. What "
        "is really computed: the sparse encoder's hidden cells are not in it. Averaged over 32 steps where masks "
        "decide",
        _mean(flops_per_image),
    ),
    number("flops_mean", "the same for the whole run", _mean("ledger.flops")),
    number(
        "training_watts_mean",
        "power during training, sampled once a second; `runs.csv` says of which device and over which seconds. Empty "
        "where no counter can be read",
        _mean_time(watts),
    ),
    number(
        "other_cores_mean",
        "how many of the visible cores other processes kept busy during training; over a twentieth of the cores, the "
        "run is flagged `busy machine`",
        _mean_time("ledger.other_cores"),
    ),
    number("data_wait_share", "share of the training time spent waiting for data, 0 to 1", _mean_time(data_wait_share)),
    number(
        "peak_memory_mib",
        "the largest peak of these runs",
        lambda at: max(filter(None, map(peak_memory_mib, at.row.measured)), default=None),
    ),
    count("parameters", "trained parameters, heads included", "metrics.trainable_parameters"),
    count("backbone_parameters", "parameters of the backbone", "metrics.backbone_parameters"),
    text(
        "flags",
        "what the harness noticed: `resumed`, `shared device` (another `bench` used it too), `busy machine` (see "
        "`other_cores_mean`), `input-bound` (under 90% of the throughput with a batch at hand), `throttled` (heat or "
        "power supply held the clock down), `tracked` (`--track`: a tracker's threads ran during it), all of which "
        "make times unsafe; `test images in train` (by checksum; the record says how many), which makes accuracies "
        "unsafe; `repeated seed` where two different runs share one; `invalid: ...` where a bug is known to have made "
        "a run wrong (`benchmark/records/invalidations.yaml`): such a row is last and unranked, and no figure or "
        "difference includes it (rule 25)",
        lambda at: joined(row_flags(at.row)),
    ),
    text(
        "tags",
        "what the experiment declares, such as `different backbone`",
        lambda at: joined(tag for record in at.row.records for tag in tags_of(record)),
    ),
    # A guest's own key is that of no comparison.
    *(replace(c, value=lambda at: at.comparison.key) if c is COMPARISON_KEY else c for c in KEYS),
    text(
        "commit",
        "the code's commit, `+dirty` if files had been changed; several are separated by `; `",
        lambda at: joined(map(commit_text, at.row.records)),
    ),
)
