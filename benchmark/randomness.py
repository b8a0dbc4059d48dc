"""Random draws: each is a function of (seed, named stream, indices), made on the CPU.

No generator's state is ever saved, so that draws do not depend on resuming, workers or devices.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def derive_seed(seed: int, stream: str, *indices: int) -> int:
    """A 63-bit seed for a stream and its indices (epoch, step, sample); others give independent seeds."""
    text = "/".join((str(seed), stream, *map(str, indices)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, stream: str, *indices: int) -> torch.Generator:
    """A CPU generator for a stream and its indices."""
    return torch.Generator().manual_seed(derive_seed(seed, stream, *indices))


@contextmanager
def seeded(seed: int, stream: str, *indices: int) -> Iterator[None]:
    """Seeds torch's global CPU generator inside the block from the stream; outside, its draws are unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, stream, *indices))
        yield
