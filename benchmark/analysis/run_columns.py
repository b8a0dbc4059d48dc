"""The columns of the table of runs: one entry each, with its explanation and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.columns import KEYS, LEADERBOARD_VERSION, SETTINGS, Column, again, count, number, text
from benchmark.analysis.comparability import tags_of
from benchmark.analysis.values import (
    commit_text,
    joined,
    linear_validation_top1,
    other_encoder,
    other_linear_top1,
    peak_memory_mib,
)

if TYPE_CHECKING:
    from benchmark.analysis.calibration import Price
    from benchmark.records.schema import Record


@dataclass(frozen=True)
class RunRow:
    """A run, where its record is, seen from the table, and what a step of it costs."""

    record: Record
    path: str
    price: Price | None = None

    @property
    def calibrated_time(self) -> float | None:
        """Steps x seconds per step; None without a price or a ledger."""
        ledger = self.record.ledger
        return None if self.price is None or ledger is None else self.price.seconds(ledger.steps).median


RUNS: tuple[Column[RunRow], ...] = (
    count("schema_version", "version of this table", lambda _: LEADERBOARD_VERSION),
    *again(SETTINGS),
    count("seed", "the run's seed", "record.seed"),
    text("key", "the hash of every setting that can change the run's result", "record.key"),
    text("status", "`completed`, `collapsed`, `diverged`, `pruned` or `failed`", "record.status"),
    text("cause", "of a failure: `out_of_memory`, `time_out` or `exception`", "record.cause"),
    text("message", "the error's message", "record.message"),
    number(
        "linear_top1", "linear probe, top-1 on the test split, primary encoder", "record.metrics.scores.linear_top1"
    ),
    number("linear_top5", "linear probe, top-5", "record.metrics.scores.linear_top5"),
    number(
        "linear_strength",
        "the probe's regularisation, chosen on the validation split",
        "record.metrics.scores.linear_strength",
    ),
    number(
        "linear_validation_top1",
        "the probe's top-1 on the validation split",
        lambda run: linear_validation_top1(run.record),
    ),
    number("knn20", "kNN with k = 20", "record.metrics.scores.knn20"),
    number("knn200", "kNN with k = 200", "record.metrics.scores.knn200"),
    text("encoder", "the primary encoder", "record.metrics.primary"),
    text("other_encoder", "the other one, if there is one", lambda run: other_encoder(run.record.metrics)),
    number("other_linear_top1", "its linear top-1", lambda run: other_linear_top1(run.record)),
    number("final_loss", "the last training loss", "record.metrics.final_loss"),
    number("training_time", "as above", "record.ledger.training_time"),
    number("calibrated_time", "optimizer steps x seconds per step, as above", "calibrated_time"),
    text("step_cost", "as above", "price.short_key"),
    number("total_time", "as above; with the phases below it adds up", "record.ledger.total_time"),
    number(
        "setup_time",
        "method and optimizer, and what a resumed run reads back; the dataset is loaded before, once for all runs",
        "record.ledger.phases.setup",
    ),
    number("warmup_time", "steps before the clock, undone afterwards", "record.ledger.phases.warmup"),
    number("evaluation_time", "probes during and after training", "record.ledger.phases.evaluation"),
    number("checkpointing_time", "writing checkpoints", "record.ledger.phases.checkpointing"),
    number(
        "logging_time", "reading losses from the device, the history, the progress bar", "record.ledger.phases.logging"
    ),
    number("data_wait", "waiting for data, inside the training time", "record.ledger.data_wait"),
    number("device_hours", "devices x training time, in hours", "record.ledger.device_hours"),
    count("steps", "optimizer steps", "record.ledger.steps"),
    count("samples", "images drawn from the training split", "record.ledger.samples"),
    count(
        "views",
        "images that passed an encoder, online or target, forward: samples x passes of the method",
        "record.ledger.views",
    ),
    count("encoded_pixels", "the pixels of those views", "record.ledger.encoded_pixels"),
    number("images_per_second", "median throughput", "record.ledger.samples_per_second.median"),
    number("flops_per_step", "as `flops_per_image`, for a step of the whole batch", "record.ledger.flops_per_step"),
    number("flops", "for the whole run", "record.ledger.flops"),
    number(
        "energy_joules",
        "energy of the sampled part of the training: intervals with an evaluation or a save are left out",
        "record.ledger.energy.joules",
    ),
    number("energy_seconds", "length of that part", "record.ledger.energy.seconds"),
    text(
        "energy_scope",
        "what was measured: the GPU's board by NVML, or the CPU packages by RAPL",
        "record.ledger.energy.scope",
    ),
    number("other_cores", "as above", "record.ledger.other_cores"),
    number(
        "clock_mhz",
        "mean clock during training: of the GPU's multiprocessors by NVML, or of the cores as the system tells it "
        "(inside a virtual machine often a constant)",
        "record.ledger.clock_mhz",
    ),
    number(
        "throttled",
        "share of the training in which heat or the power supply held the GPU's clock down; over a twentieth, the run "
        "is flagged. Its own power limit is not counted",
        "record.ledger.throttled",
    ),
    number(
        "peak_memory_mib",
        "of the training, probes left out (runs recorded before schema 5 hold theirs, too): peak resident set of the "
        "process on a CPU (dataset and libraries included, so that it depends on what ran before; empty where the "
        "system does not reset it), of the device's allocator on a GPU",
        lambda run: peak_memory_mib(run.record),
    ),
    count("parameters", "trained parameters", "record.metrics.trainable_parameters"),
    count("backbone_parameters", "parameters of the backbone", "record.metrics.backbone_parameters"),
    count("resumed", "how often the run was continued", "record.ledger.resumed"),
    text("flags", "as above", lambda run: joined(run.record.flags)),
    text("tags", "as above", lambda run: joined(tags_of(run.record))),
    text("device_model", "the accelerator, or the CPU's name", "record.environment.device_model"),
    count("devices", "how many", "record.environment.devices"),
    text("cpu_model", "the CPU", "record.environment.cpu_model"),
    count("visible_cores", "cores available to the run", "record.environment.visible_cores"),
    count("threads", "of the CPU that torch computed with", "record.environment.threads"),
    text("torch", "torch's version", lambda run: run.record.environment.packages.get("torch")),
    *again(KEYS),
    text("commit", "as above", lambda run: commit_text(run.record)),
    text("started", "when the run began", "record.started"),
    text("ended", "when it ended", "record.ended"),
    text("record", "the record file, relative to this table", "path"),
)
