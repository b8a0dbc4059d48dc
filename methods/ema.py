"""Exponential moving average (EMA) of a module's parameters."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import torch
from pydantic import Field, model_validator
from torch import nn

from methods.config import Config

if TYPE_CHECKING:
    from methods.base import Step

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class EMASpec(Config):
    """The momentum of the average: from a start at progress 0 to `end` at progress 1.

    A momentum per step means different things to schedules of different lengths: 0.99 halves the weight of old
    parameters every 69 steps, a quarter of 300 steps and 0.2% of 30,000. A half-life in shares of the schedule does
    not: the average lags behind the online weights by the same part of training, whatever the number of steps.

    Attributes:
        start: the momentum at progress 0, per step.
        half_life: instead of `start`, which is then null: the share of the schedule after which the weight of old
            parameters has halved, at progress 0.
        end: the momentum at progress 1, per step.
        shape: of the way from one to the other.
    """

    start: Annotated[float, Field(ge=0.0, le=1.0)] | None = 0.996
    half_life: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    end: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    shape: Literal["cosine", "linear"] = "cosine"

    @model_validator(mode="before")
    @classmethod
    def _one_start(cls, data: Any) -> Any:
        """A half-life alone needs no `start: null` beside it."""
        if not isinstance(data, dict):
            return data
        if data.get("half_life") is not None:
            return {"start": None, **data}
        if "half_life" in data and "start" not in data:
            raise ValueError("half_life is null; expected a start beside it")
        return data

    @model_validator(mode="after")
    def _either(self) -> EMASpec:
        if (self.start is None) == (self.half_life is None):
            given = f"start is {self.start} and half_life {self.half_life}"
            raise ValueError(f"{given}; expected one of them, and the other null")
        return self

    def momentum(self, step: Step) -> float:
        """The momentum of a step (BYOL, section 3.3: cosine; I-JEPA, appendix A: linear)."""
        start = self.start if self.half_life is None else 0.5 ** (step.pace / self.half_life)
        assert start is not None
        share = step.progress if self.shape == "linear" else (1 - math.cos(math.pi * step.progress)) / 2
        return start + (self.end - start) * share


def frozen_copy(module: ModuleT) -> ModuleT:
    """A deep copy whose parameters take no gradient, to be moved by `update`."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def update(average: nn.Module, online: nn.Module, momentum: float) -> None:
    """Moves `average` towards `online`: average <- momentum x average + (1 - momentum) x online.

    Parameters only: each network keeps the batch-norm statistics of its own inputs.
    """
    torch._foreach_lerp_(list(average.parameters()), list(online.parameters()), 1.0 - momentum)
