"""Rows in memory or in a file."""

from __future__ import annotations

import os

import pytest
import torch

from benchmark.errors import UserError
from benchmark.evaluation.dense.store import Store


@pytest.mark.parametrize(("limit", "resident"), [(None, True), (100, False)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_rows_are_the_same_in_memory_and_in_a_file(limit: int | None, resident: bool, dtype: torch.dtype) -> None:
    rows = torch.arange(7 * 5 * 4).view(7, 5, 4).to(dtype)
    store = Store(7, iter(rows.split(3)), limit)
    assert store.resident is resident
    assert len(store) == 7 and torch.equal(store.rows, rows)
    assert torch.equal(store.read(torch.tensor([6, 0])), rows[[6, 0]])
    assert [indices.tolist() for indices, _ in store.batches(4)] == [[0, 1, 2, 3], [4, 5, 6]]
    assert torch.equal(torch.cat([part for _, part in store.batches(2)]), rows)


def test_a_store_that_was_not_filled_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="2 rows for a store of 3"):
        Store(3, [torch.ones(2, 1)])


def test_a_full_disk_says_how_much_room_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"0\.0 GB of feature maps do not fit into .*No space left.*TMPDIR"):
        Store(3, [torch.ones(3, 1)], 1)
