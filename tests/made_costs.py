"""Step-cost records as `bench cost` would write them, made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from made_records import make_record

from benchmark.records.cost import Block, EntryCost, Hardware, Interval, StepCost, cost_path, write_cost
from benchmark.records.keys import step_key_of
from benchmark.records.schema import KeySettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmark.records.schema import Record

CPU: dict[str, Any] = {  # the machine of `make_record`
    "device": "cpu",
    "device_model": "cpu",
    "devices": 1,
    "cpu_model": "Xeon 8481C",
    "visible_cores": 2,
    "threads": 2,
    "instructions": "AVX512 BF16",
    "precision": "bf16",
    "torch": "2.14",
}
GPU_A: dict[str, Any] = {**CPU, "device": "cuda", "device_model": "Imaginary A1", "instructions": "AVX512"}
GPU_B: dict[str, Any] = {**GPU_A, "device_model": "Imaginary B2"}


def make_priced(entry: str = "byol", seed: int = 0, **options: Any) -> Record:
    """A run's record that has a step key: one setting of its own keeps entries apart."""
    record = make_record(entry, seed, **options)
    config = {**record.config, "dataset": {"pretrain": "train"}, "accumulate": 1}
    made_from = KeySettings(settings={"made": entry}, backbone={"name": record.backbone})
    return record.model_copy(update={"config": config, "key_settings": made_from})


def make_cost(
    records: Sequence[Record],
    seconds: Mapping[str, float],
    hardware: Mapping[str, Any] = CPU,
    *,
    reference: str = "byol",
    spread: float = 0.02,
    rounds: int = 8,
    joules: float | None = None,
    experiment: str = "cifar10",
    **options: Any,
) -> StepCost:
    """The step cost of the records' entries; `seconds` per step, with an interval of `spread` to both sides."""
    entries = {}
    for record in records:
        name = record.entry
        if name not in seconds or name in entries:
            continue
        per_step = _interval(seconds[name], spread)
        energy = None if joules is None else _interval(joules * seconds[name], spread)
        entries[name] = EntryCost(
            entry=name,
            method=record.method,
            backbone=record.backbone,
            step_key=step_key_of(record) or "",
            config=record.config,
            batch_size=record.config["batch_size"],
            blocks=[Block(round=i, steps=10, seconds=10 * seconds[name], data_wait=0.0) for i in range(rounds)],
            rounds=rounds,
            seconds_per_step=per_step,
            seconds_per_image=per_step.times(1 / record.config["batch_size"]),
            ratio=_interval(seconds[name] / seconds[reference], 0.0 if name == reference else spread),
            data_wait_share=0.0,
            joules_per_step=energy,
            energy_scope=None if joules is None else "GPU board (NVML)",
            peak_memory_bytes=2**30,
            flops_per_step=1e9,
        )
    first = records[0]
    cost = StepCost(
        id="ab" * 16,
        experiment=experiment,
        reference=reference,
        status="complete",
        rounds=rounds,
        block_seconds=1.0,
        dataset=first.dataset,
        hardware=Hardware(**hardware),
        environment=first.environment,
        entries=list(entries.values()),
        started="2026-01-06T10:00:00+00:00",
        ended="2026-01-06T10:05:00+00:00",
    )
    return cost.model_copy(update=options).sealed()


def store_cost(root: Path, cost: StepCost) -> Path:
    """Writes a step-cost record below a results folder; returns its file."""
    path = cost_path(root / cost.experiment, cost)
    write_cost(path, cost)
    return path


def _interval(value: float, spread: float) -> Interval:
    return Interval(median=value, low=value * (1 - spread), high=value * (1 + spread))
