from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmark.data.datasets import Split
from benchmark.evaluation.evaluate import evaluate, evaluate_point, images_needed, point_subject, score_point
from benchmark.evaluation.subject import ProbeData

CPU = torch.device("cpu")
COLOURS = torch.tensor([[220, 30, 30], [30, 220, 30], [30, 30, 220]])


class Forbidden:
    def __len__(self):
        raise AssertionError("the test split was looked at")

    def read(self, indices):
        raise AssertionError("the test split was read")


@pytest.fixture
def data(stack, normalise):
    def split(rows, seed):
        draw = torch.Generator().manual_seed(seed)
        labels = torch.arange(rows) % 3
        noise = torch.randint(-25, 26, (rows, 3, 16, 16), generator=draw)
        pixels = (COLOURS[labels][:, :, None, None] + noise).clamp(0, 255).to(torch.uint8)
        return Split(stack(pixels), labels)

    train = split(90, 0)
    return ProbeData(stack(train.images.pixels), train, split(30, 1), split(45, 2), 3, normalise)


@pytest.fixture
def blind(data):
    return replace(data, test=Split(Forbidden(), torch.zeros(0)))


def test_an_evaluation_point_never_touches_the_test_split(make_encoder, blind):
    scores = evaluate_point(make_encoder(), blind, CPU)
    assert set(scores) == {"linear_top1", "knn20", "knn200", "feature_std", "rankme"}
    assert (scores["linear_top1"], scores["knn20"], scores["knn200"]) == (100.0, 100.0, 100.0)
    assert 0.0 < scores["feature_std"] <= 1.0
    assert 1.0 <= scores["rankme"] <= 30.0


def test_the_scores_of_a_trial_never_touch_the_test_split(make_encoder, blind):
    scores = evaluate(make_encoder(), blind, "validation", CPU)
    assert (scores.linear_top1, scores.knn20, scores.knn200) == (100.0, 100.0, 100.0)
    assert scores.linear_strength == 1.0
    assert (scores.weights, scores.dimension) == ("ema", 64)


def test_the_final_scores_read_the_test_split_once(make_encoder, data):
    encoder = make_encoder()
    scores = evaluate(encoder, data, "test", CPU)
    assert data.test.images.reads == list(range(45))
    assert data.pretraining.reads == []
    assert scores.linear_top1 == scores.linear_top5 == scores.knn20 == scores.knn200 == 100.0
    assert scores.linear_validation_top1 == 100.0
    assert scores.linear_strength == 1.0
    assert (scores.weights, scores.dimension, scores.pooling) == ("ema", 64, encoder.info.pooling)


def test_the_scores_are_those_of_the_test_split(make_encoder, data):
    wrong = replace(data, test=Split(data.test.images, (data.test.labels + 1) % 3))
    scores = evaluate(make_encoder(), wrong, "test", CPU)
    assert (scores.linear_top1, scores.knn20, scores.knn200) == (0.0, 0.0, 0.0)
    assert (scores.linear_top5, scores.linear_validation_top1) == (100.0, 100.0)


def test_an_encoder_that_needs_it_is_recalibrated_before_it_is_probed(make_encoder, data):
    plain, flagged = make_encoder(), make_encoder(recalibrate=True)
    for encoder in (plain, flagged):
        encoder.backbone.net.bn1.running_mean.fill_(1e4)
    ruined = evaluate_point(plain, data, CPU)
    assert data.pretraining.reads == []
    mended = evaluate_point(flagged, data, CPU)
    assert sorted(data.pretraining.reads) == list(range(90))
    assert ruined["feature_std"] < 1e-3 < mended["feature_std"]
    assert ruined["linear_top1"] < mended["linear_top1"] == 100.0
    assert float(flagged.backbone.net.bn1.running_mean[0]) == 1e4


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_diverged_encoder_is_an_error_never_a_score(make_encoder, data, split):
    encoder = make_encoder()
    with torch.no_grad():
        encoder.backbone.net.conv1.weight[0] = torch.nan
    with pytest.raises(ValueError, match=r"features of images 0 to [0-9]+: .*are not finite"):
        evaluate(encoder, data, split, CPU)


def test_scores_are_the_same_where_the_last_points_features_are_taken_over(make_encoder, data):
    encoder = make_encoder()
    at_point = replace(data, train=Split(data.train.images, data.train.labels))
    stages = []
    before = point_subject(encoder, at_point, CPU, lambda stage, more: stages.append((stage, more)))
    assert score_point(before) == evaluate_point(encoder, data, CPU)
    assert sum(more for _, more in stages) == images_needed(encoder, data, "validation") == 120
    assert {stage.split(",")[0] for stage, _ in stages} == {"features", "linear classifiers", "nearest neighbours"}
    assert ("linear classifiers, 8 of 8 fitted", 0) in stages
    assert evaluate(encoder, data, "test", CPU, before=before) == evaluate(encoder, data, "test", CPU)
    assert images_needed(make_encoder(recalibrate=True), data, "test") == 90 + 90 + 30 + 45
