from __future__ import annotations

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
