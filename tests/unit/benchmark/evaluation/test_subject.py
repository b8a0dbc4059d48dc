from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmark.data.datasets import Split, load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.evaluation.subject import FrozenSubject, ProbeData, probe_data


def test_a_split_is_read_once_and_the_test_split_only_where_it_is_scored(make_encoder, noise, stack, normalise):
    labels = torch.arange(33) % 3
    data = ProbeData(noise, Split(noise, labels), Split(noise, labels), Split(noise, labels), 3, normalise)
    subject = FrozenSubject(encoder=make_encoder(), data=data, device=torch.device("cpu"), split="validation")
    features, same_labels = subject.train
    assert features.shape == (33, 64) and torch.equal(same_labels, labels)
    assert subject.train[0] is features
    assert noise.reads == list(range(33))
    with pytest.raises(AssertionError, match="test split"):
        _ = subject.test


def test_images_are_read_at_the_size_of_the_encoder():
    dataset = load_dataset(DatasetSpec(name="shapes", shapes_train=40, shapes_test=10), None)
    data = probe_data(dataset, 16)
    images = data.normalise(data.test.images.read(torch.arange(2)))
    assert images.shape == (2, 3, 16, 16) and images.dtype == torch.float32
    assert data.num_classes == len(dataset.classes) == 10
    assert (len(data.train), len(data.test)) == (len(dataset.train), 10)


def test_what_is_known_of_an_encoder_is_not_computed_again(make_encoder, noise, stack, normalise):
    labels = torch.arange(33) % 3
    whole, test = Split(noise, labels), Split(stack(noise.pixels[:9]), labels[:9])
    few = Split(stack(noise.pixels[:20]), labels[:20])
    validation = Split(stack(noise.pixels[5:]), labels[5:])
    encoder, device = make_encoder(), torch.device("cpu")
    at_point = ProbeData(noise, few, validation, test, 3, normalise)
    at_end = replace(at_point, train=whole)
    before = FrozenSubject(encoder=encoder, data=at_point, device=device, split="validation")
    fit = before.linear_fit
    _ = before.validation
    after = FrozenSubject(encoder=encoder, data=at_end, device=device, before=before)
    alone = FrozenSubject(encoder=encoder, data=at_end, device=device)
    reads = list(validation.images.reads)
    assert torch.equal(after.validation[0], alone.validation[0])
    assert validation.images.reads == 2 * reads  # `alone` reads them, `after` does not
    assert torch.equal(after.train[0], alone.train[0])
    assert after.linear_fit is not fit and torch.equal(after.linear_fit.weights_SKD, alone.linear_fit.weights_SKD)
    same = FrozenSubject(encoder=encoder, data=at_point, device=device, before=before)
    assert same.linear_fit is fit  # of the same images
