"""Draws are functions of (seed, stream, indices)."""

from __future__ import annotations

import torch

from benchmark.randomness import derive_seed, generator, seeded


def test_streams_and_places_are_independent_and_stable() -> None:
    assert derive_seed(0, "order", 3) == 228291028133782092  # another value would orphan every record
    places = [(0, "order", 1), (0, "order", 11), (0, "order1", 1), (1, "order", 1), (0, "views", 1), (0, "order", 1, 1)]
    seeds = [derive_seed(seed, stream, *indices) for seed, stream, *indices in places]  # type: ignore[arg-type]
    assert len(set(seeds)) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seeded_block_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1, "backbone"):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(1, "backbone"):
        assert torch.equal(torch.rand(3), inside)
    assert torch.equal(torch.rand(2, generator=generator(1, "x")), torch.rand(2, generator=generator(1, "x")))
