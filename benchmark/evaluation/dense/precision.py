"""COCO's average precision of a detector, by torchmetrics.

Shape suffixes: B images, S pixels of a side, M boxes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torchmetrics.detection import MeanAveragePrecision

from benchmark.evaluation.dense.maps import SHOWN
from benchmark.evaluation.features import evaluation_mode, full_precision
from benchmark.evaluation.subject import unkept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from torchvision.models.detection import FasterRCNN

    from benchmark.evaluation.dense.objects import AnnotatedSplit

_BATCH = 32
_INSIDE = 0.5  # a mask's pixels are those of at least this probability


@torch.no_grad()
def average_precision(
    detector: FasterRCNN,
    split: AnnotatedSplit,
    *,
    masks: bool,
    keep: Callable[[dict[str, Tensor]], None] = unkept,
) -> dict[str, float]:
    """AP, AP50 and AP75 of boxes in percent, and of masks where they are predicted.

    Args:
        keep: receives the first images with their true and their predicted boxes.
    """
    metric = precision_metric(masks=masks)
    shown: list[tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]] = []
    with evaluation_mode(detector), full_precision():
        for indices in torch.split(torch.arange(len(split)), _BATCH):
            predicted = [{name: value.cpu() for name, value in one.items()} for one in detector(split.images(indices))]
            truth = _truth(split, indices, masks=masks)
            for one in predicted:
                if masks:
                    one["masks"] = one["masks"][:, 0] >= _INSIDE
            metric.update(predicted, truth)
            if len(shown) < SHOWN:
                shown += zip(split.pixels(indices), truth, predicted, strict=True)
            split.watch("detections", len(indices))
    keep(_kept(shown[:SHOWN]))
    return percents(metric, masks=masks)


def precision_metric(*, masks: bool) -> Any:
    """The metric: boxes as left, top, right, bottom."""
    kinds: tuple[Literal["bbox", "segm"], ...] = ("bbox", "segm") if masks else ("bbox",)
    metric = MeanAveragePrecision(box_format="xyxy", iou_type=kinds, backend="pycocotools")
    metric.warn_on_many_detections = False
    return metric


def percents(metric: Any, *, masks: bool) -> dict[str, float]:
    """The scores by name; a split without any object scores 0."""
    values = metric.compute()
    prefixes = {"box": "bbox_", "mask": "segm_"} if masks else {"box": ""}
    return {
        f"{kind}_{name}": max(0.0, 100.0 * float(values[f"{prefix}{theirs}"]))
        for kind, prefix in prefixes.items()
        for name, theirs in (("ap", "map"), ("ap50", "map_50"), ("ap75", "map_75"))
    }


def _truth(split: AnnotatedSplit, indices: Tensor, *, masks: bool) -> list[dict[str, Tensor]]:
    found = []
    for objects in split.objects(indices):
        crowd = torch.zeros(len(objects.labels)).bool() if objects.crowd is None else objects.crowd
        truth = {"boxes": objects.boxes, "labels": objects.labels + 1, "iscrowd": crowd.long()}
        if masks:
            assert objects.masks is not None
            truth["masks"] = objects.masks
        found.append(truth)
    return found


def _kept(shown: Sequence[tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]]) -> dict[str, Tensor]:
    """Images, and boxes filled up to one number with scores of -1."""
    arrays = {"images": torch.stack([image for image, _, _ in shown])}
    for position, name in ((1, "truth"), (2, "prediction")):
        parts: list[dict[str, Tensor]] = [one[position] for one in shown]  # type: ignore[misc]
        most = max(1, *(len(part["boxes"]) for part in parts))
        scores = [part.get("scores", torch.ones(len(part["boxes"]))) for part in parts]
        arrays[f"{name}_boxes"] = torch.stack(
            [F.pad(part["boxes"], (0, 0, 0, most - len(part["boxes"]))) for part in parts]
        )
        arrays[f"{name}_scores"] = torch.stack([F.pad(each, (0, most - len(each)), value=-1.0) for each in scores])
    return arrays
