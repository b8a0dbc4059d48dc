"""The schema of step costs: what one training step of each entry costs on one kind of hardware (rules 29 to 34).

A record is `<results>/<experiment>/costs/<hardware>-<id8>.json`, written by `bench cost` after every round. Nothing in
it depends on a seed or a budget, so that it prices every run of an entry of that configuration.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from benchmark.files.disk import write_atomically
from benchmark.records.folder import read_all, read_part
from benchmark.records.schema import RULES_VERSION, Amount, DatasetRecord, Environment, Number, Part, Share

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

COST_SCHEMA_VERSION = 1
COSTS = "costs"  # the folder inside an experiment's
MIN_ROUNDS = 5  # fewer complete rounds price nothing (rule 30)

CostStatus = Literal["measured", "out_of_memory", "failed"]


class Interval(Part):
    """A median over rounds with its 95% interval: `estimates.interval`, of ratios `estimates.ratio_interval`."""

    median: Amount
    low: Amount
    high: Amount

    @model_validator(mode="after")
    def _in_order(self) -> Interval:
        if not self.low <= self.median <= self.high:
            raise ValueError(f"the median {self.median} is not between {self.low} and {self.high}")
        return self

    @property
    def half_width(self) -> float:
        """Half the width of the interval, relative to the median; 0 for a median of 0."""
        return (self.high - self.low) / 2 / self.median if self.median else 0.0

    def times(self, factor: float) -> Interval:
        """The interval of so many of the same."""
        return Interval(median=self.median * factor, low=self.low * factor, high=self.high * factor)


class Block(Part):
    """Some steps of one entry without a pause, and what they took: seconds of the slowest device.

    `data_wait`: seconds of it spent waiting for data. `other_cores`: cores that other processes kept busy meanwhile.
    `joules`: energy of the devices. Null where there is nothing to read.
    """

    round: Number
    steps: Number
    seconds: Amount
    data_wait: Amount
    other_cores: Amount | None = None
    joules: Amount | None = None


class EntryCost(Part):
    """The cost of a training step of one entry. Seconds and bytes; null if not measured.

    `step_key`: hash of the configuration without seed, budget and what changes numbers alone (`keys.step_key`).
    `rounds`: those that the medians are over. `ratio`: to the reference entry's seconds per image, paired within
    rounds. `parts`: seconds of each part of a step, on a GPU between events there. `peak_memory_bytes`: while this
    entry alone was built and warmed up. `flops_per_step`: averaged over masks. `joules_per_step` is energy within
    `energy_scope`. `rebuilt`: it did not fit beside the others and was built anew for every block. `blocks` has every
    block, those left out of the medians as well.
    """

    entry: str
    method: str
    backbone: str
    step_key: str
    config: dict[str, Any]
    status: CostStatus = "measured"
    message: str | None = None
    batch_size: Number
    blocks: list[Block] = Field(default_factory=list)
    rounds: Number = 0
    seconds_per_step: Interval | None = None
    seconds_per_image: Interval | None = None
    ratio: Interval | None = None
    data_wait_share: Share | None = None
    other_cores: Amount | None = None
    joules_per_step: Interval | None = None
    energy_scope: str | None = None
    parts: dict[str, Amount] | None = None
    peak_memory_bytes: Number | None = None
    flops_per_step: Amount | None = None
    rebuilt: bool = False


class Hardware(Part):
    """The kind of hardware, with what decides how fast it is. Two records with equal fields are of one kind.

    `instructions`: the widest vector instructions that torch uses on the CPU; null where they are unknown.
    """

    device: str
    device_model: str
    devices: Number
    cpu_model: str
    visible_cores: Number
    threads: Number
    instructions: str | None
    precision: str
    torch: str

    @property
    def key(self) -> str:
        """12 hex digits; what a GPU's own work does not depend on is left out."""
        return _digest(self._deciding)[:12]

    @property
    def _deciding(self) -> dict[str, Any]:
        return self.model_dump(exclude=set() if self.device == "cpu" else {"threads", "instructions"})

    @property
    def name(self) -> str:
        """A name for the command line, such as `amd-epyc-2-threads-avx2-32`; machines of one name may still differ."""
        model = f"{self.devices} {self.device_model}" if self.devices > 1 else self.device_model
        own = [self._threads, self.instructions or ""] if self.device == "cpu" else []
        text = " ".join(word for word in (model, *own, self.precision) if word).lower()
        return re.sub(r"[^a-z0-9]+", "-", text).strip("-")

    @property
    def _threads(self) -> str:
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}"

    @property
    def text(self) -> str:
        """A name for readers, such as `AMD EPYC, 2 threads, AVX2, float32, torch 2.14`."""
        devices = f"{self.devices} x " if self.devices > 1 else ""
        own = [self._threads, self.instructions or ""] if self.device == "cpu" else []
        precision = "float32" if self.precision == "32" else "bfloat16" if self.precision == "bf16" else self.precision
        parts = (f"{devices}{self.device_model}", *own, precision, f"torch {self.torch}")
        return ", ".join(part for part in parts if part)


