from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmark.evaluation import knn
from benchmark.evaluation.knn import knn_scores, nearest_neighbours


def clouds(rows, *, seed, classes=5, separation=0.7):
    centres = torch.randn(classes, 12, generator=torch.Generator().manual_seed(9)) * separation
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=draw)
    return centres[labels] + torch.randn(rows, 12, generator=draw), labels


def top1(bank, queries, classes, k, temperature):
    return knn_scores(bank, queries, classes, {"score": (k, temperature)})["score"]


def reference(bank, queries, classes, k, temperature):
    """Brute force in float64, one query at a time."""
    features, labels = bank[0].double().numpy(), bank[1].numpy()
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    k = min(k, min(np.sum(labels == c) for c in np.unique(labels)))
    correct = 0
    for query, truth in zip(queries[0].double().numpy(), queries[1].numpy(), strict=True):
        similarities = features @ (query / np.linalg.norm(query))
        nearest = sorted(range(len(labels)), key=lambda i: (-similarities[i], i))[:k]
        votes = np.zeros(classes)
        for index in nearest:
            votes[labels[index]] += math.exp(similarities[index] / temperature)
        correct += int(votes.argmax() == truth)
    return 100 * correct / len(queries[1])


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (7, 0.5), (20, 0.07), (60, 0.1)])
def test_against_brute_force(k, temperature):
    bank, queries = clouds(500, seed=0), clouds(150, seed=1)
    ours = top1(bank, queries, 5, k, temperature)
    assert ours == pytest.approx(reference(bank, queries, 5, k, temperature))
    assert 30 < ours < 100


def test_both_scores_from_one_computation_are_those_of_each():
    bank, queries = clouds(1500, seed=0), clouds(120, seed=1)
    assert int(bank[1].bincount().min()) > 200
    scores = knn_scores(bank, queries, 5)
    assert scores == {
        "knn20": pytest.approx(reference(bank, queries, 5, 20, 0.07)),
        "knn200": pytest.approx(reference(bank, queries, 5, 200, 0.1)),
    }


def test_k_is_capped_at_the_smallest_class_that_is_there():
    features, labels = clouds(400, seed=0)
    kept = (labels != 3) | (labels == 3).cumsum(0).le(4)
    bank, queries = (features[kept], labels[kept]), clouds(150, seed=1)
    assert bank[1].bincount().min() == 4
    capped = top1(bank, queries, 7, 200, 0.1)
    assert capped == top1(bank, queries, 7, 4, 0.1)
    assert capped != top1(bank, queries, 7, 1, 0.1)
    assert knn_scores(bank, queries, 7) == {
        "knn20": pytest.approx(reference(bank, queries, 7, 4, 0.07)),
        "knn200": pytest.approx(reference(bank, queries, 7, 4, 0.1)),
    }


def test_chunks_change_nothing(monkeypatch):
    bank, queries = clouds(300, seed=0), clouds(100, seed=1)
    whole = knn_scores(bank, queries, 5)
    monkeypatch.setattr(knn, "_CHUNK_ELEMENTS", 300 * 7)
    assert knn_scores(bank, queries, 5) == whole


def test_equal_similarities_go_by_index():
    similarities = torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.1, 0.5], [0.2, 0.2, 0.2, 0.2, 0.2, 0.2], [6, 5, 4, 3, 2, 1.0]])
    values, indices = nearest_neighbours(similarities, 3)
    assert indices.tolist() == [[1, 0, 2], [0, 1, 2], [0, 1, 2]]
    assert values[0].tolist() == pytest.approx([0.9, 0.5, 0.5])
    every = nearest_neighbours(similarities, 6)[1]
    assert every.tolist() == [[1, 0, 2, 3, 5, 4], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]


def test_ties_in_a_large_bank():
    similarities = torch.randint(0, 4, (50, 3000), generator=torch.Generator().manual_seed(0)).float()
    expected = similarities.sort(dim=1, descending=True, stable=True).indices[:, :40]
    assert torch.equal(nearest_neighbours(similarities, 40)[1], expected)


def test_a_collapsed_bank_votes_for_its_first_class():
    bank = (torch.ones(30, 4), torch.arange(30) % 3)
    queries = (torch.ones(9, 4), torch.tensor([0] * 3 + [1] * 4 + [2] * 2))
    assert top1(bank, queries, 3, 1, 0.07) == pytest.approx(100 * 3 / 9)


def test_separable_clouds_score_100_at_any_length_and_a_tiny_temperature():
    bank, queries = clouds(300, seed=0, separation=30.0), clouds(100, seed=1, separation=30.0)
    scaled = (queries[0] * torch.logspace(-5, 5, 100)[:, None], queries[1])
    assert knn_scores(bank, scaled, 5) == {"knn20": 100.0, "knn200": 100.0}
    assert top1(bank, scaled, 5, 20, 1e-4) == 100.0


def test_bad_input_is_refused_by_name():
    bank, queries = clouds(50, seed=0), clouds(20, seed=1)
    broken = queries[0].clone()
    broken[0, 0] = math.inf
    with pytest.raises(ValueError, match="kNN queries: 1 of 20 feature vectors are not finite"):
        knn_scores(bank, (broken, queries[1]), 5)
    with pytest.raises(ValueError, match="kNN bank: no features"):
        knn_scores((bank[0][:0], bank[1][:0]), queries, 5)
    with pytest.raises(ValueError, match="kNN bank: labels from 0 to 4; expected 0 to 2"):
        knn_scores(bank, queries, 3)
    with pytest.raises(ValueError, match="positive k and temperature, not 0 and"):
        top1(bank, queries, 5, 0, 0.1)
