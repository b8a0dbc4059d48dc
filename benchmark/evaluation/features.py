"""Features of frozen encoders: extraction, recalibration of batch-norm statistics, and measures of collapse.

Shape suffixes: B images of a batch, C channels, H W pixels, N images, D feature dimension.
"""

from __future__ import annotations

import copy
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.data.images import ResidentImages
from benchmark.randomness import generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmark.data.images import Images
    from methods.base import Encoder

    Normalise = Callable[[Tensor], Tensor]

    Watch = Callable[[str, int], None]
    """Receives what is being done, and how many more images have passed the encoder."""

CHUNK_ROWS = 4096

_CPU_BATCH, _GPU_BATCH = 128, 512
"""Images that pass an encoder together: on a CPU as many as suit its caches (`perf/probes.py`)."""


def batch_for(device: torch.device) -> int:
    """How many images pass an encoder together on a device."""
    return _CPU_BATCH if device.type == "cpu" else _GPU_BATCH


def unwatched(stage: str, images: int) -> None:
    """Shows nothing."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Computes in full float32 inside: no TF32 and no bfloat16 in matrix products and convolutions.

    Training may have enabled them for speed; scores should not depend on the device.
    """
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every submodule has the training flag it had before."""
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training


class NonFiniteError(ValueError):
    """A loss or an encoder's features are NaN or infinite: the run has diverged."""


def check_features(features_ND: Tensor, what: str) -> None:
    """Raises ValueError unless the features are a matrix that is not empty, NonFiniteError unless they are finite."""
    if features_ND.ndim != 2 or features_ND.numel() == 0:
        raise ValueError(f"{what}: no features, shape {tuple(features_ND.shape)}; expected (images, dimension)")
    bad = int((~features_ND.isfinite().all(dim=1)).sum())
    if bad:
        raise NonFiniteError(f"{what}: {bad} of {len(features_ND)} feature vectors are not finite (NaN or infinite)")


def check_labels(features_ND: Tensor, labels_N: Tensor, num_classes: int, what: str) -> None:
    """Raises ValueError unless every feature vector has a label in range."""
    if labels_N.shape != features_ND.shape[:1]:
        raise ValueError(f"{what}: labels of shape {tuple(labels_N.shape)} for {len(features_ND)} feature vectors")
    low, high = int(labels_N.min()), int(labels_N.max())
    if low < 0 or high >= num_classes:
        raise ValueError(f"{what}: labels from {low} to {high}; expected 0 to {num_classes - 1}")


def _prepare(pixels_BCHW: Tensor, normalise: Normalise, device: torch.device) -> Tensor:
    images_BCHW = normalise(pixels_BCHW.to(device))
    return images_BCHW.to(device=device, dtype=torch.float32, memory_format=torch.channels_last)


def input_batches(
    images: Images, indices: Sequence[Tensor], normalise: Normalise, device: torch.device
) -> Iterator[Tensor]:
    """The encoder's input for each batch of indices; images that are not in memory are read one batch ahead."""
    if isinstance(images, ResidentImages) or len(indices) < 2:
        for batch in indices:
            yield _prepare(images.read(batch), normalise, device)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        upcoming = reader.submit(images.read, indices[0])
        for following in (*indices[1:], None):
            pixels = upcoming.result()
            if following is not None:
                upcoming = reader.submit(images.read, following)
            yield _prepare(pixels, normalise, device)


@torch.no_grad()
def extract(
    encoder: Encoder,
    images: Images,
    normalise: Normalise,
    device: torch.device,
    *,
    batch_size: int | None = None,
    known: Tensor | None = None,
    watch: Watch = unwatched,
) -> Tensor:
    """Features `(N, D)` of all images, in their order, float32 on the CPU.

    They are computed in float32, whatever precision training had: bfloat16 keeps 8 bits of a number, and the rounding
    depends on the device's kernels.

    Args:
        encoder: on the device; runs in evaluation mode, without gradients, and its training flags are restored.
        normalise: turns uint8 `(B, 3, H, W)` into floats `(B, 3, S, S)`, resized and cropped where needed.
        batch_size: images at once, chosen for the device by default. It changes memory and time only.
        known: what the same encoder gave for the first of these images, `(n, D)`; whole batches of it are taken over.

    Raises:
        ValueError: there are no images.
        NonFiniteError: features of a batch are not finite.
    """
    if len(images) == 0:
        raise ValueError("no images to extract features from")
    features_ND = torch.empty(len(images), encoder.info.dimension)
    batch_size = batch_size or batch_for(device)
    start = 0 if known is None else min(len(known), len(images))
    if start < len(images):
        start -= start % batch_size
    if known is not None:
        features_ND[:start] = known[:start]
    batches = torch.split(torch.arange(start, len(images)), batch_size) if start < len(images) else ()
    with full_precision(), evaluation_mode(encoder), torch.autocast(device.type, enabled=False):
        for images_BCHW in input_batches(images, batches, normalise, device):
            features_BD = encoder.features(images_BCHW).float().cpu()
            stop = start + len(features_BD)
            check_features(features_BD, f"features of images {start} to {stop - 1}")  # now: all may take hours
            features_ND[start:stop] = features_BD
            start = stop
            watch("features", len(features_BD))
    return features_ND


