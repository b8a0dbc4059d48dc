from __future__ import annotations

import pytest
import torch

from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.further.training import Descent, _schedule, accuracies, descend
from methods.views import ViewSpec


def test_accuracies_count_the_true_class_among_the_first_five():
    logits = torch.tensor([[5.0, 4, 3, 2, 1, 0]] * 3)
    assert accuracies(logits, torch.tensor([0, 4, 5])) == (pytest.approx(100 / 3), pytest.approx(200 / 3))


def test_a_warm_up_rises_to_the_full_rate_and_the_cosine_ends_at_zero():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=2.0)
    schedule = _schedule(optimizer, 20, 5)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.4) and rates[5] == pytest.approx(2.0) == max(rates)
    assert rates[-1] < 0.05 and optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-6)


def test_a_batch_is_no_larger_than_the_split():
    descent = Descent(1, 256, ViewSpec())
    assert (descent.batch(100), descent.batch(1000)) == (100, 256)


def test_every_epoch_sees_new_crops_drawn_by_the_seed(subject):
    def run(stream):
        seen = []
        parameter = torch.nn.Parameter(torch.zeros(()))

        def loss(images_BCHW, labels_B):
            seen.append((images_BCHW.clone(), labels_B.clone()))
            return parameter * images_BCHW.mean()

        descend(subject, Descent(2, 54, ViewSpec()), torch.optim.SGD([parameter], lr=0.1), loss, stream)
        return seen

    first, again, other = run("a"), run("a"), run("b")
    assert len(first) == 2 * (len(subject.data.train) // 54)
    assert first[0][0].shape == (54, 3, 32, 32)
    assert torch.equal(first[0][0], again[0][0]) and torch.equal(first[-1][1], again[-1][1])
    assert not torch.equal(first[0][0], first[-1][0]) and not torch.equal(first[0][0], other[0][0])


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_protocol(subject):
    parameter = torch.nn.Parameter(torch.tensor(torch.nan))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    with pytest.raises(NonFiniteError, match="finetune-v1: the loss is not finite"):
        descend(subject, Descent(1, 64, ViewSpec()), optimizer, lambda images, _: parameter * 1, "finetune-v1")
