"""The loader of images in folders and files of any layout (`benchmark/data/layouts/`)."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import torch

from benchmark.data.decode import encoded_size, in_order
from benchmark.data.hdf5.source import load_hdf5
from benchmark.data.layouts.find import find_hdf5, find_layout
from benchmark.data.sources import EncodedSplit, Source, encoded_source
from benchmark.data.splits import checksum, cut_test

if TYPE_CHECKING:
    from benchmark.data.decode import Progress
    from benchmark.data.listing import Listing, Members
    from benchmark.data.spec import DatasetSpec, LoadRequest


def load_folder(request: LoadRequest) -> Source:
    """The images at a path, in whatever layout they lie there, with a checksum of each.

    Sizes are chosen as `encoded_source` says. If the central squares fit in memory, training crops are drawn from them
    and never reach what is outside: a simplification. Otherwise crops are drawn from each whole image.

    Raises:
        UserError: no layout fits, or files, classes or labels are missing, empty or unreadable; says which.
    """
    spec = request.spec
    found = find_hdf5(request.path) if spec.name == "hdf5" else find_layout(request.path)
    if found.list is None:
        return load_hdf5(request, found.what)
    return listed_source(found.list(), spec, request.progress)


def listed_source(listing: Listing, spec: DatasetSpec, progress: Progress | None = None) -> Source:
    """Reads every listed image once for its checksum and size, and decodes none.

    Where there is no test split, one is cut from train; see `cut_test`.
    """
    if listing.test is not None:
        train, test = _inspect([listing.train, listing.test], progress)
    else:
        (whole,) = _inspect([listing.train], progress)
        train, test = (whole.part(indices) for indices in _cut(listing, spec, whole.checksums))
        listing = listing.noting(cut_note(spec))
    return encoded_source(listing.classes, spec.size, train, test, layout=listing.layout, notes=listing.notes)


def with_test_split(listing: Listing, spec: DatasetSpec, progress: Progress | None = None) -> Listing:
    """A listing with the test split that `listed_source` would cut; reads every image for its checksum."""
    if listing.test is not None:
        return listing
    members = listing.train
    checksums = list(in_order(lambda index: checksum(members.read(index)), range(len(members)), progress))
    train, test = (members.part(indices) for indices in _cut(listing, spec, checksums))
    return replace(listing, train=train, test=test).noting(cut_note(spec))


def cut_note(spec: DatasetSpec) -> str:
    """What is said of a test split that was cut."""
    return (
        f"there is no labelled test split: {spec.test_share:.0%} of each class became one, drawn with seed "
        f"{spec.split_seed} (dataset.test_share, dataset.split_seed)"
    )


def _cut(listing: Listing, spec: DatasetSpec, checksums: list[bytes]) -> tuple[list[int], list[int]]:
    return cut_test(listing.train.labels, checksums, listing.classes, spec.test_share, spec.split_seed)


def _inspect(parts: list[Members], progress: Progress | None) -> list[EncodedSplit]:
    numbered = [(part, index) for part in parts for index in range(len(part))]

    def inspect(item: tuple[Members, int]) -> tuple[bytes, tuple[int, int]]:
        encoded, name = item[0].encoded(item[1])
        return checksum(encoded), encoded_size(encoded, name)

    infos = iter(list(in_order(inspect, numbered, progress)))
    splits = []
    for part in parts:
        codes, sizes = zip(*islice(infos, len(part)), strict=True)
        sizes_N2 = torch.tensor(sizes, dtype=torch.int32).flip(1)  # from width and height to rows and columns
        splits.append(EncodedSplit(torch.tensor(part.labels), list(codes), sizes_N2, part.encoded))
    return splits
