"""Images with their objects, as detectors take them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from benchmark.data.annotations import Objects
from benchmark.evaluation.dense.objects import AnnotatedSplit
from benchmark.evaluation.protocols import NotApplicableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.evaluation.subject import Subject

    Make = Callable[..., Subject]


def test_flipped_targets_lie_on_the_flipped_image(seeing: Make) -> None:
    subject = seeing()
    split = AnnotatedSplit(subject, subject.data.train, masks=True)
    indices = torch.arange(4)
    plain, turned = (split.targets(indices, torch.full((4,), flip)) for flip in (False, True))
    for one, other, image in zip(plain, turned, split.images(indices), strict=True):
        assert torch.equal(other["masks"], one["masks"].flip(-1))
        for (left, top, right, bottom), label in zip(other["boxes"].int().tolist(), other["labels"], strict=True):
            inside = image.flip(-1)[:, top:bottom, left:right]
            assert inside[int(label) - 1].min() > 0.9  # red, green or blue


def test_crowds_are_not_trained_on_and_boxes_are_cropped(seeing: Make) -> None:
    subject = seeing()
    split = AnnotatedSplit(subject, subject.data.train, masks=False)
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 3, 3], [6, 6, 40, 40]])
    split._shift = 4
    split._read = lambda _: [Objects(boxes, torch.tensor([0, 1, 2]), crowd=torch.tensor([True, False, False]))]
    (known,) = split.objects(torch.arange(1))
    assert known.boxes.tolist() == [[0, 0, 6, 6], [2, 2, 32, 32]] and known.labels.tolist() == [0, 2]
    (target,) = split.targets(torch.arange(1), torch.tensor([False]))
    assert target["boxes"].tolist() == [[2, 2, 32, 32]] and target["labels"].tolist() == [3]


def test_masks_are_needed_where_they_are_wanted(seeing: Make) -> None:
    subject = seeing()
    split = subject.data.train
    assert split.annotations is not None and split.annotations.objects is not None
    read = split.annotations.objects
    bare = replace(split.annotations, objects=lambda i: [replace(one, masks=None) for one in read(i)])
    blind = replace(split, annotations=bare)
    AnnotatedSplit(subject, blind, masks=False)
    with pytest.raises(NotApplicableError, match="needs masks of objects, which coloured does not have"):
        AnnotatedSplit(subject, blind, masks=True)
