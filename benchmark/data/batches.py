"""Batches of raw images: order, residency, prefetch. Shape suffixes: B images, C channels, H W pixels."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmark.data.images import ResidentImages
from benchmark.errors import UserError
from benchmark.randomness import generator

if TYPE_CHECKING:
    from types import TracebackType

    from benchmark.data.datasets import Split


@dataclass(frozen=True)
class RawBatch:
    """Images `(B, 3, H, W)`, uint8, and labels `(B,)` on the training device; sample ids `(B,)` on the CPU."""

    images_BCHW: Tensor
    labels_B: Tensor
    sample_ids_B: Tensor


class Batches:
    """The training split in a seeded order; what a step sees is a function of (seed, step) alone.

    Every epoch is a permutation of its own. The remainder that fills no batch is left out of that epoch (the next one
    draws another order). A resident split is copied to the device once; any other is read one step ahead, in a thread.

    Args:
        split: images and labels.
        batch_size: of all ranks together.
        seed: of the run; the order depends on nothing else.
        device: where the batches go.
        rank: which part of each batch is fetched here: images `start` to `start + share`, B of them.
        ranks: how many equal parts there are.

    Raises:
        UserError: the split does not fill one batch.
    """

    def __init__(
        self, split: Split, batch_size: int, seed: int, device: torch.device, rank: int = 0, ranks: int = 1
    ) -> None:
        self.length = len(split.images)
        if batch_size > self.length:
            raise UserError(
                f"batch_size is {batch_size}, but the training split has {self.length} images; expected at most that"
            )
        self.batch_size = batch_size
        self.share = batch_size // ranks
        self.start = rank * self.share
        self.steps_per_epoch = self.length // batch_size
        self._seed = seed
        self._device = device
        self._images = split.images
        self._labels_N = split.labels.to(device)
        self.resident = isinstance(split.images, ResidentImages)
        self._resident = split.images.pixels.to(device) if isinstance(split.images, ResidentImages) else None
        self._order: tuple[int, Tensor] | None = None
        self._ahead: tuple[int, Future[RawBatch]] | None = None
        self._reader = ThreadPoolExecutor(1) if self._resident is None else None

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.shutdown(wait=True, cancel_futures=True)

    def sample_ids(self, step: int) -> Tensor:
        """Which samples step `step` sees, on all ranks together, `(batch_size,)`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, torch.randperm(self.length, generator=generator(self._seed, "order", epoch)))
        return self._order[1][position * self.batch_size : (position + 1) * self.batch_size]

    def _own_ids(self, step: int) -> Tensor:
        return self.sample_ids(step)[self.start : self.start + self.share]

    def fetch(self, step: int) -> RawBatch:
        """This rank's part of the batch of a step."""
        if self._resident is not None:
            ids_B = self._own_ids(step)
            on_device_B = ids_B.to(self._device, non_blocking=True)
            return RawBatch(self._resident[on_device_B], self._labels_N[on_device_B], ids_B)
        assert self._reader is not None
        if self._ahead is None or self._ahead[0] != step:
            self._ahead = (step, self._reader.submit(self._read, self._own_ids(step)))
        batch = self._ahead[1].result()
        self._ahead = (step + 1, self._reader.submit(self._read, self._own_ids(step + 1)))
        return batch

    def _read(self, ids_B: Tensor) -> RawBatch:
        images_BCHW = self._images.read(ids_B)
        if self._device.type == "cuda":
            images_BCHW = images_BCHW.pin_memory()
        on_device_B = ids_B.to(self._device, non_blocking=True)
        return RawBatch(images_BCHW.to(self._device, non_blocking=True), self._labels_N[on_device_B], ids_B)
