from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from benchmark.data.datasets import DatasetSpec, Split, load_dataset
from benchmark.errors import UserError
from benchmark.evaluation.further import sgd
from benchmark.evaluation.further import training as descent_module
from benchmark.evaluation.further.finetune import finetune
from benchmark.evaluation.further.frozen import few_labels
from benchmark.evaluation.further.lowlevel import ridge_r2
from benchmark.evaluation.further.sgd import linear_cnnjepa, linear_sgd
from benchmark.evaluation.further.training import Descent, accuracies
from benchmark.evaluation.linear import STRENGTHS, standardisation
from benchmark.evaluation.protocols import FURTHER, score
from benchmark.evaluation.subject import Subject, probe_data
from methods.backbones import BackboneSpec, build_backbone
from methods.base import Encoder, EncoderInfo
from methods.views import ViewSpec

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shapes():
    return load_dataset(DatasetSpec(name="shapes", shapes_train=240, shapes_test=60), None)


@pytest.fixture
def subject(shapes):
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSpec(name="resnet18", stem="small", width=8), 32)
    encoder = Encoder(backbone, EncoderInfo("online", backbone.pooling, backbone.dimension)).eval()
    data = probe_data(shapes, 32)
    return Subject(encoder=encoder, data=data, device=CPU, dataset=shapes, seed=0, precision="32")


@pytest.fixture
def short(monkeypatch):
    """Schedules of two epochs."""
    monkeypatch.setattr(sgd, "SGD", Descent(2, 64, ViewSpec()))
    monkeypatch.setattr("benchmark.evaluation.further.finetune.DESCENT", Descent(2, 32, ViewSpec(), warmup=0.5))
    monkeypatch.setattr(sgd, "ADAM_EPOCHS", 2)


def separable(subject):
    """The subject with features that are the labels themselves."""

    def told(split):
        return torch.nn.functional.one_hot(split.labels, 10).float() * 3, split.labels

    data = subject.data
    for name in ("train", "validation", "test"):
        subject.__dict__[name] = told(getattr(data, name))
    object.__setattr__(subject.encoder.info, "dimension", 10)
    return subject


def test_few_labels_are_a_share_of_each_class_and_the_same_for_everybody():
    labels = torch.arange(5).repeat_interleave(torch.tensor([100, 40, 10, 3, 1]))
    for share, expected in ((0.1, [10, 4, 1, 1, 1]), (0.01, [1, 1, 1, 1, 1])):
        chosen = few_labels(labels, share, 0)
        assert labels[chosen].bincount().tolist() == expected
        assert len(chosen.unique()) == len(chosen)
        assert torch.equal(chosen, few_labels(labels, share, 0))
    assert not torch.equal(few_labels(labels, 0.1, 0), few_labels(labels, 0.1, 1))


def test_ridge_is_scikit_learns_at_the_strength_that_validation_chooses():
    draw = torch.Generator().manual_seed(0)
    parts = []
    for rows in (80, 40, 60):
        features = torch.randn(rows, 30, generator=draw) * 5 + 2
        values = features[:, :3].sum(1) + torch.randn(rows, generator=draw) * 8
        parts.append((features, values))
    mean, scale = (part.numpy() for part in standardisation(parts[0][0]))

    def standard(features):
        return (features.double().numpy() - mean) / scale

    fits = [Ridge(alpha=s * 80).fit(standard(parts[0][0]), parts[0][1].numpy()) for s in STRENGTHS]
    validation, test = ([fit.score(standard(part[0]), part[1].numpy()) for fit in fits] for part in parts[1:])
    assert ridge_r2(*parts) == pytest.approx(test[int(np.argmax(validation))], abs=1e-9)
    assert max(test) > 0.1


def test_ridge_knows_a_straight_line_and_finds_nothing_in_noise():
    draw = torch.Generator().manual_seed(1)
    features = [torch.randn(rows, 8, generator=draw) for rows in (400, 100, 200)]
    line = [(part, part @ torch.arange(8.0)) for part in features]
    noise = [(part, torch.randn(len(part), generator=draw)) for part in features]
    assert ridge_r2(*line) == pytest.approx(1.0, abs=1e-4)
    assert -0.2 < ridge_r2(*noise) < 0.1


