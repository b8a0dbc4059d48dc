"""`transfer-v1`: the frozen encoder on a dataset that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.evaluation.knn import knn_scores
from benchmark.evaluation.linear import linear_probe

if TYPE_CHECKING:
    from benchmark.evaluation.further.subject import Subject


def transfer(subject: Subject) -> dict[str, float]:
    """`linear-v1` and `knn-v1` on the other dataset's own splits, in percent."""
    classes, device = subject.data.num_classes, subject.device
    linear = linear_probe(subject.train, subject.validation, subject.test, classes, device=device)
    assert linear.test_top1 is not None and linear.test_top5 is not None
    neighbours = knn_scores(subject.train, subject.test, classes, device=device)
    return {"linear_top1": linear.test_top1, "linear_top5": linear.test_top5, **neighbours}
