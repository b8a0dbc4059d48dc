"""The images of a split with their objects, as detectors take them.

Shape suffixes: B images, S pixels of a side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmark.data.annotations import Objects
from benchmark.evaluation.dense.maps import annotations_of, cropped, lacking

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data.datasets import Split
    from benchmark.evaluation.subject import Subject


class AnnotatedSplit:
    """Images in [0, 1] with their objects, on the square that the encoder sees."""

    def __init__(self, subject: Subject, split: Split, *, masks: bool) -> None:
        """Reads the objects of all images once; pixels are read as they are needed.

        Raises:
            NotApplicableError: the dataset has no boxes, or no masks where they are needed.
        """
        read = annotations_of(subject, split).objects
        if read is None:
            raise lacking(subject, "boxes of objects")
        self._images, self.size, self.device = split.images, subject.dataset.image_size, subject.device
        self._masks, self.watch = masks, subject.watch
        self._read = read
        side = int(split.images.read(torch.arange(1)).shape[-1])
        self._shift = round((side - self.size) / 2)
        if masks and read(torch.arange(1))[0].masks is None:
            raise lacking(subject, "masks of objects")

    def __len__(self) -> int:
        return len(self._images)

    def pixels(self, indices: Tensor) -> Tensor:
        """Images uint8 `(B, 3, S, S)`."""
        return cropped(self._images.read(indices), self.size)

    def images(self, indices: Tensor) -> list[Tensor]:
        """Images in [0, 1], each `(3, S, S)`, on the device."""
        return list(self.pixels(indices).to(self.device).float().div(255))

    def objects(self, indices: Tensor) -> list[Objects]:
        """Objects that lie inside the square, with boxes in its pixels."""
        return [self._cropped(objects) for objects in self._read(indices)]

    def _cropped(self, objects: Objects) -> Objects:
        boxes = (objects.boxes - self._shift).clamp(0, self.size)
        inside = ((boxes[:, 2] - boxes[:, 0]) >= 1) & ((boxes[:, 3] - boxes[:, 1]) >= 1)
        masks = None if objects.masks is None else cropped(objects.masks, self.size)[inside]
        crowd = None if objects.crowd is None else objects.crowd[inside]
        return Objects(boxes[inside], objects.labels[inside], masks, crowd)

    def targets(self, indices: Tensor, flips: Tensor) -> list[dict[str, Tensor]]:
        """What torchvision's detectors learn from, crowds left out; some images are flipped."""
        targets = []
        for objects, flip in zip(self.objects(indices), flips.tolist(), strict=True):
            clear = torch.ones(len(objects.labels)).bool() if objects.crowd is None else ~objects.crowd
            boxes = objects.boxes[clear]
            if flip:
                boxes = torch.stack((self.size - boxes[:, 2], boxes[:, 1], self.size - boxes[:, 0], boxes[:, 3]), dim=1)
            target = {"boxes": boxes, "labels": objects.labels[clear] + 1}
            if self._masks:
                assert objects.masks is not None
                shown = objects.masks[clear]
                target["masks"] = (shown.flip(-1) if flip else shown).to(torch.uint8)
            targets.append({key: value.to(self.device) for key, value in target.items()})
        return targets
