"""Checkpoints in other libraries' formats: the encoder that they publish, and everything else in the file.

Names are those of the repositories' own training scripts. Every other network with the encoder's shapes is included.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor

Weights = dict[str, Tensor]
_PARTS = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
FORMATS = ("bench", "timm", "torchvision", "solo-learn", "lightly", "cnn-jepa", "ijepa", "dino", "moco")


def under(weights: Weights, prefix: str) -> Weights:
    """The weights with a prefix before each name."""
    return {prefix + name: value for name, value in weights.items()}


def sequence(weights: Weights) -> Weights:
    """A ResNet as `nn.Sequential` of its parts, as lightly's examples build it."""
    return {f"{_PARTS[name.split('.')[0]]}.{name.partition('.')[2]}": value for name, value in weights.items()}


def changed(weights: Weights, by: float) -> Weights:
    """Another encoder of the same shapes."""
    return {name: value + by if value.is_floating_point() else value for name, value in weights.items()}


def layout(kind: str, weights: Weights) -> dict[str, Any]:
    """The content of a file in one of `FORMATS`; `weights`, with timm's names, is the encoder its library evaluates."""
    head = {"weight": torch.zeros(3, 8), "bias": torch.zeros(3)}
    one, two, three = (changed(weights, by) for by in (0.5, 1.0, 1.5))
    vit = "pos_embed" in weights
    if kind == "bench":
        return dict(weights)
    if kind == "timm":
        own = {**weights, **under(head, "head." if vit else "fc.")}
        return {"arch": "x", "epoch": 3, "state_dict": one, "state_dict_ema": own, "args": argparse.Namespace(lr=0.1)}
    if kind == "torchvision":
        average = {"n_averaged": torch.tensor(7), **under({**weights, **under(head, "fc.")}, "module.")}
        return {"model": one, "model_ema": average, "optimizer": {}, "args": argparse.Namespace(lr=0.1)}
    if kind == "solo-learn":  # BaseMomentumMethod
        state = {**under(weights, "backbone."), **under(one, "momentum_backbone."), **under(head, "classifier.")}
        return {"state_dict": {**under(head, "projector.0."), **under(head, "momentum_projector.0."), **state}}
    if kind == "lightly":  # benchmarks/imagenet: BYOL's teacher, MoCo's queries, DINO's student
        names = under(weights, "vit.") if vit else sequence(weights)
        others = {"teacher_backbone.": one, "query_backbone.": two, "student_backbone.": three}
        siblings = {name: value for prefix, other in others.items() for name, value in under(other, prefix).items()}
        mask = {"backbone.mask_token": torch.zeros(1, 1, 8)} if vit else {}
        return {"state_dict": {**siblings, **under(names, "backbone."), **mask, **under(head, "projection_head.0.")}}
    if kind == "cnn-jepa":  # LightlyModelMomentum and IJEPA_CNN: two modules under two names each
        context = {**under(one, "backbone."), **under(one, "backbone_sparse.")}
        target = {**under(weights, "backbone_for_online_eval."), **under(weights, "backbone_momentum.")}
        more = {"mask_token": torch.zeros(1, 8, 1, 1), **under(head, "predictor.0.")}
        return {"state_dict": {**context, **target, **more}, "hyper_parameters": {"cfg": argparse.Namespace(lr=0.1)}}
    if kind == "ijepa":
        files = {"encoder": under(one, "module."), "predictor": under(head, "module.predictor_embed.")}
        return {**files, "target_encoder": under(weights, "module."), "epoch": 3}
    if kind == "dino":  # the teacher is wrapped only where it has batch norm
        backbone = "backbone." if vit else "module.backbone."
        student = {**under(one, "module.backbone."), **under(head, "module.head.mlp.0.")}
        teacher = {**under(weights, backbone), **under(head, backbone.replace("backbone", "head") + "mlp.0.")}
        return {"student": student, "teacher": teacher, "epoch": 3, "args": argparse.Namespace(arch="vit_small")}
    assert kind == "moco"
    query, key = ("base_encoder.", "momentum_encoder.") if vit else ("encoder_q.", "encoder_k.")
    own = {**weights, **under(head, "head.0." if vit else "fc.0.")}
    state = {**under(own, f"module.{query}"), **under(one, f"module.{key}"), **under(head, "module.predictor.0.")}
    return {"arch": "x", "state_dict": {**state, "module.queue": torch.zeros(8, 3)}}
