"""Bad images in a folder: named before anything trains, skipped if that is wanted, and a changed folder explained."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from image_folders import make_folder

if TYPE_CHECKING:
    from pathlib import Path

TRUNCATED = ("train/ant/4.png", "train/bee/0.png", "test/cat/1.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """48 images of which three are cut off."""
    root = make_folder(tmp_path / "images", train=12, test=4, width=32, height=32)
    for name in TRUNCATED:
        (root / name).write_bytes((root / name).read_bytes()[:700])
    return root


@pytest.fixture
def config(bench: Any) -> Any:
    return bench.config(dataset={"name": "folder", "size": 32}, entries=["simclr"], batch_size=8, budget={"steps": 2})


@pytest.mark.slow
def test_bad_images_are_named_before_anything_trains(bench: Any, config: Any, folder: Path, tmp_path: Path) -> None:
    for command in (
        ("run", config, "--out", tmp_path / "out"),
        ("plan", config),
        ("cost", config, "--out", tmp_path / "out"),
    ):
        code, printed = bench(*command, "--data", folder)
        assert code == 2 and "3 of 48 images cannot be used; nothing was trained" in printed, printed
        assert all(f"  {name}: not a readable image (" in printed for name in TRUNCATED)
    assert not list(tmp_path.rglob("record.json"))
    code, printed = bench("data", "verify", folder)
    assert code == 1 and "45 of 48 images are sound" in printed, printed
    assert all(f"bad: {name}: not a readable image (" in printed for name in TRUNCATED)


@pytest.mark.slow
def test_skipped_images_are_recorded_and_may_be_deleted(bench: Any, config: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = ("run", config, "--data", folder, "--out", out)
    code, printed = bench(*run, "--on-error", "skip")
    assert code == 0, printed
    record = bench.records(out)["simclr"]
    assert sorted(record.dataset.left_out) == sorted(TRUNCATED)
    assert sum(record.dataset.counts.values()) == 45
    code, printed = bench("evaluate", out, "--protocols", "lowshot-v1", "--data", folder, "--on-error", "skip")
    assert "3 of 48" not in printed, printed
    for name in TRUNCATED:
        (folder / name).unlink()
    code, printed = bench(*run)
    assert code == 0 and "nothing to do" in printed, printed
    # From here on it is another set of images.
    shutil.copy(folder / "train/cat/0.png", folder / "train/cat/again.png")
    (folder / "test/ant/0.png").unlink()
    code, printed = bench("evaluate", out, "--protocols", "finetune-v1", "--data", folder)
    assert code == 2 and "1 is gone (test/ant/0.png)" in printed, printed
    code, printed = bench(*run)
    assert code == 2 and "was begun with other images" in printed, printed
    assert "1 is gone (test/ant/0.png) and 1 is new (train/cat/again.png)" in printed, printed
    assert "Put that back, or train anew on this one: choose another --out, or --set name=NAME" in printed


def test_a_choice_that_does_not_exist_is_refused(bench: Any, config: Any, folder: Path) -> None:
    for command in ("run", "plan", "cost", "sweep"):
        code, printed = bench(command, config, "--data", folder, "--on-error", "ignore")
        assert code == 2 and "--on-error is 'ignore'; choices: fail, skip" in printed, printed


def test_a_folder_that_is_no_dataset_can_be_verified(bench: Any, tmp_path: Path) -> None:
    make_folder(tmp_path / "images", train=2, test=1)
    code, printed = bench("data", "verify", tmp_path / "images" / "train" / "ant")
    assert code == 0 and "2 of 2 images are sound" in printed, printed
    (tmp_path / "empty").mkdir()
    code, printed = bench("data", "verify", tmp_path / "empty")
    assert code == 2 and "empty: has nothing; expected images in one of these layouts" in printed, printed
    code, printed = bench("data", "verify", tmp_path / "nowhere")
    assert code == 2 and "nowhere: no such file" in printed, printed