class StepCost(Part):
    """One measurement by `bench cost`: interleaved blocks of steps of some entries on one kind of hardware.

    `key` is a hash of everything else, so that it names these numbers and no others. `id` says what was measured on
    what with which code: a measurement goes on as long as it is the same. `rounds`: complete ones. `jumps`: blocks that
    were repeated because the clocks disagreed. `flags`: reasons to doubt the seconds.
    """

    schema_version: int = COST_SCHEMA_VERSION
    rules_version: str = RULES_VERSION
    key: str = ""
    id: str
    experiment: str
    reference: str
    status: Literal["unfinished", "complete"] = "unfinished"
    rounds: Number = 0
    jumps: Number = 0
    block_seconds: Amount
    dataset: DatasetRecord
    hardware: Hardware
    environment: Environment
    entries: list[EntryCost] = Field(min_length=1)
    flags: list[str] = Field(default_factory=list)
    started: str
    ended: str

    def content_key(self) -> str:
        """The key that the content gives."""
        return _digest(self.model_dump(mode="json", exclude={"key"}))[:32]

    def sealed(self) -> StepCost:
        """The same record with its key."""
        return self.model_copy(update={"key": self.content_key()})

    @property
    def prices(self) -> dict[str, EntryCost]:
        """The measured entries by step key; empty while it is unfinished, and for too few rounds (rule 30)."""
        if self.status != "complete" or self.rounds < MIN_ROUNDS:
            return {}
        sound = [entry for entry in self.entries if entry.status == "measured" and entry.rounds >= MIN_ROUNDS]
        return {entry.step_key: entry for entry in sound if entry.seconds_per_step is not None}


def cost_path(folder: Path, cost: StepCost) -> Path:
    """Where a step-cost record lies in an experiment's folder."""
    return folder / COSTS / f"{cost.hardware.name}-{cost.id[:8]}.json"


def write_cost(path: Path, cost: StepCost) -> StepCost:
    """Writes a step-cost record, sealed; returns it."""
    cost = cost.sealed()
    write_atomically(path, cost.model_dump_json(indent=1) + "\n")
    return cost


def read_cost(path: Path) -> StepCost:
    """Reads one step-cost record.

    Raises:
        ValueError: the file is not one, or was changed since it was written; names the file and the reason.
    """
    cost = read_part(path, StepCost, COST_SCHEMA_VERSION)
    if cost.key != cost.content_key():
        raise ValueError(f"{path}: its key is {cost.key[:8]}, but its content gives {cost.content_key()[:8]}")
    return cost


def find_costs(roots: Iterable[Path]) -> tuple[list[tuple[Path, StepCost]], list[str]]:
    """All step-cost records below some folders, in a stable order, and a line for each that could not be read."""
    return read_all((path for root in roots for path in root.rglob(f"{COSTS}/*.json")), read_cost)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
