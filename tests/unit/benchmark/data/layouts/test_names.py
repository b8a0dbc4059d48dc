"""Names of images, of splits, and of what operating systems leave behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.data.layouts.names import by_split, contents, has_image, is_ignored, is_image, left_out, split_of, walk
from benchmark.errors import UserError


@pytest.mark.parametrize("name", ["a.JPG", "a.jfif", "a.tif", "a.TIFF", "a.gif", "a.avif", "a.bmp", "a.b.png"])
def test_images_are_known_by_their_ending(name: str) -> None:
    assert is_image(name)
    assert not is_image(f"{name}.txt")


@pytest.mark.parametrize("name", [".DS_Store", "._0.jpg", "Thumbs.db", "__MACOSX", "@eaDir", "desktop.ini"])
def test_what_systems_leave_behind_is_ignored(name: str) -> None:
    assert is_ignored(name)
    assert not is_ignored(f"a{name}")


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("train-00000-of-00002", "train"),
        ("imagenet_val_000001", "val"),
        ("Test", "test"),
        ("photos.validation.3", "validation"),
        ("labels", None),
        ("trainer", None),
        ("contest", None),
    ],
)
def test_files_state_their_split_as_a_word_of_their_name(stem: str, split: str | None) -> None:
    assert split_of(stem) == split


def test_files_are_sorted_into_splits() -> None:
    def named(*names: str) -> list[Path]:
        return [Path(name) for name in names]

    assert by_split(named("a.tar", "b.tar"), Path()) == (named("a.tar", "b.tar"), None, [])
    files = named("train-0.tar", "train-1.tar", "val-0.tar", "test-0.tar")
    train, test, notes = by_split(files, Path())
    assert (train, test) == (files[:2], files[3:])
    assert notes == ["val-0.tar left alone"]
    with pytest.raises(UserError, match=r"no file of train among test-0\.tar"):
        by_split(named("test-0.tar"), Path("x"))


def test_what_is_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    names = [*(f"{number}.{ending}" for ending in ("txt", "xml", "md", "py", "c") for number in range(2)), "LICENCE"]
    others = [tmp_path / "sub" / name for name in names]
    text = left_out(others, tmp_path)
    assert text == (
        "left out: 11 files of types that are not read here (2 .txt, 2 .xml, 2 .md and 2 .py, 3 others), "
        "such as sub/0.txt"
    )
    assert left_out(others[:2], tmp_path, expected=(".txt",)) == ""
    images = [tmp_path / "0.jp2", tmp_path / "1.jp2", tmp_path / "0.HEIC"]
    expected = "left out: 3 files of types that are not read here (2 .jp2 and 1 .heic), such as 0.jp2"
    assert left_out(images, tmp_path) == expected


def test_links_are_followed_but_not_back(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").touch()
    (tmp_path / "a" / "to-b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to-a").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = [path.relative_to(tmp_path).as_posix() for path in walk(tmp_path / "a").images]
    assert found == ["a/a.png", "a/gone.png", "a/to-b/b.png"]  # the broken link is an image that cannot be read
    assert has_image(tmp_path) and not has_image(tmp_path / "a" / "nowhere")


def test_the_first_names_of_a_folder(tmp_path: Path) -> None:
    for name in "abcdef":
        (tmp_path / name).touch()
    (tmp_path / "a0").mkdir()
    (tmp_path / ".hidden").touch()
    assert list(contents(tmp_path)) == ["a", "a0/", "b", "c", "d", "..."]
