"""Entry points of installed packages: listed, imported, and refused with the package's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from packages import install_package

from methods.plugins import Plugins

if TYPE_CHECKING:
    from pathlib import Path

COLOURS = Plugins("colour", "made_up.colours", ("red", "blue"))


@pytest.fixture(autouse=True)
def two_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install_package(
        tmp_path, "paint", COLOURS.group, "teal = paint:TEAL\ngrey = paint:GREY\nlost = paint:LOST", "TEAL = 3"
    )
    install_package(tmp_path, "dye", COLOURS.group, "grey = dye:GREY\nblue = dye:BLUE", "")


def fits(loaded: Any, name: str) -> str | None:
    return None if loaded == 3 else f"is {loaded}, which is no {name}"


def test_our_names_come_first_and_each_once() -> None:
    assert COLOURS.names() == ("red", "blue", "grey", "lost", "teal")


def test_our_own_name_has_no_entry_point() -> None:
    assert COLOURS.find("red") is None


def test_what_fits_is_imported() -> None:
    point = COLOURS.find("teal")
    assert point is not None and COLOURS.load(point, fits) == 3


def test_what_does_not_fit_is_named_with_its_package() -> None:
    point = COLOURS.find("teal")
    assert point is not None
    with pytest.raises(ValueError, match=r"^colour 'teal' of package paint 1\.2: paint:TEAL is small for teal$"):
        COLOURS.load(point, lambda loaded, name: f"is small for {name}")


def test_what_cannot_be_imported_is_named_with_its_package() -> None:
    point = COLOURS.find("lost")
    assert point is not None
    with pytest.raises(
        ValueError, match=r"'lost' of package paint 1\.2 cannot be loaded: importing paint:LOST gave Attr"
    ):
        COLOURS.load(point, fits)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tael", "unknown colour 'tael'; did you mean 'teal'"),
        ("grey", r"'grey' comes from dye 1\.2 and from paint 1\.2; uninstall one .*\(group made_up\.colours\)"),
        ("blue", r"'blue' comes from this suite itself and from dye 1\.2"),
    ],
)
def test_unknown_and_ambiguous_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        COLOURS.find(name)
