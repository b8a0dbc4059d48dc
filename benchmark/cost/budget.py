"""A run's budget, and its progress: consumed / limit, from 0 to 1.

A new kind of budget is a name in `BudgetKind`, a field of `BudgetSpec` and a line in `Budget`, and its words in
`benchmark/records/budgets.py`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import field_validator, model_validator

from benchmark.files.parse import real_number, shortened
from benchmark.records.budgets import CALIBRATED_BUDGETS
from methods.config import Config, nearest

if TYPE_CHECKING:
    from benchmark.records.cost import StepCost

BudgetKind = Literal[
    "epochs", "steps", "samples", "wall_clock", "device_hours", "calibrated_time", "calibrated_device_hours", "flops"
]
KINDS: tuple[BudgetKind, ...] = get_args(BudgetKind)
DURATIONS: tuple[BudgetKind, ...] = ("wall_clock", "calibrated_time")
MOST: dict[BudgetKind, float] = {
    "epochs": 1e6,
    "steps": 1e10,
    "samples": 1e13,
    "wall_clock": 3650 * 86400.0,
    "device_hours": 1e9,
    "calibrated_time": 3650 * 86400.0,
    "calibrated_device_hours": 1e9,
    "flops": 1e28,
}
"""The largest limit of each kind; of durations ten years."""
LEAST = 1e-6
"""The smallest limit of all kinds; whatever it allows, a run takes one step."""
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `2h30m`, `90s`, `1.5h` or `3600`; ValueError if it is none."""
    text = text.strip().lower()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([dhms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"'{shortened(text)}' is not a duration; expected for instance 2h30m, 90s or 1.5h")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


@dataclass(frozen=True)
class Budget:
    """One limit. `limit` is in epochs, steps, samples, seconds (of `DURATIONS`), device-hours or FLOPs.

    A calibrated budget becomes a number of steps before its run begins (`calibrated`), and is then one of steps.

    Attributes:
        steps: that a calibrated budget allows an entry.
        step_cost: key of the record that says so.
    """

    kind: BudgetKind
    limit: float
    steps: int | None = None
    step_cost: str | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether a step-cost record decides how many steps it allows."""
        return self.kind in CALIBRATED_BUDGETS

    def calibrated(self, cost: StepCost, step_key: str | None) -> Budget:
        """A calibrated budget with the steps that it allows an entry that the record prices; 0 without a step key."""
        if step_key is None:
            return replace(self, steps=0, step_cost=cost.key)
        step = cost.prices[step_key].seconds_per_step
        assert step is not None, "else it would be no price"
        seconds = self.limit * 3600 / cost.hardware.devices if self.kind == "calibrated_device_hours" else self.limit
        return replace(self, steps=max(1, int(seconds / step.median + 1e-9)), step_cost=cost.key)

    def data(self) -> dict[str, Any]:
        """The budget as records and keys have it."""
        priced = {"steps": self.steps, "step_cost": self.step_cost} if self.step_cost else {}
        return {self.kind: self.limit, **priced}

    def total_steps(self, steps_per_epoch: int, batch_size: int, flops_per_step: float | None) -> int | None:
        """How many steps it allows, at least one; None for budgets of time. One of FLOPs needs those of a step."""
        if self.is_calibrated:
            if self.steps is None:
                raise ValueError("a calibrated budget needs a step cost")
            return self.steps
        if self.kind == "epochs":
            return max(1, round(self.limit * steps_per_epoch))
        if self.kind == "steps":
            return max(1, round(self.limit))
        if self.kind == "samples":
            return max(1, -(-round(self.limit) // batch_size))
        if self.kind == "flops":
            if not flops_per_step:
                raise ValueError("a budget of FLOPs needs the FLOPs of a step")
            return max(1, math.ceil(self.limit / flops_per_step))
        return None

    def training_time(self, devices: float) -> float | None:
        """Seconds of training that it allows on so many devices; None for budgets that do not limit time."""
        seconds = {"wall_clock": self.limit, "device_hours": self.limit * 3600 / devices}
        return seconds.get(self.kind)

    def progress(
        self, total_steps: int | None, *, steps: int = 0, training_time: float = 0.0, devices: float = 1.0
    ) -> float:
        """Consumed / limit in [0, 1]; never decreases as more is consumed (RULES 5). `devices` is their mean number."""
        if total_steps is not None:
            return min(1.0, steps / total_steps)
        seconds = self.training_time(devices)
        assert seconds is not None
        return min(1.0, training_time / seconds)

    def __str__(self) -> str:
        steps = f" ({self.steps} steps)" if self.steps else ""
        return f"{self.kind}={self.limit:g}" + ("s" if self.kind in DURATIONS else "") + steps


class BudgetSpec(Config):
    """Exactly one kind of limit; several limits are a ladder, each rung a full schedule of its own.

    Attributes:
        epochs: passes over the training images.
        steps: optimizer steps.
        samples: images.
        wall_clock: training time, for instance `2h30m` (evaluation is never charged).
        device_hours: devices x training time, in hours.
        calibrated_time: training time like `wall_clock`, but as many steps of each entry as take so long by a step-cost
            record (`bench cost`), so that the machine's load changes nothing.
        calibrated_device_hours: devices x calibrated time, in hours.
        flops: of convolutions, matrix products and attention, forward and backward; for instance 1e15.
    """

    epochs: tuple[float, ...] | None = None
    steps: tuple[float, ...] | None = None
    samples: tuple[float, ...] | None = None
    wall_clock: tuple[float, ...] | None = None
    device_hours: tuple[float, ...] | None = None
    calibrated_time: tuple[float, ...] | None = None
    calibrated_device_hours: tuple[float, ...] | None = None
    flops: tuple[float, ...] | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any, info: Any) -> Any:
        if value is None:
            return None
        values = value if isinstance(value, (list, tuple)) else [value]
        if info.field_name in DURATIONS:
            values = [parse_duration(item) if isinstance(item, str) else item for item in values]
        return tuple(values)

    @model_validator(mode="after")
    def _one_limits(self) -> BudgetSpec:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            what = "none is given" if not given else f"{', '.join(given)} are given"
            raise ValueError(f"a budget has exactly one kind of limit of {', '.join(KINDS)}; {what}")
        limits = getattr(self, given[0])
        if not limits or not all(LEAST <= limit < math.inf for limit in limits):
            raise ValueError(f"{given[0]} is {list(limits)}; expected finite numbers of at least {LEAST:g}")
        if max(limits) > MOST[given[0]]:
            unit = " s (ten years)" if given[0] in DURATIONS else ""
            raise ValueError(f"{given[0]} is {list(limits)}; expected at most {MOST[given[0]]:g}{unit}")
        if given[0] in ("steps", "samples") and not all(limit == int(limit) for limit in limits):
            raise ValueError(f"{given[0]} is {list(limits)}; expected whole numbers")
        if len(set(limits)) != len(limits):
            raise ValueError(f"{given[0]} is {list(limits)}; each may appear once")
        return self

    @property
    def is_calibrated(self) -> bool:
        """Whether a step-cost record decides how many steps it allows."""
        return self.rungs()[0].is_calibrated

    def rungs(self) -> tuple[Budget, ...]:
        """The single budgets, smallest first."""
        kind = next(kind for kind in KINDS if getattr(self, kind) is not None)
        return tuple(Budget(kind, limit) for limit in sorted(getattr(self, kind)))


def parse_budget(text: str) -> dict[str, Any]:
    """A budget from the command line, such as `epochs=2,5,10`, as data for `BudgetSpec`; ValueError if it is none."""
    kind, separator, limits = text.partition("=")
    if not separator:
        raise ValueError(f"--budget is '{text}'; expected KIND=LIMIT, for instance epochs=10 or wall_clock=30m")
    if kind not in KINDS:
        raise ValueError(f"--budget: unknown kind '{kind}'; {nearest(kind, KINDS)}")
    parse = parse_duration if kind in DURATIONS else real_number
    try:
        return {kind: [parse(limit) for limit in limits.split(",")]}
    except ValueError as error:
        other = {"device_hours": "wall_clock", "calibrated_device_hours": "calibrated_time"}.get(kind)
        hint = f"; hours are a number, durations such as 30m are for {other}" if other else ""
        raise ValueError(f"--budget: {error}{hint}") from None
