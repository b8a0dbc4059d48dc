"""The columns of the table of runs: one entry each, with its explanation and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.columns import LEADERBOARD_VERSION, Column, count, number, text
from benchmark.analysis.comparability import comparison_key, cost_key, quality_key, tags_of
from benchmark.analysis.values import (
    commit_text,
    images_per_second,
    joined,
    linear_validation_top1,
    other_encoder,
    other_linear_top1,
    peak_memory_mib,
    score,
)
from benchmark.records.budgets import budget_text

if TYPE_CHECKING:
    from benchmark.records.schema import LedgerRecord, Metrics, Record


@dataclass(frozen=True)
class RunRow:
    """A run, and where its record is, seen from the table."""

    record: Record
    path: str

    @property
    def ledger(self) -> LedgerRecord | None:
        """The run's ledger."""
        return self.record.ledger

    @property
    def metrics(self) -> Metrics | None:
        """What the run reached on the test split."""
        return self.record.metrics


RUNS: tuple[Column[RunRow], ...] = (
    count("schema_version", "version of this table", lambda _: LEADERBOARD_VERSION),
    text("experiment", "as above", lambda run: run.record.experiment),
    text("dataset", "as above", lambda run: run.record.dataset.name),
    text("entry", "as above", lambda run: run.record.entry),
    text("method", "as above", lambda run: run.record.method),
    text("backbone", "as above", lambda run: run.record.backbone),
    text("budget", "as above", lambda run: budget_text(run.record)),
    count("seed", "the run's seed", lambda run: run.record.seed),
    text("key", "the hash of every setting that can change the run's result", lambda run: run.record.key),
    text("status", "`completed`, `collapsed`, `diverged`, `pruned` or `failed`", lambda run: run.record.status),
    text("cause", "of a failure: `out_of_memory`, `time_out` or `exception`", lambda run: run.record.cause),
    text("message", "the error's message", lambda run: run.record.message),
    number(
        "linear_top1",
        "linear probe, top-1 on the test split, primary encoder",
        lambda run: score("linear_top1")(run.record),
    ),
    number("linear_top5", "linear probe, top-5", lambda run: score("linear_top5")(run.record)),
    number(
        "linear_strength",
        "the probe's regularisation, chosen on the validation split",
        lambda run: score("linear_strength")(run.record),
    ),
    number(
        "linear_validation_top1",
        "the probe's top-1 on the validation split",
        lambda run: linear_validation_top1(run.record),
    ),
    number("knn20", "kNN with k = 20", lambda run: score("knn20")(run.record)),
    number("knn200", "kNN with k = 200", lambda run: score("knn200")(run.record)),
    text("encoder", "the primary encoder", lambda run: run.metrics and run.metrics.primary),
    text("other_encoder", "the other one, if there is one", lambda run: other_encoder(run.metrics)),
    number("other_linear_top1", "its linear top-1", lambda run: other_linear_top1(run.record)),
    number("final_loss", "the last training loss", lambda run: run.metrics and run.metrics.final_loss),
    number("training_time", "as above", lambda run: run.ledger and run.ledger.training_time),
    number(
        "total_time",
        "as above; with the phases below it adds up",
        lambda run: run.ledger and run.ledger.total_time,
    ),
    number(
        "setup_time",
        "method and optimizer, and what a resumed run reads back; the dataset is loaded before, once for all runs",
        lambda run: run.ledger and run.ledger.phases.setup,
    ),
    number(
        "warmup_time",
        "steps before the clock, undone afterwards",
        lambda run: run.ledger and run.ledger.phases.warmup,
    ),
    number(
        "evaluation_time",
        "probes during and after training",
        lambda run: run.ledger and run.ledger.phases.evaluation,
    ),
    number("checkpointing_time", "writing checkpoints", lambda run: run.ledger and run.ledger.phases.checkpointing),
    number(
        "logging_time",
        "reading losses from the device, the history, the progress bar",
        lambda run: run.ledger and run.ledger.phases.logging,
    ),
    number("data_wait", "waiting for data, inside the training time", lambda run: run.ledger and run.ledger.data_wait),
    number("device_hours", "devices x training time, in hours", lambda run: run.ledger and run.ledger.device_hours),
    count("steps", "optimizer steps", lambda run: run.ledger and run.ledger.steps),
    count("samples", "images drawn from the training split", lambda run: run.ledger and run.ledger.samples),
    count(
        "views",
        "images that passed an encoder, online or target, forward: samples x passes of the method",
        lambda run: run.ledger and run.ledger.views,
    ),
    number("images_per_second", "median throughput", lambda run: images_per_second(run.record)),
    number(
        "flops_per_step",
        "as `flops_per_image`, for a step of the whole batch",
        lambda run: run.ledger and run.ledger.flops_per_step,
    ),
    number("flops", "for the whole run", lambda run: run.ledger and run.ledger.flops),
    number(
        "energy_joules",
        "energy of the sampled part of the training: intervals with an evaluation or a save are left out",
        lambda run: run.ledger and run.ledger.energy and run.ledger.energy.joules,
    ),
    number(
        "energy_seconds",
        "length of that part",
        lambda run: run.ledger and run.ledger.energy and run.ledger.energy.seconds,
    ),
    text(
        "energy_scope",
        "what was measured: the GPU's board by NVML, or the CPU packages by RAPL",
        lambda run: run.ledger and run.ledger.energy and run.ledger.energy.scope,
    ),
    number("other_cores", "as above", lambda run: run.ledger and run.ledger.other_cores),
    number(
        "clock_mhz",
        "mean clock during training: of the GPU's multiprocessors by NVML, or of the cores as the system tells it "
        "(inside a virtual machine often a constant)",
        lambda run: run.ledger and run.ledger.clock_mhz,
    ),
    number(
        "throttled",
        "share of the training in which heat or the power supply held the GPU's clock down; over a twentieth, the run "
        "is flagged. Its own power limit is not counted",
        lambda run: run.ledger and run.ledger.throttled,
    ),
    number(
        "peak_memory_mib",
        "of the training, probes left out (runs recorded before schema 5 hold theirs, too): peak resident set of the "
        "process on a CPU (dataset and libraries included, so that it depends on what ran before; empty where the "
        "system does not reset it), of the device's allocator on a GPU",
        lambda run: peak_memory_mib(run.record),
    ),
    count("parameters", "trained parameters", lambda run: run.metrics and run.metrics.trainable_parameters),
    count(
        "backbone_parameters",
        "parameters of the backbone",
        lambda run: run.metrics and run.metrics.backbone_parameters,
    ),
    count("resumed", "how often the run was continued", lambda run: run.ledger and run.ledger.resumed),
    text("flags", "as above", lambda run: joined(run.record.flags)),
    text("tags", "as above", lambda run: joined(tags_of(run.record))),
    text("device_model", "the accelerator, or the CPU's name", lambda run: run.record.environment.device_model),
    count("devices", "how many", lambda run: run.record.environment.devices),
    text("cpu_model", "the CPU", lambda run: run.record.environment.cpu_model),
    count("visible_cores", "cores available to the run", lambda run: run.record.environment.visible_cores),
    count("threads", "of the CPU that torch computed with", lambda run: run.record.environment.threads),
    text("torch", "torch's version", lambda run: run.record.environment.packages.get("torch")),
    text("comparison_key", "as above", lambda run: comparison_key(run.record)),
    text("quality_key", "as above", lambda run: quality_key(run.record)),
    text("cost_key", "as above", lambda run: cost_key(run.record)),
    text("rules_version", "as above", lambda run: run.record.rules_version),
    text("commit", "as above", lambda run: commit_text(run.record)),
    text("started", "when the run began", lambda run: run.record.started),
    text("ended", "when it ended", lambda run: run.record.ended),
    text("record", "the record file, relative to this table", lambda run: run.path),
)
