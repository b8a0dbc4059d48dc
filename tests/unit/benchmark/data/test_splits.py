"""What a dataset is made of, and draws from it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmark.data.splits import build_manifest, checksum, draw, in_canonical_order, stratified_quotas

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_quotas_follow_the_classes() -> None:
    labels = [0] * 70 + [1] * 20 + [2] * 9 + [3]
    assert stratified_quotas(labels, 4, 50, "n") == {0: 35, 1: 10, 2: 4, 3: 1}
    assert stratified_quotas(labels, 4, 4, "n") == {0: 1, 1: 1, 2: 1, 3: 1}
    assert stratified_quotas(labels, 4, 100, "n") == {0: 70, 1: 20, 2: 9, 3: 1}


def test_a_draw_depends_on_content_alone() -> None:
    codes = [bytes([n]) * 16 for n in range(20)]
    labels = [n % 2 for n in range(20)]
    drawn, others = draw(range(20), {0: 3, 1: 2}, labels, codes, "s")
    assert len(drawn) == 5
    assert sorted(drawn + others) == list(range(20))
    assert sum(labels[i] for i in drawn) == 2
    back = list(reversed(range(20)))
    turned, _ = draw(range(20), {0: 3, 1: 2}, [labels[i] for i in back], [codes[i] for i in back], "s")
    assert {codes[i] for i in drawn} == {codes[back[i]] for i in turned}


def test_the_digest_covers_classes_splits_labels_and_images() -> None:
    a, b = b"a" * 16, b"b" * 16
    base = build_manifest(("x", "y"), {"train": ([0, 1], [a, b]), "test": ([0], [a])})
    assert base.counts == {"train": 2, "test": 1}
    assert base == build_manifest(("x", "y"), {"test": ([0], [a]), "train": ([1, 0], [b, a])})
    others = [
        build_manifest(("x", "z"), {"train": ([0, 1], [a, b]), "test": ([0], [a])}),
        build_manifest(("xy",), {"train": ([0, 1], [a, b]), "test": ([0], [a])}),
        build_manifest(("x", "y"), {"train": ([0, 1], [a, b]), "held": ([0], [a])}),
        build_manifest(("x", "y"), {"train": ([1, 0], [a, b]), "test": ([0], [a])}),
        build_manifest(("x", "y"), {"train": ([0, 1], [a, a]), "test": ([0], [a])}),
        build_manifest(("x", "y"), {"train": ([0], [a]), "test": ([1, 0], [b, a])}),
    ]
    assert len({manifest.digest for manifest in [base, *others]}) == 7


def _some(count: int) -> tuple[list[int], list[bytes]]:
    """Labels (one negative) and checksums; some are there twice, some begin or end with zeros or high bytes."""
    source = np.random.default_rng(0)
    codes = [bytes(row) for row in source.integers(0, 256, (count, 16), dtype=np.uint8)]
    codes[:6] = [
        bytes(16),
        bytes(15) + b"\xff",
        b"\xff" + bytes(15),
        b"\x80" * 16,
        bytes(8) + b"\x80" * 8,
        b"\x7f" * 16,
    ]
    codes[count // 2 :] = codes[: count - count // 2]
    labels: list[int] = source.integers(0, 5, count).tolist()
    return [*labels[:-1], -1], codes


def test_the_digest_is_that_of_sorted_entries() -> None:
    labels, codes = _some(200)
    digest = hashlib.blake2b(digest_size=32)
    entries = sorted(code + label.to_bytes(4, "big", signed=True) for label, code in zip(labels, codes, strict=True))
    for content in (b"manifest-1", b"x", b"empty", b"", b"train", b"".join(entries)):
        digest.update(len(content).to_bytes(8, "big") + content)
    assert build_manifest(("x",), {"train": (labels, codes), "empty": ([], [])}).digest == digest.hexdigest()


def test_the_order_is_that_of_the_checksums() -> None:
    labels, codes = _some(200)
    for chosen in (list(range(200)), list(range(199, -1, -1)), list(range(0, 200, 3))):
        expected = sorted(chosen, key=lambda index: (codes[index], labels[index]))
        assert in_canonical_order(chosen, labels, codes) == expected
    assert in_canonical_order([], labels, codes) == []


@pytest.mark.parametrize("indices", [range(200), range(199, 0, -2)])
def test_a_draw_takes_images_by_the_hash_of_stream_and_checksum(indices: Sequence[int]) -> None:
    labels, codes = _some(200)
    quotas = {0: 10, 1: 5, -1: 1, 4: 1000}
    left, expected, rest = dict(quotas), [], []
    for index in sorted(indices, key=lambda index: (checksum(b"7/test/" + codes[index]), codes[index])):
        if left.get(labels[index], 0) > 0:
            left[labels[index]] -= 1
            expected.append(index)
        else:
            rest.append(index)
    drawn, others = draw(indices, quotas, labels, codes, "7/test")
    assert (drawn, others) == (expected, rest)
