"""Listed images, before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from made_layouts import put

from benchmark.data.listing import check_classes, file_listing, in_order_of_names
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_files_get_the_numbers_of_their_classes(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        put(tmp_path / name, name * 10)
    train = [(tmp_path / "b", "bee"), (tmp_path / "a", "ant")]
    listing = file_listing(tmp_path, "words", train, [(tmp_path / "c", "bee")], notes=["a note"])
    assert (listing.classes, listing.train.labels) == (("ant", "bee"), [1, 0])
    assert listing.train.encoded(0) == (b"b" * 10, str(tmp_path / "b"))
    assert listing.train.total_bytes() == 20
    assert listing.notes == ("a note", "1 class has no test image: 'ant'")
    assert listing.noting("", "more").notes[-1] == "more"
    part = listing.train.part([1])
    assert (part.labels, part.read(0), len(part), part.total_bytes()) == ([0], b"a" * 10, 1, 10)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    listing = file_listing(tmp_path, "", [(tmp_path / "x", "a"), (tmp_path / "y", "b")], None)
    with pytest.raises(UserError, match="y: cannot be read"):
        listing.train.read(1)
    assert listing.train.total_bytes() == 0


def test_classes_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="test has the class 'c', which train does not have"):
        file_listing(tmp_path, "", [(tmp_path, "a"), (tmp_path, "b")], [(tmp_path, "c")])
    with pytest.raises(UserError, match=r"does not have \(the nearest to 'Bee' there is 'bee'\)"):
        file_listing(tmp_path, "", [(tmp_path, "ant"), (tmp_path, "bee")], [(tmp_path, "Bee")])
    for classes in ((), ("a",)):
        with pytest.raises(UserError, match=r"x: has a single class .*at least 2 are needed"):
            check_classes(classes, "x")


def test_names_that_are_numbers_are_sorted_by_number() -> None:
    assert in_order_of_names(["10", "9", "9", "0"]) == ("0", "9", "10")
    assert in_order_of_names(["b", "10", "9"]) == ("10", "9", "b")
