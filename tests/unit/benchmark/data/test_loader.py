"""The order of training images is a function of (seed, step) alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmark.data.datasets import Split
from benchmark.data.images import ResidentImages
from benchmark.data.loader import Batches
from benchmark.data.views.augment import Augmenter
from benchmark.errors import UserError
from methods.views import ViewSpec

CPU = torch.device("cpu")


def _split(count: int = 23) -> Split:
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous()
    return Split(ResidentImages(pixels), torch.arange(count))


class _Lazy:
    """Images that are read when asked for."""

    def __init__(self, split: Split) -> None:
        self._images = split.images
        self.reads: list[list[int]] = []

    def __len__(self) -> int:
        return len(self._images)

    def read(self, indices: Tensor) -> Tensor:
        self.reads.append(indices.tolist())
        return self._images.read(indices)


def test_an_epoch_is_a_permutation_without_its_remainder() -> None:
    with Batches(_split(), 5, 0, CPU) as batches:
        assert batches.steps_per_epoch == 4
        epochs = [torch.cat([batches.fetch(epoch * 4 + i).sample_ids_B for i in range(4)]) for epoch in range(3)]
    assert all(len(set(epoch.tolist())) == 20 for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    left_out = [set(range(23)) - set(epoch.tolist()) for epoch in epochs]
    assert left_out[0] != left_out[1] or left_out[1] != left_out[2]


def test_a_batch_holds_the_images_labels_and_ids_of_its_samples() -> None:
    with Batches(_split(), 5, 0, CPU) as batches:
        batch = batches.fetch(2)
    assert batch.images_BCHW.shape == (5, 3, 2, 2)
    assert torch.equal(batch.images_BCHW[:, 0, 0, 0].long(), batch.sample_ids_B)
    assert torch.equal(batch.labels_B, batch.sample_ids_B)


def test_any_step_can_be_fetched_first() -> None:
    with Batches(_split(), 5, 3, CPU) as straight, Batches(_split(), 5, 3, CPU) as resumed:
        ids = [straight.fetch(step).sample_ids_B for step in range(9)]
        assert torch.equal(resumed.fetch(7).sample_ids_B, ids[7])
        assert torch.equal(resumed.fetch(1).sample_ids_B, ids[1])
    with Batches(_split(), 5, 4, CPU) as other:
        assert not torch.equal(other.fetch(0).sample_ids_B, ids[0])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_reading_ahead_gives_the_same_batches(count: int) -> None:
    split = _split()
    lazy = _Lazy(split)
    with Batches(split, 5, 1, CPU) as resident, Batches(Split(lazy, split.labels), 5, 1, CPU, ahead=count) as ahead:
        for step in (0, 1, 2, 3, 4, 9, 10, 2):
            expected, batch = resident.fetch(step), ahead.fetch(step)
            assert torch.equal(batch.images_BCHW, expected.images_BCHW)
            assert torch.equal(batch.labels_B, expected.labels_B)
    # Each once, but for those that were read before a jump left them behind.
    assert 8 <= len(lazy.reads) <= 8 + 3 * count
    assert len(lazy.reads) == 8 or count


def test_the_next_batches_are_read_while_a_step_runs() -> None:
    split = _split()
    lazy = _Lazy(split)
    with Batches(Split(lazy, split.labels), 5, 1, CPU, ahead=2) as batches:
        batches.fetch(0)
        batches.wait_for_reader()
        assert lazy.reads == [batches.sample_ids(step).tolist() for step in range(3)]
        batches.fetch(1)
        batches.wait_for_reader()
        assert len(lazy.reads) == 4


def test_an_error_while_reading_ahead_belongs_to_its_own_step() -> None:
    split = _split()

    class Broken(_Lazy):
        def read(self, indices: Tensor) -> Tensor:
            if int(indices[0]) == broken:
                raise UserError("photo.jpg: not a readable image")
            return super().read(indices)

    with Batches(Split(Broken(split), split.labels), 5, 1, CPU) as batches:
        broken = int(batches.sample_ids(2)[0])
        batches.fetch(0)
        batches.fetch(1)
        with pytest.raises(UserError, match=r"photo\.jpg"):
            batches.fetch(2)


def test_a_batch_larger_than_the_split_is_refused() -> None:
    with pytest.raises(UserError, match="batch_size is 24, but the training split has 23 images"):
        Batches(_split(), 24, 0, CPU)


def test_ranks_share_a_batch_in_its_order() -> None:
    split = _split()
    lazy = _Lazy(split)
    with (
        Batches(split, 6, 1, CPU) as whole,
        Batches(split, 6, 1, CPU, rank=0, ranks=3) as first,
        Batches(Split(lazy, split.labels), 6, 1, CPU, rank=2, ranks=3) as last,
    ):
        assert (first.steps_per_epoch, last.steps_per_epoch) == (3, 3)
        assert (last.batch_size, last.start, last.share) == (6, 4, 2)
        for step in (0, 1, 5):
            expected = whole.fetch(step)
            assert torch.equal(first.fetch(step).sample_ids_B, expected.sample_ids_B[:2])
            assert torch.equal(last.fetch(step).images_BCHW, expected.images_BCHW[4:])
            assert torch.equal(last.fetch(step).labels_B, expected.labels_B[4:])
    assert all(len(read) == 2 for read in lazy.reads)


def test_views_are_drawn_for_the_whole_batch_and_made_for_a_ranks_share() -> None:
    pixels = torch.randint(0, 256, (12, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    split = Split(ResidentImages(pixels), torch.zeros(12, dtype=torch.long))
    augmenter = Augmenter([ViewSpec(), ViewSpec(size=8, jitter=1.0, hue=0.5)], 16, (0.0,) * 3, (1.0,) * 3)
    with Batches(split, 6, 1, CPU) as whole, Batches(split, 6, 1, CPU, rank=1, ranks=2) as second:
        views = whole.views(whole.fetch(1), augmenter, 1)
        own = second.views(second.fetch(1), augmenter, 1)
        again, later = (whole.views(whole.fetch(1), augmenter, step) for step in (1, 2))
    assert [tuple(view.shape) for view in views] == [(6, 3, 16, 16), (6, 3, 8, 8)]
    assert all(torch.equal(part, view[3:]) for part, view in zip(own, views, strict=True))
    assert torch.equal(again[0], views[0]) and not torch.equal(later[0], views[0])
