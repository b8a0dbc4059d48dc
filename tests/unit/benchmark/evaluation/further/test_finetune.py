from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmark.data.datasets import Split
from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.further import finetune as module
from benchmark.evaluation.further.finetune import finetune
from benchmark.evaluation.further.sgd import linear_cnnjepa
from benchmark.evaluation.further.training import Descent
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Encoder, EncoderInfo
from methods.views import ViewSpec


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "DESCENT", Descent(1, 64, ViewSpec(), warmup=0.5))


def test_scores_are_repeatable_and_the_encoder_is_unchanged(assert_repeatable):
    assert_repeatable(finetune)


def test_the_test_split_chooses_nothing(subject):
    scores = finetune(subject)
    wrong = Split(subject.data.test.images, (subject.data.test.labels + 1) % 10)
    shifted = finetune(replace(subject, data=replace(subject.data, test=wrong)))
    for name in ("finetune_validation_top1", "finetune_lr"):
        assert shifted[name] == scores[name]


@pytest.mark.slow
def test_the_whole_network_learns_more_than_a_classifier_on_frozen_features(subject, monkeypatch):
    monkeypatch.setattr(module, "DESCENT", Descent(15, 27, ViewSpec(crop_scale=(0.9, 1.0)), warmup=0.1))
    monkeypatch.setattr(module, "LEARNING_RATES", (1e-2,))
    train = subject.data.train
    seen = replace(subject, data=replace(subject.data, validation=train, test=train))
    assert finetune(seen)["finetune_top1"] > linear_cnnjepa(seen)["linear_cnnjepa_top1"] + 10


def test_fixed_positions_of_a_vision_transformer_stay_fixed(subject):
    spec = BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=8)
    backbone = build_backbone(spec, 32)
    encoder = Encoder(backbone, EncoderInfo("online", backbone.pooling, backbone.dimension)).requires_grad_(False)
    network = module._Classifier(replace(subject, encoder=encoder))
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert frozen == ["encoder.backbone.net.pos_embed"]
    assert torch.count_nonzero(network.head.weight) == 0


def test_a_loss_that_is_not_finite_is_an_error(broken):
    with pytest.raises(NonFiniteError, match="finetune-v1: the loss is not finite"):
        finetune(broken)
