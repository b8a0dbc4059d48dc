"""COCO's average precision against a count by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmark.evaluation.dense.precision import percents, precision_metric


def _iou(a: Any, b: Any) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def reference(predicted: Any, truth: Any, thresholds: Any) -> float:
    """Mean over labels and thresholds of the precision at 101 recalls, detections matched by falling score."""
    found = []
    for label in sorted({label for _, labels in truth for label in labels}):
        total = sum(labels.count(label) for _, labels in truth)
        for threshold in thresholds:
            hits = []
            for (boxes, labels, scores), (true_boxes, true_labels) in zip(predicted, truth, strict=True):
                free = [box for box, kind in zip(true_boxes, true_labels, strict=True) if kind == label]
                for index in np.argsort(-np.array(scores), kind="stable"):
                    if labels[index] != label:
                        continue
                    best = max(free, key=lambda box: _iou(boxes[index], box), default=None)
                    hit = best is not None and _iou(boxes[index], best) >= threshold
                    if hit:
                        free.remove(best)
                    hits.append((scores[index], hit))
            hits.sort(key=lambda pair: -pair[0])
            right = np.cumsum([hit for _, hit in hits])
            recall, precision = right / total, right / np.arange(1, len(hits) + 1)
            best_after = [precision[recall >= r - 1e-12].max(initial=0.0) for r in np.linspace(0, 1, 101)]
            found.append(np.mean(best_after))
    return 100 * float(np.mean(found))


@pytest.mark.parametrize("seed", range(3))
def test_precision_of_boxes_is_a_count_by_hand(seed: int) -> None:
    draw = np.random.default_rng(seed)
    truth, predicted = [], []
    for _ in range(12):
        count = int(draw.integers(1, 4))
        corners = draw.uniform(0, 40, (count, 2))
        boxes = np.concatenate([corners, corners + draw.uniform(8, 24, (count, 2))], axis=1)
        labels = draw.integers(1, 3, count).tolist()
        guesses = np.concatenate([boxes + draw.normal(0, 2.0, boxes.shape), boxes + draw.normal(0, 12.0, boxes.shape)])
        guesses[:, 2:] = np.maximum(guesses[:, 2:], guesses[:, :2] + 1)
        kinds = [label if draw.random() < 0.8 else 3 - label for label in [*labels, *labels]]
        truth.append((boxes.tolist(), labels))
        predicted.append((guesses.tolist(), kinds, draw.random(len(guesses)).tolist()))
    metric = precision_metric(masks=False)
    metric.update(
        [{"boxes": torch.tensor(b), "labels": torch.tensor(k), "scores": torch.tensor(s)} for b, k, s in predicted],
        [{"boxes": torch.tensor(b), "labels": torch.tensor(k)} for b, k in truth],
    )
    scores = percents(metric, masks=False)
    assert scores["box_ap"] == pytest.approx(reference(predicted, truth, np.arange(0.5, 1.0, 0.05)), abs=0.3)
    assert scores["box_ap50"] == pytest.approx(reference(predicted, truth, [0.5]), abs=0.3)
    assert scores["box_ap75"] == pytest.approx(reference(predicted, truth, [0.75]), abs=0.3)


def test_masks_have_scores_of_their_own_and_nothing_found_is_zero() -> None:
    metric = precision_metric(masks=True)
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[0, 2:10, 2:10] = True
    box = torch.tensor([[2.0, 2, 10, 10]])
    half = mask.clone()
    half[0, 8:] = False  # three quarters of it: found up to an IoU of 0.75
    one = {"boxes": box, "labels": torch.tensor([1]), "scores": torch.tensor([0.9]), "masks": half}
    metric.update([one], [{"boxes": box, "labels": torch.tensor([1]), "masks": mask}])
    scores = percents(metric, masks=True)
    assert scores["box_ap"] == pytest.approx(100.0) and scores["mask_ap50"] == pytest.approx(100.0)
    assert scores["mask_ap"] == pytest.approx(60.0)
    empty = precision_metric(masks=False)
    empty.update(
        [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "scores": torch.zeros(0)}],
        [{"boxes": box, "labels": torch.tensor([1])}],
    )
    assert percents(empty, masks=False)["box_ap"] == 0.0
