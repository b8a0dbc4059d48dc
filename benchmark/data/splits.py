"""A dataset's identity, and draws from it that depend on its images' content alone: not on order or names of files."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

CHECKSUM_BYTES = 16
_FEWEST = 3  # images of a class from which both validation and test are cut


@dataclass(frozen=True)
class Manifest:
    """The identity of a dataset as a run uses it, and the number of images by split.

    The digest is a hexadecimal hash over the classes, and for each split its name and its images' sorted checksums,
    each with its label.
    """

    digest: str
    counts: dict[str, int]


def checksum(content: bytes | memoryview) -> bytes:
    """BLAKE2b-128 of an image: of its file's bytes, or of its raw array if it has no file of its own."""
    return hashlib.blake2b(content, digest_size=CHECKSUM_BYTES).digest()


def array_checksums(pixels: Tensor) -> list[bytes]:
    """The checksum of each image of a uint8 tensor `(N, ...)`."""
    return [checksum(memoryview(image)) for image in pixels.contiguous().flatten(1).numpy()]


def build_manifest(classes: Sequence[str], splits: Mapping[str, tuple[Sequence[int], Sequence[bytes]]]) -> Manifest:
    """The manifest of splits, given as labels and checksums by the split's name."""
    digest = hashlib.blake2b(digest_size=32)

    def field(content: bytes) -> None:
        # Lengths in front keep neighbouring fields apart: ("ab", "c") is not ("a", "bc").
        digest.update(len(content).to_bytes(8, "big") + content)

    field(b"manifest-1")
    for name in classes:
        field(name.encode())
    for split in sorted(splits):
        labels, checksums = splits[split]
        field(split.encode())
        # An entry is a checksum and a label. Entries are sorted by their bytes, that is, as unsigned numbers.
        labels_N = np.asarray(labels, dtype=np.int64).astype(">i4")
        order = np.lexsort((labels_N.view(">u4"), *_keys(checksums)))
        codes_NC = np.frombuffer(b"".join(checksums), dtype=np.uint8).reshape(-1, CHECKSUM_BYTES)
        entries = np.concatenate((codes_NC, labels_N.view(np.uint8).reshape(-1, 4)), axis=1)
        field(entries[order].tobytes())
    counts = {split: len(labels) for split, (labels, _) in splits.items()}
    return Manifest(digest.hexdigest(), counts)


def _keys(checksums: Sequence[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Checksums as two arrays of numbers for `np.lexsort`, whose last key is the first to sort by."""
    pairs_N2 = np.frombuffer(b"".join(checksums), dtype=">u8").reshape(-1, 2)
    return pairs_N2[:, 1].astype(np.uint64), pairs_N2[:, 0].astype(np.uint64)


def in_canonical_order(indices: Sequence[int], labels: Sequence[int], checksums: Sequence[bytes]) -> list[int]:
    """Indices by ascending checksum, then label: the order of a split, whatever its files are called."""
    chosen = [checksums[index] for index in indices]
    order = np.lexsort((np.asarray([labels[index] for index in indices], dtype=np.int64), *_keys(chosen)))
    ordered: list[int] = np.asarray(indices, dtype=np.int64)[order].tolist()
    return ordered


def draw(
    indices: Sequence[int], quotas: Mapping[int, int], labels: Sequence[int], checksums: Sequence[bytes], stream: str
) -> tuple[list[int], list[int]]:
    """Draws a number of images from each class.

    Images are taken by ascending hash of the stream and their checksum. Neither the order of the files nor the other
    images change an image's hash, and a smaller draw is a subset of a larger one.

    `indices` are the images to draw from, but labels and checksums are those of all images. `quotas` are numbers of
    images by class. `stream` names the draw, its seed included. Returns the drawn indices and the remaining ones.
    """
    hashes = [checksum(stream.encode() + b"/" + checksums[index]) for index in indices]
    missing = dict(quotas)
    drawn, others = [], []
    for position in np.lexsort(_keys(hashes)).tolist():
        index = indices[position]
        if missing.get(labels[index], 0) > 0:
            missing[labels[index]] -= 1
            drawn.append(index)
        else:
            others.append(index)
    return drawn, others


def validation_quotas(labels: Sequence[int], classes: Sequence[str], share: float) -> dict[int, int]:
    """How many images of each class the validation split takes: the share of it, at least one, never all."""
    quotas, counts = {}, Counter(labels)
    for label, name in enumerate(classes):
        if (count := counts[label]) < 2:
            raise UserError(
                f"class '{name}' has {count} image{'s' * (count != 1)} in train; at least 2 are needed, "
                "one to train on and one for the validation split that is cut from it"
            )
        quotas[label] = min(max(1, round(count * share)), count - 1)
    return quotas


def cut_test(
    labels: Sequence[int], checksums: Sequence[bytes], classes: Sequence[str], share: float, seed: int
) -> tuple[list[int], list[int]]:
    """The indices of train and of a stratified test split, for labelled images that have none.

    Raises:
        UserError: a class has fewer than three images, one each to train on, to select on and to test on.
    """
    counts = Counter(labels)
    for label, name in enumerate(classes):
        if counts[label] < _FEWEST:
            raise UserError(
                f"class '{name}' has {counts[label]} image{'s' * (counts[label] != 1)}; at least {_FEWEST} are needed, "
                "because the validation and test splits are cut from them"
            )
    quotas = {label: min(max(1, round(count * share)), count - 2) for label, count in counts.items()}
    test, train = draw(range(len(labels)), quotas, labels, checksums, f"{seed}/test")
    return sorted(train), sorted(test)


def stratified_quotas(labels: Sequence[int], classes: int, total: int, key: str) -> dict[int, int]:
    """How many images of each class make `total`, in proportion to the classes (largest remainders), at least one.

    `labels` are those of the available images. Messages name the configuration key that sets `total`.

    Raises:
        UserError: `total` is larger than the number of images or smaller than the number of classes.
    """
    if not classes <= total <= len(labels):
        raise UserError(f"'{key}' is {total}; expected {classes} (one of each class) to {len(labels)} (all there are)")
    counts: list[int] = np.bincount(labels, minlength=classes).tolist()
    exact = [count * total / len(labels) for count in counts]
    quotas = [min(count, max(1, int(value))) for count, value in zip(counts, exact, strict=True)]
    while (missing := total - sum(quotas)) != 0:
        step = 1 if missing > 0 else -1
        open_classes = [c for c in range(classes) if (quotas[c] < counts[c] if step > 0 else quotas[c] > 1)]
        neediest = max(open_classes, key=lambda c: (step * (exact[c] - quotas[c]), -c))
        quotas[neediest] += step
    return dict(enumerate(quotas))
