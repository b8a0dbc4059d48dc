"""`detection-v1` and `instances-v1`: the encoder fine-tuned as a detector's backbone.

Shape suffixes: B images, N images, S pixels of a side, K objects, M boxes.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from benchmark.errors import UserError
from benchmark.evaluation.dense.detectors import build_detector
from benchmark.evaluation.dense.maps import annotations_of
from benchmark.evaluation.dense.objects import AnnotatedSplit
from benchmark.evaluation.dense.precision import average_precision
from benchmark.evaluation.dense.progress import Saved, saved_state
from benchmark.evaluation.features import NonFiniteError
from benchmark.randomness import generator, seeded
from methods.base import split_by_decay

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.models.detection import FasterRCNN

    from benchmark.evaluation.subject import Subject

LEARNING_RATES = (3e-4, 1e-3)
EPOCHS, BATCH = 12, 16
WEIGHT_DECAY = 0.05
_WARMUP = 0.1
_CLIP = 1.0


def detection(subject: Subject) -> dict[str, float]:
    """`detection-v1`: `box_ap`, `box_ap50` and `box_ap75` on test in percent. See `_score`."""
    return _score(subject, "detection-v1", masks=False)


def instances(subject: Subject) -> dict[str, float]:
    """`instances-v1`: the same by Mask R-CNN, with `mask_ap`, `mask_ap50` and `mask_ap75`."""
    return _score(subject, "instances-v1", masks=True)


def _score(subject: Subject, name: str, *, masks: bool) -> dict[str, float]:
    """Average precision as COCO's: the mean over IoU 0.5 to 0.95, at most 100 detections an image.

    The whole network is trained: AdamW with weight decay 0.05 (not on norms and biases), batch 16, 12 epochs, flips,
    gradients of norm 1 at most, warm-up over a tenth, cosine. Trained once with each of two learning rates, of which
    the validation split chooses by AP. The settings are ours, and the same for every entry. State is saved after every
    epoch, and the next call resumes from there.

    Raises:
        NotApplicableError: the dataset has no boxes, or no masks where they are needed.
        UserError: pycocotools is not installed.
        NonFiniteError: the loss was not finite.
    """
    data = subject.data
    splits = [AnnotatedSplit(subject, split, masks=masks) for split in (data.train, data.validation, data.test)]
    if find_spec("pycocotools") is None:
        raise UserError(f"{name} needs pycocotools: pip install 'cnn-jepa-bench[detection]'")
    train, validation, test = splits
    saved = saved_state(subject, name)
    subject.charge(saved.seconds)
    while len(saved.trained) < len(LEARNING_RATES):
        detector = _detector(subject, name, masks=masks)
        _train(subject, detector, train, LEARNING_RATES[len(saved.trained)], name, saved)
        precision = average_precision(detector, validation, masks=masks)["box_ap"]
        saved.finish_one(precision, detector.state_dict())
    best = max(range(len(LEARNING_RATES)), key=lambda index: saved.trained[index][0])
    detector = _detector(subject, name, masks=masks)
    detector.load_state_dict(saved.trained[best][1])
    scores = average_precision(detector, test, masks=masks, keep=subject.keep)
    saved.remove()
    return {**scores, "box_ap_validation": saved.trained[best][0], "lr": LEARNING_RATES[best]}


def _detector(subject: Subject, name: str, *, masks: bool) -> FasterRCNN:
    """A detector with heads that are drawn with the run's seed."""
    dataset = subject.dataset
    labels = len(annotations_of(subject, subject.data.train).object_names)
    with seeded(subject.seed, f"{name} heads"):
        detector = build_detector(subject.encoder, labels, dataset.image_size, dataset.mean, dataset.std, masks=masks)
    return detector.to(subject.device)


def _train(subject: Subject, detector: FasterRCNN, train: AnnotatedSplit, lr: float, name: str, saved: Saved) -> None:
    """Trains from where the last call stopped. Order, flips and sampled regions are drawn with the run's seed."""
    groups = split_by_decay(detector.named_parameters(), everything=False)
    prepared = [{"params": part["params"], "weight_decay": WEIGHT_DECAY if part["decay"] else 0.0} for part in groups]
    optimizer = torch.optim.AdamW(prepared, lr=lr, fused=True)
    per_epoch = max(1, len(train) // BATCH)
    warmup = max(1, round(_WARMUP * EPOCHS * per_epoch))
    rise = LinearLR(optimizer, 1.0 / warmup, total_iters=warmup)
    fall = CosineAnnealingLR(optimizer, max(1, EPOCHS * per_epoch - warmup))
    parts: dict[str, Any] = {
        "detector": detector,
        "optimizer": optimizer,
        "schedule": SequentialLR(optimizer, [rise, fall], [warmup]),
    }
    first = saved.restore(parts)
    detector.train()
    for epoch in range(first, EPOCHS):
        order = torch.randperm(len(train), generator=generator(subject.seed, f"{name} order", epoch))
        for number in range(per_epoch):
            step = epoch * per_epoch + number
            loss = _loss(subject, detector, train, order[number * BATCH : (number + 1) * BATCH], f"{name}/{step}")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(detector.parameters(), _CLIP)
            optimizer.step()
            parts["schedule"].step()
        if not bool(loss.isfinite()):
            raise NonFiniteError(f"{name}: the loss is not finite")
        saved.write(parts, epoch + 1)
        subject.watch(f"{name}, learning rate {lr:g}, epoch {epoch + 1} of {EPOCHS}", 0)


def _loss(subject: Subject, detector: FasterRCNN, train: AnnotatedSplit, indices: Tensor, stream: str) -> Tensor:
    """The sum of the detector's losses on a batch, half of whose images are flipped."""
    flips = torch.rand(len(indices), generator=generator(subject.seed, f"{stream} flips")) < 0.5
    images = [image.flip(-1) if flip else image for image, flip in zip(train.images(indices), flips, strict=True)]
    with seeded(subject.seed, f"{stream} regions"):
        losses: dict[str, Tensor] = detector(images, train.targets(indices, flips))
    return torch.stack(list(losses.values())).sum()
