"""Exponential moving average (EMA) of a module's parameters."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import Field
from torch import nn

from methods.config import Config

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class EMASpec(Config):
    """The momentum of the average: from `start` at progress 0 to `end` at progress 1."""

    start: Annotated[float, Field(ge=0.0, le=1.0)] = 0.996
    end: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    shape: Literal["cosine", "linear"] = "cosine"

    def momentum(self, progress: float) -> float:
        """The momentum at `progress` (BYOL, section 3.3: cosine; I-JEPA, appendix A: linear)."""
        share = progress if self.shape == "linear" else (1 - math.cos(math.pi * progress)) / 2
        return self.start + (self.end - self.start) * share


def frozen_copy(module: ModuleT) -> ModuleT:
    """A deep copy whose parameters take no gradient, to be moved by `update`."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def update(average: nn.Module, online: nn.Module, momentum: float) -> None:
    """Moves `average` towards `online`: average <- momentum x average + (1 - momentum) x online.

    Parameters only: each network keeps the batch-norm statistics of its own inputs.
    """
    torch._foreach_lerp_(list(average.parameters()), list(online.parameters()), 1.0 - momentum)
