"""Batches of raw images: order, residency, prefetch. Shape suffixes: B images, C channels, H W pixels."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmark.data.images import ImagesOnDemand, ResidentImages
from benchmark.data.views.crops import cropped_by_reader, read_crops
from benchmark.data.views.resample import send
from benchmark.errors import UserError
from benchmark.randomness import generator

if TYPE_CHECKING:
    from benchmark.data.datasets import Split
    from benchmark.data.views.augment import Augmenter
    from benchmark.data.views.sample import SourceSize, ViewParameters

AHEAD = 2
"""Batches read ahead of the running step: two, so that one slow batch does not delay the next step."""


@dataclass(frozen=True)
class RawBatch:
    """Images, labels (both on the training device) and sample ids (on the CPU) of a step.

    `pixels` are uint8, whole images `(B, 3, H, W)`, or the reader's crops `(B, 3, S, S)`, one tensor per view. Then
    `drawn` has the parameters of each view; it is None for whole images.
    """

    pixels: tuple[Tensor, ...]
    labels_B: Tensor
    sample_ids_B: Tensor
    drawn: list[ViewParameters] | None = None

    @property
    def images_BCHW(self) -> Tensor:
        """The whole images."""
        assert self.drawn is None, "the reader has cropped them"
        return self.pixels[0]


class Batches:
    """The training split in a seeded order; a step's batch is a function of the run's (seed, step) alone.

    Every epoch is a permutation of its own. Images that do not fill a batch are left out of that epoch. A resident
    split is copied to the device once. Batches of any other split are read some steps ahead by a thread (with the
    decoding threads) and are on the device when a step fetches them. On a GPU they are copied from pinned memory on a
    separate stream, and the reading thread waits for the copy. The time a step waits for its batch is then all that the
    data costs it, apart from the cores that the threads use.

    Args:
        batch_size: of all ranks together.
        rank: which part of each batch is fetched here: images `start` to `start + share`, B of them.
        augmenter: if given, images that are decoded on demand and differ in size are cropped when they are read, each
            from the whole image (`RawBatch.drawn`). Otherwise every batch holds whole images, or their central squares
            where sizes differ.
        ahead: batches read ahead, `AHEAD` by default; 0 reads each when it is fetched. Changes no batch.

    Raises:
        UserError: the split does not fill one batch.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        ranks: int = 1,
        *,
        augmenter: Augmenter | None = None,
        ahead: int | None = None,
    ) -> None:
        self.length = len(split.images)
        if batch_size > self.length:
            raise UserError(
                f"batch_size is {batch_size}, but the training split has {self.length} images; expected at most that"
            )
        self.batch_size, self.share = batch_size, batch_size // ranks
        self.start = rank * self.share
        self.steps_per_epoch = self.length // batch_size
        self._seed, self._device, self._images = seed, device, split.images
        self._labels_N = split.labels.to(device)
        self.resident = isinstance(split.images, ResidentImages)
        self._pixels = split.images.pixels.to(device) if isinstance(split.images, ResidentImages) else None
        self._augmenter = augmenter if cropped_by_reader(split.images) else None
        self._order: tuple[int, Tensor] | None = None
        self._ahead = AHEAD if ahead is None else ahead
        self._reading: dict[int, Future[RawBatch]] = {}
        self._reader = None if self.resident else ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._copies: Any = None
        if device.type == "cuda" and not self.resident:
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._copies.wait_stream(torch.cuda.current_stream(device))  # for the labels

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self._reading.clear()
        if self._reader is not None:
            self._reader.shutdown(wait=True, cancel_futures=True)

    def sample_ids(self, step: int) -> Tensor:
        """Which samples step `step` sees, on all ranks together, `(batch_size,)`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, torch.randperm(self.length, generator=generator(self._seed, "order", epoch)))
        return self._order[1][position * self.batch_size : (position + 1) * self.batch_size]

    def fetch(self, step: int) -> RawBatch:
        """This rank's part of the batch of a step; a `UserError` names an image that cannot be read."""
        if self._pixels is not None:
            ids_B = self.sample_ids(step)[self._own]
            on_device_B = ids_B.to(self._device, non_blocking=True)
            return RawBatch((self._pixels[on_device_B],), self._labels_N[on_device_B], ids_B)
        assert self._reader is not None
        steps = range(step, step + 1 + self._ahead)
        for skipped in self._reading.keys() - set(steps):
            self._reading.pop(skipped).cancel()
        for upcoming in steps:
            if upcoming not in self._reading:
                self._reading[upcoming] = self._reader.submit(self._read, upcoming, self.sample_ids(upcoming))
        batch = self._reading.pop(step).result()
        if self._copies is not None:
            for tensor in (*batch.pixels, batch.labels_B):
                # Allocated on the copying stream, which must not reuse their memory while steps still read it.
                tensor.record_stream(torch.cuda.current_stream(self._device))
        return batch

    def views(self, batch: RawBatch, augmenter: Augmenter, step: int) -> tuple[Tensor, ...]:
        """The views of a step's batch, drawn for all ranks' images together and made for this rank's.

        Where the reader has cropped the images, the augmenter has to be the one that the batches were given.
        """
        if batch.drawn is not None:
            return augmenter.finish(batch.pixels, batch.drawn)
        draws = generator(self._seed, "views", step)
        return augmenter.draw_views(batch.images_BCHW, draws, self.batch_size, self.start)

    def boxes(self, batch: RawBatch, augmenter: Augmenter, step: int) -> tuple[Tensor, ...]:
        """Where the views of a step's batch lie in its images (`methods.base.Batch.boxes`), on the training device."""
        if batch.drawn is not None:
            assert isinstance(self._images, ImagesOnDemand) and self._images.sizes_N2 is not None
            sizes: SourceSize = self._images.sizes_N2[batch.sample_ids_B]
            parameters = batch.drawn
        else:
            sizes = (batch.images_BCHW.shape[2], batch.images_BCHW.shape[3])
            drawn = augmenter.sample(self.batch_size, sizes, generator(self._seed, "views", step))
            parameters = [view.slice(self.start, self.start + len(batch.images_BCHW)) for view in drawn]
        return tuple(view.boxes(sizes).to(self._device, non_blocking=True) for view in parameters)

    def wait_for_reader(self) -> None:
        """Waits until no batch is being read ahead, for measurements without that load."""
        wait(self._reading.values())

    @property
    def _own(self) -> slice:
        return slice(self.start, self.start + self.share)

    def _read(self, step: int, ids_B: Tensor) -> RawBatch:
        """Runs in the reader's thread."""
        own_B = ids_B[self._own]
        drawn: list[ViewParameters] | None = None
        if self._augmenter is None:
            pixels: tuple[Tensor, ...] = (self._images.read(own_B),)
        else:
            views = generator(self._seed, "views", step)
            pixels, drawn = read_crops(self._images, ids_B, self._augmenter, views, self._own)
        with nullcontext() if self._copies is None else torch.cuda.stream(self._copies):
            on_device = tuple(send(view, self._device) for view in pixels)
            labels_B = self._labels_N[own_B.to(self._device, non_blocking=True)]
        if self._copies is not None:
            self._copies.synchronize()
        return RawBatch(on_device, labels_B, own_B, drawn)
