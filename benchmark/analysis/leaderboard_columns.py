"""The columns of the leaderboard: one entry each, with its explanation and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.analysis.columns import LEADERBOARD_VERSION, Column, count, number, text
from benchmark.analysis.comparability import comparison_key, cost_key, quality_key, tags_of
from benchmark.analysis.differences import difference_of, ranks
from benchmark.analysis.values import (
    commit_text,
    data_wait_share,
    flops_per_image,
    images_per_second,
    joined,
    ledger_value,
    other_encoder,
    other_linear_top1,
    peak_memory_mib,
    row_flags,
    score,
    times_to_targets,
    watts,
)
from benchmark.records.budgets import budget_text

if TYPE_CHECKING:
    from benchmark.analysis.comparison import Comparison, Row
    from benchmark.analysis.differences import Difference, Rank
    from benchmark.records.schema import Metrics, Record


@dataclass(frozen=True)
class BoardRow:
    """A row of a comparison, with what several columns need."""

    comparison: Comparison
    row: Row

    @property
    def first(self) -> Record:
        """The record that stands for what all runs of the row have in common."""
        return self.row.first

    @cached_property
    def metrics(self) -> Metrics | None:
        """Of the first run that was probed at its end."""
        return self.row.measured[0].metrics if self.row.measured else self.first.metrics

    @cached_property
    def difference(self) -> Difference | None:
        """To the declared reference; None for the reference itself, and without one."""
        return difference_of(self.comparison, self.row)

    @cached_property
    def rank(self) -> Rank | None:
        """None for rows that may not be ranked."""
        return ranks(self.comparison).get(id(self.row))


LEADERBOARD: tuple[Column[BoardRow], ...] = (
    count("schema_version", "version of this table; columns change only with it", lambda _: LEADERBOARD_VERSION),
    text("experiment", "the experiment's name", lambda at: at.first.experiment),
    text("dataset", "the dataset's name; its manifest is in the keys", lambda at: at.first.dataset.name),
    text("entry", "the line of the experiment", lambda at: at.first.entry),
    text("method", "the method behind the entry", lambda at: at.first.method),
    text("backbone", "the network", lambda at: at.first.backbone),
    text("budget", "what every run could spend, such as `10 epochs`", lambda at: budget_text(at.first)),
    count("n", "runs, failed ones included", lambda at: at.row.n),
    count(
        "n_completed",
        "runs that completed. A run whose features collapsed (spread of L2-normalised features under 0.05 of an even "
        "one, or RankMe under 2, at two evaluation points in a row after progress 0.4) is `collapsed`: probed, in the "
        "means, and never ranked",
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
        lambda at: at.row.status,
    ),
    text(
        "rank",
        "the place among the rows that may be ranked: 5 or more runs, all completed (rule 19), and neither "
        "random-init nor supervised. Empty otherwise. `2`, or `tie 2` where other rows share it, see below",
        lambda at: at.rank and at.rank.text,
    ),
    number(
        "linear_top1_mean",
        "linear probe, top-1 on the test split, primary encoder",
        lambda at: at.row.accuracy.mean,
    ),
    number(
        "linear_top1_sd",
        "its standard deviation over runs (n - 1); empty for one run",
        lambda at: at.row.accuracy.sd,
    ),
    number(
        "linear_top1_ci95",
        "half the width of its 95% Student-t interval; empty for one run",
        lambda at: at.row.accuracy.ci95,
    ),
    number(
        "linear_top1_sampling95",
        "the test split's sampling error: half the width of the 95% Wilson interval at the mean, for as many images "
        "as the test split has",
        lambda at: at.row.sampling95,
    ),
    number("linear_top5_mean", "linear probe, top-5", lambda at: at.row.summary(score("linear_top5")).mean),
    number("linear_top5_ci95", "half of its 95% interval", lambda at: at.row.summary(score("linear_top5")).ci95),
    number("knn20_mean", "kNN with k = 20, top-1", lambda at: at.row.summary(score("knn20")).mean),
    number("knn20_ci95", "half of its 95% interval", lambda at: at.row.summary(score("knn20")).ci95),
    number("knn200_mean", "kNN with k = 200, top-1", lambda at: at.row.summary(score("knn200")).mean),
    number("knn200_ci95", "half of its 95% interval", lambda at: at.row.summary(score("knn200")).ci95),
    text("beats_random_init", "`yes`, `no` or `tie`, see below", lambda at: at.comparison.beats_random_init(at.row)),
    text(
        "reference",
        "the entry that the experiment declares as the reference of all comparisons (`reference:` in its file, by "
        "default the first one of CNN-JEPA); empty for that entry itself, and without one",
        lambda at: at.difference and at.difference.reference.first.entry,
    ),
    count(
        "difference_pairs",
        "seeds on which both the row and the reference were probed at their end",
        lambda at: at.difference and at.difference.paired.n,
    ),
    number(
        "difference_mean",
        "mean over these seeds of linear top-1, row - reference, in percentage points",
        lambda at: at.difference and at.difference.paired.mean,
    ),
    number(
        "difference_ci95",
        "half the width of its 95% Student-t interval; not adjusted for the number of rows",
        lambda at: at.difference and at.difference.paired.ci95,
    ),
    number(
        "difference_p_holm",
        "p of the paired, two-sided t-test, Holm-corrected over all rows of the comparison with 3 or more pairs; "
        "empty below that",
        lambda at: at.difference and at.difference.p,
    ),
    number(
        "improvement_probability",
        "how often a run of the row beats a run of the reference, over all pairs of runs, ties counting half; 0.5 is "
        "chance",
        lambda at: at.difference and at.difference.improvement,
    ),
    text(
        "differs",
        "`higher` or `lower` where that p is under 0.05, else `tie`; empty for fewer than 3 pairs (rule 20)",
        lambda at: at.difference and at.difference.verdict,
    ),
    text(
        "encoder",
        "the encoder with these scores: the `online` weights, or `ema`, their moving average",
        lambda at: at.metrics and at.metrics.primary,
    ),
    text(
        "other_encoder",
        "the encoder that is not compared, if there is one (rule 28)",
        lambda at: other_encoder(at.metrics),
    ),
    number("other_linear_top1_mean", "its linear top-1", lambda at: at.row.summary(other_linear_top1).mean),
    number(
        "training_time_mean",
        "steps with their data wait, EMA and whatever the method itself needs; no evaluation, set-up or warm-up (rule "
        "9)",
        lambda at: at.row.time_summary(ledger_value("training_time")).mean,
    ),
    number(
        "training_time_ci95",
        "half of its 95% interval",
        lambda at: at.row.time_summary(ledger_value("training_time")).ci95,
    ),
    text(
        "time_to_targets",
        "for each accuracy of the experiment's `targets:`, the median over all runs of the training time at the first "
        "evaluation point whose validation linear top-1 reaches it, such as `40%: 123 s`; `inf` where half of the "
        "runs or more missed it or failed (rules 18 and 21). Empty for records that hold no validation scores",
        lambda at: times_to_targets(at.row),
    ),
    number("total_time_mean", "everything", lambda at: at.row.time_summary(ledger_value("total_time")).mean),
    number(
        "device_hours_mean",
        "devices x training time, in hours",
        lambda at: at.row.time_summary(ledger_value("device_hours")).mean,
    ),
    number(
        "images_per_second_mean",
        "mean of the runs' median throughput",
        lambda at: at.row.time_summary(images_per_second).mean,
    ),
    number(
        "flops_per_image",
        "floating-point operations of a training step for each image of the batch: convolutions, matrix products and "
        "attention, forward and backward, a multiplication and an addition as two; no norms, optimizer or EMA. What "
        "is really computed: the sparse encoder's hidden cells are not in it. Averaged over 32 steps where masks "
        "decide",
        lambda at: at.row.summary(flops_per_image).mean,
    ),
    number("flops_mean", "the same for the whole run", lambda at: at.row.summary(ledger_value("flops")).mean),
    number(
        "training_watts_mean",
        "power during training, sampled once a second; `runs.csv` says of which device and over which seconds. Empty "
        "where no counter can be read",
        lambda at: at.row.time_summary(watts).mean,
    ),
    number(
        "other_cores_mean",
        "how many of the visible cores other processes kept busy during training; over a twentieth of the cores, the "
        "run is flagged `busy machine`",
        lambda at: at.row.time_summary(ledger_value("other_cores")).mean,
    ),
    number(
        "data_wait_share",
        "share of the training time spent waiting for data, 0 to 1",
        lambda at: at.row.time_summary(data_wait_share).mean,
    ),
    number(
        "peak_memory_mib",
        "the largest peak of these runs",
        lambda at: max(filter(None, map(peak_memory_mib, at.row.measured)), default=None),
    ),
    count(
        "parameters",
        "trained parameters, heads included",
        lambda at: at.metrics and at.metrics.trainable_parameters,
    ),
    count(
        "backbone_parameters",
        "parameters of the backbone",
        lambda at: at.metrics and at.metrics.backbone_parameters,
    ),
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
    text("comparison_key", "rows with equal ones are ranked together", lambda at: comparison_key(at.first)),
    text("quality_key", "see above", lambda at: quality_key(at.first)),
    text("cost_key", "see above", lambda at: cost_key(at.first)),
    text(
        "rules_version",
        "of the rules of fair comparison ([RULES.md](../RULES.md)) that the runs follow",
        lambda at: at.first.rules_version,
    ),
    text(
        "commit",
        "the code's commit, `+dirty` if files had been changed; several are separated by `; `",
        lambda at: joined(map(commit_text, at.row.records)),
    ),
)
