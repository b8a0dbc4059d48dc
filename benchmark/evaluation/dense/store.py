"""Rows of one shape, computed once and read again and again: in memory, or in a temporary file where they are large.

Shape suffixes: N rows.
"""

from __future__ import annotations

import math
import os
import tempfile
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark.errors import UserError
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

RESIDENT_BYTES = 2 << 30
"""Bytes of one store above which it lies in a file. Feature maps of ADE20K's 20,210 images take 8 GB of ResNet-50."""


class Store:
    """Rows `(N, ...)`, filled in order.

    Raises:
        UserError: there is no room for the file.
    """

    def __init__(self, count: int, parts: Iterable[Tensor], limit: int | None = None) -> None:
        """Fills the store.

        Args:
            count: N.
            parts: the rows in order, several at a time, of one shape and type.
            limit: bytes above which rows lie in a file, `RESIDENT_BYTES` by default.
        """
        self._rows: Tensor | None = None
        self.resident = True
        at = 0
        for part in parts:
            if self._rows is None:
                self._rows = self._allocated((count, *part.shape[1:]), part.dtype, limit or RESIDENT_BYTES)
            self._rows[at : at + len(part)] = part
            at += len(part)
        assert at == count, f"{at} rows for a store of {count}"

    def _allocated(self, shape: tuple[int, ...], dtype: torch.dtype, limit: int) -> Tensor:
        size = math.prod(shape) * dtype.itemsize
        self.resident = size <= limit
        if self.resident:
            return torch.empty(shape, dtype=dtype)
        try:
            # The file has no name any more once it is mapped: it goes with the process, however that ends.
            with tempfile.TemporaryFile() as file:
                # Takes the room now: a sparse file would end the process by a signal where the disk is full later.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:  # macOS
                    file.truncate(size)
                flat = np.memmap(file, dtype=np.uint8, mode="r+", shape=(size,))
        except OSError as error:
            raise UserError(
                f"{size / 1e9:.1f} GB of feature maps do not fit into {tempfile.gettempdir()} ({first_line(error)}); "
                "set TMPDIR to a folder with more room, or take fewer images (dataset.train_images)"
            ) from None
        return torch.from_numpy(flat).view(dtype).view(shape)

    @property
    def rows(self) -> Tensor:
        """All rows `(N, ...)`; of a file, only what is looked at is in memory."""
        assert self._rows is not None, "there are no rows"
        return self._rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, indices: Tensor) -> Tensor:
        """A copy of the rows at some indices."""
        return self.rows[indices]

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices and rows of all, in order, `size` at a time."""
        for indices in torch.split(torch.arange(len(self)), size):
            yield indices, self.rows[indices[0] : indices[-1] + 1]