@torch.no_grad()
def recalibrated(
    encoder: Encoder,
    images: Images,
    normalise: Normalise,
    device: torch.device,
    *,
    batch_size: int = 512,
    limit: int | None = None,
    watch: Watch = unwatched,
) -> Encoder:
    """A copy of the encoder whose batch-norm statistics come from one pass over full images, in float32.

    Statistics are the mean over batches. Images come in a fixed random order and in batches of equal size (within one),
    so that neither a dataset sorted by class nor a small last batch biases them.

    Args:
        normalise: as for `extract`.
        limit: use at most this many images, drawn at random; None uses all.

    Returns:
        The copy, in evaluation mode, on the device, which needs no recalibration any more; the encoder itself where it
        needs none (`encoder.info.recalibrate`) or has no batch norm with running statistics.

    Raises:
        ValueError: there are no images.
    """
    if not encoder.info.recalibrate or not _running_norms(encoder):
        return encoder
    if len(images) == 0:
        raise ValueError("no images to recalibrate batch-norm statistics on")
    twin = copy.deepcopy(encoder).to(device).requires_grad_(False).eval()
    twin.info = replace(encoder.info, recalibrate=False)
    norms = _running_norms(twin)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        if isinstance(norm, nn.SyncBatchNorm):  # one rank evaluates alone, and would wait forever for others
            norm.__class__ = nn.BatchNorm2d  # type: ignore[assignment]
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    order = torch.randperm(len(images), generator=generator(0, "recalibration"))[:limit]
    batches = [batch.sort().values for batch in order.tensor_split(math.ceil(len(order) / batch_size))]
    with full_precision(), torch.autocast(device.type, enabled=False):
        for images_BCHW in input_batches(images, batches, normalise, device):
            twin.features(images_BCHW)
            watch("batch-norm statistics", len(images_BCHW))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return twin.eval()


def _running_norms(module: nn.Module) -> list[_BatchNorm]:
    return [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]


def feature_std(features_ND: Tensor) -> float:
    """The spread of L2-normalised features: the mean standard deviation of a dimension, times sqrt(D).

    About 1 for evenly spread directions, 0 for a complete collapse (SimSiam, 2011.10566, section 4.1).
    """
    check_features(features_ND, "features for feature_std")
    unit_ND = nn.functional.normalize(features_ND.double(), dim=1)
    return float(unit_ND.std(dim=0, unbiased=False).mean() * math.sqrt(features_ND.shape[1]))


def rankme(features_ND: Tensor) -> float:
    """The effective rank of features: exp of the entropy of their singular values (RankMe, 2210.02885, eq. 1-2).

    Between 1 and D; 0 if all features are zero. As published, the features are not centred.
    """
    check_features(features_ND, "features for rankme")
    count, dimension = features_ND.shape
    if count < dimension:
        gram = features_ND.double() @ features_ND.double().T
    else:
        # Singular values from the smaller Gram matrix: memory does not grow with the number of images.
        gram = torch.zeros(dimension, dimension, dtype=torch.float64)
        for rows in torch.split(features_ND, CHUNK_ROWS):
            gram += rows.double().T @ rows.double()
    singular = torch.linalg.eigvalsh(gram).clamp_min(0.0).sqrt()
    total = float(singular.sum())
    if total == 0.0:
        return 0.0
    shares = singular / total + 1e-7
    return math.exp(-float((shares * shares.log()).sum()))
