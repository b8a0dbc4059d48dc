"""The columns of the table of step costs: a row per entry and step-cost record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.columns import LEADERBOARD_VERSION, Column, count, number, text
from benchmark.analysis.values import joined

if TYPE_CHECKING:
    from benchmark.records.cost import EntryCost, StepCost


@dataclass(frozen=True)
class CostRow:
    """An entry of a step-cost record."""

    cost: StepCost
    entry: EntryCost


def _interval(name: str, meaning: str, how: str = "by bootstrap over rounds") -> tuple[Column[CostRow], ...]:
    """An estimate over rounds with the ends of its interval."""
    return (
        number(name, meaning, f"entry.{name}.median"),
        number(f"{name}_low", f"lower end of its 95% interval, {how}", f"entry.{name}.low"),
        number(f"{name}_high", "upper end", f"entry.{name}.high"),
    )


COSTS: tuple[Column[CostRow], ...] = (
    count("schema_version", "version of this table", lambda _: LEADERBOARD_VERSION),
    text("experiment", "the experiment's name", "cost.experiment"),
    text("dataset", "the dataset's name", "cost.dataset.name"),
    text("entry", "as above", "entry.entry"),
    text("method", "as above", "entry.method"),
    text("backbone", "as above", "entry.backbone"),
    count("batch_size", "images of a step", "entry.batch_size"),
    text("status", "`measured`, `out_of_memory` or `failed`", "entry.status"),
    text("message", "the error's message", "entry.message"),
    count("rounds", "rounds that the medians are over; fewer than 5 price nothing (rule 30)", "entry.rounds"),
    *_interval("seconds_per_step", "median seconds of a training step, waiting for data included"),
    *_interval("seconds_per_image", "the same divided by the images of a step"),
    *_interval(
        "ratio",
        "seconds per image relative to the reference entry, paired within rounds (Hodges and Lehmann's estimate)",
        "of the signed-rank test",
    ),
    text("reference", "that entry", "cost.reference"),
    number("data_wait_share", "share of these seconds spent waiting for data, 0 to 1", "entry.data_wait_share"),
    number("other_cores", "how many cores other processes kept busy meanwhile", "entry.other_cores"),
    *_interval("joules_per_step", "median energy of a step; empty where no counter can be read"),
    text(
        "energy_scope", "what was measured: the GPU's board by NVML, or the CPU packages by RAPL", "entry.energy_scope"
    ),
    number(
        "peak_memory_mib",
        "the peak while this entry alone was built and warmed up",
        lambda at: None if at.entry.peak_memory_bytes is None else at.entry.peak_memory_bytes / 2**20,
    ),
    number("flops_per_step", "floating-point operations of a step, averaged over masks", "entry.flops_per_step"),
    text("hardware", "the name for `--hardware`; machines of one name may still differ", "cost.hardware.name"),
    text("hardware_key", "12 hex digits; equal for measurements on one kind of hardware", "cost.hardware.key"),
    text("device", "`cpu` or `cuda`", "cost.hardware.device"),
    text("device_model", "the accelerator, or the CPU's name", "cost.hardware.device_model"),
    count("devices", "how many", "cost.hardware.devices"),
    text("cpu_model", "the CPU", "cost.hardware.cpu_model"),
    count("visible_cores", "cores available to the measurement", "cost.hardware.visible_cores"),
    count("threads", "of the CPU that torch computed with", "cost.hardware.threads"),
    text("instructions", "the widest vector instructions that torch used on the CPU", "cost.hardware.instructions"),
    text("precision", "of the training", "cost.hardware.precision"),
    text("torch", "torch's version", "cost.hardware.torch"),
    text("flags", "reasons to doubt the seconds", lambda at: joined(at.cost.flags)),
    text("step_key", "the hash of every setting that can change the cost of a step", "entry.step_key"),
    text("step_cost", "12 hex digits of the record's key", lambda at: at.cost.key[:12]),
    text("rules_version", "as above", "cost.rules_version"),
    text("ended", "when the measurement ended", "cost.ended"),
)
