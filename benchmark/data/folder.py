"""The loader of images in folders and files of any layout (`benchmark/data/layouts/`)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import torch

from benchmark.data.bad_images import BadImage, listed
from benchmark.data.examine import examine_all
from benchmark.data.hdf5.source import load_hdf5
from benchmark.data.layouts.find import find_hdf5, find_layout
from benchmark.data.listing import prefix_of
from benchmark.data.sources import EncodedSplit, Source, encoded_source
from benchmark.data.splits import cut_test
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmark.data.decode import Progress
    from benchmark.data.listing import Listing, Members
    from benchmark.data.spec import DatasetSpec, LoadRequest


def load_folder(request: LoadRequest) -> Source:
    """The images at a path, in whatever layout they lie there, with a checksum of each.

    Sizes are chosen as `encoded_source` says. If the central squares fit in memory, training crops are drawn from them
    and never reach what is outside: a simplification. Otherwise crops are drawn from each whole image.

    Raises:
        UserError: no layout fits, or files, classes or labels are missing or empty; says which. Unreadable images are
            the source's `bad` ones.
    """
    spec = request.spec
    found = find_hdf5(request.path) if spec.name == "hdf5" else find_layout(request.path)
    if found.list is None:
        return load_hdf5(replace(request, path=found.choose), found.what)
    return listed_source(found.list(), spec, request.progress)


def listed_source(listing: Listing, spec: DatasetSpec, progress: Progress | None = None) -> Source:
    """Reads every listed image once for its checksum and size, and decodes those that look damaged.

    Where there is no test split, one is cut from train; see `cut_test`.
    """
    if listing.test is None:
        (whole,) = _inspect(listing, [listing.train], progress)
        return _cut_source(listing.noting(cut_note(spec)), spec, whole)
    train, test = _inspect(listing, [listing.train, listing.test], progress)
    return encoded_source(listing.classes, spec.size, train, test, layout=listing.layout, notes=listing.notes)


def _cut_source(listing: Listing, spec: DatasetSpec, whole: EncodedSplit) -> Source:
    """The source of images without a split. Without further images, the test split is cut anew."""
    problem = ""
    try:
        train, test = _cut(listing, spec, whole.checksums, whole.bad)
    except UserError as error:  # too few images, perhaps for want of the bad ones, which are to be named, too
        train, test, problem = list(range(len(whole.labels))), [], str(error)
    parts = whole.part(train), whole.part(test)
    source = encoded_source(listing.classes, spec.size, *parts, layout=listing.layout, notes=listing.notes)
    return replace(source, problem=problem, without=lambda bad: _cut_source(listing, spec, whole.without(bad)))


def with_test_split(listing: Listing, spec: DatasetSpec, progress: Progress | None = None) -> Listing:
    """A listing with the test split that `listed_source` would cut.

    Decodes every image, so that it is cut among those that can be used; the others are in train.
    """
    if listing.test is not None:
        return listing
    members = listing.train
    codes, _, reasons = zip(*examine_all([members], progress, thorough=True), strict=True)
    bad = {index: reason for index, reason in enumerate(reasons) if reason}
    try:
        train, test = (members.part(indices) for indices in _cut(listing, spec, codes, bad))
    except UserError as error:
        if not bad:
            raise
        prefix = prefix_of(listing.root)
        named = [BadImage(members.names[index].removeprefix(prefix), reason) for index, reason in bad.items()]
        raise UserError(f"{error}; these cannot be used:\n{listed(named)}") from None
    return replace(listing, train=train, test=test).noting(cut_note(spec))


def cut_note(spec: DatasetSpec) -> str:
    """What is said of a test split that was cut."""
    return (
        f"there is no labelled test split: {spec.test_share:.0%} of each class became one, drawn with seed "
        f"{spec.split_seed} (dataset.test_share, dataset.split_seed)"
    )


def _cut(
    listing: Listing, spec: DatasetSpec, checksums: Sequence[bytes], bad: Mapping[int, str]
) -> tuple[list[int], list[int]]:
    """The indices of train and test. Bad images count for nothing; they stay in train, to be named with its images."""
    kept = [index for index in range(len(checksums)) if index not in bad]
    labels = [listing.train.labels[index] for index in kept]
    codes = [checksums[index] for index in kept]
    train, test = cut_test(labels, codes, listing.classes, spec.test_share, spec.split_seed)
    return sorted([*(kept[position] for position in train), *bad]), [kept[position] for position in test]


def _inspect(listing: Listing, parts: Sequence[Members], progress: Progress | None) -> list[EncodedSplit]:
    infos, prefix = iter(list(examine_all(parts, progress))), prefix_of(listing.root)

    def name(part: Members, index: int) -> str:
        return part.names[index].removeprefix(prefix)

    splits = []
    for part in parts:
        codes, sizes, reasons = zip(*islice(infos, len(part)), strict=True)
        sizes_N2 = torch.tensor(sizes, dtype=torch.int32).flip(1)  # from width and height to rows and columns
        # Records keep the reasons, which name no path of this machine.
        bad = {index: reason.replace(prefix, "") for index, reason in enumerate(reasons) if reason}
        labels_N = torch.tensor(part.labels)
        splits.append(EncodedSplit(labels_N, list(codes), sizes_N2, part.encoded, name=partial(name, part), bad=bad))
    return splits