def test_accuracies_count_the_true_class_among_the_first_five():
    logits = torch.tensor([[5.0, 4, 3, 2, 1, 0]] * 3)
    assert accuracies(logits, torch.tensor([0, 4, 5])) == (pytest.approx(100 / 3), pytest.approx(200 / 3))


@pytest.mark.parametrize("protocol", ["lowshot-v1", "linear-cnnjepa", "transfer-v1"])
def test_features_that_tell_the_class_score_in_full(subject, monkeypatch, protocol):
    monkeypatch.setattr(sgd, "ADAM_BATCH", 8)  # Adam needs steps, and there are few images
    scores = score(protocol, separable(subject))
    assert {value for name, value in scores.items() if "sd" not in name} == {100.0}
    assert all(value == 0.0 for name, value in scores.items() if "sd" in name)


@pytest.mark.parametrize("protocol", sorted(FURTHER))
def test_every_protocol_leaves_the_encoder_as_it_was_and_gives_the_same_twice(subject, short, protocol):
    before = copy.deepcopy(subject.encoder.state_dict())
    first = score(protocol, subject)
    assert all(np.isfinite(list(first.values())))
    assert score(protocol, replace(subject)) == first
    after = subject.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("run", [linear_sgd, finetune])
def test_the_test_split_chooses_nothing(subject, short, run):
    honest = run(subject)
    wrong = Split(subject.data.test.images, (subject.data.test.labels + 1) % 10)
    turned = run(replace(subject, data=replace(subject.data, test=wrong)))
    chosen = [name for name in honest if "validation" in name or name.endswith("_lr")]
    assert len(chosen) == 2
    assert {name: turned[name] for name in chosen} == {name: honest[name] for name in chosen}


def test_fine_tuning_learns_more_than_the_frozen_features_tell(subject, monkeypatch):
    schedule = Descent(25, 32, ViewSpec(crop_scale=(0.8, 1.0)), warmup=0.1)
    monkeypatch.setattr("benchmark.evaluation.further.finetune.DESCENT", schedule)
    monkeypatch.setattr("benchmark.evaluation.further.finetune.LEARNING_RATES", (1e-2,))
    train = subject.data.train
    seen = replace(subject, data=replace(subject.data, validation=train, test=train))
    assert finetune(seen)["finetune_top1"] > linear_cnnjepa(seen)["linear_cnnjepa_top1"] + 10


def test_a_loss_that_is_not_finite_is_an_error(subject, short):
    with torch.no_grad():
        subject.encoder.backbone.net.conv1.weight[0] = torch.nan
    for protocol in ("linear-sgd-v1", "lowshot-v1", "finetune-v1"):
        with pytest.raises(ValueError, match="not finite"):
            score(protocol, replace(subject))


def test_low_level_factors_need_a_dataset_that_knows_them(subject):
    scores = score("lowlevel-v1", subject)
    assert set(scores) == {"count_top1", "count_most_frequent", "scale_r2", "x_r2", "y_r2"}
    assert scores["count_most_frequent"] == pytest.approx(
        100 * float((subject.data.test.factors["count"] == 1).double().mean())
    )
    assert all(scores[name] <= 1.0 for name in ("scale_r2", "x_r2", "y_r2"))
    blind = replace(subject.data, test=Split(subject.data.test.images, subject.data.test.labels))
    with pytest.raises(UserError, match="needs a dataset that knows its scenes"):
        score("lowlevel-v1", replace(subject, data=blind))


def test_a_warm_up_rises_to_the_full_rate_and_the_cosine_ends_at_zero():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=2.0)
    schedule = descent_module._schedule(optimizer, 20, 5)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.4) and rates[5] == pytest.approx(2.0) == max(rates)
    assert rates[-1] < 0.05 and optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-6)
