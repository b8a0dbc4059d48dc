"""Optimizers from their declarations, and schedules over progress."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from timm.optim import Lars

if TYPE_CHECKING:
    from methods.config import OptimizerSpec


def build_optimizer(groups: list[dict[str, Any]], spec: OptimizerSpec, lr: float) -> torch.optim.Optimizer:
    """The optimizer of a recipe, in its fastest form (fused or foreach).

    Args:
        groups: of the method (`Method.parameter_groups`).
        lr: the learning rate, after the recipe's rule.
    """
    prepared = [{**group, "weight_decay": spec.weight_decay if group["decay"] else 0.0} for group in groups]
    if spec.name == "adamw":
        return torch.optim.AdamW(prepared, lr=lr, betas=spec.betas, fused=True)
    if spec.name == "sgd":
        return torch.optim.SGD(prepared, lr=lr, momentum=spec.momentum, fused=True)
    # Groups without weight decay are not adapted either (timm's rule, as in the LARS of the published recipes).
    optimizer: torch.optim.Optimizer = Lars(prepared, lr=lr, momentum=spec.momentum, trust_coeff=spec.trust_coefficient)
    return optimizer


def lr_factor(spec: OptimizerSpec, progress: float) -> float:
    """The factor of the learning rate: a linear warm-up, then a cosine to `final_lr` at progress 1."""
    if progress < spec.warmup:
        return spec.warmup_start + (1 - spec.warmup_start) * progress / spec.warmup
    share = (progress - spec.warmup) / (1 - spec.warmup) if spec.warmup < 1 else 1.0
    return spec.final_lr + (1 - spec.final_lr) * (1 + math.cos(math.pi * share)) / 2


def weight_decay(spec: OptimizerSpec, progress: float) -> float:
    """The weight decay at `progress`: constant, or on a cosine from its start to its end."""
    if spec.weight_decay_end is None:
        return spec.weight_decay
    share = (1 - math.cos(math.pi * progress)) / 2
    return spec.weight_decay + (spec.weight_decay_end - spec.weight_decay) * share


def set_schedule(optimizer: torch.optim.Optimizer, spec: OptimizerSpec, lr: float, progress: float) -> float:
    """Sets the learning rate and weight decay of `progress`; returns the learning rate, of groups without a factor."""
    current = lr * lr_factor(spec, progress)
    decay = weight_decay(spec, progress)
    for group in optimizer.param_groups:
        group["lr"] = (lr if group.get("constant_lr") else current) * group.get("lr_factor", 1.0)
        if group["decay"]:
            group["weight_decay"] = decay
    return current
